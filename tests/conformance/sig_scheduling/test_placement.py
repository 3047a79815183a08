"""Where pods go, where they do not fit, and who has to make room."""

from case import Behaviours, condition, pod, workload
from kube import Refused, eventually
from kubelet import NODES


class Placement(Behaviours):
    def sized(self, name, node, resources, **spec):
        return pod(name, containers=[{"name": "main", "image": "registry.example/pause:1",
                                      "resources": {"requests": resources, "limits": resources}}],
                   nodeSelector={"kubernetes.io/hostname": node}, **spec)

    def scheduled(self, name):
        return self.pods.until(name, "is scheduled", lambda it: it["spec"].get("nodeName"))

    def unscheduled(self, name):
        return self.pods.until(name, "cannot be scheduled", lambda it: condition(
            it, "PodScheduled").get("reason") == "Unschedulable")

    def scarce(self, amount):
        """A resource of the first node that only this test uses; taken away with it."""
        nodes = self.cluster("v1", "nodes")
        name = f"example.com/{self.unique('scarce')}"
        for part in ["capacity", "allocatable"]:
            nodes.patch(NODES[0], {"status": {part: {name: str(amount)}}}, sub="status")
            self.addCleanup(nodes.patch, NODES[0], {"status": {part: {name: None}}}, sub="status")
        return name

    def test_limits(self):
        """[sig-scheduling] SchedulerPredicates [Serial] validates resource limits of pods that are allowed to run [Conformance]"""
        scarce = self.scarce(10)
        self.pods.create(self.sized("filler", NODES[0], {scarce: "7"}))
        self.scheduled("filler")
        self.pods.create(self.sized("more", NODES[0], {scarce: "5"}))
        found = self.unscheduled("more")
        self.assertIn(f"Insufficient {scarce}", condition(found, "PodScheduled")["message"])

    def test_selector(self):
        """[sig-scheduling] SchedulerPredicates [Serial] validates that NodeSelector is respected if matching [Conformance]"""
        nodes, label = self.cluster("v1", "nodes"), self.unique("conformance")
        nodes.patch(NODES[1], {"metadata": {"labels": {label: "42"}}})
        self.addCleanup(nodes.patch, NODES[1], {"metadata": {"labels": {label: None}}})
        self.pods.create(pod("one", nodeSelector={label: "42"}))
        self.assertEqual(self.scheduled("one")["spec"]["nodeName"], NODES[1])

    def test_selector_without_node(self):
        """[sig-scheduling] SchedulerPredicates [Serial] validates that NodeSelector is respected if not matching [Conformance]"""
        self.pods.create(pod("one", nodeSelector={"conformance": "nobody"}))
        self.unscheduled("one")

    def test_ports(self):
        """[sig-scheduling] SchedulerPredicates [Serial] validates that there exists conflict between pods with same hostPort and protocol but one using 0.0.0.0 hostIP [Conformance]"""
        def listener(name, **port):
            return pod(name, nodeSelector={"kubernetes.io/hostname": NODES[0]}, containers=[{
                "name": "main", "image": "registry.example/pause:1",
                "ports": [{"containerPort": 80, "hostPort": 54322, "protocol": "TCP", **port}]}])
        self.pods.create(listener("every"))
        self.scheduled("every")
        self.pods.create(listener("one", hostIP="192.0.2.1"))
        self.unscheduled("one")

    def priority(self, value):
        classes = self.cluster("scheduling.k8s.io/v1", "priorityclasses")
        name = self.unique("priority")
        classes.create({"metadata": {"name": name}, "value": value})
        self.addCleanup(classes.delete, name)
        return name

    def release(self, name):
        try:
            self.pods.patch(name, {"metadata": {"finalizers": None}})
        except Refused as refused:
            if refused.code != 404:
                raise

    def preempted(self, high):
        """Two pods fill a node, one more important comes; the one that has gone is given."""
        scarce = self.scarce(10)
        low, middle = self.priority(1), self.priority(100)
        for name, of in [("low", low), ("middle", middle)]:
            made = self.sized(name, NODES[0], {scarce: "5"}, priorityClassName=of)
            # It would be gone before anybody saw why.
            made["metadata"]["finalizers"] = ["example.com/conformance"]
            self.pods.create(made)
            self.addCleanup(self.release, name)
            self.scheduled(name)
        self.pods.create(self.sized("high", NODES[0], {scarce: "5"}, **high))
        found = self.pods.until("low", "has to go",
                                lambda it: "deletionTimestamp" in it["metadata"])
        self.assertNotIn("deletionTimestamp", self.pods.get("middle")["metadata"])
        self.release("low")
        self.scheduled("high")
        return found

    def test_preemption(self):
        """[sig-scheduling] SchedulerPreemption [Serial] validates basic preemption works [Conformance]"""
        self.preempted({"priorityClassName": self.priority(1000)})

    def test_critical(self):
        """[sig-scheduling] SchedulerPreemption [Serial] validates lower priority pod preemption by critical pod [Conformance]"""
        self.preempted({"priorityClassName": "system-cluster-critical"})

    def test_disruption(self):
        """[sig-scheduling] SchedulerPreemption [Serial] validates pod disruption condition is added to the preempted pod [Conformance]"""
        found = self.preempted({"priorityClassName": self.priority(1000)})
        target = condition(found, "DisruptionTarget")
        self.assertEqual((target["status"], target["reason"]), ("True", "PreemptionByScheduler"))

    def test_path(self):
        """[sig-scheduling] SchedulerPreemption [Serial] PreemptionExecutionPath runs ReplicaSets to verify preemption running path [Conformance]"""
        scarce = self.scarce(1000)
        sets = self.of("apps/v1", "replicasets")
        before = {}
        for number, amount in enumerate([200, 300, 450], 1):
            name = f"rs-{number}"
            one = self.sized(None, NODES[0], {scarce: str(amount)},
                             priorityClassName=self.priority(number))
            one["metadata"]["labels"] = {"set": name}
            sets.create(workload("ReplicaSet", name, {"set": name}, template=one))
            made = self.pods.until_count(1, labelSelector=f"set={name}")[0]["metadata"]
            self.scheduled(made["name"])
            before[name] = made["uid"]
        self.pods.create(self.sized("four", NODES[0], {scarce: "500"},
                                    priorityClassName=self.priority(4)))
        self.scheduled("four")
        # The two that matter least made room, and no more than them; others wait in their place.
        for name in ["rs-1", "rs-2"]:
            def replaced():
                found = self.pods.items(labelSelector=f"set={name}")
                return [it["metadata"]["uid"] for it in found] != [before[name]] and found
            after = eventually(f"{name} has another pod", replaced)
            self.unscheduled(after[-1]["metadata"]["name"])
        kept = self.pods.items(labelSelector="set=rs-3")
        self.assertEqual([it["metadata"]["uid"] for it in kept], [before["rs-3"]])

    def test_classes(self):
        """[sig-scheduling] SchedulerPreemption [Serial] PriorityClass endpoints verify PriorityClass endpoints can be operated with different HTTP methods [Conformance]"""
        classes = self.cluster("scheduling.k8s.io/v1", "priorityclasses")
        name = self.priority(7)
        with self.refused(422, "value"):
            classes.patch(name, {"value": 8}, "strategic")
        with self.refused(422, "value"):
            classes.change(name, lambda it: it.update(value=8))
        classes.patch(name, {"description": "patched"})
        self.assertEqual(classes.get(name)["description"], "patched")
        self.assertIn(name, classes.names())
