"""Objects that go with their owners or stay without them, and the end of namespaces."""

from case import Behaviours, condition, pod, workload
from kube import eventually


class Garbage(Behaviours):
    def owned_by(self, resource, uid):
        def look():
            return [each for each in resource.items()
                    for owner in each["metadata"].get("ownerReferences", [])
                    if owner["uid"] == uid]
        return look

    def deployment(self):
        """A Deployment and the ReplicaSet that it has made."""
        made = self.of("apps/v1", "deployments").create(
            workload("Deployment", "web", {"app": "web"}, 2))
        sets = self.of("apps/v1", "replicasets")
        found = eventually("the ReplicaSet", self.owned_by(sets, made["metadata"]["uid"]))
        return found[0]["metadata"]["name"]

    def test_background(self):
        """[sig-api-machinery] Garbage collector should delete RS created by deployment when not orphaning [Conformance]"""
        self.deployment()
        self.of("apps/v1", "deployments").delete("web", propagationPolicy="Background")
        self.of("apps/v1", "replicasets").until_count(0)
        self.pods.until_count(0)

    def test_orphan(self):
        """[sig-api-machinery] Garbage collector should orphan RS created by deployment when deleteOptions.PropagationPolicy is Orphan [Conformance]"""
        name = self.deployment()
        deployments, sets = self.of("apps/v1", "deployments"), self.of("apps/v1", "replicasets")
        deployments.delete("web", propagationPolicy="Orphan")
        deployments.until_gone("web")
        kept = sets.get(name)
        self.assertNotIn("deletionTimestamp", kept["metadata"])
        self.assertFalse([each for each in kept["metadata"].get("ownerReferences", [])
                          if each.get("controller")])

    def controller(self, name="web", replicas=2):
        self.controllers = self.of("v1", "replicationcontrollers")
        labels = {"app": name}
        made = self.controllers.create({"metadata": {"name": name}, "spec": {
            "replicas": replicas, "selector": labels, "template": pod(labels=labels)}})
        found = self.pods.until_count(replicas, labelSelector=f"app={name}")
        return made, [each["metadata"]["name"] for each in found]

    def test_controller(self):
        """[sig-api-machinery] Garbage collector should delete pods created by rc when not orphaning [Conformance]"""
        self.controller()
        self.controllers.delete("web", propagationPolicy="Background")
        self.pods.until_count(0)

    def test_controller_orphan(self):
        """[sig-api-machinery] Garbage collector should orphan pods created by rc if delete options say so [Serial] [Conformance]"""
        self.controller()
        self.controllers.delete("web", propagationPolicy="Orphan")
        self.controllers.until_gone("web")
        kept = self.pods.items()
        self.assertEqual(len(kept), 2)
        for each in kept:
            self.assertFalse(each["metadata"].get("ownerReferences"))

    def test_controller_foreground(self):
        """[sig-api-machinery] Garbage collector should keep the rc around until all its pods are deleted if the deleteOptions says so [Serial] [Conformance]"""
        _, names = self.controller()
        self.pods.patch(names[0], {"metadata": {"finalizers": ["example.com/conformance"]}})
        self.controllers.delete("web", propagationPolicy="Foreground")
        self.pods.until_gone(names[1])
        found = self.controllers.get("web")
        self.assertIn("foregroundDeletion", found["metadata"]["finalizers"])
        self.pods.patch(names[0], {"metadata": {"finalizers": None}})
        self.controllers.until_gone("web")
        self.assertEqual(self.pods.items(), [])

    def test_two_owners(self):
        """[sig-api-machinery] Garbage collector should not delete dependents that have both valid owner and owner that's waiting for dependents to be deleted [Serial] [Conformance]"""
        _, names = self.controller("going", 4)
        stays, _ = self.controller("stays", 0)
        owner = {"apiVersion": "v1", "kind": "ReplicationController", "name": "stays",
                 "uid": stays["metadata"]["uid"]}
        for name in names[:2]:
            self.pods.patch(name, {"metadata": {"ownerReferences": [owner]}}, "strategic")
        self.controllers.delete("going", propagationPolicy="Foreground")
        self.controllers.until_gone("going")
        for name in names[2:]:
            self.pods.until_gone(name)
        for name in names[:2]:
            kept = self.pods.get(name)["metadata"]
            self.assertNotIn("deletionTimestamp", kept)
            self.assertEqual([each["name"] for each in kept["ownerReferences"]], ["stays"])

    def test_circle(self):
        """[sig-api-machinery] Garbage collector should not be blocked by dependency circle [Conformance]"""
        names = ["one", "two", "three"]
        made = [self.pods.create(pod(name)) for name in names]
        for number, name in enumerate(names):
            owner = made[number - 1]["metadata"]
            self.pods.patch(name, {"metadata": {"ownerReferences": [{
                "apiVersion": "v1", "kind": "Pod", "name": owner["name"], "uid": owner["uid"],
                "controller": True, "blockOwnerDeletion": True}]}})
        self.pods.delete("one", propagationPolicy="Foreground")
        self.pods.until_count(0)


class Namespaces(Behaviours):
    def test_pods_first(self):
        """[sig-api-machinery] OrderedNamespaceDeletion namespace deletion should delete pod first [Conformance]"""
        namespaces = self.cluster("v1", "namespaces")
        name = self.unique("ordered")
        namespaces.create({"metadata": {"name": name}})
        pods, maps = self.of("v1", "pods", name), self.of("v1", "configmaps", name)
        made = pod("held")
        made["metadata"]["finalizers"] = ["example.com/conformance"]
        pods.create(made)
        maps.create({"metadata": {"name": "kept"}})
        namespaces.delete(name)
        pods.until("held", "is on its way out", lambda it: "deletionTimestamp" in it["metadata"])
        namespaces.until(name, "has looked at its contents", lambda it: condition(
            it, "NamespaceFinalizersRemaining").get("status") == "True")
        self.assertNotIn("deletionTimestamp", maps.get("kept")["metadata"])
        pods.patch("held", {"metadata": {"finalizers": None}})
        namespaces.until_gone(name)
