"""CustomResourceDefinitions: their own life, and what they make the server serve."""

from case import Behaviours, condition
from definitions import ANYTHING, EXTENSIONS, custom, define, definition, version
from kube import eventually


class Definitions(Behaviours):
    def setUp(self):
        super().setUp()
        self.definitions = self.cluster(EXTENSIONS, "customresourcedefinitions")
        self.group = f"{self.namespace}.example.com"

    def test_watch(self):
        """[sig-api-machinery] CustomResourceDefinition Watch [Privileged:ClusterAdmin] CustomResourceDefinition Watch watch on custom resource definition objects [Conformance]"""
        made = definition(self.group, "noxus", [version("v1")], scope="Cluster")
        define(self, made)
        noxus = custom(self, made)
        with noxus.watch(fieldSelector="metadata.name=one") as one, \
                noxus.watch(fieldSelector="metadata.name=two") as two:
            for name, watch in [("one", one), ("two", two)]:
                noxus.create({"apiVersion": f"{self.group}/v1", "kind": "Noxu",
                              "metadata": {"name": name}, "num": 1})
                watch.until("ADDED", name)
            for name, watch in [("one", one), ("two", two)]:
                noxus.patch(name, {"num": 2})
                self.assertEqual(watch.until("MODIFIED", name)["num"], 2)
            for name, watch in [("one", one), ("two", two)]:
                noxus.delete(name)
                watch.until("DELETED", name)

    def test_create_delete(self):
        """[sig-api-machinery] CustomResourceDefinition resources [Privileged:ClusterAdmin] Simple CustomResourceDefinition creating/deleting custom resource definition objects works [Conformance]"""
        name = define(self, definition(self.group, "noxus", [version("v1")]))
        self.definitions.delete(name)
        self.definitions.until_gone(name)

    def test_status(self):
        """[sig-api-machinery] CustomResourceDefinition resources [Privileged:ClusterAdmin] Simple CustomResourceDefinition getting/updating/patching custom resource definition status sub-resource works [Conformance]"""
        name = define(self, definition(self.group, "noxus", [version("v1")]))
        found = self.definitions.get(name, "status")
        self.assertEqual(condition(found, "Established")["status"], "True")

        def edit(it):
            it["status"]["conditions"].append({
                "type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "set"})
        updated = self.definitions.change(name, edit, sub="status")
        self.assertEqual(condition(updated, "StatusUpdate")["message"], "set")
        conditions = updated["status"]["conditions"]
        conditions.append({"type": "StatusPatched", "status": "True", "reason": "E2E"})
        patched = self.definitions.patch(
            name, {"status": {"conditions": conditions}}, sub="status")
        self.assertEqual(condition(patched, "StatusPatched")["status"], "True")

    def test_list(self):
        """[sig-api-machinery] CustomResourceDefinition resources [Privileged:ClusterAdmin] Simple CustomResourceDefinition listing custom resource definition objects works [Conformance]"""
        label = self.unique("listed")
        names = [define(self, definition(self.group, plural, [version("v1")]), label)
                 for plural in ["firsts", "seconds", "thirds"]]
        select = {"labelSelector": f"conformance={label}"}
        self.assertEqual(self.definitions.names(**select), sorted(names))
        self.definitions.delete_all(**select)
        self.definitions.until_count(0, **select)

    def test_defaulting(self):
        """[sig-api-machinery] CustomResourceDefinition resources [Privileged:ClusterAdmin] custom resource defaulting for requests and from storage works [Conformance]"""
        def schema(b=None):
            b = {"type": "string"} if b is None else {"type": "string", "default": b}
            return {"type": "object", "properties": {
                "a": {"type": "string", "default": "A"}, "b": b}}
        made = definition(self.group, "noxus", [version("v1", schema())])
        name = define(self, made)
        noxus = custom(self, made)
        created = noxus.create({"apiVersion": f"{self.group}/v1", "kind": "Noxu",
                                "metadata": {"name": "one"}})
        self.assertEqual(created["a"], "A")
        self.assertNotIn("b", created)
        # What is read from the store now gets defaults that it was not stored with.
        made["spec"]["versions"] = [version("v1", schema("B"))]
        self.definitions.change(name, lambda it: it["spec"].update(made["spec"]))
        noxus.until("one", "has the new default", lambda it: it.get("b") == "B")
        self.assertEqual(noxus.get("one")["a"], "A")
        # A default that is taken back does not stay with objects that were never written since.
        made["spec"]["versions"] = [version("v1", {"type": "object", "properties": {
            "a": {"type": "string"}, "b": {"type": "string", "default": "B"}}})]
        self.definitions.change(name, lambda it: it["spec"].update(made["spec"]))

        def two():
            noxus.create({"apiVersion": f"{self.group}/v1", "kind": "Noxu",
                          "metadata": {"name": self.unique("two")}})
            return all("a" not in it for it in noxus.items()[-1:])
        eventually("new objects have no default for a", two)
        self.assertEqual(noxus.get("one")["a"], "A")

    def test_discovery(self):
        """[sig-api-machinery] CustomResourceDefinition resources [Privileged:ClusterAdmin] should include custom resource definition resources in discovery documents [Conformance]"""
        self.served(self.definitions, "status")
        found = self.api.get("/apis/apiextensions.k8s.io")
        self.assertEqual(found["preferredVersion"]["groupVersion"], EXTENSIONS)


class FieldSelectors(Behaviours):
    def test_selectors(self):
        """[sig-api-machinery] CustomResourceFieldSelectors [Privileged:ClusterAdmin] CustomResourceFieldSelectors MUST list and watch custom resources matching the field selector [Conformance]"""
        text = {"type": "string"}
        schema = {"type": "object", "properties": {"color": text, "size": text}}
        fields = [{"jsonPath": ".color"}, {"jsonPath": ".size"}]
        made = definition(f"{self.namespace}.example.com", "shirts", [
            version("v1", schema, selectableFields=fields)])
        define(self, made)
        shirts = custom(self, made)

        def shirt(name, color, size):
            return shirts.create({"apiVersion": shirts.version, "kind": "Shirt",
                                  "metadata": {"name": name}, "color": color, "size": size})
        from_ = shirts.list()["metadata"]["resourceVersion"]
        blue, both = {"fieldSelector": "color=blue"}, {"fieldSelector": "color=blue,size=M"}
        with shirts.watch(resourceVersion=from_, **blue) as watch:
            shirt("one", "blue", "S")
            shirt("two", "blue", "M")
            shirt("three", "green", "M")
            self.assertEqual(shirts.names(**blue), ["one", "two"])
            self.assertEqual(shirts.names(**both), ["two"])
            seen = [next(watch) for _ in range(2)]
            self.assertEqual([(kind, it["metadata"]["name"]) for kind, it in seen],
                             [("ADDED", "one"), ("ADDED", "two")])
            shirts.patch("one", {"color": "green"})
            self.assertEqual(next(watch)[0], "DELETED")
        self.assertEqual(shirts.names(**blue), ["two"])
        shirts.delete_all(**blue)
        self.assertEqual(shirts.names(), ["one", "three"])


class OpenApi(Behaviours):
    """What is published for people and for `kubectl explain`."""

    SCHEMA = {"type": "object", "properties": {
        "spec": {"type": "object", "description": "What is wished.", "properties": {
            "bars": {"type": "array", "description": "All bars.", "items": {
                "type": "object", "required": ["name"], "properties": {
                    "name": {"type": "string", "description": "Its name."},
                    "age": {"type": "string"}}}}}},
        "status": {"type": "object", "properties": {"phase": {"type": "string"}}}}}

    def setUp(self):
        super().setUp()
        self.group = f"{self.namespace}.example.com"

    def key(self, group, version_, kind):
        return {"group": group, "version": version_, "kind": kind}

    def published(self, group, version_, kind):
        """The definition of the kind in the OpenAPI v2 document; None without."""
        for found in self.api.get("/openapi/v2")["definitions"].values():
            if self.key(group, version_, kind) in found.get("x-kubernetes-group-version-kind", []):
                return found
        return None

    def until_published(self, made, name, probe=lambda _: True):
        """In both documents: v3 knows the same kinds."""
        spec = made["spec"]
        group, kind = spec["group"], spec["names"]["kind"]

        def look():
            found = self.published(group, name, kind)
            return found if found and probe(found) else None
        found = eventually(f"{group}/{name} {kind} is published", look)

        def v3():
            paths = self.api.get("/openapi/v3")["paths"]
            place = paths.get(f"apis/{group}/{name}")
            if not place:
                return False
            schemas = self.api.send("GET", place["serverRelativeURL"])[0]["components"]["schemas"]
            return any(self.key(group, name, kind) in it.get("x-kubernetes-group-version-kind", [])
                       for it in schemas.values())
        eventually(f"{group}/{name} {kind} is published in v3", v3)
        return found

    def until_unpublished(self, group, name, kind):
        eventually(f"{group}/{name} {kind} is not published any more",
                   lambda: self.published(group, name, kind) is None)

    def test_with_schema(self):
        """[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for CRD with validation schema [Conformance]"""
        made = definition(self.group, "foos", [version("v1", self.SCHEMA)])
        define(self, made)
        found = self.until_published(made, "v1")
        spec = found["properties"]["spec"]
        self.assertEqual(spec["description"], "What is wished.")
        self.assertEqual(spec["properties"]["bars"]["items"]["required"], ["name"])
        self.assertTrue(found["properties"]["metadata"])
        foos = custom(self, made)
        head = {"apiVersion": f"{self.group}/v1", "kind": "Foo"}
        good = {"bars": [{"name": "one"}]}
        foos.create({**head, "metadata": {"name": "one"}, "spec": good}, fieldValidation="Strict")
        with self.refused(400, 'unknown field "spec.foo"'):
            foos.create({**head, "metadata": {"name": "two"}, "spec": {"foo": True}},
                        fieldValidation="Strict")
        with self.refused(422, "spec.bars[0].name: Required value"):
            foos.create({**head, "metadata": {"name": "two"}, "spec": {"bars": [{"age": "10"}]}})

    def test_without_schema(self):
        """[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for CRD without validation schema [Conformance]"""
        made = definition(self.group, "foos", [version("v1", ANYTHING)])
        define(self, made)
        self.until_published(made, "v1")
        foos = custom(self, made)
        foos.create({"apiVersion": f"{self.group}/v1", "kind": "Foo", "metadata": {"name": "one"},
                     "a": {"b": [{"c": "d"}]}}, fieldValidation="Strict")
        self.assertEqual(foos.get("one")["a"], {"b": [{"c": "d"}]})

    def test_preserving_at_root(self):
        """[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for CRD preserving unknown fields at the schema root [Conformance]"""
        schema = {**self.SCHEMA, "x-kubernetes-preserve-unknown-fields": True}
        made = definition(self.group, "foos", [version("v1", schema)])
        define(self, made)
        self.until_published(made, "v1")
        foos = custom(self, made)
        foos.create({"apiVersion": f"{self.group}/v1", "kind": "Foo", "metadata": {"name": "one"},
                     "extra": 1}, fieldValidation="Strict")
        self.assertEqual(foos.get("one")["extra"], 1)

    def test_preserving_inside(self):
        """[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for CRD preserving unknown fields in an embedded object [Conformance]"""
        schema = {"type": "object", "properties": {"spec": ANYTHING, "status": ANYTHING}}
        made = definition(self.group, "foos", [version("v1", schema)])
        define(self, made)
        self.until_published(made, "v1")
        foos = custom(self, made)
        head = {"apiVersion": f"{self.group}/v1", "kind": "Foo"}
        foos.create({**head, "metadata": {"name": "one"}, "spec": {"b": [{"c": 1}]}},
                    fieldValidation="Strict")
        self.assertEqual(foos.get("one")["spec"], {"b": [{"c": 1}]})
        with self.refused(400, 'unknown field "outside"'):
            foos.create({**head, "metadata": {"name": "two"}, "outside": 1},
                        fieldValidation="Strict")

    def test_groups(self):
        """[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for multiple CRDs of different groups [Conformance]"""
        for group in [f"a.{self.group}", f"b.{self.group}"]:
            made = definition(group, "foos", [version("v1", self.SCHEMA)])
            define(self, made)
            self.until_published(made, "v1")
        self.assertTrue(self.published(f"a.{self.group}", "v1", "Foo"))

    def test_versions(self):
        """[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for multiple CRDs of same group but different versions [Conformance]"""
        made = definition(self.group, "foos", [
            version("v2", self.SCHEMA), version("v3", self.SCHEMA, storage=False)])
        define(self, made)
        self.until_published(made, "v2")
        self.until_published(made, "v3")
        other = definition(self.group, "bars", [version("v4", self.SCHEMA)])
        define(self, other)
        self.until_published(other, "v4")
        self.assertTrue(self.published(self.group, "v2", "Foo"))

    def test_kinds(self):
        """[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for multiple CRDs of same group and version but different kinds [Conformance]"""
        for plural in ["foos", "bars"]:
            made = definition(self.group, plural, [version("v1", self.SCHEMA)])
            define(self, made)
            self.until_published(made, "v1")
        self.assertTrue(self.published(self.group, "v1", "Foo"))

    def test_renamed(self):
        """[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] updates the published spec when one version gets renamed [Conformance]"""
        first, second = version("v2", self.SCHEMA), version("v3", self.SCHEMA, storage=False)
        made = definition(self.group, "foos", [first, second])
        name = define(self, made)
        self.until_published(made, "v3")
        self.cluster(EXTENSIONS, "customresourcedefinitions").change(
            name, lambda it: it["spec"]["versions"][1].update(name="v4"))
        self.until_published(made, "v4")
        self.until_unpublished(self.group, "v3", "Foo")
        self.assertTrue(self.published(self.group, "v2", "Foo"))

    def test_not_served(self):
        """[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] removes definition from spec when one version gets changed to not be served [Conformance]"""
        first, second = version("v5", self.SCHEMA), version("v6", self.SCHEMA, storage=False)
        made = definition(self.group, "foos", [first, second])
        name = define(self, made)
        self.until_published(made, "v6")
        self.cluster(EXTENSIONS, "customresourcedefinitions").change(
            name, lambda it: it["spec"]["versions"][1].update(served=False))
        self.until_unpublished(self.group, "v6", "Foo")
        self.assertTrue(self.published(self.group, "v5", "Foo"))
