"""A kind that a CustomResourceDefinition brings, used by the dynamic client and by the untyped one."""

from kubernetes import client, dynamic, watch
from kubernetes.dynamic import exceptions

from cluster import ClusterCase, PATIENCE, eventually

GROUP = "python.example.com"

DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"gadgets.{GROUP}"},
    "spec": {
        "group": GROUP,
        "scope": "Namespaced",
        "names": {"plural": "gadgets", "kind": "Gadget", "shortNames": ["gd"]},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "required": ["size"],
                                "properties": {
                                    "size": {"type": "integer", "minimum": 1},
                                    "colour": {"type": "string", "default": "blue"},
                                },
                            },
                            "status": {
                                "type": "object",
                                "properties": {"phase": {"type": "string"}},
                            },
                        },
                    }
                },
            }
        ],
    },
}


def established(definition):
    found = {each.type: each.status for each in definition.status.conditions or []}
    return found.get("Established") == "True"


class Custom(ClusterCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        extensions = client.ApiextensionsV1Api(cls.api_client)
        name = extensions.create_custom_resource_definition(DEFINITION).metadata.name
        cls.addClassCleanup(extensions.delete_custom_resource_definition, name)
        eventually("the kind is established", lambda: established(
            extensions.read_custom_resource_definition(name)))
        cls.where = (GROUP, "v1", cls.namespace, "gadgets")
        cls.custom = client.CustomObjectsApi(cls.api_client)
        eventually("the kind is served", cls.is_served)
        finder = dynamic.DynamicClient(cls.api_client, discoverer=dynamic.EagerDiscoverer)
        cls.gadgets = finder.resources.get(api_version=f"{GROUP}/v1", kind="Gadget")

    @classmethod
    def is_served(cls):
        try:
            return cls.custom.list_namespaced_custom_object(*cls.where)
        except client.ApiException as error:
            if error.status != 404:
                raise
            return None

    def gadget(self, name, **spec):
        return {
            "apiVersion": f"{GROUP}/v1",
            "kind": "Gadget",
            "metadata": {"name": name},
            "spec": spec,
        }

    def test_the_dynamic_client(self):
        self.assertEqual(self.gadgets.short_names, ["gd"])
        made = self.gadgets.create(body=self.gadget("one", size=1), namespace=self.namespace)
        self.assertEqual((made.spec.colour, made.metadata.generation), ("blue", 1))
        applied = self.gadgets.server_side_apply(
            body=self.gadget("one", size=2), namespace=self.namespace,
            field_manager="python", force_conflicts=True,
        )
        self.assertEqual((applied.spec.size, applied.metadata.generation), (2, 2))
        merged = self.gadgets.patch(
            name="one", namespace=self.namespace,
            body={"spec": {"colour": "red"}}, content_type="application/merge-patch+json",
        )
        self.assertEqual(merged.spec.to_dict(), {"size": 2, "colour": "red"})
        with self.assertRaises(exceptions.UnprocessibleEntityError) as caught:
            self.gadgets.create(body=self.gadget("none", size=0), namespace=self.namespace)
        self.assertIn("spec.size", caught.exception.summary())
        events = self.gadgets.watch(
            namespace=self.namespace, name="one", timeout=PATIENCE,
            resource_version=merged.metadata.resourceVersion,
        )
        self.gadgets.delete(name="one", namespace=self.namespace)
        self.assertEqual(next(events)["type"], "DELETED")
        events.close()

    def test_the_untyped_client(self):
        made = self.custom.create_namespaced_custom_object(
            *self.where, self.gadget("two", size=1) | {"status": {"phase": "Not yet"}}
        )
        # The status has a path of its own.
        self.assertNotIn("status", made)
        made["status"] = {"phase": "Made"}
        made["spec"]["size"] = 9
        told = self.custom.replace_namespaced_custom_object_status(*self.where, "two", made)
        self.assertEqual((told["status"], told["spec"]["size"]), ({"phase": "Made"}, 1))
        listed = self.custom.list_namespaced_custom_object(*self.where)
        self.assertEqual(listed["kind"], "GadgetList")
        for event in watch.Watch().stream(
            self.custom.list_namespaced_custom_object, *self.where, timeout_seconds=PATIENCE
        ):
            self.assertEqual((event["type"], event["object"]["metadata"]["name"]), ("ADDED", "two"))
            break
        self.custom.delete_namespaced_custom_object(*self.where, "two")
        self.refused(
            404, "NotFound", self.custom.get_namespaced_custom_object, *self.where, "two"
        )
