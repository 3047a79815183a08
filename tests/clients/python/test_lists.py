"""Lists in chunks, selectors, and watches that are resumed where they broke off."""

import logging

from kubernetes import client, informer, watch

from cluster import ClusterCase, PATIENCE, eventually


class Lists(ClusterCase):
    def make(self, name, **labels):
        return self.core.create_namespaced_config_map(
            self.namespace, {"metadata": {"name": name, "labels": labels}}
        )

    def names(self, **options):
        found = self.core.list_namespaced_config_map(self.namespace, **options)
        return [item.metadata.name for item in found.items]

    def test_a_list_in_chunks_shows_one_moment(self):
        for number in range(7):
            self.make(f"chunk-{number}", part="chunk")
        ask = {"label_selector": "part=chunk", "limit": 3}
        page = self.core.list_namespaced_config_map(self.namespace, **ask)
        self.assertEqual(len(page.items), 3)
        first, names = page.metadata.resource_version, []
        # Neither is seen by the chunks that follow.
        self.make("chunk-9", part="chunk")
        self.core.delete_namespaced_config_map("chunk-5", self.namespace)
        while True:
            names += [item.metadata.name for item in page.items]
            self.assertEqual(page.metadata.resource_version, first)
            token = page.metadata.var_continue
            if not token:
                break
            page = self.core.list_namespaced_config_map(self.namespace, _continue=token, **ask)
        self.assertEqual(names, [f"chunk-{number}" for number in range(7)])
        self.refused(
            400, "BadRequest", self.core.list_namespaced_config_map,
            self.namespace, _continue="nonsense",
        )

    def test_selectors(self):
        self.make("red-1", colour="red", size="big")
        self.make("red-2", colour="red")
        self.make("blue-1", colour="blue")
        for selector, wanted in [
            ("colour=red", ["red-1", "red-2"]),
            ("colour in (red,blue),!size", ["blue-1", "red-2"]),
            ("colour,colour!=red", ["blue-1"]),
        ]:
            self.assertEqual(self.names(label_selector=selector), wanted, selector)
        self.assertEqual(self.names(field_selector="metadata.name=red-2"), ["red-2"])
        self.refused(
            400, "BadRequest", self.core.list_namespaced_config_map,
            self.namespace, field_selector="data.x=1",
        )

    def test_a_watch_goes_on_where_it_stopped(self):
        self.make("seen-before", part="watch")
        begin = self.core.list_namespaced_config_map(self.namespace).metadata.resource_version
        ask = {"namespace": self.namespace, "label_selector": "part=watch"}
        self.make("one", part="watch")
        self.make("two", part="watch")
        seen, watcher = [], watch.Watch()
        for event in watcher.stream(
            self.core.list_namespaced_config_map, resource_version=begin, **ask
        ):
            self.assertIsInstance(event["object"], client.V1ConfigMap)
            seen.append((event["type"], event["object"].metadata.name))
            if len(seen) == 1:
                watcher.stop()
        self.assertEqual(seen, [("ADDED", "one")])

        # Happens while nobody watches.
        self.core.patch_namespaced_config_map(
            "one", self.namespace, {"data": {"a": "b"}}
        )
        # Without its label the watch loses sight of it.
        self.core.patch_namespaced_config_map(
            "two", self.namespace, {"metadata": {"labels": {"part": None}}}
        )
        self.core.delete_namespaced_config_map("seen-before", self.namespace)
        for event in watcher.stream(
            self.core.list_namespaced_config_map,
            resource_version=watcher.resource_version,
            timeout_seconds=PATIENCE,
            **ask,
        ):
            seen.append((event["type"], event["object"].metadata.name))
            if len(seen) == 5:
                watcher.stop()
        self.assertEqual(
            seen[1:],
            [
                ("ADDED", "two"),
                ("MODIFIED", "one"),
                ("DELETED", "two"),
                ("DELETED", "seen-before"),
            ],
        )

    def test_a_watch_may_begin_with_what_is_there(self):
        self.make("there", part="initial")
        events = watch.Watch().stream(
            self.core.list_namespaced_config_map,
            namespace=self.namespace,
            label_selector="part=initial",
            send_initial_events=True,
            resource_version_match="NotOlderThan",
            allow_watch_bookmarks=True,
            timeout_seconds=PATIENCE,
        )
        event = next(events)
        self.assertEqual((event["type"], event["object"].metadata.name), ("ADDED", "there"))
        event = next(events)
        self.assertEqual(event["type"], "BOOKMARK")
        marks = event["raw_object"]["metadata"]["annotations"]
        self.assertEqual(marks, {"k8s.io/initial-events-end": "true"})
        events.close()

    def test_a_watch_from_nowhere_is_refused(self):
        begin = str(10**15)
        events = watch.Watch().stream(
            self.core.list_namespaced_config_map,
            namespace=self.namespace, resource_version="abc", timeout_seconds=PATIENCE,
        )
        self.refused(400, "BadRequest", next, events)
        self.refused(
            504, "Timeout", self.core.list_namespaced_config_map,
            self.namespace, resource_version=begin,
        )

    def test_an_informer_follows(self):
        self.make("early", part="informer")
        follower = informer.SharedInformer(
            self.core.list_namespaced_config_map,
            namespace=self.namespace,
            label_selector="part=informer",
        )
        added, deleted, failures = [], [], []
        follower.add_event_handler("ADDED", lambda item: added.append(item.metadata.name))
        follower.add_event_handler("DELETED", lambda item: deleted.append(item.metadata.name))
        follower.add_event_handler("ERROR", failures.append)
        # Being stopped is an error to its log.
        logging.getLogger("kubernetes.informer.informer").disabled = True
        follower.start()
        self.addCleanup(follower.stop)
        eventually("early is known", lambda: added == ["early"])
        self.make("late", part="informer")
        eventually("late is known", lambda: added == ["early", "late"])
        self.core.delete_namespaced_config_map("early", self.namespace)
        eventually("early is forgotten", lambda: deleted == ["early"])
        left = [item.metadata.name for item in follower.cache.list()]
        self.assertEqual((left, failures), (["late"], []))
