"""Kinds of storage whose behaviour is that every verb does what it says."""

from case import Behaviours
from operations import operations


class Storage(Behaviours):
    def test_csi_storage_capacity(self):
        """[sig-storage] CSIStorageCapacity should support CSIStorageCapacities API operations [Conformance]"""
        operations(
            self, self.of("storage.k8s.io/v1", "csistoragecapacities"),
            lambda name: {"metadata": {"name": name}, "storageClassName": "conformance",
                          "capacity": "1Gi", "nodeTopology": {"matchLabels": {"zone": "a"}}},
            spec={"capacity": "2Gi"})

    def test_storage_class(self):
        """[sig-storage] StorageClasses CSI Conformance should run through the lifecycle of a StorageClass [Conformance]"""
        operations(
            self, self.cluster("storage.k8s.io/v1", "storageclasses"),
            lambda name: {"metadata": {"name": name}, "provisioner": "example.com/conformance",
                          "reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"},
            spec={"allowVolumeExpansion": True})

    def test_csi_node(self):
        """[sig-storage] CSINodes CSI Conformance should run through the lifecycle of a csinode [Conformance]"""
        driver = {"name": "example.com", "nodeID": "one", "topologyKeys": ["zone"]}
        operations(
            self, self.cluster("storage.k8s.io/v1", "csinodes"),
            lambda name: {"metadata": {"name": name}, "spec": {"drivers": [driver]}},
            spec={"spec": {"drivers": []}})

    def test_volume_attributes_class(self):
        """[sig-storage] VolumeAttributesClass [FeatureGate:VolumeAttributesClass] should run through the lifecycle of a VolumeAttributesClass [Conformance]"""
        operations(
            self, self.cluster("storage.k8s.io/v1", "volumeattributesclasses"),
            lambda name: {"metadata": {"name": name}, "driverName": "example.com/conformance",
                          "parameters": {"speed": "slow"}})

    ATTACHER = "conformance.example.com"

    def attachment(self, name):
        return {"metadata": {"name": name}, "spec": {
            "attacher": self.ATTACHER, "nodeName": "absent",
            "source": {"persistentVolumeName": "absent"}}}

    def test_volume_attachment(self):
        """[sig-storage] VolumeAttachment Conformance should run through the lifecycle of a VolumeAttachment [Conformance]"""
        operations(self, self.cluster("storage.k8s.io/v1", "volumeattachments"), self.attachment)

    def test_volume_attachment_status(self):
        """[sig-storage] VolumeAttachment Conformance should apply changes to a volumeattachment status [Conformance]"""
        operations(
            self, self.cluster("storage.k8s.io/v1", "volumeattachments"), self.attachment,
            status={"attached": True, "attachmentMetadata": {"device": "/dev/one"}})
