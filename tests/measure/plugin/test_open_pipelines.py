"""Which pipelines stay open, and which is closed when memory is short."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import cv2
import pytest

from midas_bench.measure.plugin import open_pipelines
from midas_bench.measure.plugin.open_pipelines import LEAST_FREE_BYTES, OpenPipelines


@dataclass
class Machine:
    """So much memory, of which each open pipeline takes a part."""

    free_bytes: int = 3 * LEAST_FREE_BYTES
    opened: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)


@pytest.fixture
def machine(monkeypatch):
    machine = Machine()

    class Pipeline:
        def __init__(self, name):
            self.name = name
            machine.opened.append(name)
            machine.free_bytes -= LEAST_FREE_BYTES

        def run(self, photos):
            assert photos == [b"photo"]

        def close(self):
            machine.closed.append(self.name)
            machine.free_bytes += LEAST_FREE_BYTES

    monkeypatch.setattr(open_pipelines.DepthPipeline, "open", lambda config: Pipeline(config.backend))
    monkeypatch.setattr(open_pipelines.psutil, "virtual_memory", lambda: SimpleNamespace(available=machine.free_bytes))
    return machine


@pytest.fixture
def take():
    pipelines = OpenPipelines()

    def taken(backend, threads=1, recipe="fast", network="own"):
        weights = SimpleNamespace(fingerprint=network)
        config = SimpleNamespace(backend=backend, threads=threads, recipe=recipe, weights=weights)
        return pipelines.take(config, b"photo")

    taken.pipelines = pipelines
    before = cv2.getNumThreads()
    yield taken
    cv2.setNumThreads(before)


def test_a_pipeline_is_opened_once_and_stays_open(machine, take):
    assert take("a") is take("a")
    assert take("a", threads=2) is not take("a")
    assert take("a", network="another") is not take("a")
    assert take("a", network="another") is take("a", network="another")
    assert (machine.opened, machine.closed) == (["a", "a", "a"], [])


def test_the_pipeline_that_was_used_longest_ago_is_closed_when_memory_is_short(machine, take):
    for name in ("a", "b", "c"):
        take(name)
    take("a")
    take("d")
    assert machine.closed == ["b"]
    take("b")
    assert machine.closed == ["b", "c"]
    assert machine.opened == ["a", "b", "c", "d", "b"]


def test_the_last_pipeline_is_opened_however_short_memory_is(machine, take):
    machine.free_bytes = 0
    take("a")
    take("b")
    assert (machine.opened, machine.closed) == (["a", "b"], ["a"])


def test_an_open_pipeline_is_not_closed_for_what_is_open_already(machine, take):
    take("a")
    take("b")
    machine.free_bytes = 0
    take("a")
    assert machine.closed == []


def test_all_are_closed_at_the_end(machine, take):
    take("a")
    take("b")
    take.pipelines.close()
    assert sorted(machine.closed) == ["a", "b"]


@pytest.mark.usefixtures("machine")
def test_the_threads_of_the_process_are_set_again_for_each_pipeline(take):
    counts = []
    for threads in (1, 2, 1, 2):
        take("a", threads=threads)
        counts.append(cv2.getNumThreads())
    assert counts == [1, 2, 1, 2]
