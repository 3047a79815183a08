"""ResourceQuotas count what comes and goes, and refuse what is too much."""

from case import Behaviours, pod, workload
from operations import contained


class Quotas(Behaviours):
    def setUp(self):
        super().setUp()
        self.quotas = self.of("v1", "resourcequotas")

    def quota(self, hard, name="quota", **spec):
        self.quotas.create({"metadata": {"name": name}, "spec": {"hard": hard, **spec}})
        return self.used(name, {each: "0" for each in hard})

    def used(self, name, used):
        """Waits until this much is used, of what is named."""
        def probe(found):
            now = found.get("status", {}).get("used", {})
            return all(now.get(each) == amount for each, amount in used.items())
        return self.quotas.until(name, f"used is {used}", probe)

    def test_calculated(self):
        """[sig-api-machinery] ResourceQuota should create a ResourceQuota and ensure its status is promptly calculated. [Conformance]"""
        hard = {"pods": "5", "services": "10", "requests.cpu": "1", "requests.memory": "500Mi"}
        found = self.quota(hard)
        self.assertEqual(found["status"]["hard"], hard)

    def life(self, resource, kind, made, unit="1"):
        """Of one object: counted while it is there, and a second one is refused."""
        self.quota({f"count/{kind}" if "." in kind else kind: unit})
        key = f"count/{kind}" if "." in kind else kind
        resource.create(made("one"))
        self.used("quota", {key: "1"})
        with self.refused(403, "exceeded quota: quota", f"used: {key}=1"):
            resource.create(made("two"))
        resource.delete("one")
        self.used("quota", {key: "0"})

    def test_config_map(self):
        """[sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a configMap. [Conformance]"""
        # Every namespace has a ConfigMap that nobody asked for.
        maps = self.of("v1", "configmaps")
        maps.until("kube-root-ca.crt", "is there", lambda _: True)
        self.quotas.create({"metadata": {"name": "quota"}, "spec": {"hard": {"configmaps": "2"}}})
        self.used("quota", {"configmaps": "1"})
        maps.create({"metadata": {"name": "one"}})
        self.used("quota", {"configmaps": "2"})
        with self.refused(403, "exceeded quota: quota"):
            maps.create({"metadata": {"name": "two"}})
        maps.delete("one")
        self.used("quota", {"configmaps": "1"})

    def test_secret(self):
        """[sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a secret. [Conformance]"""
        self.life(self.of("v1", "secrets"), "secrets", lambda name: {"metadata": {"name": name}})

    def test_replica_set(self):
        """[sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a replica set. [Conformance]"""
        self.life(self.of("apps/v1", "replicasets"), "replicasets.apps",
                  lambda name: workload("ReplicaSet", name, {"app": name}, 0))

    def test_replication_controller(self):
        """[sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a replication controller. [Conformance]"""
        self.life(self.of("v1", "replicationcontrollers"), "replicationcontrollers",
                  lambda name: {"metadata": {"name": name}, "spec": {
                      "replicas": 0, "selector": {"app": name},
                      "template": pod(labels={"app": name})}})

    def test_service(self):
        """[sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a service. [Conformance]"""
        services = self.of("v1", "services")

        def service(name, kind):
            return {"metadata": {"name": name}, "spec": {"type": kind, "ports": [{"port": 80}]}}
        self.quota({"services": "3", "services.nodeports": "1", "services.loadbalancers": "1"})
        services.create(service("cluster", "ClusterIP"))
        self.used("quota", {"services": "1", "services.nodeports": "0"})
        services.create(service("node", "NodePort"))
        self.used("quota", {"services": "2", "services.nodeports": "1"})
        with self.refused(403, "exceeded quota: quota", "services.nodeports=1"):
            services.create(service("balancer", "LoadBalancer"))
        for name in ["cluster", "node"]:
            services.delete(name)
        self.used("quota", {"services": "0", "services.nodeports": "0"})

    @staticmethod
    def sized(name, cpu, memory, **spec):
        size = {"cpu": cpu, "memory": memory}
        containers = [{"name": "main", "image": "registry.example/pause:1",
                       "resources": {"requests": size, "limits": size}}]
        return pod(name, play="wait", containers=containers, **spec)

    def test_pod(self):
        """[sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a pod. [Conformance]"""
        self.quota({"pods": "2", "requests.cpu": "1", "requests.memory": "500Mi"})
        self.pods.create(self.sized("one", "500m", "252Mi"))
        used = {"pods": "1", "requests.cpu": "500m", "requests.memory": "252Mi"}
        self.used("quota", used)
        with self.refused(403, "exceeded quota: quota"):
            self.pods.create(self.sized("two", "600m", "100Mi"))
        with self.refused(422):
            self.pods.patch("one", {"spec": {"containers": [
                {"name": "main", "resources": {"requests": {"cpu": "100m"}}}]}}, "strategic")
        self.used("quota", used)
        self.pods.delete("one", gracePeriodSeconds=0)
        self.used("quota", {"pods": "0", "requests.cpu": "0", "requests.memory": "0"})

    def test_best_effort(self):
        """[sig-api-machinery] ResourceQuota should verify ResourceQuota with best effort scope. [Conformance]"""
        for name in ["BestEffort", "NotBestEffort"]:
            self.quota({"pods": "5"}, name.lower(), scopes=[name])
        self.pods.create(pod("small", play="wait"))
        self.used("besteffort", {"pods": "1"})
        self.used("notbesteffort", {"pods": "0"})
        self.pods.delete("small", gracePeriodSeconds=0)
        self.used("besteffort", {"pods": "0"})
        self.pods.create(self.sized("large", "100m", "10Mi"))
        self.used("notbesteffort", {"pods": "1"})
        self.used("besteffort", {"pods": "0"})
        self.pods.delete("large", gracePeriodSeconds=0)
        self.used("notbesteffort", {"pods": "0"})

    def test_terminating(self):
        """[sig-api-machinery] ResourceQuota should verify ResourceQuota with terminating scopes. [Conformance]"""
        hard = {"pods": "5", "requests.cpu": "1", "limits.memory": "1Gi"}
        for name in ["Terminating", "NotTerminating"]:
            self.quota(hard, name.lower(), scopes=[name])
        self.pods.create(self.sized("endless", "100m", "128Mi"))
        used = {"pods": "1", "requests.cpu": "100m", "limits.memory": "128Mi"}
        self.used("notterminating", used)
        self.used("terminating", {"pods": "0"})
        self.pods.delete("endless", gracePeriodSeconds=0)
        self.used("notterminating", {"pods": "0"})
        self.pods.create(self.sized("brief", "100m", "128Mi", activeDeadlineSeconds=3600))
        self.used("terminating", used)
        self.used("notterminating", {"pods": "0"})
        self.pods.delete("brief", gracePeriodSeconds=0)
        self.used("terminating", {"pods": "0"})

    def test_update_delete(self):
        """[sig-api-machinery] ResourceQuota should be able to update and delete ResourceQuota. [Conformance]"""
        self.quota({"cpu": "1", "memory": "500Mi"})
        self.assertEqual(self.quotas.get("quota")["spec"]["hard"], {"cpu": "1", "memory": "500Mi"})
        more = {"cpu": "2", "memory": "1Gi"}
        self.quotas.change("quota", lambda it: it["spec"].update(hard=more))
        self.assertEqual(self.quotas.get("quota")["spec"]["hard"], more)
        self.quotas.delete("quota")
        self.gone(self.quotas, "quota")

    def test_lifecycle(self):
        """[sig-api-machinery] ResourceQuota should manage the lifecycle of a ResourceQuota [Conformance]"""
        label = self.unique("quota")
        select = {"labelSelector": f"conformance={label}"}
        self.quotas.create({"metadata": {"name": "quota", "labels": {"conformance": label}},
                            "spec": {"hard": {"services": "10", "pods": "4"}}})
        self.assertEqual(self.quotas.get("quota")["spec"]["hard"]["pods"], "4")
        self.assertEqual(self.quotas.everywhere().names(**select), ["quota"])
        self.quotas.patch("quota", {"metadata": {"labels": {"quota": "patched"}},
                                    "spec": {"hard": {"pods": "8"}}}, "strategic")
        self.assertEqual(self.quotas.get("quota")["spec"]["hard"],
                         {"services": "10", "pods": "8"})
        self.quotas.delete_all(**select)
        self.quotas.until_count(0, **select)

    def test_status(self):
        """[sig-api-machinery] ResourceQuota should apply changes to a resourcequota status [Conformance]"""
        hard = {"cpu": "500m", "memory": "500Mi"}
        self.quota(hard)
        version = self.quotas.list()["metadata"]["resourceVersion"]
        with self.quotas.watch(resourceVersion=version) as watch:
            lie = {"cpu": "7", "memory": "7Gi"}
            found = self.quotas.change(
                "quota", lambda it: it["status"].update(hard=lie), sub="status")
            self.assertEqual(found["status"]["hard"], lie)
            watch.until("MODIFIED", "the lie", lambda it: it["status"]["hard"] == lie)
            # The controller puts right what nobody but it may know.
            watch.until("MODIFIED", "the truth", lambda it: it["status"]["hard"] == hard)
        patched = self.quotas.patch("quota", {"status": {"hard": lie}}, sub="status")
        contained(self, {"status": {"hard": lie}}, patched)
        self.quotas.until("quota", "the truth again", lambda it: it["status"]["hard"] == hard)
        self.assertEqual(self.quotas.get("quota")["spec"]["hard"], hard)
