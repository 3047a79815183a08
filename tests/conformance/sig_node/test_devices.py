"""Devices: what there is, and who wants which."""

from case import Behaviours
from operations import operations


class Devices(Behaviours):
    def test_device_class(self):
        """[sig-node] [DRA] CRUD Tests resource.k8s.io/v1 DeviceClass [Conformance]"""
        expression = {"cel": {"expression": "device.driver == 'conformance.example.com'"}}
        operations(
            self, self.cluster("resource.k8s.io/v1", "deviceclasses"),
            lambda name: {"metadata": {"name": name}, "spec": {"selectors": [expression]}},
            spec={"spec": {"selectors": [{"cel": {"expression": "true"}}]}})

    REQUESTS = {"devices": {"requests": [
        {"name": "one", "exactly": {"deviceClassName": "conformance.example.com"}}]}}

    def test_resource_claim(self):
        """[sig-node] [DRA] CRUD Tests resource.k8s.io/v1 ResourceClaim [Conformance]"""
        result = {"request": "one", "driver": "conformance.example.com", "pool": "one",
                  "device": "first"}
        operations(
            self, self.of("resource.k8s.io/v1", "resourceclaims"),
            lambda name: {"metadata": {"name": name}, "spec": self.REQUESTS},
            status={"allocation": {"devices": {"results": [result]}}})

    def test_resource_claim_template(self):
        """[sig-node] [DRA] CRUD Tests resource.k8s.io/v1 ResourceClaimTemplate [Conformance]"""
        operations(
            self, self.of("resource.k8s.io/v1", "resourceclaimtemplates"),
            lambda name: {"metadata": {"name": name}, "spec": {"spec": self.REQUESTS}})

    def test_resource_slice(self):
        """[sig-node] [DRA] CRUD Tests resource.k8s.io/v1 ResourceSlice [Conformance]"""
        operations(
            self, self.cluster("resource.k8s.io/v1", "resourceslices"),
            lambda name: {"metadata": {"name": name}, "spec": {
                "driver": "conformance.example.com", "nodeName": "absent",
                "pool": {"name": name, "generation": 1, "resourceSliceCount": 1},
                "devices": [{"name": "first"}]}},
            spec={"spec": {"devices": [{"name": "first"}, {"name": "second"}]}})
