"""What the server says about itself: version, groups and resources."""

import re

from case import Behaviours
from definitions import define, definition, version
from kube import eventually

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

# One resource of every group and version that is there for good.
ALWAYS = """
v1 namespaces
admissionregistration.k8s.io/v1 validatingwebhookconfigurations
apiextensions.k8s.io/v1 customresourcedefinitions
apiregistration.k8s.io/v1 apiservices
apps/v1 deployments
authentication.k8s.io/v1 tokenreviews
authorization.k8s.io/v1 selfsubjectaccessreviews
autoscaling/v1 horizontalpodautoscalers
autoscaling/v2 horizontalpodautoscalers
batch/v1 jobs
certificates.k8s.io/v1 certificatesigningrequests
coordination.k8s.io/v1 leases
discovery.k8s.io/v1 endpointslices
events.k8s.io/v1 events
networking.k8s.io/v1 ingresses
node.k8s.io/v1 runtimeclasses
policy/v1 poddisruptionbudgets
scheduling.k8s.io/v1 priorityclasses
storage.k8s.io/v1 csinodes
"""
ALWAYS = [tuple(line.split()) for line in ALWAYS.strip().splitlines()]


class Discovery(Behaviours):
    def aggregated(self):
        """(group/version, resource) of everything in both aggregated documents."""
        found = set()
        for place in ["/api", "/apis"]:
            document, headers = self.api.send("GET", place, Accept=AGGREGATED)
            self.assertEqual(document["kind"], "APIGroupDiscoveryList")
            self.assertIn("as=APIGroupDiscoveryList", headers["Content-Type"])
            for group in document["items"]:
                name = group["metadata"].get("name")
                for each in group["versions"]:
                    key = f"{name}/{each['version']}" if name else each["version"]
                    found |= {(key, resource["resource"]) for resource in each["resources"]}
        return found

    def test_aggregated_interface(self):
        """[sig-api-machinery] AggregatedDiscovery should support aggregated discovery interface [Conformance]"""
        self.assertLessEqual(set(ALWAYS), self.aggregated())
        groups = {each["name"]: each for each in self.api.get("/apis")["groups"]}
        for key, _ in ALWAYS[1:]:
            group = groups[key.split("/")[0]]
            self.assertIn(key, [each["groupVersion"] for each in group["versions"]])

    def test_aggregated_headers(self):
        """[sig-api-machinery] AggregatedDiscovery should support raw aggregated discovery endpoint Accept headers [Conformance]"""
        self.assertLessEqual(set(ALWAYS), self.aggregated())

    def custom(self):
        group = f"{self.namespace}.example.com"
        define(self, definition(group, "testcrds", [version("v1")]))
        eventually("the kind is in the aggregated document",
                   lambda: (f"{group}/v1", "testcrds") in self.aggregated())

    def test_aggregated_interface_custom(self):
        """[sig-api-machinery] AggregatedDiscovery should support aggregated discovery interface for CRDs [Conformance]"""
        self.custom()
        self.assertIn(f"{self.namespace}.example.com",
                      [each["name"] for each in self.api.get("/apis")["groups"]])

    def test_aggregated_raw_custom(self):
        """[sig-api-machinery] AggregatedDiscovery should support raw aggregated discovery request for CRDs [Conformance]"""
        self.custom()

    def test_resources(self):
        """[sig-api-machinery] Discovery should locate the groupVersion and a resource within each APIGroup [Conformance]"""
        for key, resource in ALWAYS:
            root = f"/apis/{key}" if "/" in key else f"/api/{key}"
            found = self.api.get(root)
            self.assertEqual(found["groupVersion"], key)
            self.assertIn(resource, [each["name"] for each in found["resources"]])

    def test_preferred(self):
        """[sig-api-machinery] Discovery should validate PreferredVersion for each APIGroup [Conformance]"""
        groups = self.api.get("/apis/")["groups"]
        self.assertTrue(groups)
        for each in groups:
            if each["name"].endswith(".example.com"):
                continue
            found = self.api.get(f"/apis/{each['name']}/")
            versions = [it["groupVersion"] for it in found["versions"]]
            self.assertIn(found["preferredVersion"]["groupVersion"], versions)

    def test_version(self):
        """[sig-api-machinery] server version should find the server version [Conformance]"""
        found = self.api.get("/version")
        self.assertTrue(re.fullmatch(r"[1-9]\d*", found["major"]), found)
        self.assertTrue(re.match(r"\d+", found["minor"]), found)

    def test_metadata_not_acceptable(self):
        """[sig-api-machinery] Servers with support for Table transformation should return a 406 for a backend which does not implement metadata [Conformance]"""
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
                  "spec": {"resourceAttributes": {"namespace": "default", "resource": "pods"}}}
        with self.refused(406):
            self.api.send("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review,
                          Accept="application/json;as=Table;v=v1;g=meta.k8s.io")

    def test_chunks(self):
        """[sig-api-machinery] Servers with support for API chunking should return chunks of results for list calls [Conformance]"""
        templates = self.of("v1", "podtemplates")
        count = 400
        for number in range(count):
            templates.create({"metadata": {"name": f"template-{number:04}"}, "template": {
                "metadata": {"labels": {"one": "two"}},
                "spec": {"containers": [{"name": "main", "image": "registry.example/pause:1"}]}}})
        for limit in [17, 199, 400]:
            seen, token, version_ = [], "", None
            while True:
                page = templates.list(limit=limit, **({"continue": token} if token else {}))
                self.assertLessEqual(len(page["items"]), limit)
                meta = page["metadata"]
                version_ = version_ or meta["resourceVersion"]
                self.assertEqual(meta["resourceVersion"], version_)
                seen += [each["metadata"]["name"] for each in page["items"]]
                token = meta.get("continue")
                if not token:
                    self.assertFalse(meta.get("remainingItemCount"))
                    break
                self.assertEqual(meta["remainingItemCount"] + len(seen), count)
            self.assertEqual(seen, [f"template-{number:04}" for number in range(count)])
