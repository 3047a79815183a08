"""Admission policies: the kinds, and what they do to Deployments."""

from case import Behaviours, not_shown, workload
from kube import Refused, eventually
from operations import operations

# When a condition that these tests write became so.
SINCE = "2020-01-01T00:00:00Z"

VERSION = "admissionregistration.k8s.io/v1"

WHY = "admission policies are stored and not evaluated: there is no CEL yet"


class AdmissionPolicies(Behaviours):
    RULES = {"resourceRules": [{"apiGroups": ["apps"], "apiVersions": ["v1"],
                                "operations": ["CREATE"], "resources": ["deployments"]}]}
    # Nothing of the running cluster meets this.
    NOBODY = {"namespaceSelector": {"matchLabels": {"conformance": "nobody"}}}

    def policy(self, kind, **spec):
        return lambda name: {"metadata": {"name": name}, "spec": {
            "matchConstraints": {**self.RULES, **self.NOBODY}, **spec}}

    def test_validating_policy(self):
        """[sig-api-machinery] ValidatingAdmissionPolicy [Privileged:ClusterAdmin] should support ValidatingAdmissionPolicy API operations [Conformance]"""
        operations(
            self, self.cluster(VERSION, "validatingadmissionpolicies"),
            self.policy("ValidatingAdmissionPolicy", validations=[
                {"expression": "object.spec.replicas <= 100"}]),
            spec={"spec": {"failurePolicy": "Ignore"}},
            status={"conditions": [{"type": "Conformance", "status": "True", "reason": "Patched",
                                    "message": "by hand", "lastTransitionTime": SINCE}]})

    def test_validating_binding(self):
        """[sig-api-machinery] ValidatingAdmissionPolicy [Privileged:ClusterAdmin] should support ValidatingAdmissionPolicyBinding API operations [Conformance]"""
        operations(
            self, self.cluster(VERSION, "validatingadmissionpolicybindings"),
            lambda name: {"metadata": {"name": name}, "spec": {
                "policyName": "conformance-absent", "validationActions": ["Deny"]}},
            spec={"spec": {"validationActions": ["Warn"]}})

    def test_mutating_policy(self):
        """[sig-api-machinery] MutatingAdmissionPolicy [Privileged:ClusterAdmin] should support MutatingAdmissionPolicy API operations [Conformance]"""
        operations(
            self, self.cluster(VERSION, "mutatingadmissionpolicies"),
            self.policy("MutatingAdmissionPolicy", reinvocationPolicy="Never", mutations=[{
                "patchType": "ApplyConfiguration", "applyConfiguration": {
                    "expression": "Object{spec: Object.spec{replicas: 1}}"}}]),
            spec={"spec": {"failurePolicy": "Ignore"}})

    def test_mutating_binding(self):
        """[sig-api-machinery] MutatingAdmissionPolicy [Privileged:ClusterAdmin] should support MutatingAdmissionPolicyBinding API operations [Conformance]"""
        operations(
            self, self.cluster(VERSION, "mutatingadmissionpolicybindings"),
            lambda name: {"metadata": {"name": name}, "spec": {"policyName": "conformance-absent"}},
            spec={"spec": {"policyName": "conformance-other"}})


class Policies(Behaviours):
    def install(self, kind, spec, **binding):
        """The policy and its binding, for the Deployments of this test's namespace."""
        name = self.unique("policy")
        selector = {"matchLabels": {"kubernetes.io/metadata.name": self.namespace}}
        rules = [{"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"],
                  "resources": ["deployments"]}]
        matches = {"namespaceSelector": selector, "resourceRules": rules}
        for plural, made in [
                (f"{kind}admissionpolicies", {"matchConstraints": matches, **spec}),
                (f"{kind}admissionpolicybindings", {"policyName": name, **binding})]:
            resource = self.cluster(VERSION, plural)
            resource.create({"metadata": {"name": name}, "spec": made})
            self.addCleanup(resource.delete, name)

    def deployment(self, name, replicas):
        return workload("Deployment", name, {"app": name}, replicas, play="wait")

    def validate(self, **spec):
        deployments = self.of("apps/v1", "deployments")
        self.install("validating", spec, validationActions=["Deny"])

        def refuses():
            try:
                deployments.create(self.deployment(self.unique("probe"), 1))
            except Refused as refused:
                return refused
            return None
        refused = eventually("the policy is in force", refuses)
        self.assertEqual(refused.code, 422)
        self.assertIn("wants to have two", refused.message)
        deployments.create(self.deployment("two", 2))

    @not_shown(WHY)
    def test_validate(self):
        """[sig-api-machinery] ValidatingAdmissionPolicy [Privileged:ClusterAdmin] should validate against a Deployment [Conformance]"""
        self.validate(validations=[{"expression": "object.spec.replicas > 1",
                                    "message": "wants to have two", "reason": "Invalid"}])

    @not_shown(WHY)
    def test_variables(self):
        """[sig-api-machinery] ValidatingAdmissionPolicy [Privileged:ClusterAdmin] should allow expressions to refer variables. [Conformance]"""
        self.validate(
            variables=[{"name": "replicas", "expression": "object.spec.replicas"},
                       {"name": "enough", "expression": "variables.replicas > 1"}],
            validations=[{"expression": "variables.enough", "message": "wants to have two",
                          "reason": "Invalid"}])

    def mutate(self, expression, probe):
        deployments = self.of("apps/v1", "deployments")
        self.install("mutating", {
            "failurePolicy": "Fail", "reinvocationPolicy": "Never",
            "mutations": [{"patchType": "ApplyConfiguration",
                           "applyConfiguration": {"expression": expression}}]})
        eventually("the policy is in force", lambda: probe(
            deployments.create(self.deployment(self.unique("probe"), 2))))

    @not_shown(WHY)
    def test_mutate(self):
        """[sig-api-machinery] MutatingAdmissionPolicy [Privileged:ClusterAdmin] should mutate a Deployment [Conformance]"""
        self.mutate("Object{spec: Object.spec{replicas: 1}}",
                    lambda it: it["spec"]["replicas"] == 1)

    @not_shown(WHY)
    def test_mutate_annotations(self):
        """[sig-api-machinery] MutatingAdmissionPolicy [Privileged:ClusterAdmin] should mutate a Deployment with annotations [Conformance]"""
        self.mutate('Object{metadata: Object.metadata{annotations: {"mutated": "true"}}}',
                    lambda it: it["metadata"].get("annotations", {}).get("mutated") == "true")
