"""Pods that run: their logs, their status, their end."""

from kubernetes import client, watch

from cluster import ClusterCase, PATIENCE, eventually


class Pods(ClusterCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        eventually(
            "the namespace has its service account",
            lambda: cls.core.list_namespaced_service_account(cls.namespace).items,
        )

    def run_pod(self, name, args, **spec):
        self.core.create_namespaced_pod(
            self.namespace,
            {
                "metadata": {"name": name},
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "containers": [{"name": "c", "image": "test/spin:v1", "args": args}],
                    **spec,
                },
            },
        )

    def until_phase(self, name, wanted):
        """Watches the pod until its phase is as wanted."""
        for event in watch.Watch().stream(
            self.core.list_namespaced_pod,
            namespace=self.namespace,
            field_selector=f"metadata.name={name}",
            timeout_seconds=PATIENCE,
        ):
            pod = event["object"]
            if pod.status.phase == wanted:
                return pod
        return self.fail(f"pod {name} is not {wanted}: {pod.status}")

    def test_logs_of_a_pod_that_has_ended(self):
        self.run_pod("talker", ["log", "20"], restartPolicy="Never")
        pod = self.until_phase("talker", "Succeeded")
        state = pod.status.container_statuses[0].state.terminated
        self.assertEqual((state.exit_code, state.reason), (0, "Completed"))
        self.assertIsInstance(pod.status.conditions[0], client.V1PodCondition)

        def log(**options):
            text = self.core.read_namespaced_pod_log("talker", self.namespace, **options)
            return text.splitlines()

        lines = log()
        self.assertEqual(len(lines), 20)
        self.assertEqual(log(tail_lines=2), lines[-2:])
        stamped = log(timestamps=True, tail_lines=1)[0]
        self.assertTrue(stamped.endswith(lines[-1]) and "T" in stamped.split(" ")[0], stamped)
        self.assertEqual(log(follow=True), lines)
        self.refused(
            400, "BadRequest", self.core.read_namespaced_pod_log,
            "talker", self.namespace, container="nobody",
        )

    def test_following_a_log_until_the_pod_is_deleted(self):
        self.run_pod("ticker", ["tick", "50", "100000"])
        self.until_phase("ticker", "Running")
        node = self.core.read_namespaced_pod("ticker", self.namespace).spec.node_name
        self.assertIn(node, [each.metadata.name for each in self.core.list_node().items])
        lines = watch.Watch().stream(
            self.core.read_namespaced_pod_log, name="ticker", namespace=self.namespace
        )
        self.assertEqual([next(lines) for _ in range(3)], ["tick 0", "tick 1", "tick 2"])
        lines.close()
        self.core.delete_namespaced_pod("ticker", self.namespace)
        eventually("the pod is gone", lambda: not self.core.list_namespaced_pod(
            self.namespace, field_selector="metadata.name=ticker").items)

    def test_an_eviction(self):
        self.run_pod("evicted", ["tick", "50", "100000"])
        self.until_phase("evicted", "Running")
        self.core.create_namespaced_pod_eviction(
            "evicted", self.namespace, {"metadata": {"name": "evicted"}}
        )
        eventually("the pod is gone", lambda: not self.core.list_namespaced_pod(
            self.namespace, field_selector="metadata.name=evicted").items)
