"""What every behaviour starts from: the server, nodes, and a namespace of its own."""

import contextlib
import functools
import itertools
import unittest

import kube
from kube import Api, Refused
from kubelet import PLAY, Kubelet

# Labels and names that no other test of this process uses.
_numbers = itertools.count(1)


@functools.cache
def server():
    """The server of this process, with nodes that take pods."""
    api = Api()
    Kubelet(api).start()
    return api


class Behaviours(unittest.TestCase):
    """Each test works in a namespace that goes with it."""

    maxDiff = 4000

    def setUp(self):
        self.api = server()
        namespaces = self.api.resource("v1", "namespaces")
        made = namespaces.create({"metadata": {"generateName": "conformance-"}})
        self.namespace = made["metadata"]["name"]
        self.addCleanup(namespaces.delete, self.namespace)

    def of(self, version, plural, namespace=None):
        """A namespaced resource, in this test's namespace."""
        return self.api.resource(version, plural, namespace or self.namespace)

    def cluster(self, version, plural):
        """A resource without namespaces."""
        return self.api.resource(version, plural)

    @property
    def pods(self):
        return self.of("v1", "pods")

    def unique(self, prefix):
        return f"{prefix}-{self.namespace.rsplit('-', 1)[-1]}-{next(_numbers)}"

    @contextlib.contextmanager
    def refused(self, code, *words):
        """What is inside must be refused with this code and these words."""
        with self.assertRaises(Refused) as caught:
            yield caught
        refused = caught.exception
        self.assertEqual(refused.code, code, refused.status)
        for word in words:
            self.assertIn(word, refused.message)

    def served(self, resource, *subresources):
        """The three steps of discovery lead to the resource."""
        group, _, version = resource.version.rpartition("/")
        if group:
            groups = self.api.get("/apis")["groups"]
            found = [each for each in groups if each["name"] == group]
            self.assertEqual(len(found), 1, group)
            versions = [each["version"] for each in found[0]["versions"]]
            self.assertIn(version, versions)
            one = self.api.get(f"/apis/{group}")
            self.assertIn(resource.version, [each["groupVersion"] for each in one["versions"]])
        listed = {each["name"]: each for each in self.api.get(resource.root)["resources"]}
        for name in [resource.plural, *(f"{resource.plural}/{sub}" for sub in subresources)]:
            self.assertIn(name, listed)
        return listed[resource.plural]

    def gone(self, resource, name):
        with self.refused(404):
            resource.get(name)


def not_shown(why):
    """Marks a behaviour that the server lacks. It is tried all the same: the mark has to go when it
    is there."""
    def mark(test):
        @functools.wraps(test)
        def attempt(self):
            patience, kube.PATIENCE = kube.PATIENCE, 1
            try:
                test(self)
            except (AssertionError, Refused):
                self.skipTest(why)
            finally:
                kube.PATIENCE = patience
            self.fail("this behaviour is shown: its mark can go")
        return attempt
    return mark


def pod(name=None, *, labels=None, play=None, node=None, image="registry.example/pause:1", **spec):
    """A pod with one container, or the template of one (no name)."""
    metadata = {"labels": labels or {}}
    if name:
        metadata["name"] = name
    if play:
        metadata["annotations"] = {PLAY: play}
    if node:
        spec["nodeName"] = node
    spec.setdefault("containers", [{"name": "main", "image": image}])
    return {"metadata": metadata, "spec": spec}


def workload(kind, name, labels, replicas=1, play=None, **spec):
    """A Deployment, ReplicaSet or StatefulSet of such pods."""
    spec.setdefault("template", pod(labels=labels, play=play))
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "labels": labels},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, **spec},
    }


def condition(found, kind):
    """The condition of this type of an object; empty without."""
    conditions = found.get("status", {}).get("conditions") or []
    return next((each for each in conditions if each["type"] == kind), {})
