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

    def test_controller(self):
        """[sig-api-machinery] Garbage collector should delete pods created by rc when not orphaning [Conformance]"""
        controllers = self.of("v1", "replicationcontrollers")
        controllers.create({"metadata": {"name": "web"}, "spec": {
            "replicas": 2, "selector": {"app": "web"}, "template": pod(labels={"app": "web"})}})
        self.pods.until_count(2)
        controllers.delete("web", propagationPolicy="Background")
        self.pods.until_count(0)

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
