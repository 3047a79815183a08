"""Create, read, replace and delete through the client's typed methods."""

from kubernetes import client

from cluster import ClusterCase, eventually


def pod_template(labels):
    return client.V1PodTemplateSpec(
        metadata=client.V1ObjectMeta(labels=labels),
        spec=client.V1PodSpec(containers=[client.V1Container(name="c", image="test/none:v1")]),
    )


class Objects(ClusterCase):
    def test_a_config_map_from_birth_to_death(self):
        wanted = client.V1ConfigMap(
            metadata=client.V1ObjectMeta(name="settings", labels={"app": "web"}),
            data={"colour": "blue"},
            binary_data={"bytes": "AAH/"},
        )
        made = self.core.create_namespaced_config_map(self.namespace, wanted)
        self.assertEqual(made.data, {"colour": "blue"})
        self.assertEqual(made.binary_data, {"bytes": "AAH/"})
        self.assertTrue(made.metadata.uid and made.metadata.creation_timestamp)
        self.assertEqual(
            made, self.core.read_namespaced_config_map("settings", self.namespace)
        )

        made.data["colour"] = "green"
        replaced = self.core.replace_namespaced_config_map("settings", self.namespace, made)
        self.assertEqual(replaced.data["colour"], "green")
        self.assertNotEqual(replaced.metadata.resource_version, made.metadata.resource_version)
        # The first answer is out of date now.
        status = self.refused(
            409, "Conflict", self.core.replace_namespaced_config_map,
            "settings", self.namespace, made,
        )
        self.assertIn("the object has been modified", status["message"])

        self.refused(
            409, "AlreadyExists", self.core.create_namespaced_config_map, self.namespace, wanted
        )
        gone = self.core.delete_namespaced_config_map("settings", self.namespace)
        self.assertEqual(gone["status"], "Success")
        self.refused(
            404, "NotFound", self.core.read_namespaced_config_map, "settings", self.namespace
        )

    def test_a_dry_run_leaves_nothing(self):
        tried = self.core.create_namespaced_config_map(
            self.namespace, {"metadata": {"name": "dry"}}, dry_run="All"
        )
        self.assertTrue(tried.metadata.uid)
        self.refused(404, "NotFound", self.core.read_namespaced_config_map, "dry", self.namespace)

    def test_secrets_keep_text_and_bytes(self):
        made = self.core.create_namespaced_secret(
            self.namespace,
            client.V1Secret(
                metadata=client.V1ObjectMeta(name="key"), string_data={"word": "open"}
            ),
        )
        self.assertEqual((made.type, made.data), ("Opaque", {"word": "b3Blbg=="}))
        fixed = client.V1Secret(
            metadata=client.V1ObjectMeta(name="fixed"), data={"a": "Yg=="}, immutable=True
        )
        fixed = self.core.create_namespaced_secret(self.namespace, fixed)
        fixed.data = {"a": "Yw=="}
        status = self.refused(
            422, "Invalid", self.core.replace_namespaced_secret, "fixed", self.namespace, fixed
        )
        self.assertEqual(status["details"]["causes"][0]["field"], "data")

    def test_a_service_gets_an_address(self):
        made = self.core.create_namespaced_service(
            self.namespace,
            client.V1Service(
                metadata=client.V1ObjectMeta(name="web"),
                spec=client.V1ServiceSpec(
                    selector={"app": "web"},
                    ports=[client.V1ServicePort(port=80, target_port="http")],
                ),
            ),
        )
        self.assertEqual(made.spec.type, "ClusterIP")
        self.assertEqual(made.spec.cluster_ips, [made.spec.cluster_ip])
        self.assertEqual(made.spec.ports[0].target_port, "http")

    def test_a_deployment_and_its_scale(self):
        labels = {"app": "none"}
        made = self.apps.create_namespaced_deployment(
            self.namespace,
            client.V1Deployment(
                metadata=client.V1ObjectMeta(name="none"),
                spec=client.V1DeploymentSpec(
                    replicas=0,
                    selector=client.V1LabelSelector(match_labels=labels),
                    template=pod_template(labels),
                ),
            ),
        )
        self.assertEqual(made.spec.strategy.rolling_update.max_surge, "25%")
        self.assertEqual(made.metadata.generation, 1)
        scale = self.apps.read_namespaced_deployment_scale("none", self.namespace)
        # A scale does not write 0 out.
        self.assertEqual((scale.spec.replicas, scale.status.selector), (None, "app=none"))
        patched = self.apps.patch_namespaced_deployment(
            "none", self.namespace, {"spec": {"paused": True}}
        )
        self.assertEqual((patched.spec.paused, patched.metadata.generation), (True, 2))
        self.apps.delete_namespaced_deployment(
            "none", self.namespace, propagation_policy="Background"
        )
        eventually("the Deployment is gone", lambda: not self.apps.list_namespaced_deployment(
            self.namespace, field_selector="metadata.name=none").items)

    def test_a_lease(self):
        leases = client.CoordinationV1Api(self.api_client)
        made = leases.create_namespaced_lease(
            self.namespace,
            {
                "metadata": {"name": "turn"},
                "spec": {
                    "holderIdentity": "me",
                    "leaseDurationSeconds": 15,
                    "renewTime": "2026-01-02T03:04:05.000006Z",
                },
            },
        )
        self.assertEqual(made.spec.renew_time.isoformat(), "2026-01-02T03:04:05.000006+00:00")
        made.spec.holder_identity = "you"
        replaced = leases.replace_namespaced_lease("turn", self.namespace, made)
        self.assertEqual(replaced.spec.holder_identity, "you")
        self.assertEqual(replaced.spec.renew_time, made.spec.renew_time)

    def test_what_is_wrong_is_told_with_its_path(self):
        pod = {"metadata": {"name": "Wrong_Name"}, "spec": {"containers": []}}
        status = self.refused(
            422, "Invalid", self.core.create_namespaced_pod, self.namespace, pod
        )
        fields = [cause["field"] for cause in status["details"]["causes"]]
        self.assertEqual(fields, ["metadata.name", "spec.containers"])

    def test_a_collection_goes_at_once(self):
        for number in range(3):
            self.core.create_namespaced_config_map(
                self.namespace,
                {"metadata": {"name": f"many-{number}", "labels": {"of": "many"}}},
            )
        self.core.delete_collection_namespaced_config_map(
            self.namespace, label_selector="of=many"
        )
        left = self.core.list_namespaced_config_map(self.namespace, label_selector="of=many")
        self.assertEqual(left.items, [])

    def test_finalizers_hold_an_object_back(self):
        self.core.create_namespaced_config_map(
            self.namespace, {"metadata": {"name": "held", "finalizers": ["example.com/hold"]}}
        )
        self.core.delete_namespaced_config_map("held", self.namespace)
        held = self.core.read_namespaced_config_map("held", self.namespace)
        self.assertTrue(held.metadata.deletion_timestamp)
        self.core.patch_namespaced_config_map(
            "held", self.namespace, {"metadata": {"finalizers": None}}
        )
        self.refused(404, "NotFound", self.core.read_namespaced_config_map, "held", self.namespace)

    def test_the_version_and_the_resources(self):
        version = client.VersionApi(self.api_client).get_code()
        self.assertEqual((version.major, version.minor), ("1", "36"))
        kinds = {item.kind for item in self.core.get_api_resources().resources}
        self.assertLessEqual({"Pod", "Service", "ConfigMap", "Node", "Namespace"}, kinds)
        groups = {group.name for group in client.ApisApi(self.api_client).get_api_versions().groups}
        self.assertLessEqual({"apps", "batch", "coordination.k8s.io"}, groups)
