"""DaemonSets: one pod for every node that fits."""

from case import Behaviours, condition, workload
from kube import eventually
from kubelet import NODES


class DaemonSets(Behaviours):
    def setUp(self):
        super().setUp()
        self.sets = self.of("apps/v1", "daemonsets")
        self.nodes = self.cluster("v1", "nodes")
        self.label = self.unique("daemons")
        for name in NODES:
            self.mark(name, "yes")

    def mark(self, node, value):
        self.nodes.patch(node, {"metadata": {"labels": {self.label: value}}})

    def create(self, play=None, **spec):
        made = workload("DaemonSet", "agent", {"app": self.label}, play=play, **spec)
        del made["spec"]["replicas"]
        made["spec"]["template"]["spec"]["nodeSelector"] = {self.label: "yes"}
        self.addCleanup(lambda: [self.mark(name, None) for name in NODES])
        return self.sets.create(made)

    def ready(self, count=len(NODES)):
        def probe(found):
            status = found["status"]
            return (status.get("observedGeneration") == found["metadata"]["generation"]
                    and status["desiredNumberScheduled"] == status["numberReady"] == count
                    and status.get("updatedNumberScheduled", 0) == count)
        return self.sets.until("agent", f"{count} are ready", probe)

    def names(self):
        return self.pods.names(labelSelector=f"app={self.label}")

    def test_simple(self):
        """[sig-apps] Daemon set [Serial] should run and stop simple daemon [Conformance]"""
        self.create()
        self.ready()
        lost = self.names()[0]
        self.pods.delete(lost)
        self.pods.until_gone(lost)
        self.ready()

    def test_complex(self):
        """[sig-apps] Daemon set [Serial] should run and stop complex daemon [Conformance]"""
        for name in NODES:
            self.mark(name, "no")
        self.create()
        self.ready(0)
        self.mark(NODES[0], "yes")
        self.ready(1)
        self.mark(NODES[0], "no")
        self.ready(0)
        self.pods.until_count(0, labelSelector=f"app={self.label}")
        self.mark(NODES[0], "yes")
        self.ready(1)

    def test_failed(self):
        """[sig-apps] Daemon set [Serial] should retry creating failed daemon pods [Conformance]"""
        self.create()
        self.ready()
        lost = self.names()[0]
        self.pods.patch(lost, {"status": {"phase": "Failed"}}, sub="status")
        self.pods.until_gone(lost)
        self.ready()

    def image(self, image):
        self.sets.patch("agent", {"spec": {"template": {"spec": {"containers": [
            {"name": "main", "image": image}]}}}}, "strategic")

    def test_rolling(self):
        """[sig-apps] Daemon set [Serial] should update pod when spec was updated and update strategy is RollingUpdate [Conformance]"""
        self.create(updateStrategy={"type": "RollingUpdate"})
        self.ready()
        old = self.names()
        self.image("registry.example/pause:2")
        self.ready()
        self.assertFalse(set(old) & set(self.names()))
        revisions = self.of("apps/v1", "controllerrevisions")
        self.assertEqual(sorted(each["revision"] for each in revisions.items()), [1, 2])

    def test_rollback(self):
        """[sig-apps] Daemon set [Serial] should rollback without unnecessary restarts [Conformance]"""
        self.create(updateStrategy={"type": "RollingUpdate"})
        self.ready()
        old = set(self.names())
        # The new pods never run: with one pod at a time the others stay as they were.
        self.sets.patch("agent", {"spec": {"template": {"metadata": {"annotations": {
            "conformance/play": "wait"}}}}})
        eventually("a new pod", lambda: len(old & set(self.names())) < len(old))
        kept = old & set(self.names())
        self.assertEqual(len(kept), len(old) - 1)
        self.sets.patch("agent", {"spec": {"template": {"metadata": {"annotations": {
            "conformance/play": None}}}}})
        self.ready()
        self.assertLessEqual(kept, set(self.names()))

    def test_collection(self):
        """[sig-apps] Daemon set [Serial] should list and delete a collection of DaemonSets [Conformance]"""
        self.create()
        self.ready()
        select = {"labelSelector": f"app={self.label}"}
        self.assertEqual(self.sets.everywhere().names(**select), ["agent"])
        self.sets.delete_all(**select)
        self.sets.until_count(0, **select)

    def test_status(self):
        """[sig-apps] Daemon set [Serial] should verify changes to a daemon set status [Conformance]"""
        self.create()
        self.ready()
        self.assertEqual(self.sets.get("agent", "status")["status"]["numberReady"], len(NODES))

        def edit(it):
            it["status"].setdefault("conditions", []).append(
                {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "set"})
        version = self.sets.list()["metadata"]["resourceVersion"]
        with self.sets.watch(resourceVersion=version) as watch:
            self.sets.change("agent", edit, sub="status")
            watch.until("MODIFIED", "the update",
                        lambda it: condition(it, "StatusUpdate").get("status") == "True")
            self.sets.patch("agent", {"status": {"conditions": [
                {"type": "StatusPatched", "status": "True"}]}}, sub="status")
            watch.until("MODIFIED", "the patch",
                        lambda it: condition(it, "StatusPatched").get("status") == "True")
