"""PodDisruptionBudgets and what they forbid."""

from case import Behaviours, condition, pod
from kube import Refused, eventually


class Budgets(Behaviours):
    LABELS = {"foo": "bar"}

    def setUp(self):
        super().setUp()
        self.budgets = self.of("policy/v1", "poddisruptionbudgets")

    def create(self, name="budget", labels=None, **spec):
        spec = spec or {"minAvailable": 1}
        self.budgets.create({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
            "metadata": {"name": name, "labels": labels or {}},
            "spec": {"selector": {"matchLabels": self.LABELS}, **spec}})
        self.processed(name)

    def processed(self, name="budget"):
        return self.budgets.until(name, "is processed", lambda it: it.get("status", {}).get(
            "observedGeneration", 0) == it["metadata"]["generation"])

    def run_pods(self, count):
        for number in range(count):
            self.pods.create(pod(f"pod-{number}", labels=self.LABELS))
        for number in range(count):
            self.pods.until(f"pod-{number}", "is ready",
                            lambda it: condition(it, "Ready").get("status") == "True")

    def test_create(self):
        """[sig-apps] DisruptionController should create a PodDisruptionBudget [Conformance]"""
        self.create(minAvailable="1%")
        self.assertEqual(self.budgets.get("budget")["spec"]["minAvailable"], "1%")
        self.budgets.change("budget", lambda it: it["spec"].update(minAvailable="2%"))
        found = self.processed()
        self.assertEqual(found["spec"]["minAvailable"], "2%")
        patched = self.budgets.patch("budget", {"spec": {"minAvailable": "3%"}}, "strategic")
        self.assertEqual(patched["spec"]["minAvailable"], "3%")
        self.processed()
        self.budgets.delete("budget")
        self.gone(self.budgets, "budget")

    def test_collection(self):
        """[sig-apps] DisruptionController Listing PodDisruptionBudgets for all namespaces should list and delete a collection of PodDisruptionBudgets [Conformance]"""
        label = self.unique("budget")
        select = {"labelSelector": f"conformance={label}"}
        for name in ["one", "two", "three"]:
            self.create(name, {"conformance": label})
        self.assertEqual(self.budgets.everywhere().names(**select), ["one", "three", "two"])
        self.budgets.delete_all(**select)
        self.budgets.until_count(0, **select)

    def test_status_observed(self):
        """[sig-apps] DisruptionController should observe PodDisruptionBudget status updated [Conformance]"""
        self.create()
        self.run_pods(3)
        self.budgets.until("budget", "allows two", lambda it: it["status"].get(
            "disruptionsAllowed") == 2)

    def test_status_written(self):
        """[sig-apps] DisruptionController should update/patch PodDisruptionBudget status [Conformance]"""
        self.create()
        self.run_pods(1)

        def edit(it):
            it["status"]["disruptedPods"] = {"pod-0": "2020-01-01T00:00:00Z"}
        found = self.budgets.change("budget", edit, sub="status")
        self.assertIn("pod-0", found["status"]["disruptedPods"])
        self.processed()
        found = self.budgets.patch("budget", {"metadata": {"annotations": {"patched": "yes"}},
                                              "status": {"disruptedPods": None}}, sub="status")
        self.assertFalse(found["status"].get("disruptedPods"))
        self.assertEqual(self.budgets.get("budget", "status")["kind"], "PodDisruptionBudget")

    def evict(self, name):
        return self.pods.create({"apiVersion": "policy/v1", "kind": "Eviction",
                                 "metadata": {"name": name, "namespace": self.namespace}},
                                sub="eviction")

    def test_eviction(self):
        """[sig-apps] DisruptionController should block an eviction until the PDB is updated to allow it [Conformance]"""
        self.run_pods(3)
        self.create(minAvailable=3)
        self.budgets.until("budget", "sees three", lambda it: it["status"].get(
            "currentHealthy") == 3)
        with self.refused(429, "Cannot evict pod as it would violate the pod's disruption budget"):
            self.evict("pod-0")
        self.budgets.change("budget", lambda it: it["spec"].update(minAvailable=2))
        self.budgets.until("budget", "allows one", lambda it: it["status"].get(
            "disruptionsAllowed") == 1)
        self.evict("pod-0")
        self.pods.until_gone("pod-0")
        self.budgets.until("budget", "allows none", lambda it: it["status"].get(
            "disruptionsAllowed") == 0)
        with self.refused(429):
            self.evict("pod-1")
        self.budgets.patch("budget", {"spec": {"minAvailable": None, "maxUnavailable": 2}})

        def evicted():
            try:
                self.evict("pod-1")
            except Refused as refused:
                if refused.code != 429:
                    raise
                return False
            return True
        self.budgets.delete("budget")
        eventually("the eviction is allowed", evicted)
        self.pods.until_gone("pod-1")
