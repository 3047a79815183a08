"""Namespaces: their life, and that everything in them goes with them."""

from case import Behaviours, condition, pod


class Namespaces(Behaviours):
    def setUp(self):
        super().setUp()
        self.namespaces = self.cluster("v1", "namespaces")

    def emptied(self, plural, made):
        name = self.unique("emptied")
        self.namespaces.create({"metadata": {"name": name}})
        inside = self.of("v1", plural, name)
        self.of("v1", "serviceaccounts", name).until("default", "is there", lambda _: True)
        inside.create(made)
        self.namespaces.delete(name)
        self.namespaces.until_gone(name)
        self.namespaces.create({"metadata": {"name": name}})
        self.addCleanup(self.namespaces.delete, name)
        self.assertEqual(inside.items(), [])

    def test_pods(self):
        """[sig-api-machinery] Namespaces [Serial] should ensure that all pods are removed when a namespace is deleted [Conformance]"""
        self.emptied("pods", pod("one"))

    def test_services(self):
        """[sig-api-machinery] Namespaces [Serial] should ensure that all services are removed when a namespace is deleted [Conformance]"""
        self.emptied("services", {"metadata": {"name": "one"}, "spec": {"ports": [{"port": 80}]}})

    def labels(self):
        return self.namespaces.get(self.namespace)["metadata"]["labels"]

    def test_patch(self):
        """[sig-api-machinery] Namespaces [Serial] should patch a Namespace [Conformance]"""
        self.namespaces.patch(self.namespace, {"metadata": {"labels": {"patched": "yes"}}},
                              "strategic")
        self.assertEqual(self.labels()["patched"], "yes")

    def test_update(self):
        """[sig-api-machinery] Namespaces [Serial] should apply an update to a Namespace [Conformance]"""
        self.namespaces.change(
            self.namespace, lambda it: it["metadata"]["labels"].update(updated="yes"))
        self.assertEqual(self.labels()["updated"], "yes")

    def test_status(self):
        """[sig-api-machinery] Namespaces [Serial] should apply changes to a namespace status [Conformance]"""
        self.assertEqual(self.namespaces.get(self.namespace, "status")["status"]["phase"], "Active")

        def wish(kind):
            return {"type": kind, "status": "True", "reason": "E2E", "message": "set"}
        patched = self.namespaces.patch(self.namespace, {
            "metadata": {"annotations": {"patched": "yes"}},
            "status": {"conditions": [wish("StatusPatch")]}}, sub="status")
        self.assertEqual(patched["metadata"]["annotations"]["patched"], "yes")
        self.assertEqual(condition(patched, "StatusPatch")["status"], "True")
        updated = self.namespaces.change(self.namespace, lambda it: it["status"][
            "conditions"].append(wish("StatusUpdate")), sub="status")
        self.assertEqual(condition(updated, "StatusUpdate")["status"], "True")

    def test_finalizer(self):
        """[sig-api-machinery] Namespaces [Serial] should apply a finalizer to a Namespace [Conformance]"""
        name, held = self.unique("held"), "example.com/conformance"
        found = self.namespaces.create({"metadata": {"name": name}})
        found["spec"]["finalizers"].append(held)
        self.namespaces.update(found, sub="finalize")
        found = self.namespaces.get(name)
        self.assertIn(held, found["spec"]["finalizers"])
        found["spec"]["finalizers"].remove(held)
        self.namespaces.update(found, sub="finalize")
        self.assertNotIn(held, self.namespaces.get(name)["spec"]["finalizers"])
        self.namespaces.delete(name)
        self.namespaces.until_gone(name)
