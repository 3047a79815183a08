"""Accounts, their tokens, who may do what, and certificates."""

import base64
import json
import subprocess
import tempfile
from pathlib import Path

from case import Behaviours, condition, pod
from kube import eventually
from operations import operations


class ServiceAccounts(Behaviours):
    def setUp(self):
        super().setUp()
        self.accounts = self.of("v1", "serviceaccounts")

    def test_automount(self):
        """[sig-auth] ServiceAccounts should allow opting out of API token automount [Conformance]"""
        self.accounts.create({"metadata": {"name": "mount"}})
        self.accounts.create({"metadata": {"name": "nomount"},
                              "automountServiceAccountToken": False})
        for account in ["mount", "nomount"]:
            for wish in [None, True, False]:
                name = f"{account}-{str(wish).lower()}"
                spec = {} if wish is None else {"automountServiceAccountToken": wish}
                made = self.pods.create(
                    pod(name, play="wait", serviceAccountName=account, **spec))
                mounts = made["spec"]["containers"][0].get("volumeMounts", [])
                mounted = any(each["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount"
                              for each in mounts)
                self.assertEqual(mounted, account == "mount" if wish is None else wish, name)

    def test_token_review(self):
        """[sig-auth] ServiceAccounts should create a serviceAccountToken and ensure a successful TokenReview [Conformance]"""
        self.accounts.create({"metadata": {"name": "one"}})
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
                   "metadata": {"name": "one"}, "spec": {"expirationSeconds": 3600}}
        token = self.accounts.create(request, sub="token")["status"]["token"]
        review = self.cluster("authentication.k8s.io/v1", "tokenreviews").create({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
            "spec": {"token": token}})
        self.assertTrue(review["status"]["authenticated"], review["status"])
        self.assertFalse(review["status"].get("error"))
        self.assertEqual(review["status"]["user"]["username"],
                         f"system:serviceaccount:{self.namespace}:one")

    def test_root_ca(self):
        """[sig-auth] ServiceAccounts should guarantee kube-root-ca.crt exist in any namespace [Conformance]"""
        maps = self.of("v1", "configmaps")
        name = "kube-root-ca.crt"
        first = maps.until(name, "is there", lambda it: it.get("data"))
        maps.delete(name)
        maps.until(name, "is there again",
                   lambda it: it["metadata"]["uid"] != first["metadata"]["uid"])
        maps.patch(name, {"data": {"ca.crt": "nothing"}})
        maps.until(name, "is as it was", lambda it: it["data"] == first["data"])

    def test_lifecycle(self):
        """[sig-auth] ServiceAccounts should run through the lifecycle of a ServiceAccount [Conformance]"""
        label = self.unique("account")
        select = {"labelSelector": f"conformance={label}"}
        version = self.accounts.list()["metadata"]["resourceVersion"]
        with self.accounts.watch(resourceVersion=version, **select) as watch:
            self.accounts.create({"metadata": {"name": "one", "labels": {"conformance": label}}})
            watch.until("ADDED", "the account")
            self.accounts.patch("one", {"automountServiceAccountToken": False}, "strategic")
            watch.until("MODIFIED", "the patch",
                        lambda it: it.get("automountServiceAccountToken") is False)
            self.assertEqual(self.accounts.everywhere().names(**select), ["one"])
            self.accounts.delete_all(**select)
            watch.until("DELETED", "the deletion")

    def test_update(self):
        """[sig-auth] ServiceAccounts should update a ServiceAccount [Conformance]"""
        made = self.accounts.create({"metadata": {"name": "one"}})
        self.assertNotIn("automountServiceAccountToken", made)
        self.accounts.change("one", lambda it: it.update(automountServiceAccountToken=True))
        self.assertTrue(self.accounts.get("one")["automountServiceAccountToken"])

    def test_issuer(self):
        """[sig-auth] ServiceAccounts ServiceAccountIssuerDiscovery should support OIDC discovery of service account issuer [Conformance]"""
        known = self.api.get("/.well-known/openid-configuration")
        self.accounts.create({"metadata": {"name": "one"}})
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
                   "metadata": {"name": "one"}, "spec": {"audiences": ["oidc-discovery-test"]}}
        token = self.accounts.create(request, sub="token")["status"]["token"]
        head, claims = (json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
                        for part in token.split(".")[:2])
        self.assertEqual(claims["iss"], known["issuer"])
        self.assertIn(head["alg"], known["id_token_signing_alg_values_supported"])
        keys = self.api.send("GET", "/openid/v1/jwks", Accept="application/jwk-set+json")[0]
        self.assertIn(head["kid"], [each["kid"] for each in json.loads(keys)["keys"]])


class Reviews(Behaviours):
    def test_subject_reviews(self):
        """[sig-auth] SubjectReview should support SubjectReview API operations [Conformance]"""
        account = f"system:serviceaccount:{self.namespace}:reviewed"
        self.of("v1", "serviceaccounts").create({"metadata": {"name": "reviewed"}})
        what = {"namespace": self.namespace, "verb": "list", "resource": "configmaps",
                "version": "v1"}
        spec = {"resourceAttributes": what, "user": account}
        version = "authorization.k8s.io/v1"

        def allowed(kind, plural, spec, namespace=None):
            made = {"apiVersion": version, "kind": kind, "spec": spec}
            if namespace:
                made["metadata"] = {"namespace": namespace}
            where = self.api.resource(version, plural, namespace)
            return where.create(made)["status"]["allowed"]
        self.assertFalse(allowed("SubjectAccessReview", "subjectaccessreviews", spec))
        self.assertFalse(allowed("LocalSubjectAccessReview", "localsubjectaccessreviews", spec,
                                 self.namespace))
        self.assertTrue(allowed("SelfSubjectAccessReview", "selfsubjectaccessreviews",
                                {"resourceAttributes": what}))
        roles = "rbac.authorization.k8s.io"
        self.of(f"{roles}/v1", "rolebindings").create({
            "metadata": {"name": "reviewed"},
            "roleRef": {"apiGroup": roles, "kind": "ClusterRole", "name": "view"},
            "subjects": [{"kind": "ServiceAccount", "name": "reviewed",
                          "namespace": self.namespace}]})
        eventually("the account may list", lambda: allowed(
            "SubjectAccessReview", "subjectaccessreviews", spec))
        self.assertTrue(allowed("LocalSubjectAccessReview", "localsubjectaccessreviews", spec,
                                self.namespace))


class Certificates(Behaviours):
    def request(self):
        """A PEM request for a certificate, made by openssl."""
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "request.pem"
            subprocess.run(
                ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                 "-nodes", "-keyout", "/dev/null", "-subj", "/CN=conformance", "-out", out],
                check=True, capture_output=True)
            return base64.b64encode(out.read_bytes()).decode()

    def test_operations(self):
        """[sig-auth] Certificates API [Privileged:ClusterAdmin] should support CSR API operations [Conformance]"""
        resource = self.cluster("certificates.k8s.io/v1", "certificatesigningrequests")
        request = self.request()
        self.served(resource, "approval", "status")

        def make(name):
            return {"metadata": {"name": name}, "spec": {
                "request": request, "signerName": "example.com/conformance",
                "expirationSeconds": 3600, "usages": ["digital signature", "key encipherment",
                                                      "server auth"]}}
        operations(self, resource, make)
        name = self.unique("request")
        made = resource.create(make(name))
        self.addCleanup(resource.delete, name)
        self.assertEqual(made["spec"]["username"], "kubernetes-admin")
        approved = {"type": "Approved", "status": "True", "reason": "Conformance"}
        made["status"] = {"conditions": [approved]}
        found = resource.update(made, sub="approval")
        self.assertEqual(condition(found, "Approved")["reason"], "Conformance")
        self.assertEqual(condition(resource.get(name, "approval"), "Approved")["status"], "True")
        found = resource.patch(name, {"metadata": {"annotations": {"patched": "true"}}},
                               sub="approval")
        self.assertEqual(found["metadata"]["annotations"]["patched"], "true")
        certificate = base64.b64encode(
            b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(b"nothing real")
            + b"-----END CERTIFICATE-----\n").decode()
        with self.refused(422, "status.certificate"):
            resource.patch(name, {"status": {"certificate": certificate}}, sub="status")
        found = resource.patch(name, {"status": {"conditions": [
            *found["status"]["conditions"],
            {"type": "Conformance", "status": "True", "reason": "Patched"}]}}, sub="status")
        self.assertEqual(condition(found, "Conformance")["reason"], "Patched")
        self.assertEqual(condition(resource.get(name, "status"), "Conformance")["status"], "True")
