"""Nodes that run nothing: their pods are said to run, to be ready, to finish and to be gone.

A control plane cannot tell them from others. What becomes of a pod is said by its annotation
`conformance/play`; without one it runs and is ready.

| play | what the node reports |
|---|---|
| `run` | Running and ready |
| `wait` | nothing: the pod stays Pending until something else writes its status |
| `succeed` | Succeeded, all containers ended with 0 |
| `fail` | Failed, all containers ended with 1 |
"""

import datetime
import threading

from kube import Refused

NODES = ["conformance-a", "conformance-b"]
PLAY = "conformance/play"

# Seconds between two signs of life; the control plane gives up on a node after 40.
BEAT = 5


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class Kubelet:
    """One for all nodes; its threads end with the process."""

    def __init__(self, api):
        self.api = api
        self.nodes = api.resource("v1", "nodes")
        self.leases = api.resource("coordination.k8s.io/v1", "leases", "kube-node-lease")
        self.started = set()

    def start(self):
        """Nothing but these nodes takes pods from now on."""
        for node in self.nodes.items():
            self.nodes.patch(node["metadata"]["name"], {"spec": {"unschedulable": True}})
        for name in NODES:
            self.register(name)
        self.beat()
        threading.Thread(target=self.beats, daemon=True).start()
        threading.Thread(target=self.pods, daemon=True).start()

    def register(self, name):
        labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}
        node = {"metadata": {"name": name, "labels": labels}}
        try:
            self.nodes.create(node)
        except Refused as refused:
            if refused.reason != "AlreadyExists":
                raise
            self.nodes.patch(name, {"spec": {"unschedulable": None}})
        size = {"cpu": "8", "memory": "32Gi", "pods": "200", "ephemeral-storage": "100Gi"}
        address = f"192.0.2.{NODES.index(name) + 1}"
        self.nodes.patch(name, {"status": {
            "capacity": size,
            "allocatable": size,
            "addresses": [{"type": "InternalIP", "address": address}],
            "conditions": [{
                "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "ready",
                "lastHeartbeatTime": now(), "lastTransitionTime": now()}],
        }}, "strategic", "status")

    def beats(self):
        while not threading.Event().wait(BEAT):
            self.beat()

    def beat(self):
        time = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        for name in NODES:
            spec = {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": time}
            lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                     "metadata": {"name": name}, "spec": spec}
            self.leases.patch(name, lease, "apply", fieldManager="conformance", force="true")

    def pods(self):
        everywhere = self.api.resource("v1", "pods")
        while True:
            found = everywhere.list()
            for pod in found["items"]:
                self.see(pod)
            version = found["metadata"]["resourceVersion"]
            with everywhere.watch(resourceVersion=version) as watch:
                for kind, pod in watch:
                    if kind == "ERROR":
                        break
                    if kind != "DELETED":
                        self.see(pod)

    def see(self, pod):
        if pod["spec"].get("nodeName") not in NODES:
            return
        meta = pod["metadata"]
        pods = self.api.resource("v1", "pods", meta["namespace"])
        try:
            if "deletionTimestamp" in meta:
                pods.delete(meta["name"], gracePeriodSeconds=0,
                            preconditions={"uid": meta["uid"]})
            elif meta["uid"] not in self.started:
                status = self.play(pod)
                if status:
                    self.started.add(meta["uid"])
                    pods.patch(meta["name"], {"metadata": {"uid": meta["uid"]}, "status": status},
                               "strategic", "status")
        except Refused as refused:
            # Somebody else was faster.
            if refused.code not in (404, 409):
                raise

    def play(self, pod):
        """The status of the pod that the node reports; None where it reports nothing."""
        play = pod["metadata"].get("annotations", {}).get(PLAY, "run")
        if play == "wait":
            return None
        phase = {"run": "Running", "succeed": "Succeeded", "fail": "Failed"}[play]
        ready = play == "run"
        number = len(self.started) + 1
        address = f"198.18.{number // 250}.{number % 250 + 1}"
        condition = {"status": str(ready), "lastTransitionTime": now()}
        return {
            "phase": phase,
            "startTime": now(),
            "podIP": address, "podIPs": [{"ip": address}],
            "hostIP": f"192.0.2.{NODES.index(pod['spec']['nodeName']) + 1}",
            "conditions": [
                {**condition, "type": "Ready"}, {**condition, "type": "ContainersReady"},
                {**condition, "type": "Initialized", "status": "True"}],
            "containerStatuses": [
                self.container(each, ready, play) for each in pod["spec"]["containers"]],
        }

    @staticmethod
    def container(spec, ready, play):
        if ready:
            state = {"running": {"startedAt": now()}}
        else:
            code = int(play == "fail")
            state = {"terminated": {"exitCode": code, "startedAt": now(), "finishedAt": now()}}
        return {"name": spec["name"], "image": spec["image"], "imageID": spec["image"],
                "ready": ready, "started": ready, "restartCount": 0, "state": state}
