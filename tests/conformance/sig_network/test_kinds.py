"""Kinds of the network whose behaviour is that every verb does what it says."""

from case import Behaviours
from operations import operations

# When a condition that these tests write became so.
SINCE = "2020-01-01T00:00:00Z"


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
            spec={"spec": {"defaultBackend": {
                "service": {"name": "other", "port": {"number": 81}}}}},
            status={"loadBalancer": {"ingress": [{"ip": "192.0.2.9"}]}})

    def test_ingress_class(self):
        """[sig-network] IngressClass API should support creating IngressClass API operations [Conformance]"""
        operations(
            self, self.cluster("networking.k8s.io/v1", "ingressclasses"),
            lambda name: {"metadata": {"name": name},
                          "spec": {"controller": "example.com/conformance"}})

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

    def test_endpoint_slice(self):
        """[sig-network] EndpointSlice should support creating EndpointSlice API operations [Conformance]"""
        operations(
            self, self.of("discovery.k8s.io/v1", "endpointslices"),
            lambda name: {"metadata": {"name": name}, "addressType": "IPv4",
                          "endpoints": [{"addresses": ["192.0.2.1"]}]},
            spec={"endpoints": [{"addresses": ["192.0.2.2"]}]})
