"""The API as it is on the wire: paths, JSON bodies, Status errors and watch lines.

The official client is only asked how to reach the server that $KUBECONFIG names; its models would
hide unknown fields, Tables and discovery documents, which are what many behaviours are about.
"""

import json
import threading
import time
from urllib.parse import urlencode

from kubernetes import config

# Seconds that anything may take before a test is called broken. No statement about speed.
PATIENCE = 60

PATCHES = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}


class Refused(Exception):
    """An answer that is no success: its code, and the Status or whatever text came with it."""

    def __init__(self, code, body, headers):
        self.code, self.headers = code, headers
        try:
            self.status = json.loads(body)
        except ValueError:
            self.status = {"message": body}
        super().__init__(f"{code}: {self.status.get('message')}")

    @property
    def reason(self):
        return self.status.get("reason")

    @property
    def message(self):
        return self.status.get("message") or ""


class Api:
    """Requests with the identity of the kubeconfig, or of a bearer token."""

    def __init__(self):
        client = config.new_client_from_config()
        self.host = client.configuration.host
        self.pool = client.rest_client.pool_manager

    def send(self, method, path, body=None, *, content="application/json", query=None, **headers):
        """One request; the decoded answer and its headers."""
        if query:
            path = f"{path}?{urlencode(query)}"
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        headers.setdefault("Accept", "application/json")
        if body is not None:
            headers["Content-Type"] = content
            body = body if isinstance(body, (str, bytes)) else json.dumps(body)
        answer = self.pool.request(
            method, self.host + path, body=body, headers=headers, timeout=PATIENCE, retries=False)
        text = answer.data.decode()
        if answer.status >= 300:
            raise Refused(answer.status, text, answer.headers)
        if not answer.headers.get("Content-Type", "").startswith("application/json"):
            return text, answer.headers
        return json.loads(text), answer.headers

    def get(self, path, **query):
        return self.send("GET", path, query=query)[0]

    def watch(self, path, **query):
        return Watch(self, path, query)

    def resource(self, version, plural, namespace=None):
        return Resource(self, version, plural, namespace)


class Resource:
    """The objects of one resource, in one namespace or (None) in none or all."""

    def __init__(self, api, version, plural, namespace):
        self.api, self.version, self.plural, self.namespace = api, version, plural, namespace
        self.root = f"/apis/{version}" if "/" in version else f"/api/{version}"

    def path(self, name=None, sub=None):
        parts = [self.root]
        if self.namespace:
            parts += ["namespaces", self.namespace]
        parts += [each for each in (self.plural, name, sub) if each]
        return "/".join(parts)

    def everywhere(self):
        """The same resource in all namespaces."""
        return Resource(self.api, self.version, self.plural, None)

    def create(self, body, sub=None, **query):
        name = body["metadata"]["name"] if sub else None
        return self.api.send("POST", self.path(name, sub), body, query=query)[0]

    def get(self, name, sub=None, **query):
        return self.api.get(self.path(name, sub), **query)

    def list(self, **query):
        return self.api.get(self.path(), **query)

    def items(self, **query):
        return self.list(**query)["items"]

    def names(self, **query):
        return sorted(each["metadata"]["name"] for each in self.items(**query))

    def update(self, body, sub=None, **query):
        path = self.path(body["metadata"]["name"], sub)
        return self.api.send("PUT", path, body, query=query)[0]

    def patch(self, name, body, kind="merge", sub=None, **query):
        return self.api.send(
            "PATCH", self.path(name, sub), body, content=PATCHES[kind], query=query)[0]

    def change(self, name, edit, sub=None):
        """Reads, edits and replaces until nobody else came between."""
        def attempt():
            found = self.get(name)
            edit(found)
            try:
                return self.update(found, sub)
            except Refused as refused:
                if refused.reason != "Conflict":
                    raise
                return None
        return eventually(f"{self.plural} {name} is replaced", attempt)

    def delete(self, name, **options):
        """Deletes with these DeleteOptions."""
        return self.api.send("DELETE", self.path(name), options)[0]

    def delete_all(self, **query):
        return self.api.send("DELETE", self.path(), query=query)[0]

    def watch(self, **query):
        return self.api.watch(self.path(), **query)

    def until(self, name, what, probe):
        """Waits until the object is there and the probe likes it; gives the object."""
        def look():
            try:
                found = self.get(name)
            except Refused as refused:
                if refused.code != 404:
                    raise
                return Unlike(refused)
            return found if probe(found) else Unlike(found)
        return eventually(f"{self.plural} {name}: {what}", look)

    def until_gone(self, name):
        def look():
            try:
                return Unlike(self.get(name))
            except Refused as refused:
                if refused.code != 404:
                    raise
                return True
        eventually(f"{self.plural} {name} is gone", look)

    def until_count(self, count, **query):
        """Waits until the list has so many items; gives them."""
        def look():
            found = self.items(**query)
            return (found or [True]) if len(found) == count else Unlike(found)
        found = eventually(f"{count} {self.plural}", look)
        return found if count else []


class Watch:
    """The events of a watch, one after the other. To be closed: use it in a `with`."""

    def __init__(self, api, path, query):
        query = {"watch": "true", "timeoutSeconds": PATIENCE, **query}
        self.answer = api.pool.request(
            "GET", f"{api.host}{path}?{urlencode(query)}", headers={"Accept": "application/json"},
            preload_content=False, timeout=PATIENCE + 10, retries=False)
        if self.answer.status != 200:
            raise Refused(self.answer.status, self.answer.data.decode(), self.answer.headers)
        self.rest = b""
        self.chunks = self.answer.stream(65536)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.answer.close()

    def __iter__(self):
        return self

    def __next__(self):
        while b"\n" not in self.rest:
            self.rest += next(self.chunks)
        line, self.rest = self.rest.split(b"\n", 1)
        event = json.loads(line)
        return event["type"], event["object"]

    def until(self, kind, what, probe=lambda _: True):
        """The next object that comes with this type of event and that the probe likes."""
        seen = []
        for type_, found in self:
            if type_ == kind and probe(found):
                return found
            seen.append((type_, found["metadata"].get("name", found)))
        raise AssertionError(f"{what}: no such {kind} event within {PATIENCE} s; seen: {seen}")


class Unlike:
    """What a probe saw when it was not content: false, and shown when patience ends."""

    def __init__(self, seen):
        self.seen = seen

    def __bool__(self):
        return False

    def __repr__(self):
        return repr(self.seen)[:4000]


def eventually(what, probe):
    """Calls the probe until it gives something true, and gives that."""
    end = time.monotonic() + PATIENCE
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {PATIENCE} s; last seen: {value!r}")
        threading.Event().wait(0.05)
