"""Who is served first: the kinds that say it."""

from case import Behaviours
from operations import operations

# When a condition that these tests write became so.
SINCE = "2020-01-01T00:00:00Z"


class FlowControl(Behaviours):
    def test_flow_schema(self):
        """[sig-api-machinery] API priority and fairness should support FlowSchema API operations [Conformance]"""
        subject = {"kind": "User", "user": {"name": "conformance-nobody"}}
        rule = {"subjects": [subject], "nonResourceRules": [
            {"verbs": ["get"], "nonResourceURLs": ["/conformance"]}]}
        operations(
            self, self.cluster("flowcontrol.apiserver.k8s.io/v1", "flowschemas"),
            lambda name: {"metadata": {"name": name}, "spec": {
                "matchingPrecedence": 9000,
                "priorityLevelConfiguration": {"name": "global-default"},
                "distinguisherMethod": {"type": "ByUser"}, "rules": [rule]}},
            spec={"spec": {"matchingPrecedence": 9999}},
            status={"conditions": [{"type": "Conformance", "status": "False", "reason": "Patched",
                                    "message": "by hand", "lastTransitionTime": SINCE}]})

    def test_priority_level(self):
        """[sig-api-machinery] API priority and fairness should support PriorityLevelConfiguration API operations [Conformance]"""
        operations(
            self, self.cluster("flowcontrol.apiserver.k8s.io/v1", "prioritylevelconfigurations"),
            lambda name: {"metadata": {"name": name}, "spec": {"type": "Limited", "limited": {
                "nominalConcurrencyShares": 2, "limitResponse": {"type": "Reject"}}}},
            spec={"spec": {"limited": {"nominalConcurrencyShares": 4}}},
            status={"conditions": [{"type": "Conformance", "status": "False", "reason": "Patched",
                                    "message": "by hand", "lastTransitionTime": SINCE}]})
