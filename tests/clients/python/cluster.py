"""What every test here starts from: a namespace of its own on the server that $KUBECONFIG names."""

import json
import threading
import time
import unittest

from kubernetes import client, config

# How long anything may take before a test is called broken. No statement about speed.
PATIENCE = 90


class ClusterCase(unittest.TestCase):
    """Each test class works in a namespace that goes with it."""

    @classmethod
    def setUpClass(cls):
        cls.api_client = config.new_client_from_config()
        cls.addClassCleanup(cls.api_client.close)
        cls.core = client.CoreV1Api(cls.api_client)
        cls.apps = client.AppsV1Api(cls.api_client)
        made = cls.core.create_namespace({"metadata": {"generateName": "python-"}})
        cls.namespace = made.metadata.name
        cls.addClassCleanup(cls.core.delete_namespace, cls.namespace)

    def refused(self, code, reason, call, *args, **kwargs):
        """Makes a call that must fail with this status; gives the Status object."""
        with self.assertRaises(client.ApiException) as caught:
            call(*args, **kwargs)
        self.assertEqual(caught.exception.status, code, caught.exception.body)
        status = json.loads(caught.exception.body)
        self.assertEqual((status["kind"], status["reason"]), ("Status", reason))
        return status


def eventually(what, probe):
    """Calls probe until it gives something true, and gives that."""
    end = time.monotonic() + PATIENCE
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {PATIENCE} s; last seen: {value!r}")
        threading.Event().wait(0.02)
