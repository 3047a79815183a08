"""Pods as objects, and what they are scheduled by."""

from case import Behaviours, condition, pod


class Pods(Behaviours):
    def test_host_ip(self):
        """[sig-node] Pods should get a host IP [NodeConformance] [Conformance]"""
        self.pods.create(pod("one"))
        found = self.pods.until("one", "has a host address", lambda it: it["status"].get("hostIP"))
        node = self.cluster("v1", "nodes").get(found["spec"]["nodeName"])
        self.assertIn(found["status"]["hostIP"],
                      [each["address"] for each in node["status"]["addresses"]])

    def test_lifecycle(self):
        """[sig-node] Pods should run through the lifecycle of Pods and PodStatus [Conformance]"""
        label = self.unique("pod")
        select = {"labelSelector": f"conformance={label}"}
        version = self.pods.list()["metadata"]["resourceVersion"]
        with self.pods.watch(resourceVersion=version, **select) as watch:
            self.pods.create(pod("one", labels={"conformance": label}))
            watch.until("ADDED", "the pod")
            watch.until("MODIFIED", "ready",
                        lambda it: condition(it, "Ready").get("status") == "True")
            self.pods.patch("one", {"metadata": {"labels": {"patched": "yes"}}, "spec": {
                "containers": [{"name": "main", "image": "registry.example/pause:2"}]}},
                "strategic")
            patched = watch.until("MODIFIED", "the patch",
                                  lambda it: it["metadata"]["labels"].get("patched") == "yes")
            self.assertEqual(patched["spec"]["containers"][0]["image"], "registry.example/pause:2")
            found = self.pods.get("one", "status")
            self.assertEqual(condition(found, "Ready")["status"], "True")

            def unready(it):
                condition(it, "Ready").update(status="False")
            self.pods.change("one", unready, sub="status")
            watch.until("MODIFIED", "not ready",
                        lambda it: condition(it, "Ready").get("status") == "False")
            self.assertEqual(self.pods.everywhere().names(**select), ["one"])
            self.pods.delete_all(**select)
            watch.until("DELETED", "the deletion")
        self.gone(self.pods, "one")

    def test_collection(self):
        """[sig-node] Pods should delete a collection of pods [Conformance]"""
        for name in ["one", "two", "three"]:
            self.pods.create(pod(name, labels={"type": "testing"}))
        self.pods.until_count(3, labelSelector="type=testing")
        self.pods.delete_all(labelSelector="type=testing")
        self.pods.until_count(0, labelSelector="type=testing")

    def test_status(self):
        """[sig-node] Pods should patch a pod status [Conformance]"""
        self.pods.create(pod("one"))
        self.pods.until("one", "is ready",
                        lambda it: condition(it, "Ready").get("status") == "True")
        self.pods.patch("one", {"metadata": {"annotations": {"patched": "yes"}}, "status": {
            "message": "patched", "reason": "E2E"}}, sub="status")
        found = self.pods.get("one", "status")
        self.assertEqual((found["status"]["message"], found["status"]["reason"]),
                         ("patched", "E2E"))

    def test_sysctls(self):
        """[sig-node] Sysctls [LinuxOnly] [NodeConformance] should reject invalid sysctls [Conformance]"""
        names = ["foo-", "kernel.shmmax", "safe-and-unsafe", "bar.."]
        sysctls = [{"name": name, "value": "1"} for name in names]
        with self.refused(422, 'Invalid value: "foo-"', 'Invalid value: "bar.."') as caught:
            self.pods.create(pod("one", securityContext={"sysctls": sysctls}))
        for name in names[1:3]:
            self.assertNotIn(name, caught.exception.message)


class Nodes(Behaviours):
    def test_lifecycle(self):
        """[sig-node] Node Lifecycle should run through the lifecycle of a node [Conformance]"""
        nodes, name = self.cluster("v1", "nodes"), self.unique("node")
        nodes.create({"metadata": {"name": name}, "status": {"phase": "Running"}})
        nodes.patch(name, {"metadata": {"labels": {name: "patched"}}}, "strategic")
        self.assertEqual(nodes.names(labelSelector=f"{name}=patched"), [name])
        nodes.change(name, lambda it: it["metadata"]["labels"].update({name: "updated"}))
        wish = {"type": "Conformance", "status": "True", "reason": "E2E", "message": "set"}
        nodes.patch(name, {"status": {"conditions": [wish]}}, "strategic", "status")
        self.assertEqual(condition(nodes.get(name), "Conformance")["reason"], "E2E")
        nodes.change(name, lambda it: condition(it, "Conformance").update(reason="Updated"),
                     sub="status")
        self.assertEqual(condition(nodes.get(name), "Conformance")["reason"], "Updated")
        nodes.delete(name)
        self.gone(nodes, name)


class RuntimeClasses(Behaviours):
    def runtime_class(self, **more):
        classes = self.cluster("node.k8s.io/v1", "runtimeclasses")
        name = self.unique("runtime")
        classes.create({"metadata": {"name": name}, "handler": "conformance", **more})
        return classes, name

    def rejected(self, name):
        with self.refused(403, f'RuntimeClass "{name}" not found'):
            self.pods.create(pod("one", runtimeClassName=name))

    def test_absent(self):
        """[sig-node] RuntimeClass should reject a Pod requesting a non-existent RuntimeClass [NodeConformance] [Conformance]"""
        self.rejected(self.unique("absent"))

    def test_deleted(self):
        """[sig-node] RuntimeClass should reject a Pod requesting a deleted RuntimeClass [NodeConformance] [Conformance]"""
        classes, name = self.runtime_class()
        classes.delete(name)
        classes.until_gone(name)
        self.rejected(name)

    def scheduled(self, classes, name):
        self.addCleanup(classes.delete, name)
        made = self.pods.create(pod("one", runtimeClassName=name))
        self.pods.until("one", "is scheduled",
                        lambda it: condition(it, "PodScheduled").get("status") == "True")
        return made

    def test_overhead(self):
        """[sig-node] RuntimeClass should schedule a Pod requesting a RuntimeClass and initialize its Overhead [NodeConformance] [Conformance]"""
        overhead = {"cpu": "10m", "memory": "1Mi"}
        made = self.scheduled(*self.runtime_class(overhead={"podFixed": overhead}))
        self.assertEqual(made["spec"]["overhead"], overhead)

    def test_no_overhead(self):
        """[sig-node] RuntimeClass should schedule a Pod requesting a RuntimeClass without PodOverhead [NodeConformance] [Conformance]"""
        made = self.scheduled(*self.runtime_class())
        self.assertNotIn("overhead", made["spec"])
