"""Watches: what they tell, from where on, and in which order."""

import threading

from case import Behaviours


class Watchers(Behaviours):
    def setUp(self):
        super().setUp()
        self.maps = self.of("v1", "configmaps")

    def make(self, name, label):
        return self.maps.create({"metadata": {"name": name, "labels": {"watch": label}}})

    def mutate(self, name, number):
        return self.maps.patch(name, {"data": {"mutation": str(number)}})

    @staticmethod
    def mutation(number):
        return lambda it: it.get("data", {}).get("mutation") == str(number)

    def test_add_update_delete(self):
        """[sig-api-machinery] Watchers should observe add, update, and delete watch notifications on configmaps [Conformance]"""
        version = self.maps.list()["metadata"]["resourceVersion"]

        def watch(selector):
            return self.maps.watch(resourceVersion=version, labelSelector=selector)
        with watch("watch=a") as a, watch("watch=b") as b, watch("watch in (a,b)") as both:
            self.make("a", "a")
            for each in [a, both]:
                each.until("ADDED", "a")
            for number in [1, 2]:
                self.mutate("a", number)
                for each in [a, both]:
                    each.until("MODIFIED", f"a {number}", self.mutation(number))
            self.maps.delete("a")
            for each in [a, both]:
                each.until("DELETED", "a")
            self.make("b", "b")
            # b and nothing else has come here.
            self.assertEqual(next(b)[1]["metadata"]["name"], "b")
            both.until("ADDED", "b")
            self.maps.delete("b")
            for each in [b, both]:
                each.until("DELETED", "b")

    def test_from_version(self):
        """[sig-api-machinery] Watchers should be able to start watching from a specific resource version [Conformance]"""
        self.make("one", "one")
        first = self.mutate("one", 1)["metadata"]["resourceVersion"]
        self.mutate("one", 2)
        self.maps.delete("one")
        with self.maps.watch(resourceVersion=first, labelSelector="watch=one") as watch:
            kind, found = next(watch)
            self.assertEqual((kind, found["data"]["mutation"]), ("MODIFIED", "2"))
            kind, found = next(watch)
            self.assertEqual((kind, found["data"]["mutation"]), ("DELETED", "2"))

    def test_restart(self):
        """[sig-api-machinery] Watchers should be able to restart watching from the last resource version observed by the previous watch [Conformance]"""
        version = self.maps.list()["metadata"]["resourceVersion"]
        with self.maps.watch(resourceVersion=version, labelSelector="watch=one") as watch:
            self.make("one", "one")
            watch.until("ADDED", "one")
            self.mutate("one", 1)
            seen = watch.until("MODIFIED", "one", self.mutation(1))
        self.mutate("one", 2)
        self.maps.delete("one")
        version = seen["metadata"]["resourceVersion"]
        with self.maps.watch(resourceVersion=version, labelSelector="watch=one") as watch:
            self.assertEqual(next(watch)[0], "MODIFIED")
            self.assertEqual(next(watch)[0], "DELETED")

    def test_selector_left(self):
        """[sig-api-machinery] Watchers should observe an object deletion if it stops meeting the requirements of the selector [Conformance]"""
        version = self.maps.list()["metadata"]["resourceVersion"]
        with self.maps.watch(resourceVersion=version, labelSelector="watch=one") as watch:
            self.make("one", "one")
            self.assertEqual(next(watch)[0], "ADDED")
            self.mutate("one", 1)
            self.assertEqual(next(watch)[0], "MODIFIED")
            self.maps.patch("one", {"metadata": {"labels": {"watch": "other"}}})
            self.assertEqual(next(watch)[0], "DELETED")
            # What happens outside is not told.
            self.mutate("one", 2)
            self.maps.patch("one", {"metadata": {"labels": {"watch": "one"}}})
            kind, found = next(watch)
            self.assertEqual((kind, found["data"]["mutation"]), ("ADDED", "2"))
            self.mutate("one", 3)
            self.assertEqual(next(watch)[0], "MODIFIED")
            self.maps.delete("one")
            self.assertEqual(next(watch)[0], "DELETED")

    def test_order(self):
        """[sig-api-machinery] Watchers should receive events on concurrent watches in same order [Conformance]"""
        first = self.maps.list()["metadata"]["resourceVersion"]
        count = 60
        written = []

        def produce():
            for number in range(count):
                name = f"map-{number % 7}"
                if number % 7 == number:
                    found = self.make(name, "many")
                else:
                    found = self.mutate(name, number)
                written.append(found["metadata"]["resourceVersion"])
        producer = threading.Thread(target=produce)
        producer.start()
        self.addCleanup(producer.join)

        def seen(version):
            with self.maps.watch(resourceVersion=version, labelSelector="watch=many") as watch:
                found = []
                for _, each in watch:
                    found.append(each["metadata"]["resourceVersion"])
                    if self.mutation(count - 1)(each):
                        return found
        all_of_them = seen(first)
        producer.join()
        self.assertEqual(all_of_them, written)
        for start in range(0, count - 1, 6):
            self.assertEqual(seen(written[start]), written[start + 1:])
