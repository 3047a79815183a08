"""Events, by both groups that serve them."""

from case import Behaviours
from operations import annotations


class Events(Behaviours):
    def core(self, name, **labels):
        return {"metadata": {"name": name, "labels": labels}, "type": "Normal",
                "reason": "Conformance", "message": "as written",
                "involvedObject": {"namespace": self.namespace, "kind": "Pod", "name": "absent"}}

    def event(self, name, **labels):
        return {"apiVersion": "events.k8s.io/v1", "kind": "Event",
                "metadata": {"name": name, "labels": labels}, "type": "Normal",
                "eventTime": "2020-01-01T00:00:00.000000Z", "reason": "Conformance",
                "action": "Do", "note": "as written",
                "reportingController": "example.com/conformance", "reportingInstance": "one",
                "regarding": {"namespace": self.namespace, "kind": "Pod", "name": "absent"}}

    def collection(self, resource, make):
        label = self.unique("event")
        for name in ["one", "two", "three"]:
            resource.create(make(name, conformance=label))
        select = {"labelSelector": f"conformance={label}"}
        resource.until_count(3, **select)
        resource.delete_all(**select)
        resource.until_count(0, **select)

    def test_core_collection(self):
        """[sig-instrumentation] Events should delete a collection of events [Conformance]"""
        self.collection(self.of("v1", "events"), self.core)

    def test_collection(self):
        """[sig-instrumentation] Events API should delete a collection of events [Conformance]"""
        self.collection(self.of("events.k8s.io/v1", "events"), self.event)

    def test_core_lifecycle(self):
        """[sig-instrumentation] Events should manage the lifecycle of an event [Conformance]"""
        events = self.of("v1", "events")
        label = self.unique("event")
        select = {"labelSelector": f"conformance={label}"}
        events.create(self.core("one", conformance=label))
        self.assertEqual(events.everywhere().names(**select), ["one"])
        events.patch("one", {"message": "patched"}, "strategic")
        self.assertEqual(events.get("one")["message"], "patched")

        def edit(it):
            annotations(it).update(updated="true")
            it.update(message="updated", count=7,
                      series={"count": 2, "lastObservedTime": "2020-01-02T00:00:00.000000Z"})
        events.change("one", edit)
        found = events.get("one")
        self.assertEqual((found["message"], found["series"]["count"]), ("updated", 2))
        events.delete("one")
        self.assertEqual(events.everywhere().names(**select), [])

    def test_lifecycle(self):
        """[sig-instrumentation] Events API should ensure that an event can be fetched, patched, deleted, and listed [Conformance]"""
        events = self.of("events.k8s.io/v1", "events")
        events.create(self.event("one"))
        for resource in [events, events.everywhere()]:
            found = resource.names(fieldSelector=f"metadata.namespace={self.namespace},"
                                                 "reportingController=example.com/conformance")
            self.assertEqual(found, ["one"])
        self.assertEqual(events.get("one")["note"], "as written")
        series = {"count": 2, "lastObservedTime": "2020-01-02T00:00:00.500000Z"}
        patched = events.patch("one", {"series": series}, "strategic")
        self.assertEqual(patched["series"], series)
        series["count"] = 100
        events.change("one", lambda it: it.update(series=series))
        self.assertEqual(events.get("one")["series"]["count"], 100)
        events.delete("one")
        self.assertEqual(events.names(), [])
