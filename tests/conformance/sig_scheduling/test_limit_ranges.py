"""LimitRanges give pods sizes, and refuse what is too large or too small."""

from case import Behaviours, pod


class LimitRanges(Behaviours):
    def test_defaults(self):
        """[sig-scheduling] LimitRange should create a LimitRange with defaults and ensure pod has those defaults applied. [Conformance]"""
        limits = self.of("v1", "limitranges")
        limits.create({"metadata": {"name": "range"}, "spec": {"limits": [{
            "type": "Container",
            "min": {"cpu": "50m", "memory": "100Mi"}, "max": {"cpu": "500m", "memory": "500Mi"},
            "defaultRequest": {"cpu": "100m", "memory": "200Mi"},
            "default": {"cpu": "300m", "memory": "400Mi"}}]}})

        def resources(made):
            return made["spec"]["containers"][0]["resources"]
        made = self.pods.create(pod("plain", play="wait"))
        self.assertEqual(resources(made), {"requests": {"cpu": "100m", "memory": "200Mi"},
                                           "limits": {"cpu": "300m", "memory": "400Mi"}})

        def partial(name, **given):
            return pod(name, play="wait", containers=[{
                "name": "main", "image": "registry.example/pause:1", "resources": given}])
        made = self.pods.create(partial("partial", requests={"cpu": "200m"},
                                        limits={"memory": "450Mi"}))
        # A request that is missing is the limit before it is the default of the range.
        self.assertEqual(resources(made), {"requests": {"cpu": "200m", "memory": "450Mi"},
                                           "limits": {"cpu": "300m", "memory": "450Mi"}})
        with self.refused(403, "minimum cpu usage per Container is 50m"):
            self.pods.create(partial("tiny", requests={"cpu": "10m"}))
        with self.refused(403, "maximum cpu usage per Container is 500m"):
            self.pods.create(partial("huge", limits={"cpu": "600m"}))
        limits.change("range", lambda it: it["spec"]["limits"][0]["min"].update(cpu="9m"))
        self.pods.create(partial("small", requests={"cpu": "10m"}))
        limits.delete("range")
        self.gone(limits, "range")
        self.pods.create(partial("free", limits={"cpu": "600m"}))

    def test_collection(self):
        """[sig-scheduling] LimitRange should list, patch and delete a LimitRange by collection [Conformance]"""
        limits = self.of("v1", "limitranges")
        label = self.unique("range")
        select = {"labelSelector": f"conformance={label}"}
        limits.create({"metadata": {"name": "range", "labels": {"conformance": label}},
                       "spec": {"limits": [{"type": "Container", "min": {"cpu": "50m"},
                                            "max": {"cpu": "500m"}}]}})
        self.assertEqual(limits.everywhere().names(**select), ["range"])
        patched = limits.patch("range", {"spec": {"limits": [
            {"type": "Container", "min": {"cpu": "40m"}, "max": {"cpu": "400m"}}]}}, "strategic")
        self.assertEqual(patched["spec"]["limits"][0]["min"], {"cpu": "40m"})
        limits.delete_all(**select)
        limits.until_count(0, **select)
        self.assertEqual(limits.everywhere().names(**select), [])
