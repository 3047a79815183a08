"""Jobs: until enough pods have ended well, or too many badly."""

from case import Behaviours, condition, pod
from kube import eventually
from operations import operations

# The pods of the Job that every test here makes.
OF_WORK = {"labelSelector": "batch.kubernetes.io/job-name=work"}


class Jobs(Behaviours):
    def setUp(self):
        super().setUp()
        self.jobs = self.of("batch/v1", "jobs")

    def create(self, restart, play, **spec):
        self.jobs.create({"metadata": {"name": "work"}, "spec": {
            "template": pod(play=play, restartPolicy=restart), **spec}})

    def finish(self, pods, state):
        """Reports of these pods what a node would."""
        for each in pods:
            name = each["metadata"]["name"]
            container = {"name": "main", "image": "registry.example/pause:1", "imageID": "one",
                         "ready": False, **state}
            phase = "Running" if "running" in state["state"] else "Succeeded"
            self.pods.patch(name, {"status": {"phase": phase, "containerStatuses": [container]}},
                            "strategic", "status")

    def test_restarts(self):
        """[sig-apps] Job should run a job to completion when tasks sometimes fail and are locally restarted [Conformance]"""
        self.create("OnFailure", "wait", parallelism=2, completions=4)
        done = set()
        failed = {"exitCode": 1, "reason": "Error"}

        def step():
            pods = [each for each in self.pods.items(**OF_WORK)
                    if each["metadata"]["name"] not in done and each["spec"].get("nodeName")]
            # Each fails once and succeeds after that, in the same pod.
            self.finish(pods, {"restartCount": 1, "state": {"running": {}},
                               "lastState": {"terminated": failed}})
            self.finish(pods, {"restartCount": 1, "state": {"terminated": {"exitCode": 0}},
                               "lastState": {"terminated": failed}})
            done.update(each["metadata"]["name"] for each in pods)
            found = self.jobs.get("work")
            return condition(found, "Complete").get("status") == "True" and found
        found = eventually("the Job is complete", step)
        self.assertEqual(found["status"]["succeeded"], 4)
        self.assertEqual(condition(found, "Complete")["reason"], "CompletionsReached")

    def test_success_policy(self):
        """[sig-apps] Job with successPolicy should succeeded when all indexes succeeded [Conformance]"""
        self.create("Never", "succeed", parallelism=2, completions=2, completionMode="Indexed",
                    successPolicy={"rules": [{"succeededIndexes": "0-1"}]})
        found = self.jobs.until("work", "is complete", lambda it: condition(
            it, "Complete").get("status") == "True")
        self.assertEqual(condition(found, "SuccessCriteriaMet")["reason"], "SuccessPolicy")
        self.assertEqual(condition(found, "Complete")["reason"], "SuccessPolicy")
        self.assertEqual(found["status"]["completedIndexes"], "0,1")

    def played(self, plays, **spec):
        """An Indexed Job whose pods the tests end: `plays` says how, by index."""
        self.create("Never", "wait", completionMode="Indexed", **spec)
        done = set()

        def step(finished):
            for each in self.pods.items(**OF_WORK):
                name, labels = each["metadata"]["name"], each["metadata"]["labels"]
                index = int(labels["batch.kubernetes.io/job-completion-index"])
                code = plays.get(index)
                if code is None or name in done or not each["spec"].get("nodeName"):
                    continue
                done.add(name)
                ended = {"name": "main", "image": "registry.example/pause:1", "imageID": "one",
                         "ready": False, "restartCount": 0,
                         "state": {"terminated": {"exitCode": code}}}
                self.pods.patch(name, {"status": {"phase": "Failed" if code else "Succeeded",
                                                  "containerStatuses": [ended]}},
                                "strategic", "status")
            found = self.jobs.get("work")
            return condition(found, finished).get("status") == "True" and found
        return lambda finished: eventually(f"the Job is {finished}", lambda: step(finished))

    def test_indexed(self):
        """[sig-apps] Job should create pods for an Indexed job with completion indexes and specified hostname [Conformance]"""
        until = self.played({index: 0 for index in range(4)}, parallelism=2, completions=4)
        found = until("Complete")
        self.assertEqual(found["status"]["completedIndexes"], "0-3")
        pods = self.pods.items(**OF_WORK)
        self.assertEqual(sorted(each["spec"]["hostname"] for each in pods),
                         [f"work-{index}" for index in range(4)])
        key = "batch.kubernetes.io/job-completion-index"
        self.assertEqual(sorted(each["metadata"]["annotations"][key] for each in pods),
                         ["0", "1", "2", "3"])

    def test_index_limit(self):
        """[sig-apps] Job should execute all indexes despite some failing when using backoffLimitPerIndex [Conformance]"""
        until = self.played({0: 1, 1: 0, 2: 1, 3: 0}, parallelism=2, completions=4,
                            backoffLimitPerIndex=0)
        found = until("Failed")
        self.assertEqual(condition(found, "Failed")["reason"], "FailedIndexes")
        self.assertEqual(found["status"]["failedIndexes"], "0,2")
        self.assertEqual(found["status"]["completedIndexes"], "1,3")

    def test_failed_indexes(self):
        """[sig-apps] Job should terminate job execution when the number of failed indexes exceeds maxFailedIndexes [Conformance]"""
        until = self.played({index: 1 for index in range(10)}, parallelism=1, completions=10,
                            backoffLimitPerIndex=0, maxFailedIndexes=4)
        found = until("Failed")
        self.assertEqual(condition(found, "Failed")["reason"], "MaxFailedIndexesExceeded")
        self.assertEqual(found["status"]["failed"], 5)

    def rule(self, action, code):
        return {"rules": [{"action": action, "onExitCodes": {
            "containerName": "main", "operator": "In", "values": [code]}}]}

    def test_fail_index(self):
        """[sig-apps] Job should mark indexes as failed when the FailIndex action is matched in podFailurePolicy [Conformance]"""
        until = self.played({0: 42, 1: 0}, parallelism=2, completions=2, backoffLimitPerIndex=3,
                            podFailurePolicy=self.rule("FailIndex", 42))
        found = until("Failed")
        self.assertEqual(found["status"]["failedIndexes"], "0")
        self.assertEqual(found["status"]["completedIndexes"], "1")

    def test_fail_job(self):
        """[sig-apps] Job should allow to use the pod failure policy on exit code to fail the job early [Conformance]"""
        until = self.played({0: 3}, parallelism=1, completions=4,
                            podFailurePolicy=self.rule("FailJob", 3))
        found = until("Failed")
        self.assertEqual(condition(found, "Failed")["reason"], "PodFailurePolicy")

    def test_disrupted(self):
        """[sig-apps] Job should allow to use a pod failure policy to ignore failure matching on DisruptionTarget condition [Conformance]"""
        ignore = {"action": "Ignore", "onPodConditions": [
            {"type": "DisruptionTarget", "status": "True"}]}
        self.create("Never", "wait", parallelism=2, completions=2, backoffLimit=0,
                    podFailurePolicy={"rules": [ignore]})
        first = self.pods.until_count(2, **OF_WORK)[0]["metadata"]
        self.pods.create({"apiVersion": "policy/v1", "kind": "Eviction",
                          "metadata": {"name": first["name"]}}, sub="eviction")
        # The node says of it what it says of every pod that is ended early.
        self.pods.patch(first["name"], {"status": {"phase": "Failed"}}, "strategic", "status")
        self.pods.until_gone(first["name"])

        def step():
            self.finish([each for each in self.pods.items(**OF_WORK)
                         if each["spec"].get("nodeName")],
                        {"restartCount": 0, "state": {"terminated": {"exitCode": 0}}})
            found = self.jobs.get("work")
            return condition(found, "Complete").get("status") == "True" and found
        found = eventually("the Job is complete", step)
        self.assertEqual(found["status"]["succeeded"], 2)
        self.assertEqual(found["status"].get("failed", 0), 0)

    def pending(self, **rule):
        until = self.played({0: 0}, parallelism=2, completions=2,
                            successPolicy={"rules": [rule]})
        found = until("Complete")
        self.assertEqual(condition(found, "SuccessCriteriaMet")["reason"], "SuccessPolicy")
        self.assertEqual(found["status"]["completedIndexes"], "0")

    def test_success_count(self):
        """[sig-apps] Job with successPolicy succeededCount rule should succeeded even when some indexes remain pending [Conformance]"""
        self.pending(succeededCount=1)

    def test_success_indexes(self):
        """[sig-apps] Job with successPolicy succeededIndexes rule should succeeded even when some indexes remain pending [Conformance]"""
        self.pending(succeededIndexes="0")

    def test_adopt(self):
        """[sig-apps] Job should adopt matching orphans and release non-matching pods [Conformance]"""
        self.create("Never", None, parallelism=2, completions=2)
        name = self.pods.until_count(2, **OF_WORK)[0]["metadata"]["name"]

        def owned(wish):
            self.pods.until(name, f"owned: {wish}", lambda it: wish == bool(
                it["metadata"].get("ownerReferences")))
        self.pods.patch(name, {"metadata": {"ownerReferences": None}})
        owned(True)
        labels = {key: None for key in self.pods.get(name)["metadata"]["labels"]}
        self.pods.patch(name, {"metadata": {"labels": labels}})
        owned(False)

    def test_delete(self):
        """[sig-apps] Job should delete a job [Conformance]"""
        self.create("Never", None, parallelism=2, completions=2)
        self.pods.until_count(2)
        self.jobs.delete("work", propagationPolicy="Background")
        self.jobs.until_gone("work")
        self.pods.until_count(0)

    def test_status(self):
        """[sig-apps] Job should apply changes to a job status [Conformance]"""
        self.create("Never", None, parallelism=2, completions=4)
        self.jobs.until("work", "has pods", lambda it: it.get("status", {}).get("active") == 2)
        started = self.jobs.get("work", "status")["status"]["startTime"]
        self.assertTrue(started)
        kinds = ["CustomConditionType", "CustomPatched"]
        self.jobs.change("work", lambda it: it["status"].setdefault("conditions", []).append(
            {"type": kinds[0], "status": "True"}), sub="status")
        self.assertEqual(condition(self.jobs.get("work"), kinds[0])["status"], "True")
        self.jobs.patch("work", {"status": {"conditions": [
            {"type": kinds[1], "status": "True"}]}}, sub="status")
        self.assertEqual(condition(self.jobs.get("work"), kinds[1])["status"], "True")

    def test_lifecycle(self):
        """[sig-apps] Job should manage the lifecycle of a job [Conformance]"""
        label = self.unique("job")
        select = {"labelSelector": f"conformance={label}"}
        self.create("Never", "wait", suspend=True, parallelism=1, completions=1)
        self.jobs.patch("work", {"metadata": {"labels": {"conformance": label}},
                                 "spec": {"suspend": False}}, "strategic")
        self.pods.until_count(1)
        self.jobs.change("work", lambda it: it["metadata"].setdefault(
            "annotations", {}).update(updated="true"))
        self.assertEqual(self.jobs.everywhere().names(**select), ["work"])
        self.jobs.delete_all(**select, propagationPolicy="Background")
        self.jobs.until_count(0, **select)
        self.pods.until_count(0)


class CronJobs(Behaviours):
    def test_operations(self):
        """[sig-apps] CronJob should support CronJob API operations [Conformance]"""
        operations(
            self, self.of("batch/v1", "cronjobs"),
            lambda name: {"metadata": {"name": name}, "spec": {
                "schedule": "*/1 * * * *", "suspend": True, "concurrencyPolicy": "Allow",
                "jobTemplate": {"spec": {"template": pod(restartPolicy="OnFailure")}}}},
            spec={"spec": {"schedule": "*/2 * * * *"}},
            status={"lastScheduleTime": "2020-01-01T00:00:00Z"})
