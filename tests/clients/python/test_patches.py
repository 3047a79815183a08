"""The four kinds of patch, and who owns which field afterwards."""

import json

from cluster import ClusterCase

STRATEGIC = "application/strategic-merge-patch+json"
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"


def deployment(*containers):
    labels = {"app": "patched"}
    return {
        "metadata": {"name": "patched"},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
        },
    }


def template(**spec):
    return {"spec": {"template": {"spec": spec}}}


class Patches(ClusterCase):
    def patch(self, body, content_type, **options):
        return self.apps.patch_namespaced_deployment(
            "patched", self.namespace, body, _content_type=content_type, **options
        )

    def setUp(self):
        self.apps.create_namespaced_deployment(
            self.namespace,
            deployment({"name": "a", "image": "test/a:v1"}, {"name": "b", "image": "test/b:v1"}),
        )
        self.addCleanup(self.apps.delete_namespaced_deployment, "patched", self.namespace)

    def images(self, answer):
        return {each.name: each.image for each in answer.spec.template.spec.containers}

    def test_a_strategic_merge_patch_knows_containers_by_name(self):
        changed = self.patch(
            template(containers=[{"name": "b", "image": "test/b:v2"}]), STRATEGIC
        )
        self.assertEqual(self.images(changed), {"a": "test/a:v1", "b": "test/b:v2"})
        removed = self.patch(template(containers=[{"name": "a", "$patch": "delete"}]), STRATEGIC)
        self.assertEqual(self.images(removed), {"b": "test/b:v2"})

    def test_a_merge_patch_replaces_lists(self):
        changed = self.patch(template(containers=[{"name": "b", "image": "test/b:v2"}]), MERGE)
        self.assertEqual(self.images(changed), {"b": "test/b:v2"})
        changed = self.patch({"metadata": {"annotations": {"x": "1", "y": "2"}}}, MERGE)
        changed = self.patch({"metadata": {"annotations": {"x": None}}}, MERGE)
        # The Deployment's controller annotates it too.
        annotations = {k: v for k, v in changed.metadata.annotations.items() if k in ("x", "y")}
        self.assertEqual(annotations, {"y": "2"})

    def test_a_json_patch_is_a_list_of_steps(self):
        path = "/spec/template/spec/containers/0"
        changed = self.patch(
            [
                {"op": "test", "path": f"{path}/name", "value": "a"},
                {"op": "replace", "path": f"{path}/image", "value": "test/a:v3"},
            ],
            None,
        )
        self.assertEqual(self.images(changed)["a"], "test/a:v3")
        self.refused(
            422, "Invalid", self.patch,
            [{"op": "test", "path": f"{path}/name", "value": "z"}], None,
        )

    def test_a_resource_version_in_a_patch_must_fit(self):
        self.refused(
            409, "Conflict", self.patch,
            {"metadata": {"resourceVersion": "1", "labels": {"x": "y"}}}, MERGE,
        )


class ServerSideApply(ClusterCase):
    def apply(self, manager, data, force=None):
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "shared"},
            "data": data,
        }
        return self.core.patch_namespaced_config_map(
            "shared", self.namespace, body,
            _content_type=APPLY, field_manager=manager, force=force,
        )

    def owned(self, answer):
        return {
            (entry.manager, entry.operation): sorted(entry.fields_v1.get("f:data", {}))
            for entry in answer.metadata.managed_fields
        }

    def test_two_appliers_share_an_object(self):
        first = self.apply("one", {"a": "1", "b": "1"})
        self.assertEqual(self.owned(first), {("one", "Apply"): ["f:a", "f:b"]})
        both = self.apply("two", {"c": "2"})
        self.assertEqual(both.data, {"a": "1", "b": "1", "c": "2"})
        # Unchanged: not a new version.
        again = self.apply("two", {"c": "2"})
        self.assertEqual(again.metadata.resource_version, both.metadata.resource_version)

        status = self.refused(409, "Conflict", self.apply, "two", {"a": "2", "c": "2"})
        cause = status["details"]["causes"][0]
        self.assertEqual((cause["reason"], cause["field"]), ("FieldManagerConflict", ".data.a"))
        self.assertIn('conflict with "one"', cause["message"])

        forced = self.apply("two", {"a": "2", "c": "2"}, force=True)
        self.assertEqual(forced.data["a"], "2")
        self.assertEqual(
            self.owned(forced), {("one", "Apply"): ["f:b"], ("two", "Apply"): ["f:a", "f:c"]}
        )
        # What an applier no longer names and nobody else owns is removed.
        less = self.apply("two", {"c": "2"})
        self.assertEqual(less.data, {"b": "1", "c": "2"})

    def test_an_update_owns_what_it_changes(self):
        made = self.core.create_namespaced_config_map(
            self.namespace, {"metadata": {"name": "shared-not"}, "data": {"a": "1"}}
        )
        entry, = made.metadata.managed_fields
        agent = self.api_client.user_agent.split("/")[0]
        self.assertEqual((entry.manager, entry.operation), (agent, "Update"))
        self.assertEqual(entry.api_version, "v1")
        self.assertEqual(json.dumps(entry.fields_v1["f:data"]), '{".": {}, "f:a": {}}')
