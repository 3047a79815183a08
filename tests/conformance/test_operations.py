"""Kinds whose behaviours are that every verb does what it says."""

from case import Behaviours, pod
from operations import operations

# When a condition that these tests write became so.
SINCE = "2020-01-01T00:00:00Z"


class FlowControl(Behaviours):
    def test_flow_schema(self):
        """[sig-api-machinery] API priority and fairness should support FlowSchema API operations [Conformance]"""
        subject = {"kind": "User", "user": {"name": "conformance-nobody"}}
        rule = {"subjects": [subject], "nonResourceRules": [
            {"verbs": ["get"], "nonResourceURLs": ["/conformance"]}]}
        operations(
            self, self.cluster("flowcontrol.apiserver.k8s.io/v1", "flowschemas"),
            lambda name: {"metadata": {"name": name}, "spec": {
                "matchingPrecedence": 9000, "priorityLevelConfiguration": {"name": "global-default"},
                "distinguisherMethod": {"type": "ByUser"}, "rules": [rule]}},
            spec={"spec": {"matchingPrecedence": 9999}},
            status={"conditions": [{"type": "Conformance", "status": "False", "reason": "Patched",
                                    "message": "by hand", "lastTransitionTime": SINCE}]})

    def test_priority_level(self):
        """[sig-api-machinery] API priority and fairness should support PriorityLevelConfiguration API operations [Conformance]"""
        operations(
            self, self.cluster("flowcontrol.apiserver.k8s.io/v1", "prioritylevelconfigurations"),
            lambda name: {"metadata": {"name": name}, "spec": {"type": "Limited", "limited": {
                "nominalConcurrencyShares": 2, "limitResponse": {"type": "Reject"}}}},
            spec={"spec": {"limited": {"nominalConcurrencyShares": 4}}},
            status={"conditions": [{"type": "Conformance", "status": "False", "reason": "Patched",
                                    "message": "by hand", "lastTransitionTime": SINCE}]})


class AdmissionPolicies(Behaviours):
    RULES = {"resourceRules": [{"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"],
                                "resources": ["deployments"]}]}
    # Nothing of the running cluster meets this.
    NOBODY = {"namespaceSelector": {"matchLabels": {"conformance": "nobody"}}}

    def policy(self, kind, **spec):
        return lambda name: {"metadata": {"name": name}, "spec": {
            "matchConstraints": {**self.RULES, **self.NOBODY}, **spec}}

    def test_validating_policy(self):
        """[sig-api-machinery] ValidatingAdmissionPolicy [Privileged:ClusterAdmin] should support ValidatingAdmissionPolicy API operations [Conformance]"""
        operations(
            self, self.cluster("admissionregistration.k8s.io/v1", "validatingadmissionpolicies"),
            self.policy("ValidatingAdmissionPolicy", validations=[
                {"expression": "object.spec.replicas <= 100"}]),
            spec={"spec": {"failurePolicy": "Ignore"}},
            status={"conditions": [{"type": "Conformance", "status": "True", "reason": "Patched",
                                    "message": "by hand", "lastTransitionTime": SINCE}]})

    def test_validating_binding(self):
        """[sig-api-machinery] ValidatingAdmissionPolicy [Privileged:ClusterAdmin] should support ValidatingAdmissionPolicyBinding API operations [Conformance]"""
        operations(
            self, self.cluster("admissionregistration.k8s.io/v1", "validatingadmissionpolicybindings"),
            lambda name: {"metadata": {"name": name}, "spec": {
                "policyName": "conformance-absent", "validationActions": ["Deny"]}},
            spec={"spec": {"validationActions": ["Warn"]}})

    def test_mutating_policy(self):
        """[sig-api-machinery] MutatingAdmissionPolicy [Privileged:ClusterAdmin] should support MutatingAdmissionPolicy API operations [Conformance]"""
        operations(
            self, self.cluster("admissionregistration.k8s.io/v1", "mutatingadmissionpolicies"),
            self.policy("MutatingAdmissionPolicy", reinvocationPolicy="Never", mutations=[{
                "patchType": "ApplyConfiguration", "applyConfiguration": {
                    "expression": "Object{spec: Object.spec{replicas: 1}}"}}]),
            spec={"spec": {"failurePolicy": "Ignore"}})

    def test_mutating_binding(self):
        """[sig-api-machinery] MutatingAdmissionPolicy [Privileged:ClusterAdmin] should support MutatingAdmissionPolicyBinding API operations [Conformance]"""
        operations(
            self, self.cluster("admissionregistration.k8s.io/v1", "mutatingadmissionpolicybindings"),
            lambda name: {"metadata": {"name": name}, "spec": {"policyName": "conformance-absent"}},
            spec={"spec": {"policyName": "conformance-other"}})


class Networking(Behaviours):
    def test_ingress(self):
        """[sig-network] Ingress API should support creating Ingress API operations [Conformance]"""
        def ingress(name):
            backend = {"service": {"name": "web", "port": {"number": 80}}}
            return {"metadata": {"name": name}, "spec": {
                "rules": [{"host": "conformance.example", "http": {"paths": [
                    {"path": "/", "pathType": "Prefix", "backend": backend}]}}]}}
        operations(
            self, self.of("networking.k8s.io/v1", "ingresses"), ingress,
            spec={"spec": {"defaultBackend": {"service": {"name": "other", "port": {"number": 81}}}}},
            status={"loadBalancer": {"ingress": [{"ip": "192.0.2.9"}]}})

    def test_ingress_class(self):
        """[sig-network] IngressClass API should support creating IngressClass API operations [Conformance]"""
        operations(
            self, self.cluster("networking.k8s.io/v1", "ingressclasses"),
            lambda name: {"metadata": {"name": name}, "spec": {"controller": "example.com/conformance"}})

    def test_ip_address(self):
        """[sig-network] ServiceCIDR and IPAddress API should support IPAddress API operations [Conformance]"""
        addresses = iter(["203.0.113.1", "203.0.113.2", "203.0.113.3"])
        resource = self.cluster("networking.k8s.io/v1", "ipaddresses")
        self.served(resource)
        label = self.unique("address")
        select = {"labelSelector": f"conformance={label}"}
        made = []
        for address in addresses:
            made.append(resource.create({
                "metadata": {"name": address, "labels": {"conformance": label}},
                "spec": {"parentRef": {"resource": "services", "name": "absent",
                                       "namespace": self.namespace}}}))
        self.assertEqual(resource.names(**select), sorted(it["metadata"]["name"] for it in made))
        name = made[0]["metadata"]["name"]
        patched = resource.patch(name, {"metadata": {"annotations": {"patched": "true"}}})
        self.assertEqual(patched["metadata"]["annotations"]["patched"], "true")
        with self.refused(422):
            resource.change(name, lambda it: it["spec"]["parentRef"].update(name="another"))
        resource.change(name, lambda it: it["metadata"]["labels"].update(updated="true"))
        resource.delete(name)
        self.gone(resource, name)
        resource.delete_all(**select)
        resource.until_count(0, **select)

    def test_service_cidr(self):
        """[sig-network] ServiceCIDR and IPAddress API should support ServiceCIDR API operations [Conformance]"""
        resource = self.cluster("networking.k8s.io/v1", "servicecidrs")
        self.served(resource, "status")
        default = resource.get("kubernetes")
        self.assertTrue(default["spec"]["cidrs"])
        name = self.unique("cidr")
        resource.create({"metadata": {"name": name, "labels": {"conformance": name}},
                         "spec": {"cidrs": ["203.0.113.128/26"]}})
        select = {"labelSelector": f"conformance={name}"}
        self.assertEqual(resource.names(**select), [name])
        with self.refused(422):
            resource.change(name, lambda it: it["spec"].update(cidrs=["203.0.113.0/26"]))
        resource.patch(name, {"metadata": {"annotations": {"patched": "true"}}})
        condition = {"type": "Conformance", "status": "True", "reason": "Patched",
                     "message": "by hand", "lastTransitionTime": SINCE}
        resource.patch(name, {"status": {"conditions": [condition]}}, "strategic", "status")
        self.assertIn(condition, resource.get(name, "status")["status"]["conditions"])
        resource.delete(name)
        resource.until_gone(name)
        resource.delete_all(**select)


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


class Nodes(Behaviours):
    def test_runtime_class(self):
        """[sig-node] RuntimeClass should support RuntimeClasses API operations [Conformance]"""
        operations(
            self, self.cluster("node.k8s.io/v1", "runtimeclasses"),
            lambda name: {"metadata": {"name": name}, "handler": "conformance"})

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

    def template(self, name):
        return {"metadata": {"name": name}, "template": pod(labels={"podtemplate": "one"})}

    def test_pod_template(self):
        """[sig-node] PodTemplates should run the lifecycle of PodTemplates [Conformance]"""
        operations(self, self.of("v1", "podtemplates"), self.template,
                   spec={"template": {"metadata": {"labels": {"podtemplate": "two"}}}})

    def test_pod_template_replaced(self):
        """[sig-node] PodTemplates should replace a pod template [Conformance]"""
        resource = self.of("v1", "podtemplates")
        resource.create(self.template("one"))
        resource.change("one", lambda it: it["metadata"].update(annotations={"updated": "true"}))
        self.assertEqual(resource.get("one")["metadata"]["annotations"], {"updated": "true"})

    def test_pod_templates_deleted(self):
        """[sig-node] PodTemplates should delete a collection of pod templates [Conformance]"""
        resource = self.of("v1", "podtemplates")
        for name in ["one", "two", "three"]:
            made = self.template(name)
            made["metadata"]["labels"] = {"podtemplate-set": "true"}
            resource.create(made)
        resource.until_count(3, labelSelector="podtemplate-set=true")
        resource.delete_all(labelSelector="podtemplate-set=true")
        resource.until_count(0, labelSelector="podtemplate-set=true")

    def test_lease(self):
        """[sig-node] Lease lease API should be available [Conformance]"""
        operations(
            self, self.of("coordination.k8s.io/v1", "leases"),
            lambda name: {"metadata": {"name": name}, "spec": {
                "holderIdentity": "one", "leaseDurationSeconds": 30,
                "acquireTime": "2020-01-01T00:00:00.000002Z",
                "renewTime": "2020-01-01T00:00:00.500000Z", "leaseTransitions": 0}},
            spec={"spec": {"holderIdentity": "two", "leaseDurationSeconds": 60,
                           "acquireTime": "2020-01-02T00:00:00.000003Z",
                           "leaseTransitions": 1}})
