"""ReplicaSets and ReplicationControllers: as many pods as wished, and whose pods they are."""

from case import Behaviours, condition, pod, workload


class ReplicaSets(Behaviours):
    def setUp(self):
        super().setUp()
        self.sets = self.of("apps/v1", "replicasets")

    def ready(self, name, count):
        return self.sets.until(name, f"{count} are ready",
                               lambda it: it.get("status", {}).get("readyReplicas", 0) == count)

    def test_replace_patch(self):
        """[sig-apps] ReplicaSet Replace and Patch tests [Conformance]"""
        self.sets.create(workload("ReplicaSet", "web", {"app": "web"}, 1))
        self.ready("web", 1)
        self.sets.change("web", lambda it: it["spec"].update(replicas=3))
        self.ready("web", 3)
        self.sets.patch("web", {"metadata": {"labels": {"patched": "yes"}}, "spec": {
            "replicas": 2, "template": {"spec": {"terminationGracePeriodSeconds": 7, "containers": [
                {"name": "main", "image": "registry.example/pause:2"}]}}}}, "strategic")
        found = self.ready("web", 2)
        self.assertEqual(found["metadata"]["labels"]["patched"], "yes")
        containers = found["spec"]["template"]["spec"]["containers"]
        self.assertEqual(containers[0]["image"], "registry.example/pause:2")

    def test_scale(self):
        """[sig-apps] ReplicaSet Replicaset should have a working scale subresource [Conformance]"""
        self.sets.create(workload("ReplicaSet", "web", {"app": "web"}, 1))
        self.ready("web", 1)
        scale = self.sets.get("web", "scale")
        self.assertEqual(scale["status"]["replicas"], 1)
        scale["spec"]["replicas"] = 2
        # Whatever else has been written meanwhile.
        del scale["metadata"]["resourceVersion"]
        self.sets.update(scale, sub="scale")
        self.assertEqual(self.sets.get("web")["spec"]["replicas"], 2)
        self.sets.patch("web", {"spec": {"replicas": 4}}, sub="scale")
        self.assertEqual(self.sets.get("web")["spec"]["replicas"], 4)

    def test_adopt_release(self):
        """[sig-apps] ReplicaSet should adopt matching pods on creation and release no longer matching pods [Conformance]"""
        made = self.pods.create(pod("orphan", labels={"name": "orphan"}))
        owner = self.sets.create(workload("ReplicaSet", "web", {"name": "orphan"}, 1))
        adopts_and_releases(self, made, owner, "name")

    def test_collection(self):
        """[sig-apps] ReplicaSet should list and delete a collection of ReplicaSets [Conformance]"""
        label = self.unique("set")
        select = {"labelSelector": f"conformance={label}"}
        self.sets.create(workload("ReplicaSet", "web", {"conformance": label}, 3))
        self.ready("web", 3)
        self.assertEqual(self.sets.everywhere().names(**select), ["web"])
        self.sets.delete_all(**select)
        self.sets.until_count(0, **select)

    def test_status(self):
        """[sig-apps] ReplicaSet should validate Replicaset Status endpoints [Conformance]"""
        self.sets.create(workload("ReplicaSet", "web", {"app": "web"}, 1))
        self.ready("web", 1)
        self.assertEqual(self.sets.get("web", "status")["status"]["readyReplicas"], 1)

        def edit(it):
            it["status"]["conditions"] = [{"type": "StatusUpdate", "status": "True",
                                           "reason": "E2E", "message": "set"}]
        version = self.sets.list()["metadata"]["resourceVersion"]
        with self.sets.watch(resourceVersion=version) as watch:
            self.sets.change("web", edit, sub="status")
            watch.until("MODIFIED", "the update",
                        lambda it: condition(it, "StatusUpdate").get("status") == "True")
            self.sets.patch("web", {"status": {"conditions": [
                {"type": "StatusPatched", "status": "True"}]}}, sub="status")
            watch.until("MODIFIED", "the patch",
                        lambda it: condition(it, "StatusPatched").get("status") == "True")


class ReplicationControllers(Behaviours):
    def setUp(self):
        super().setUp()
        self.controllers = self.of("v1", "replicationcontrollers")

    def create(self, name, labels, replicas, **metadata):
        return self.controllers.create({
            "apiVersion": "v1", "kind": "ReplicationController",
            "metadata": {"name": name, "labels": labels, **metadata},
            "spec": {"replicas": replicas, "selector": labels, "template": pod(labels=labels)}})

    def test_adopt(self):
        """[sig-apps] ReplicationController should adopt matching pods on creation [Conformance]"""
        made = self.pods.create(pod("orphan", labels={"name": "orphan"}))
        owner = self.create("web", {"name": "orphan"}, 1)
        adopts(self, made, owner)

    def test_release(self):
        """[sig-apps] ReplicationController should release no longer matching pods [Conformance]"""
        owner = self.create("web", {"name": "web"}, 1)
        made = self.pods.until_count(1, labelSelector="name=web")[0]
        adopts_and_releases(self, made, owner, "name")

    def test_scale(self):
        """[sig-apps] ReplicationController should get and update a ReplicationController scale [Conformance]"""
        self.create("web", {"name": "web"}, 1)
        self.controllers.until("web", "has a pod", lambda it: it["status"]["replicas"] == 1)
        scale = self.controllers.get("web", "scale")
        self.assertEqual(scale["spec"]["replicas"], 1)
        scale["spec"]["replicas"] = 2
        # Whatever else has been written meanwhile.
        del scale["metadata"]["resourceVersion"]
        self.controllers.update(scale, sub="scale")
        self.assertEqual(self.controllers.get("web")["spec"]["replicas"], 2)
        self.controllers.until("web", "has two pods", lambda it: it["status"]["replicas"] == 2)

    def test_quota(self):
        """[sig-apps] ReplicationController should surface a failure condition on a common issue like exceeded quota [Conformance]"""
        quotas = self.of("v1", "resourcequotas")
        quotas.create({"metadata": {"name": "quota"}, "spec": {"hard": {"pods": "2"}}})
        quotas.until("quota", "is counted", lambda it: it.get("status", {}).get("hard"))
        self.create("web", {"name": "web"}, 3)
        found = self.controllers.until(
            "web", "says what fails", lambda it: condition(it, "ReplicaFailure"))
        self.assertIn("exceeded quota", condition(found, "ReplicaFailure")["message"])
        self.controllers.change("web", lambda it: it["spec"].update(replicas=2))
        self.controllers.until(
            "web", "says nothing any more", lambda it: not condition(it, "ReplicaFailure"))

    def test_lifecycle(self):
        """[sig-apps] ReplicationController should test the lifecycle of a ReplicationController [Conformance]"""
        label = self.unique("controller")
        select = {"labelSelector": f"conformance={label}"}
        version = self.controllers.list()["metadata"]["resourceVersion"]
        with self.controllers.watch(resourceVersion=version, **select) as watch:
            self.create("web", {"conformance": label}, 1)
            watch.until("ADDED", "the creation")
            watch.until("MODIFIED", "is ready",
                        lambda it: it["status"].get("readyReplicas") == 1)
            self.controllers.patch("web", {"metadata": {"labels": {"patched": "yes"}}}, "strategic")
            watch.until("MODIFIED", "the patch",
                        lambda it: it["metadata"]["labels"].get("patched") == "yes")
            self.controllers.patch("web", {"status": {"readyReplicas": 0, "availableReplicas": 0}},
                                   "strategic", "status")
            watch.until("MODIFIED", "the status",
                        lambda it: not it["status"].get("readyReplicas"))
            self.assertEqual(self.controllers.get("web", "status")["kind"],
                             "ReplicationController")
            watch.until("MODIFIED", "the truth",
                        lambda it: it["status"].get("readyReplicas") == 1)
            self.controllers.patch("web", {"spec": {"replicas": 2}}, sub="scale")
            watch.until("MODIFIED", "two are ready",
                        lambda it: it["status"].get("readyReplicas") == 2)
            self.assertEqual(self.controllers.everywhere().names(**select), ["web"])
            self.controllers.change("web", lambda it: it["metadata"]["labels"].update(
                updated="yes"))
            self.controllers.delete_all(**select)
            watch.until("DELETED", "the deletion")


def adopts(case, made, owner):
    """The pod becomes the owner's."""
    name, uid = made["metadata"]["name"], owner["metadata"]["uid"]
    case.pods.until(name, "has an owner", lambda it: uid in [
        each["uid"] for each in it["metadata"].get("ownerReferences", []) if each["controller"]])


def adopts_and_releases(case, made, owner, label):
    """The pod becomes the owner's, and is nobody's when its label has changed."""
    adopts(case, made, owner)
    name = made["metadata"]["name"]
    case.pods.patch(name, {"metadata": {"labels": {label: "not-matching"}}})
    case.pods.until(name, "has no owner", lambda it: not [
        each for each in it["metadata"].get("ownerReferences", []) if each.get("controller")])
