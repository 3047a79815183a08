"""Pods as objects, what they are scheduled by, and the small kinds that they use."""

import base64

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


class Data(Behaviours):
    def lifecycle(self, resource, name, first, second, third):
        label = self.unique("data")
        select = {"labelSelector": f"conformance={label}"}
        version = resource.list()["metadata"]["resourceVersion"]
        with resource.watch(resourceVersion=version, **select) as watch:
            resource.create({"metadata": {"name": name, "labels": {"conformance": label}},
                             "data": first})
            watch.until("ADDED", "the creation")
            resource.patch(name, {"metadata": {"labels": {"patched": "yes"}}, "data": second},
                           "strategic")
            found = watch.until("MODIFIED", "the patch", lambda it: it["metadata"]["labels"].get(
                "patched") == "yes")
            self.assertEqual(found["data"], {**first, **second})
            self.assertEqual(resource.everywhere().names(**select), [name])
            resource.change(name, lambda it: it.update(data=third))
            found = watch.until("MODIFIED", "the update", lambda it: it["data"] == third)
            resource.delete_all(**select)
            watch.until("DELETED", "the deletion")
        resource.until_count(0, **select)

    def test_config_map(self):
        """[sig-node] ConfigMap should run through a ConfigMap lifecycle [Conformance]"""
        self.lifecycle(self.of("v1", "configmaps"), "one",
                       {"valueName": "value"}, {"valueName": "value1"}, {"other": "value2"})

    def test_secret(self):
        """[sig-node] Secrets should patch a secret [Conformance]"""
        def encoded(text):
            return base64.b64encode(text.encode()).decode()
        self.lifecycle(self.of("v1", "secrets"), "one", {"key": encoded("one")},
                       {"key": encoded("two")}, {"key": encoded("three")})


class Volumes(Behaviours):
    def setUp(self):
        super().setUp()
        self.volumes = self.cluster("v1", "persistentvolumes")
        self.claims = self.of("v1", "persistentvolumeclaims")
        self.label = self.unique("volume")
        self.select = {"labelSelector": f"conformance={self.label}"}

    def make(self):
        """A volume and the claim that is bound to it; their names."""
        names = self.unique("volume"), self.unique("claim")
        labels = {"conformance": self.label}
        self.volumes.create({"metadata": {"name": names[0], "labels": labels}, "spec": {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
            "storageClassName": self.label, "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": "/conformance", "type": "DirectoryOrCreate"}}})
        self.addCleanup(self.forget, names[0])
        self.claims.create({"metadata": {"name": names[1], "labels": labels}, "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": self.label,
            "resources": {"requests": {"storage": "1Gi"}}}})
        self.claims.until(names[1], "is bound", lambda it: it["status"]["phase"] == "Bound")
        return names

    def forget(self, name):
        self.volumes.delete_all(**self.select)

    def test_lifecycle(self):
        """[sig-storage] PersistentVolumes CSI Conformance should run through the lifecycle of a PV and a PVC [Conformance]"""
        volume, claim = self.make()
        self.assertEqual(self.volumes.names(**self.select), [volume])
        self.assertEqual(self.claims.names(**self.select), [claim])
        self.assertEqual(self.claims.everywhere().names(**self.select), [claim])
        for resource, name in [(self.volumes, volume), (self.claims, claim)]:
            resource.patch(name, {"metadata": {"labels": {name: "patched"}}}, "strategic")
            self.assertEqual(resource.get(name)["metadata"]["labels"][name], "patched")
        self.claims.delete(claim)
        self.claims.until_gone(claim)
        self.volumes.delete(volume)
        self.volumes.until_gone(volume)
        volume, claim = self.make()
        for resource, name in [(self.volumes, volume), (self.claims, claim)]:
            resource.change(name, lambda it: it["metadata"]["labels"].update(updated="yes"))
            self.assertEqual(resource.names(labelSelector=f"conformance={self.label},updated=yes"),
                             [name])
        self.claims.delete_all(**self.select)
        self.claims.until_count(0, **self.select)
        self.volumes.delete_all(**self.select)
        self.volumes.until_count(0, **self.select)

    def test_status(self):
        """[sig-storage] PersistentVolumes CSI Conformance should apply changes to a pv/pvc status [Conformance]"""
        volume, claim = self.make()
        self.assertEqual(self.volumes.get(volume, "status")["status"]["phase"], "Bound")
        self.assertEqual(self.claims.get(claim, "status")["status"]["phase"], "Bound")
        wish = {"type": "Conformance", "status": "True", "reason": "Patched", "message": "set"}
        self.claims.patch(claim, {"status": {"conditions": [wish]}}, sub="status")
        self.assertEqual(condition(self.claims.get(claim), "Conformance")["reason"], "Patched")
        self.volumes.patch(volume, {"status": {"message": "patched", "reason": "Patched"}},
                           sub="status")
        self.assertEqual(self.volumes.get(volume)["status"]["reason"], "Patched")
        self.claims.change(claim, lambda it: condition(it, "Conformance").update(
            reason="Updated"), sub="status")
        self.assertEqual(condition(self.claims.get(claim), "Conformance")["reason"], "Updated")
        self.volumes.change(volume, lambda it: it["status"].update(reason="Updated"), sub="status")
        self.assertEqual(self.volumes.get(volume)["status"]["reason"], "Updated")
