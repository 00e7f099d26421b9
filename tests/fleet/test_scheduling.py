"""Which node a run is given, and what becomes of runs whose node is lost: with a stand-in for Ray."""

import sys
from types import SimpleNamespace

import pytest

from midas_bench.fleet import fleet_run
from midas_bench.fleet.fleet_run import Fleet, Node, new_runs
from midas_bench.fleet.node_run import LOG, Ended, Piece
from midas_bench.fleet.runs import ENDED, LEFT, LOST, FleetFolder

JOURNAL = ".benchmarks/Linux/journal-20260101_000000-7.jsonl"
BEGUN = [Piece(JOURNAL, 0, b'{"journal":1}\n'), Piece(LOG, 0, b"collected\n")]
WHOLE = Ended(0, (LOG,))


class RayError(Exception):
    pass


class StandIn:
    """Ray, whose tasks give what a script says for their node."""

    exceptions = SimpleNamespace(RayError=RayError)

    def __init__(self, script):
        self.script = script
        self.started = []
        self.cancelled = []

    def on(self, node_id, cpus, _task):
        def remote(arguments, files):
            self.started.append((node_id, cpus, arguments, sorted(files)))
            return iter(self.script[node_id].pop(0))

        return SimpleNamespace(remote=remote)

    def wait(self, tasks, num_returns, timeout=None):  # noqa: ARG002
        return tasks[:1], tasks[1:]

    def get(self, sent):
        if isinstance(sent, BaseException):
            raise sent
        return sent

    def cancel(self, task):
        self.cancelled.append(task)


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """Run a fleet on nodes of these kinds by name; give the stand-in, the runs and what was said."""

    def run(kinds, script, arguments=("--quick",), per="node"):
        ray = StandIn({f"id-{name}": list(of_node) for name, of_node in script.items()})
        monkeypatch.setitem(sys.modules, "ray", ray)
        monkeypatch.setattr(fleet_run, "_on", ray.on)
        nodes = [Node(f"id-{name}", name, 2.0, kind, "A CPU") for name, kind in kinds.items()]
        said = []
        fleet = Fleet(new_runs(fleet_run.chosen(nodes, per)), nodes, FleetFolder(tmp_path), said.append)
        ray.fleet = fleet
        fleet.measure(arguments)
        assert FleetFolder(tmp_path).load() == list(fleet.runs.values())
        return ray, list(fleet.runs.values()), said

    return run


def test_each_node_gets_one_run_with_all_of_its_cpus(measured):
    ray, runs, said = measured({"n1": "a", "n2": "b"}, {"n1": [[BEGUN, WHOLE]], "n2": [[WHOLE]]})
    assert ray.started == [
        ("id-n1", 2.0, ["--quick", "--benchmark-autosave"], []),
        ("id-n2", 2.0, ["--quick", "--benchmark-autosave"], []),
    ]
    assert [(run.hosts, run.state, run.why) for run in runs] == [(("n1",), ENDED, ""), (("n2",), ENDED, "")]
    assert said == [
        "run-1: starts on n1 (A CPU, a)", "run-2: starts on n2 (A CPU, b)", "run-1: collected",
        "run-2: it printed nothing",
    ]  # fmt: skip


def test_a_lost_run_goes_on_with_its_journal_on_a_free_node_of_its_kind_alone(measured):
    lost = [BEGUN, RayError("first line\nthe node died")]
    kinds = {"n1": "a", "n2": "b", "n3": "a"}
    ray, runs, said = measured(kinds, {"n1": [lost], "n2": [[WHOLE]], "n3": [[WHOLE], [WHOLE]]})
    assert ray.started[3] == ("id-n3", 2.0, ["--quick", "--benchmark-autosave", "--resume"], [JOURNAL])
    assert [(run.hosts, run.state) for run in runs] == [(("n1", "n3"), ENDED), (("n2",), ENDED), (("n3",), ENDED)]
    assert "run-1: n1 was lost (the node died)" in said
    assert "run-1: goes on on n3 (A CPU, a)" in said


def test_a_run_of_whose_kind_no_node_is_left_waits_for_a_later_call(measured):
    kinds = {"n1": "a", "n2": "b"}
    ray, runs, _ = measured(kinds, {"n1": [[BEGUN, RayError("it died")]], "n2": [[WHOLE]]})
    assert len(ray.started) == 2
    assert (runs[0].state, runs[0].why) == (LEFT, "n1 was lost (it died)")
    assert runs[1].state == ENDED


def test_a_run_that_was_lost_before_its_first_cell_starts_anew(measured):
    ray, runs, _ = measured({"n1": "a", "n2": "a"}, {"n1": [[RayError("x")]], "n2": [[WHOLE]]}, per="kind")
    assert ray.started[1] == ("id-n2", 2.0, ["--quick", "--benchmark-autosave"], [])
    assert (runs[0].hosts, runs[0].state) == (("n1", "n2"), ENDED)


def test_how_the_user_resumes_is_passed_on_where_there_is_something_to_resume(measured):
    script = {"n1": [[BEGUN, RayError("x")]], "n2": [[WHOLE]]}
    arguments = ("--benchmark-autosave", "--resume=force")
    ray, _, _ = measured({"n1": "a", "n2": "a"}, script, arguments, per="kind")
    assert [started[2] for started in ray.started] == [
        ["--benchmark-autosave"], ["--benchmark-autosave", "--resume=force"],
    ]  # fmt: skip


def test_a_suite_that_fails_says_why_and_frees_its_node(measured):
    failed = [[*BEGUN[:1], Piece(LOG, 0, b"1 failed in 3 s\n\n")], Ended(1, (LOG, JOURNAL))]
    _, runs, said = measured({"n1": "a"}, {"n1": [failed]})
    assert (runs[0].state, runs[0].why) == (ENDED, "exit code 1: 1 failed in 3 s")
    assert said[-1] == "run-1: 1 failed in 3 s"


def test_ctrl_c_ends_what_is_at_work_and_notes_it(measured, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        measured({"n1": "a", "n2": "b"}, {"n1": [[BEGUN, KeyboardInterrupt()]], "n2": [[WHOLE]]})
    states = {run.name: (run.state, run.why) for run in FleetFolder(tmp_path).load()}
    assert states == {"run-1": (LOST, "it was interrupted"), "run-2": (LOST, "it was interrupted")}
    assert len(sys.modules["ray"].cancelled) == 2
