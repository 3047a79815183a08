"""Services and what says who is behind them."""

from case import Behaviours, pod
from kube import eventually


class Services(Behaviours):
    def setUp(self):
        super().setUp()
        self.services = self.of("v1", "services")
        self.endpoints = self.of("v1", "endpoints")
        self.slices = self.of("discovery.k8s.io/v1", "endpointslices")

    def service(self, name, **spec):
        return self.services.create({"metadata": {"name": name}, "spec": {
            "ports": [{"name": "http", "port": 80, "targetPort": 8080}], **spec}})

    def of_service(self, name):
        """The EndpointSlices of a Service."""
        return self.slices.items(labelSelector=f"kubernetes.io/service-name={name}")

    def test_master(self):
        """[sig-network] API Server should provide secure master service [Conformance]"""
        found = self.of("v1", "services", "default").get("kubernetes")
        self.assertIn(443, [each["port"] for each in found["spec"]["ports"]])

    def test_no_pods(self):
        """[sig-network] EndpointsController should create and delete Endpoints for a Service with a selector that matches no pods [Conformance]"""
        self.service("empty", selector={"app": "nobody"})
        self.endpoints.until("empty", "is there", lambda it: True)
        eventually("the EndpointSlice", lambda: self.of_service("empty"))
        self.services.delete("empty")
        self.endpoints.until_gone("empty")
        eventually("no EndpointSlice", lambda: not self.of_service("empty"))

    def test_pods(self):
        """[sig-network] EndpointsController should create Endpoints for Pods matching a Service [Conformance]"""
        containers = [{"name": "main", "image": "registry.example/pause:1",
                       "ports": [{"name": "web", "containerPort": 3000}]}]
        for name in ["one", "two"]:
            self.pods.create(pod(name, labels={"app": "web", name: name}, containers=containers))
        ports = [{"name": "number", "port": 80, "targetPort": 3000},
                 {"name": "named", "port": 81, "targetPort": "web"}]
        self.service("both", selector={"app": "web"}, ports=ports)
        self.service("first", selector={"one": "one"}, ports=ports[:1])
        addresses = {name: self.pods.until(name, "has an address", lambda it: it["status"].get(
            "podIP"))["status"]["podIP"] for name in ["one", "two"]}

        def filled(name, wanted):
            def probe(found):
                subsets = found.get("subsets") or []
                return wanted == sorted(
                    each["ip"] for subset in subsets for each in subset.get("addresses", []))
            return self.endpoints.until(name, f"has {wanted}", probe)
        both = filled("both", sorted(addresses.values()))
        self.assertEqual({each["name"]: each["port"] for each in both["subsets"][0]["ports"]},
                         {"number": 3000, "named": 3000})
        filled("first", [addresses["one"]])

        def sliced(name, wanted):
            def look():
                found = [address for each in self.of_service(name) for it in each["endpoints"]
                         if it["conditions"]["ready"] for address in it["addresses"]]
                return sorted(found) == wanted
            eventually(f"slices of {name}", look)
        sliced("both", sorted(addresses.values()))
        sliced("first", [addresses["one"]])
        target = self.of_service("first")[0]["endpoints"][0]["targetRef"]
        self.assertEqual((target["kind"], target["name"]), ("Pod", "one"))

    def test_mirroring(self):
        """[sig-network] EndpointSliceMirroring should mirror a custom Endpoints resource through create update and delete [Conformance]"""
        self.service("mirrored")
        port = {"name": "http", "port": 8080, "protocol": "TCP"}

        def subset(address):
            return [{"addresses": [{"ip": address}], "ports": [port]}]
        self.endpoints.create({"metadata": {"name": "mirrored"}, "subsets": subset("192.0.2.81")})

        def has(address):
            def look():
                found = self.of_service("mirrored")
                return len(found) == 1 and [
                    each["addresses"] for each in found[0]["endpoints"] or []] == [[address]]
            eventually(f"the mirror has {address}", look)
        has("192.0.2.81")
        mirror = self.of_service("mirrored")[0]
        self.assertEqual(mirror["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"],
                         "endpointslicemirroring-controller.k8s.io")
        self.assertEqual(mirror["ports"], [port])
        self.endpoints.change("mirrored", lambda it: it.update(subsets=subset("192.0.2.82")))
        has("192.0.2.82")
        self.endpoints.delete("mirrored")
        eventually("no mirror", lambda: not self.of_service("mirrored"))

    def test_endpoint(self):
        """[sig-network] Endpoints should test the lifecycle of an Endpoint [Conformance]"""
        label = self.unique("endpoint")
        select = {"labelSelector": f"conformance={label}"}
        version = self.endpoints.list()["metadata"]["resourceVersion"]
        subset = {"addresses": [{"ip": "192.0.2.24"}],
                  "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}
        with self.endpoints.watch(resourceVersion=version, **select) as watch:
            self.endpoints.create({"metadata": {"name": "one", "labels": {"conformance": label}},
                                   "subsets": [subset]})
            watch.until("ADDED", "the creation")
            self.assertEqual(self.endpoints.everywhere().names(**select), ["one"])
            self.endpoints.change("one", lambda it: it["metadata"]["labels"].update(updated="yes"))
            watch.until("MODIFIED", "the update",
                        lambda it: it["metadata"]["labels"].get("updated") == "yes")
            subset["ports"][0].update(name="https", port=443)
            subset["addresses"][0]["ip"] = "192.0.2.25"
            self.endpoints.patch("one", {"metadata": {"labels": {"patched": "yes"}},
                                         "subsets": [subset]}, "strategic")
            patched = watch.until("MODIFIED", "the patch",
                                  lambda it: it["metadata"]["labels"].get("patched") == "yes")
            self.assertEqual(patched["subsets"], [subset])
            self.endpoints.delete_all(**select)
            watch.until("DELETED", "the deletion")
        self.endpoints.until_count(0, **select)

    def test_slices_no_pods(self):
        """[sig-network] EndpointSlice should create and delete EndpointSlices for a Service with a selector that matches no pods [Conformance]"""
        self.service("empty", selector={"app": "nobody"})
        found = eventually("the EndpointSlice", lambda: self.of_service("empty"))
        self.assertEqual(found[0]["metadata"]["ownerReferences"][0]["name"], "empty")
        self.assertFalse(found[0]["endpoints"])
        self.services.delete("empty")
        eventually("no EndpointSlice", lambda: not self.of_service("empty"))

    def test_master_slices(self):
        """[sig-network] API Server should have Endpoints and EndpointSlices pointing to API Server [Conformance]"""
        found = self.of("v1", "endpoints", "default").get("kubernetes")
        self.assertTrue(found["subsets"][0]["addresses"])
        slices = self.of("discovery.k8s.io/v1", "endpointslices", "default").items(
            labelSelector="kubernetes.io/service-name=kubernetes")
        self.assertTrue(any(each["endpoints"] for each in slices))

    def kind(self, name, **spec):
        def edit(it):
            for field, value in spec.items():
                it["spec"][field] = value
                if value is None:
                    del it["spec"][field]
        return self.services.change(name, edit)["spec"]

    EXTERNAL = {"type": "ExternalName", "externalName": "example.com"}

    def test_cluster_to_external(self):
        """[sig-network] Services should be able to change the type from ClusterIP to ExternalName [Conformance]"""
        self.service("one")
        self.kind("one", **self.EXTERNAL, clusterIP="", clusterIPs=None)
        self.assertFalse(self.services.get("one")["spec"].get("clusterIP"))

    def test_node_to_external(self):
        """[sig-network] Services should be able to change the type from NodePort to ExternalName [Conformance]"""
        self.assertTrue(self.service("one", type="NodePort")["spec"]["ports"][0]["nodePort"])
        found = self.kind("one", **self.EXTERNAL, clusterIP="", clusterIPs=None)
        self.assertFalse(found["ports"][0].get("nodePort"))

    def test_external_to_cluster(self):
        """[sig-network] Services should be able to change the type from ExternalName to ClusterIP [Conformance]"""
        self.service("one", **self.EXTERNAL)
        found = self.kind("one", type="ClusterIP", externalName=None)
        self.assertTrue(found["clusterIP"])

    def test_external_to_node(self):
        """[sig-network] Services should be able to change the type from ExternalName to NodePort [Conformance]"""
        self.service("one", **self.EXTERNAL)
        found = self.kind("one", type="NodePort", externalName=None)
        self.assertTrue(found["clusterIP"])
        self.assertTrue(found["ports"][0]["nodePort"])

    def test_collection(self):
        """[sig-network] Services should delete a collection of services [Conformance]"""
        label = self.unique("service")
        select = {"labelSelector": f"conformance={label}"}
        for name in ["one", "two", "three"]:
            self.service(name)
            if name != "three":
                self.services.patch(name, {"metadata": {"labels": {"conformance": label}}})
        self.services.delete_all(**select)
        self.services.until_count(0, **select)
        self.assertEqual(self.services.names(), ["three"])

    def test_status(self):
        """[sig-network] Services should complete a service status lifecycle [Conformance]"""
        self.service("one", type="LoadBalancer")
        version = self.services.list()["metadata"]["resourceVersion"]
        with self.services.watch(resourceVersion=version) as watch:
            balancer = {"ingress": [{"ip": "203.0.113.1", "ipMode": "VIP"}]}
            patched = self.services.patch("one", {
                "metadata": {"annotations": {"patched": "yes"}},
                "status": {"loadBalancer": balancer}}, sub="status")
            self.assertEqual(patched["status"]["loadBalancer"], balancer)
            watch.until("MODIFIED", "the patch",
                        lambda it: it["status"]["loadBalancer"] == balancer)
            wish = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "set",
                    "lastTransitionTime": "2020-01-01T00:00:00Z"}
            self.services.change("one", lambda it: it["status"].update(conditions=[wish]),
                                 sub="status")
            watch.until("MODIFIED", "the update",
                        lambda it: it["status"].get("conditions") == [wish])
            self.services.patch("one", {"metadata": {"labels": {"patched": "yes"}}})
            watch.until("MODIFIED", "the label",
                        lambda it: it["metadata"].get("labels", {}).get("patched") == "yes")
            self.services.delete("one")
            watch.until("DELETED", "the deletion")
