"""Kinds of nodes and pods whose behaviour is that every verb does what it says."""

from case import Behaviours, pod
from operations import operations


class Kinds(Behaviours):
    def test_runtime_class(self):
        """[sig-node] RuntimeClass should support RuntimeClasses API operations [Conformance]"""
        operations(
            self, self.cluster("node.k8s.io/v1", "runtimeclasses"),
            lambda name: {"metadata": {"name": name}, "handler": "conformance"})

    def template(self, name):
        return {"metadata": {"name": name}, "template": pod(labels={"podtemplate": "one"})}

    def test_pod_template(self):
        """[sig-node] PodTemplates should run the lifecycle of PodTemplates [Conformance]"""
        operations(self, self.of("v1", "podtemplates"), self.template,
                   spec={"template": {"metadata": {"labels": {"podtemplate": "two"}}}})

    def test_pod_template_replaced(self):
        """[sig-node] PodTemplates should replace a pod template [Conformance]"""
        resource = self.of("v1", "podtemplates")
        resource.create(self.template("one"))
        resource.change("one", lambda it: it["metadata"].update(annotations={"updated": "true"}))
        self.assertEqual(resource.get("one")["metadata"]["annotations"], {"updated": "true"})

    def test_pod_templates_deleted(self):
        """[sig-node] PodTemplates should delete a collection of pod templates [Conformance]"""
        resource = self.of("v1", "podtemplates")
        for name in ["one", "two", "three"]:
            made = self.template(name)
            made["metadata"]["labels"] = {"podtemplate-set": "true"}
            resource.create(made)
        resource.until_count(3, labelSelector="podtemplate-set=true")
        resource.delete_all(labelSelector="podtemplate-set=true")
        resource.until_count(0, labelSelector="podtemplate-set=true")

    def test_lease(self):
        """[sig-node] Lease lease API should be available [Conformance]"""
        operations(
            self, self.of("coordination.k8s.io/v1", "leases"),
            lambda name: {"metadata": {"name": name}, "spec": {
                "holderIdentity": "one", "leaseDurationSeconds": 30,
                "acquireTime": "2020-01-01T00:00:00.000002Z",
                "renewTime": "2020-01-01T00:00:00.500000Z", "leaseTransitions": 0}},
            spec={"spec": {"holderIdentity": "two", "leaseDurationSeconds": 60,
                           "acquireTime": "2020-01-02T00:00:00.000003Z",
                           "leaseTransitions": 1}})
