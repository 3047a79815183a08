"""Webhook configurations as objects. Nobody calls a webhook here."""

from case import Behaviours, not_shown
from operations import annotations

VERSION = "admissionregistration.k8s.io/v1"

WHY = "expressions are stored and not compiled: there is no CEL yet"


class Webhooks(Behaviours):
    def setUp(self):
        super().setUp()
        self.kinds = [self.cluster(VERSION, f"{kind}webhookconfigurations")
                      for kind in ["validating", "mutating"]]

    def test_discovery(self):
        """[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should include webhook resources in discovery documents [Conformance]"""
        for each in self.kinds:
            self.served(each)

    def make(self, expression):
        name = self.unique("webhook")
        return {"metadata": {"name": name}, "webhooks": [{
            "name": "conformance.example.com", "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "clientConfig": {"service": {"namespace": self.namespace, "name": "absent"}},
            # Nothing that exists is meant.
            "namespaceSelector": {"matchLabels": {"conformance": "nobody"}},
            "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"],
                       "resources": ["configmaps"]}],
            "matchConditions": [{"name": "expression-1", "expression": expression}]}]}

    def conditions(self, resource):
        made = resource.create(self.make("object.metadata.namespace == 'production'"))
        name = made["metadata"]["name"]
        self.addCleanup(resource.delete, name)
        conditions = made["webhooks"][0]["matchConditions"]
        self.assertEqual([each["name"] for each in conditions], ["expression-1"])
        more = [*conditions, {"name": "expression-2", "expression": "true"}]

        def edit(it):
            annotations(it).update(updated="yes")
            it["webhooks"][0]["matchConditions"] = more
        resource.change(name, edit)
        self.assertEqual(resource.get(name)["webhooks"][0]["matchConditions"], more)

    def test_validating_conditions(self):
        """[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should be able to create and update validating webhook configurations with match conditions [Conformance]"""
        self.conditions(self.kinds[0])

    def test_mutating_conditions(self):
        """[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should be able to create and update mutating webhook configurations with match conditions [Conformance]"""
        self.conditions(self.kinds[1])

    def rejected(self, resource):
        with self.refused(422, "compilation failed"):
            made = resource.create(self.make("... [] bad expression"))
            resource.delete(made["metadata"]["name"])

    @not_shown(WHY)
    def test_validating_invalid(self):
        """[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should reject validating webhook configurations with invalid match conditions [Conformance]"""
        self.rejected(self.kinds[0])

    @not_shown(WHY)
    def test_mutating_invalid(self):
        """[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should reject mutating webhook configurations with invalid match conditions [Conformance]"""
        self.rejected(self.kinds[1])
