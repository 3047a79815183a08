"""The dynamic client: it knows no kind by itself and finds everything by discovery."""

import os

from kubernetes import dynamic, utils
from kubernetes.dynamic import exceptions

from cluster import ClusterCase, PATIENCE


class Dynamic(ClusterCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # Its cache of discovery belongs beside the server, not in a folder that outlives it.
        cache = os.path.join(os.environ["TMPDIR"], "discovery.json")
        cls.dynamic = dynamic.DynamicClient(cls.api_client, cache_file=cache)

    def test_any_kind_by_its_name(self):
        deployments = self.dynamic.resources.get(api_version="apps/v1", kind="Deployment")
        self.assertEqual(
            (deployments.name, deployments.namespaced, deployments.short_names),
            ("deployments", True, ["deploy"]),
        )
        self.assertIn("scale", deployments.subresources)
        self.assertFalse(self.dynamic.resources.get(api_version="v1", kind="Node").namespaced)
        found = self.dynamic.resources.search(short_names=["deploy"])
        self.assertIn(("apps", "v1"), {(each.group, each.api_version) for each in found})
        with self.assertRaises(exceptions.ResourceNotFoundError):
            self.dynamic.resources.get(api_version="example.com/v1", kind="Nothing")

    def test_a_life_of_an_object(self):
        config_maps = self.dynamic.resources.get(api_version="v1", kind="ConfigMap")
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "life"}}
        made = config_maps.create(body=body | {"data": {"a": "1"}}, namespace=self.namespace)
        self.assertEqual(made.data.a, "1")
        applied = config_maps.server_side_apply(
            body=body | {"data": {"b": "2"}}, namespace=self.namespace, field_manager="dynamic"
        )
        self.assertEqual(applied.data.to_dict(), {"a": "1", "b": "2"})
        merged = config_maps.patch(
            body={"metadata": {"name": "life", "labels": {"x": "y"}}},
            namespace=self.namespace, content_type="application/merge-patch+json",
        )
        self.assertEqual(merged.metadata.labels.x, "y")
        with self.assertRaises(exceptions.ConflictError):
            config_maps.create(body=body, namespace=self.namespace)
        listed = config_maps.get(namespace=self.namespace, label_selector="x=y")
        self.assertEqual([item.metadata.name for item in listed.items], ["life"])
        events = config_maps.watch(
            namespace=self.namespace, name="life", timeout=PATIENCE,
            resource_version=listed.metadata.resourceVersion,
        )
        config_maps.delete(name="life", namespace=self.namespace)
        self.assertEqual(next(events)["type"], "DELETED")
        events.close()
        with self.assertRaises(exceptions.NotFoundError):
            config_maps.get(name="life", namespace=self.namespace)

    def test_a_field_that_nobody_knows(self):
        config_maps = self.dynamic.resources.get(api_version="v1", kind="ConfigMap")
        with self.assertRaises(exceptions.BadRequestError) as caught:
            config_maps.create(
                body={"metadata": {"name": "odd"}, "odd": 1},
                namespace=self.namespace, query_params=[("fieldValidation", "Strict")],
            )
        self.assertIn('unknown field "odd"', caught.exception.summary())

    def test_a_manifest_of_several_kinds(self):
        manifest = [
            {
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": {"name": "robot", "namespace": self.namespace},
            },
            {
                "apiVersion": "batch/v1",
                "kind": "CronJob",
                "metadata": {"name": "nightly", "namespace": self.namespace},
                "spec": {
                    "schedule": "0 3 * * *",
                    "suspend": True,
                    "jobTemplate": {
                        "spec": {
                            "template": {
                                "spec": {
                                    "restartPolicy": "Never",
                                    "containers": [{"name": "c", "image": "test/none:v1"}],
                                }
                            }
                        }
                    },
                },
            },
        ]
        utils.create_from_yaml(self.api_client, yaml_objects=manifest)
        jobs = self.dynamic.resources.get(api_version="batch/v1", kind="CronJob")
        made = jobs.get(name="nightly", namespace=self.namespace)
        self.assertEqual(made.spec.concurrencyPolicy, "Allow")
