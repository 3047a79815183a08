"""kubectl, where the host has one."""

import json
import os
import shutil
import subprocess
import tempfile

from case import Behaviours, pod, workload
from kube import eventually


class Kubectl(Behaviours):
    def setUp(self):
        if not shutil.which("kubectl"):
            self.skipTest("there is no kubectl")
        super().setUp()
        home = tempfile.TemporaryDirectory()
        self.addCleanup(home.cleanup)
        self.environment = {**os.environ, "HOME": home.name, "KUBECACHEDIR": home.name}

    def kubectl(self, *arguments, given=None, code=0):
        """Its standard output; it must end with this code."""
        command = ["kubectl", f"--namespace={self.namespace}", *arguments]
        ended = subprocess.run(
            command, input=given and json.dumps(given), text=True, capture_output=True,
            env=self.environment, check=False)
        self.assertEqual(ended.returncode, code, ended.stdout + ended.stderr)
        return ended.stdout

    def pod(self, name="one"):
        return {"apiVersion": "v1", "kind": "Pod", **pod(name, labels={"app": name})}

    def controller(self):
        self.kubectl("create", "-f", "-", given={
            "apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "web"},
            "spec": {"replicas": 1, "selector": {"app": "web"},
                     "template": pod(labels={"app": "web"})}})
        return self.pods.until_count(1)[0]["metadata"]["name"]

    def test_versions(self):
        """[sig-cli] Kubectl client Kubectl api-versions should check if v1 is in available api versions [Conformance]"""
        self.assertIn("v1", self.kubectl("api-versions").splitlines())

    def test_cluster_info(self):
        """[sig-cli] Kubectl client Kubectl cluster-info should check if Kubernetes control plane services is included in cluster-info [Conformance]"""
        said = self.kubectl("cluster-info")
        self.assertIn("Kubernetes control plane", said)
        self.assertIn("is running at", said)

    def test_version(self):
        """[sig-cli] Kubectl client Kubectl version should check is all data is printed [Conformance]"""
        said = self.kubectl("version")
        self.assertRegex(said, r"Client Version: v\d")
        self.assertRegex(said, r"Server Version: v\d")

    def test_describe(self):
        """[sig-cli] Kubectl client Kubectl describe should check if kubectl describe prints relevant information for rc and pods [Conformance]"""
        name = self.controller()
        self.pods.until(name, "runs", lambda it: it["status"]["phase"] == "Running")
        for kind, of, words in [
                ("pod", name, ["Controlled By:", "ReplicationController/web", "Status:", "IP:"]),
                ("rc", "web", ["Replicas:", "Pods Status:", "Pod Template:", "Events:"]),
                ("namespace", self.namespace, ["Name:", "Status:", "Active"])]:
            said = self.kubectl("describe", kind, of)
            for word in words:
                self.assertIn(word, said)

    def test_diff(self):
        """[sig-cli] Kubectl client Kubectl diff should check if kubectl diff finds a difference for Deployments [Conformance]"""
        made = workload("Deployment", "web", {"app": "web"}, 1, play="wait")
        self.kubectl("apply", "-f", "-", given=made)
        made["spec"]["template"]["spec"]["containers"][0]["image"] = "registry.example/pause:2"
        said = self.kubectl("diff", "-f", "-", given=made, code=1)
        self.assertIn("+      - image: registry.example/pause:2", said.replace("\t", " "))

    def test_dry_run(self):
        """[sig-cli] Kubectl client Kubectl server-side dry-run should check if kubectl can dry-run update Pods [Conformance]"""
        self.kubectl("run", "one", "--image=registry.example/pause:1", "--labels=run=one")
        patch = {"spec": {"containers": [{"name": "one", "image": "registry.example/pause:2"}]}}
        self.kubectl("patch", "pod", "one", "-p", json.dumps(patch), "--dry-run=server")
        self.assertEqual(self.pods.get("one")["spec"]["containers"][0]["image"],
                         "registry.example/pause:1")

    def test_expose(self):
        """[sig-cli] Kubectl client Kubectl expose should create services for rc [Conformance]"""
        self.controller()
        services = self.of("v1", "services")
        for args, name, port in [
                (["rc", "web", "--name=first", "--port=1234", "--target-port=6379"], "first", 1234),
                (["service", "first", "--name=second", "--port=2345", "--target-port=6379"],
                 "second", 2345)]:
            self.kubectl("expose", *args)
            ports = services.get(name)["spec"]["ports"]
            self.assertEqual([(each["port"], each["targetPort"]) for each in ports], [(port, 6379)])
        endpoints = self.of("v1", "endpoints")
        endpoints.until("second", "has the pod", lambda it: it.get("subsets"))

    def test_label(self):
        """[sig-cli] Kubectl client Kubectl label should update the label on a resource [Conformance]"""
        self.kubectl("create", "-f", "-", given=self.pod())
        self.kubectl("label", "pods", "one", "testing-label=value")
        self.assertIn("value", self.kubectl("get", "pod", "one", "-L", "testing-label"))
        self.kubectl("label", "pods", "one", "testing-label-")
        self.assertNotIn("testing-label", self.pods.get("one")["metadata"]["labels"])

    def test_patch(self):
        """[sig-cli] Kubectl client Kubectl patch should add annotations for pods in rc [Conformance]"""
        name = self.controller()
        self.kubectl("patch", "pod", name, "-p", '{"metadata": {"annotations": {"x": "y"}}}')
        self.assertEqual(self.pods.get(name)["metadata"]["annotations"]["x"], "y")

    def test_replace(self):
        """[sig-cli] Kubectl client Kubectl replace should update a single-container pod's image [Conformance]"""
        self.kubectl("run", "one", "--image=registry.example/pause:1")
        self.pods.until("one", "runs", lambda it: it["status"]["phase"] == "Running")
        found = json.loads(self.kubectl("get", "pod", "one", "-o", "json"))
        found["spec"]["containers"][0]["image"] = "registry.example/pause:2"
        self.kubectl("replace", "-f", "-", given=found)
        self.assertEqual(self.pods.get("one")["spec"]["containers"][0]["image"],
                         "registry.example/pause:2")

    def test_run(self):
        """[sig-cli] Kubectl client Kubectl run pod should create a pod from an image when restart is Never [Conformance]"""
        self.kubectl("run", "one", "--restart=Never", "--image=registry.example/pause:1")
        found = self.pods.get("one")["spec"]
        self.assertEqual((found["restartPolicy"], found["containers"][0]["image"]),
                         ("Never", "registry.example/pause:1"))

    def test_controller(self):
        """[sig-cli] Kubectl client Update Demo should create and stop a replication controller [Conformance]"""
        self.controller()
        self.kubectl("delete", "rc", "web", "--grace-period=0", "--force")
        self.pods.until_count(0)

    def test_scale(self):
        """[sig-cli] Kubectl client Update Demo should scale a replication controller [Conformance]"""
        self.controller()
        for count in [3, 1]:
            self.kubectl("scale", "rc", "web", f"--replicas={count}", "--timeout=1m")
            eventually(f"{count} pods", lambda wish=count: len(self.pods.items()) == wish)
