"""Runs the behaviours that wait for a clock, in the files slow_*.py, all at the same time."""

import sys
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import kube
from case import server
from test_names import tests

# Seconds: two turns of the minute, and a busy machine.
PATIENCE = 300


def run(test):
    result = unittest.TestResult()
    test.run(result)
    return test, result


def main():
    kube.PATIENCE = PATIENCE
    server()
    found = list(tests(unittest.TestLoader().discover(str(Path(__file__).parent), "slow_*.py")))
    with ThreadPoolExecutor(len(found)) as pool:
        results = list(pool.map(run, found))
    for test, result in results:
        print(test, "ok" if result.wasSuccessful() else "FAILED", sep=": ")
        for _, trace in [*result.errors, *result.failures]:
            print(trace)
    sys.exit(not all(result.wasSuccessful() for _, result in results))


if __name__ == "__main__":
    main()
