"""Fields that nobody knows and fields that are there twice."""

import json

from case import Behaviours, workload
from definitions import ANYTHING, custom, define, definition, version
from kube import PATCHES

STRICT = {"fieldValidation": "Strict", "fieldManager": "conformance"}

SCHEMA = {"type": "object", "properties": {"spec": {"type": "object", "properties": {
    "cronSpec": {"type": "string"}, "foo": {"type": "string"},
    "ports": {"type": "array", "x-kubernetes-list-type": "map",
              "x-kubernetes-list-map-keys": ["containerPort", "protocol"],
              "items": {"type": "object", "required": ["containerPort", "protocol"], "properties": {
                  "containerPort": {"type": "integer"}, "hostPort": {"type": "integer"},
                  "protocol": {"type": "string"}}}}}}}}

EMBEDDED = {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {
    "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {
        "template": {"type": "object", "x-kubernetes-embedded-resource": True,
                     "properties": {"metadata": {"type": "object", "properties": {
                         "name": {"type": "string"}}}, "spec": {"type": "object"}}}}}}}


class FieldValidation(Behaviours):
    def defined(self, schema):
        made = definition(f"{self.namespace}.example.com", "tabs", [version("v1", schema)])
        define(self, made)
        return custom(self, made)

    def apply(self, resource, name, text, **query):
        if not isinstance(text, str):
            text = json.dumps(text)
        return self.api.send("PATCH", resource.path(name), text, content=PATCHES["apply"],
                             query={**STRICT, **query})

    def tab(self, resource, name, spec, **metadata):
        return {"apiVersion": resource.version, "kind": "Tab",
                "metadata": {"name": name, **metadata}, "spec": spec}

    def test_typed(self):
        """[sig-api-machinery] FieldValidation should detect unknown and duplicate fields of a typed object [Conformance]"""
        deployments = self.of("apps/v1", "deployments")
        made = workload("Deployment", "twice", {"app": "twice"}, 0)
        made["spec"]["unknown1"] = "value"
        text = json.dumps(made).replace('"unknown1"', '"paused": true, "paused": false, "unknown1"')
        with self.refused(400, "strict decoding error", 'unknown field "spec.unknown1"',
                          'duplicate field "spec.paused"'):
            self.api.send("POST", deployments.path(), text, query=STRICT)
        _, headers = self.api.send("POST", deployments.path(), text,
                                   query={"fieldValidation": "Warn"})
        warnings = headers.get("Warning", "")
        self.assertIn('unknown field \\"spec.unknown1\\"', warnings)
        self.assertIn('duplicate field \\"spec.paused\\"', warnings)

    def test_typed_metadata(self):
        """[sig-api-machinery] FieldValidation should detect unknown metadata fields of a typed object [Conformance]"""
        deployments = self.of("apps/v1", "deployments")
        made = workload("Deployment", "meta", {"app": "meta"}, 0)
        made["metadata"]["unknownMeta"] = "value"
        with self.refused(400, 'unknown field "metadata.unknownMeta"'):
            deployments.create(made, **STRICT)
        with self.refused(500, "field not declared in schema", "unknownMeta"):
            self.apply(deployments, "meta", made)

    def test_valid(self):
        """[sig-api-machinery] FieldValidation should create/apply a valid CR for CRD with validation schema [Conformance]"""
        tabs = self.defined(SCHEMA)
        port = {"containerPort": 8080, "hostPort": 8081, "protocol": "TCP"}
        spec = {"cronSpec": "* * * * */5", "foo": "foo1", "ports": [port]}
        self.apply(tabs, "one", self.tab(tabs, "one", spec))
        tabs.create(self.tab(tabs, "two", spec), **STRICT)
        self.assertEqual(tabs.get("two")["spec"], spec)

    def test_extra(self):
        """[sig-api-machinery] FieldValidation should create/apply an invalid CR with extra properties for CRD with validation schema [Conformance]"""
        tabs = self.defined(SCHEMA)
        port = {"containerPort": 8080, "hostPort": 8081, "protocol": "TCP"}
        spec = {"foo": "foo1", "extraProperty": "arbitrary", "ports": [port]}
        with self.refused(400, 'unknown field "spec.extraProperty"'):
            tabs.create(self.tab(tabs, "one", spec), **STRICT)
        with self.refused(500, ".spec.extraProperty: field not declared in schema"):
            self.apply(tabs, "one", self.tab(tabs, "one", spec))
        made = tabs.create(self.tab(tabs, "one", spec), fieldValidation="Ignore")
        self.assertNotIn("extraProperty", made["spec"])

    def test_without_schema(self):
        """[sig-api-machinery] FieldValidation should create/apply a CR with unknown fields for CRD with no validation schema [Conformance]"""
        tabs = self.defined(ANYTHING)
        self.apply(tabs, "one", self.tab(tabs, "one", {"unknown1": "one", "unknown2": [1]}))
        tabs.create(self.tab(tabs, "two", {"unknown1": "one"}), **STRICT)
        self.assertEqual(tabs.get("two")["spec"], {"unknown1": "one"})

    def test_duplicates(self):
        """[sig-api-machinery] FieldValidation should detect duplicates in a CR when preserving unknown fields [Conformance]"""
        tabs = self.defined(ANYTHING)
        text = json.dumps(self.tab(tabs, "one", {"unknown": "a", "foo": "b"}))
        text = text.replace('"foo": "b"', '"foo": "b", "foo": "c"')
        with self.refused(400, 'duplicate field "spec.foo"'):
            self.api.send("POST", tabs.path(), text, query=STRICT)
        text = f"""
apiVersion: {tabs.version}
kind: Tab
metadata:
  name: one
spec:
  unknown: a
  foo: b
  foo: c
"""
        with self.refused(400, 'line 9: key "foo" already set in map'):
            self.apply(tabs, "one", text)

    def test_metadata(self):
        """[sig-api-machinery] FieldValidation should detect unknown metadata fields in both the root and embedded object of a CR [Conformance]"""
        tabs = self.defined(EMBEDDED)
        inner = {"apiVersion": "v1", "kind": "Inner",
                 "metadata": {"name": "inner", "unknownSubMeta": "x"}, "spec": {}}
        made = self.tab(tabs, "one", {"template": inner}, unknownMeta="y")
        with self.refused(400, 'unknown field "metadata.unknownMeta"',
                          'unknown field "spec.template.metadata.unknownSubMeta"'):
            tabs.create(made, **STRICT)
        with self.refused(400, 'unknown field "spec.template.metadata.unknownSubMeta"'):
            del made["metadata"]["unknownMeta"]
            tabs.create(made, **STRICT)
        with self.refused(
                500, ".spec.template.metadata.unknownSubMeta: field not declared in schema"):
            self.apply(tabs, "one", made)
