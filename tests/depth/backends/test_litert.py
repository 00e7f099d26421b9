"""What LiteRT does not tell of itself: its threads, and where its operators run."""

import json
import subprocess
import sys

import pytest

from midas_bench.depth.backends import registry
from midas_bench.depth.weights import seeded

pytestmark = pytest.mark.slow  # the graph takes half a minute to make

COUNTED = """
import json, sys
import numpy as np
import psutil
from midas_bench.depth.backends.litert_interpreter import LiteRtBackend
from midas_bench.depth.interface import MIDAS
count = psutil.Process().num_threads
before, seen = count(), []
for threads in (1, 2, 4):
    backend = LiteRtBackend(sys.argv[1], threads, MIDAS)
    backend(np.zeros(MIDAS.shape(1), np.float32))
    opened = count()
    backend.close()
    seen.append((backend.threads, opened - before, count() - before))
print(json.dumps(seen))
"""


@pytest.fixture
def graph(prepared):
    reason = registry.missing(registry.find("litert"))
    if reason:
        pytest.skip(str(reason))
    return registry.prepare("litert", seeded(), prepared("litert")).path


def test_it_starts_the_threads_that_it_is_given_and_ends_them(graph):
    ran = subprocess.run([sys.executable, "-c", COUNTED, str(graph)], capture_output=True, text=True, check=True)
    # the caller's thread is one of them
    assert json.loads(ran.stdout) == [[1, 0, 0], [2, 1, 0], [4, 3, 0]]
    assert ran.stderr == ""


def test_the_whole_network_runs_in_xnnpack(graph):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(graph))
    interpreter.allocate_tensors()
    [network] = [step for step in interpreter._get_ops_details() if step["op_name"] == "DELEGATE"]
    [returned] = interpreter.get_output_details()
    assert list(network["outputs"]) == [returned["index"]]
