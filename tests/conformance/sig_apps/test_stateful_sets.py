"""StatefulSets: in order, with names that stay."""

from case import Behaviours, condition, workload
from kube import eventually


class StatefulSets(Behaviours):
    def setUp(self):
        super().setUp()
        self.sets = self.of("apps/v1", "statefulsets")
        self.of("v1", "services").create({"metadata": {"name": "web"}, "spec": {
            "clusterIP": "None", "selector": {"app": "web"}, "ports": [{"port": 80}]}})

    def create(self, replicas, play=None, **spec):
        made = workload("StatefulSet", "web", {"app": "web"}, replicas, play=play,
                        serviceName="web", **spec)
        return self.sets.create(made)

    def ready(self, count):
        return self.sets.until("web", f"{count} are ready", lambda it: it["status"].get(
            "readyReplicas", 0) == it["status"]["replicas"] == count)

    def image(self, image):
        self.sets.patch("web", {"spec": {"template": {"spec": {"containers": [
            {"name": "main", "image": image}]}}}}, "strategic")

    def revisions(self, wanted):
        """Waits until the ready pods, by name, are of these revisions."""
        def look():
            pods = self.pods.items(labelSelector="app=web")
            return wanted == [each["metadata"]["labels"]["controller-revision-hash"]
                              for each in sorted(pods, key=lambda it: it["metadata"]["name"])
                              if condition(each, "Ready").get("status") == "True"
                              and "deletionTimestamp" not in each["metadata"]]
        eventually(f"pods of revisions {wanted}", look)

    def updated(self, old):
        found = self.sets.until("web", "has a new revision",
                                lambda it: it["status"]["updateRevision"] != old)
        return found["status"]["updateRevision"]

    def test_canary(self):
        """[sig-apps] StatefulSet Basic StatefulSet functionality [StatefulSetBasic] should perform canary updates and phased rolling updates of template modifications [Conformance]"""
        def strategy(partition):
            return {"type": "RollingUpdate", "rollingUpdate": {"partition": partition}}
        self.create(3, updateStrategy=strategy(3))
        found = self.ready(3)
        old = found["status"]["currentRevision"]
        self.assertEqual(found["status"]["updateRevision"], old)
        self.image("registry.example/pause:2")
        new = self.updated(old)
        # Behind the partition nothing changes; then one pod does, and keeps to it when it is lost.
        self.revisions([old, old, old])
        self.sets.patch("web", {"spec": {"updateStrategy": strategy(2)}})
        self.revisions([old, old, new])
        for name in ["web-0", "web-2"]:
            self.pods.delete(name)
        self.revisions([old, old, new])
        for partition in [1, 0]:
            self.sets.patch("web", {"spec": {"updateStrategy": strategy(partition)}})
            self.revisions([old] * partition + [new] * (3 - partition))
        self.sets.until("web", "is all new", lambda it: it["status"]["currentRevision"] == new)

    def test_rolling(self):
        """[sig-apps] StatefulSet Basic StatefulSet functionality [StatefulSetBasic] should perform rolling updates and roll backs of template modifications [Conformance]"""
        self.create(3)
        old = self.ready(3)["status"]["currentRevision"]
        self.image("registry.example/pause:2")
        new = self.updated(old)
        self.revisions([new] * 3)
        self.sets.until("web", "is all new", lambda it: it["status"]["currentRevision"] == new)
        self.image("registry.example/pause:1")
        self.assertEqual(self.updated(new), old)
        self.revisions([old] * 3)
        self.sets.until("web", "is as it was", lambda it: it["status"]["currentRevision"] == old)

    def test_order(self):
        """[sig-apps] StatefulSet Basic StatefulSet functionality [StatefulSetBasic] Scaling should happen in predictable order and halt if any stateful pod is unhealthy [Slow] [Conformance]"""
        version = self.pods.list()["metadata"]["resourceVersion"]
        with self.pods.watch(resourceVersion=version, labelSelector="app=web") as watch:
            self.create(3)
            for number in range(3):
                watch.until("ADDED", f"web-{number}",
                            lambda it, name=f"web-{number}": it["metadata"]["name"] == name)
        self.ready(3)
        # Nothing comes or goes while one is not ready.
        self.pods.change("web-0", lambda it: condition(it, "Ready").update(status="False"),
                         sub="status")
        self.sets.until("web", "sees it", lambda it: it["status"].get("readyReplicas") == 2)
        self.sets.patch("web", {"spec": {"replicas": 1}}, sub="scale")
        self.sets.until("web", "has seen the wish", lambda it: it["status"].get(
            "observedGeneration") == it["metadata"]["generation"])
        self.assertEqual(len(self.pods.items(labelSelector="app=web")), 3)
        version = self.pods.list()["metadata"]["resourceVersion"]
        with self.pods.watch(resourceVersion=version, labelSelector="app=web") as watch:
            self.pods.change("web-0", lambda it: condition(it, "Ready").update(status="True"),
                             sub="status")
            for number in [2, 1]:
                watch.until("DELETED", f"web-{number}",
                            lambda it, name=f"web-{number}": it["metadata"]["name"] == name)
        self.ready(1)

    def test_burst(self):
        """[sig-apps] StatefulSet Basic StatefulSet functionality [StatefulSetBasic] Burst scaling should run to completion even with unhealthy pods [Slow] [Conformance]"""
        self.create(3, play="wait", podManagementPolicy="Parallel")
        self.pods.until_count(3, labelSelector="app=web")
        self.sets.patch("web", {"spec": {"replicas": 5}}, sub="scale")
        self.pods.until_count(5, labelSelector="app=web")
        self.sets.patch("web", {"spec": {"replicas": 0}}, sub="scale")
        self.pods.until_count(0, labelSelector="app=web")

    def test_evicted(self):
        """[sig-apps] StatefulSet Basic StatefulSet functionality [StatefulSetBasic] Should recreate evicted statefulset [Conformance]"""
        self.create(1)
        self.ready(1)
        first = self.pods.get("web-0")["metadata"]["uid"]
        self.pods.patch("web-0", {"status": {"phase": "Failed", "reason": "Evicted"}}, sub="status")
        self.pods.until("web-0", "is another", lambda it: it["metadata"]["uid"] != first)
        self.ready(1)

    def test_scale(self):
        """[sig-apps] StatefulSet Basic StatefulSet functionality [StatefulSetBasic] should have a working scale subresource [Conformance]"""
        self.create(1)
        self.ready(1)
        scale = self.sets.get("web", "scale")
        scale["spec"]["replicas"] = 2
        # Whatever else has been written meanwhile.
        del scale["metadata"]["resourceVersion"]
        self.sets.update(scale, sub="scale")
        self.assertEqual(self.sets.get("web")["spec"]["replicas"], 2)
        self.sets.patch("web", {"spec": {"replicas": 4}}, sub="scale")
        self.assertEqual(self.sets.get("web")["spec"]["replicas"], 4)

    def test_collection(self):
        """[sig-apps] StatefulSet Basic StatefulSet functionality [StatefulSetBasic] should list, patch and delete a collection of StatefulSets [Conformance]"""
        self.create(1)
        self.ready(1)
        label = self.unique("set")
        select = {"labelSelector": f"conformance={label}"}
        self.sets.patch("web", {"metadata": {"labels": {"conformance": label}}, "spec": {
            "replicas": 2}}, "strategic")
        self.ready(2)
        self.assertEqual(self.sets.everywhere().names(**select), ["web"])
        self.sets.delete_all(**select)
        self.sets.until_count(0, **select)

    def test_status(self):
        """[sig-apps] StatefulSet Basic StatefulSet functionality [StatefulSetBasic] should validate Statefulset Status endpoints [Conformance]"""
        self.create(1)
        self.ready(1)

        def wish(kind):
            return {"type": kind, "status": "True", "reason": "E2E", "message": "set"}
        version = self.sets.list()["metadata"]["resourceVersion"]
        with self.sets.watch(resourceVersion=version) as watch:
            self.sets.change("web", lambda it: it["status"].setdefault(
                "conditions", []).append(wish("StatusUpdate")), sub="status")
            watch.until("MODIFIED", "the update",
                        lambda it: condition(it, "StatusUpdate").get("status") == "True")
            self.sets.patch("web", {"status": {"conditions": [wish("StatusPatched")]}},
                            sub="status")
            watch.until("MODIFIED", "the patch",
                        lambda it: condition(it, "StatusPatched").get("status") == "True")
