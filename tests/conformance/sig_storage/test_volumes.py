"""Volumes, the claims on them, and their status."""

from case import Behaviours, condition


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
