"""What pods read: ConfigMaps and Secrets."""

import base64

from case import Behaviours


class Data(Behaviours):
    def lifecycle(self, resource, name, first, second, third):
        label = self.unique("data")
        select = {"labelSelector": f"conformance={label}"}
        version = resource.list()["metadata"]["resourceVersion"]
        with resource.watch(resourceVersion=version, **select) as watch:
            resource.create({"metadata": {"name": name, "labels": {"conformance": label}},
                             "data": first})
            watch.until("ADDED", "the creation")
            resource.patch(name, {"metadata": {"labels": {"patched": "yes"}}, "data": second},
                           "strategic")
            found = watch.until("MODIFIED", "the patch", lambda it: it["metadata"]["labels"].get(
                "patched") == "yes")
            self.assertEqual(found["data"], {**first, **second})
            self.assertEqual(resource.everywhere().names(**select), [name])
            resource.change(name, lambda it: it.update(data=third))
            found = watch.until("MODIFIED", "the update", lambda it: it["data"] == third)
            resource.delete_all(**select)
            watch.until("DELETED", "the deletion")
        resource.until_count(0, **select)

    def test_config_map(self):
        """[sig-node] ConfigMap should run through a ConfigMap lifecycle [Conformance]"""
        self.lifecycle(self.of("v1", "configmaps"), "one",
                       {"valueName": "value"}, {"valueName": "value1"}, {"other": "value2"})

    def test_secret(self):
        """[sig-node] Secrets should patch a secret [Conformance]"""
        def encoded(text):
            return base64.b64encode(text.encode()).decode()
        self.lifecycle(self.of("v1", "secrets"), "one", {"key": encoded("one")},
                       {"key": encoded("two")}, {"key": encoded("three")})
