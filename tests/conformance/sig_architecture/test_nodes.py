"""What a cluster has to have to be called one."""

from case import Behaviours
from kube import eventually


class Conformance(Behaviours):
    def test_two_nodes(self):
        """[sig-architecture] Conformance Tests should have at least two untainted nodes [Conformance]"""
        def untainted():
            found = [each for each in self.cluster("v1", "nodes").items()
                     if not each["spec"].get("taints") and not each["spec"].get("unschedulable")]
            return len(found) >= 2
        eventually("two nodes take pods", untainted)
