"""No behaviour is forgotten and none is made up."""

import unittest
from pathlib import Path

HERE = Path(__file__).parent


def tests(suite):
    for each in suite:
        if isinstance(each, unittest.TestSuite):
            yield from tests(each)
        else:
            yield each


class Names(unittest.TestCase):
    def test_each_behaviour_has_one_test(self):
        found = [unittest.TestLoader().discover(str(HERE), pattern)
                 for pattern in ["test_*.py", "slow_*.py"]]
        names = sorted(each._testMethodDoc for suite in found for each in tests(suite)
                       if not isinstance(each, Names))
        self.assertEqual(names, sorted((HERE / "behaviours.txt").read_text().splitlines()))
