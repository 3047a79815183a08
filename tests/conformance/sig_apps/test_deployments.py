"""Deployments: rollouts, history, scale and status."""

from case import Behaviours, condition, pod, workload
from operations import annotations

IMAGE = "registry.example/pause"
REVISION = "deployment.kubernetes.io/revision"


class Deployments(Behaviours):
    def setUp(self):
        super().setUp()
        self.deployments = self.of("apps/v1", "deployments")
        self.sets = self.of("apps/v1", "replicasets")

    def create(self, name, replicas, **spec):
        return self.deployments.create(
            workload("Deployment", name, {"app": name}, replicas, **spec))

    def image(self, name, image):
        return self.deployments.patch(name, {"spec": {"template": {"spec": {"containers": [
            {"name": "main", "image": image}]}}}}, "strategic")

    def complete(self, name, image=None):
        """Waits until what is wished is all there is."""
        def probe(found):
            status, wish = found.get("status", {}), found["spec"]["replicas"]
            counts = [status.get(each, 0) for each in
                      ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"]]
            return (status.get("observedGeneration") == found["metadata"]["generation"]
                    and counts == [wish] * 4)
        found = self.deployments.until(name, "is complete", probe)
        if image:
            images = {each["spec"]["containers"][0]["image"] for each in self.pods.items(
                labelSelector=f"app={name}") if "deletionTimestamp" not in each["metadata"]}
            self.assertEqual(images, {image})
        return found

    def test_scale(self):
        """[sig-apps] Deployment Deployment should have a working scale subresource [Conformance]"""
        self.create("web", 1)
        self.complete("web")
        scale = self.deployments.get("web", "scale")
        self.assertEqual((scale["kind"], scale["spec"]["replicas"]), ("Scale", 1))
        scale["spec"]["replicas"] = 2
        # Whatever else has been written meanwhile.
        del scale["metadata"]["resourceVersion"]
        self.assertEqual(self.deployments.update(scale, sub="scale")["spec"]["replicas"], 2)
        self.assertEqual(self.deployments.get("web")["spec"]["replicas"], 2)
        self.deployments.patch("web", {"spec": {"replicas": 4}}, sub="scale")
        self.assertEqual(self.deployments.get("web")["spec"]["replicas"], 4)

    def test_recreate(self):
        """[sig-apps] Deployment RecreateDeployment should delete old pods and create new ones [Conformance]"""
        self.create("web", 1, strategy={"type": "Recreate"})
        self.complete("web")
        version = self.pods.list()["metadata"]["resourceVersion"]
        self.image("web", f"{IMAGE}:2")
        old = 1
        with self.pods.watch(resourceVersion=version, labelSelector="app=web") as watch:
            for kind, found in watch:
                image = found["spec"]["containers"][0]["image"]
                old -= kind == "DELETED"
                if image == f"{IMAGE}:2":
                    break
        self.assertEqual(old, 0, "a new pod came before the old one had gone")
        self.complete("web", f"{IMAGE}:2")

    def test_rolling(self):
        """[sig-apps] Deployment RollingUpdateDeployment should delete old pods and create new ones [Conformance]"""
        # Pods that are there already are adopted, and replaced as others.
        labels = {"app": "web", "name": "sample"}
        self.sets.create({**workload("ReplicaSet", "adopted", labels),
                          "metadata": {"name": "adopted", "labels": labels,
                                       "annotations": {REVISION: "3546343826724305832"}}})
        self.pods.until_count(1, labelSelector="app=web")
        self.deployments.create(workload("Deployment", "web", labels, 1, template=pod(
            labels=labels, image=f"{IMAGE}:2")))
        found = self.complete("web", f"{IMAGE}:2")
        self.assertEqual(annotations(found)[REVISION], "3546343826724305833")
        self.pods.until_count(1, labelSelector="app=web")
        sets = {each["metadata"]["name"]: each for each in self.sets.items()}
        self.assertEqual(len(sets), 2)
        old = sets["adopted"]
        self.assertEqual(old["spec"]["replicas"], 0)
        self.assertEqual(old["metadata"]["ownerReferences"][0]["uid"], found["metadata"]["uid"])

    def test_old_sets(self):
        """[sig-apps] Deployment deployment should delete old replica sets [Conformance]"""
        labels = {"app": "web"}
        self.sets.create(workload("ReplicaSet", "old", labels))
        self.pods.until_count(1, labelSelector="app=web")
        self.create("web", 1, revisionHistoryLimit=0, template=pod(
            labels=labels, image=f"{IMAGE}:2"))
        self.sets.until_gone("old")
        self.complete("web", f"{IMAGE}:2")
        self.assertEqual(len(self.sets.items()), 1)

    def test_rollover(self):
        """[sig-apps] Deployment deployment should support rollover [Conformance]"""
        labels = {"app": "web"}
        self.sets.create(workload("ReplicaSet", "old", labels))
        self.pods.until_count(1, labelSelector="app=web")
        # The first wish cannot be met: its pods never run.
        self.create("web", 1, minReadySeconds=1, template=pod(labels=labels, play="wait"),
                    strategy={"type": "RollingUpdate", "rollingUpdate": {
                        "maxUnavailable": 0, "maxSurge": 1}})
        self.deployments.until("web", "has a pod", lambda it: it.get("status", {}).get(
            "updatedReplicas") == 1)
        stuck = [each["metadata"]["name"] for each in self.sets.items()
                 if each["metadata"]["name"] != "old"]
        self.assertEqual(self.sets.get("old")["spec"]["replicas"], 1)
        self.deployments.patch("web", {"spec": {"template": {
            "metadata": {"annotations": {"conformance/play": "run"}},
            "spec": {"containers": [{"name": "main", "image": f"{IMAGE}:2"}]}}}}, "strategic")
        self.complete("web", f"{IMAGE}:2")
        for name in ["old", *stuck]:
            self.sets.until(name, "is empty", lambda it: it["spec"]["replicas"] == 0
                            and not it["status"]["replicas"])

    def test_lifecycle(self):
        """[sig-apps] Deployment should run the lifecycle of a Deployment [Conformance]"""
        label = self.unique("deployment")
        select = {"labelSelector": f"conformance={label}"}
        made = workload("Deployment", "web", {"app": "web"}, 1)
        made["metadata"]["labels"]["conformance"] = label
        version = self.deployments.list()["metadata"]["resourceVersion"]
        with self.deployments.watch(resourceVersion=version, **select) as watch:
            self.deployments.create(made)
            watch.until("ADDED", "the creation")

            def ready(count):
                watch.until("MODIFIED", f"{count} ready", lambda it: it.get("status", {}).get(
                    "readyReplicas") == count and it["spec"]["replicas"] == count)
            ready(1)
            self.deployments.patch("web", {"metadata": {"labels": {"patched": "yes"}}, "spec": {
                "replicas": 2, "template": {"spec": {"terminationGracePeriodSeconds": 7}}}},
                "strategic")
            ready(2)
            self.assertEqual(self.deployments.everywhere().names(**select), ["web"])
            self.deployments.change("web", lambda it: (
                it["metadata"]["labels"].update(updated="yes"),
                it["spec"]["template"]["spec"]["containers"][0].update(image=f"{IMAGE}:2")))
            watch.until("MODIFIED", "the update", lambda it: it["metadata"]["labels"].get(
                "updated") == "yes")
            self.complete("web", f"{IMAGE}:2")
            found = self.deployments.get("web", "status")
            self.assertEqual(found["status"]["readyReplicas"], 2)
            self.deployments.patch("web", {"metadata": {"annotations": {"status": "patched"}},
                                           "status": {"readyReplicas": 0, "availableReplicas": 0}},
                                   sub="status")
            watch.until("MODIFIED", "the status",
                        lambda it: annotations(it).get("status") == "patched")
            self.deployments.until("web", "is told again",
                                   lambda it: it["status"].get("readyReplicas") == 2)
            self.deployments.delete_all(**select)
            watch.until("DELETED", "the deletion")
        self.deployments.until_count(0, **select)

    def test_status(self):
        """[sig-apps] Deployment should validate Deployment Status endpoints [Conformance]"""
        self.create("web", 1)
        self.complete("web")
        self.assertTrue(self.deployments.get("web", "status")["status"]["conditions"])

        def edit(it):
            it["status"]["conditions"].append({
                "type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "set"})
        version = self.deployments.list()["metadata"]["resourceVersion"]
        with self.deployments.watch(resourceVersion=version) as watch:
            self.deployments.change("web", edit, sub="status")
            watch.until("MODIFIED", "the update",
                        lambda it: condition(it, "StatusUpdate").get("status") == "True")
            self.deployments.patch("web", {"status": {"conditions": [
                {"type": "StatusPatched", "status": "True"}]}}, sub="status")
            watch.until("MODIFIED", "the patch",
                        lambda it: condition(it, "StatusPatched").get("status") == "True")

    def test_proportional(self):
        """[sig-apps] Deployment deployment should support proportional scaling [Conformance]"""
        self.create("web", 10, strategy={"type": "RollingUpdate", "rollingUpdate": {
            "maxSurge": 3, "maxUnavailable": 2}})
        self.complete("web")
        first = self.sets.names()[0]
        # The new pods never run: the rollout stands still, 8 old ones and 5 new ones.
        self.deployments.patch("web", {"spec": {"template": {"metadata": {"annotations": {
            "conformance/play": "wait"}}}}})

        def sizes(old, new):
            def probe(found):
                sets = {each["metadata"]["name"]: each["spec"]["replicas"]
                        for each in self.sets.items()}
                return sets.pop(first) == old and list(sets.values()) == [new]
            self.deployments.until("web", f"has {old} and {new}", probe)
        sizes(8, 5)
        # Four fifths of what comes goes where most are.
        self.deployments.patch("web", {"spec": {"replicas": 30}})
        sizes(20, 13)


class Revisions(Behaviours):
    def test_lifecycle(self):
        """[sig-apps] ControllerRevision [Serial] should manage the lifecycle of a ControllerRevision [Conformance]"""
        revisions = self.of("apps/v1", "controllerrevisions")
        label = self.unique("revision")
        select = {"labelSelector": f"conformance={label}"}
        for number in [1, 2, 3]:
            revisions.create({"metadata": {"name": f"one-{number}", "labels": {
                "conformance": label}}, "revision": number, "data": {"spec": {}}})
        self.assertEqual(revisions.everywhere().names(**select), ["one-1", "one-2", "one-3"])
        revisions.patch("one-1", {"metadata": {"labels": {"patched": "yes"}}}, "strategic")
        revisions.change("one-1", lambda it: it["metadata"]["labels"].update(updated="yes"))
        with self.refused(422, "data"):
            revisions.patch("one-1", {"data": {"spec": {"other": 1}}})
        revisions.delete("one-1")
        revisions.delete_all(**select)
        revisions.until_count(0, **select)
