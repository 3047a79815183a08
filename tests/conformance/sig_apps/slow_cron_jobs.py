"""CronJobs over the turns of minutes: what happens when the next run is due and the last one still runs."""

from case import Behaviours, pod
from kube import eventually


class CronJobs(Behaviours):
    def setUp(self):
        super().setUp()
        self.jobs = self.of("batch/v1", "jobs")
        self.cron_jobs = self.of("batch/v1", "cronjobs")

    def create(self, name, **spec):
        """Every minute a Job whose pod runs for ever."""
        self.cron_jobs.create({"metadata": {"name": name}, "spec": {
            "schedule": "*/1 * * * ?",
            "jobTemplate": {"spec": {"template": pod(restartPolicy="Never")}}, **spec}})

    def active(self, name, count):
        """The names of its active Jobs, when there are that many."""
        def look():
            found = self.cron_jobs.get(name).get("status", {}).get("active", [])
            return len(found) == count and [each["name"] for each in found]
        return eventually(f"{name} has {count} active Jobs", look)

    def event(self, reason):
        events = self.of("v1", "events")
        eventually(f"an event says {reason}", lambda: [
            each for each in events.items() if each["reason"] == reason])

    def test_suspended(self):
        """[sig-apps] CronJob should not schedule jobs when suspended [Slow] [Conformance]"""
        self.create("suspended", suspend=True)
        self.create("other")
        made = self.active("other", 1)
        self.assertNotIn("lastScheduleTime", self.cron_jobs.get("suspended").get("status", {}))
        self.assertEqual(self.jobs.names(), made)

    def test_concurrent(self):
        """[sig-apps] CronJob should schedule multiple jobs concurrently [Conformance]"""
        self.create("concurrent", concurrencyPolicy="Allow")
        self.assertEqual(sorted(self.active("concurrent", 2)), self.jobs.names())

    def test_forbid(self):
        """[sig-apps] CronJob should not schedule new jobs when ForbidConcurrent [Slow] [Conformance]"""
        self.create("forbid", concurrencyPolicy="Forbid")
        made = self.active("forbid", 1)
        self.event("JobAlreadyActive")
        self.assertEqual(self.active("forbid", 1), made)
        self.assertEqual(self.jobs.names(), made)

    def test_replace(self):
        """[sig-apps] CronJob should replace jobs when ReplaceConcurrent [Conformance]"""
        self.create("replace", concurrencyPolicy="Replace")
        made = self.active("replace", 1)
        self.jobs.until_gone(made[0])

        def other():
            after = self.active("replace", 1)
            return after != made and after
        after = eventually("another Job is active", other)
        self.assertEqual(self.jobs.names(), after)
