"""A fleet's folder: files that grow, what goes to another machine, and what is missing."""

import json

import pytest

from midas_bench.errors import UserError
from midas_bench.files import append_json_line
from midas_bench.fleet import fleet_run, node_run
from midas_bench.fleet.fleet_run import Node, check_arguments, chosen, counted, new_runs
from midas_bench.fleet.node_run import LOG, Piece
from midas_bench.fleet.runs import ENDED, LOST, STATE, Cells, FleetFolder, FleetRun, problems

RUN = FleetRun("run-1", "aaaaaaaaaaaa", "A CPU", ("host",))
JOURNAL = ".benchmarks/Linux/journal-20260101_000000-7.jsonl"
CELLS = ["bench/a.py::a", "bench/a.py::b", "bench/a.py::c", "bench/a.py::d"]


def node(name, kind, cpus=2.0):
    return Node(f"id-{name}", name, cpus, kind, f"CPU {kind[0]}")


NODES = [node("n1", "aaa"), node("n2", "bbb"), node("n3", "aaa")]


@pytest.fixture
def folder(tmp_path):
    return FleetFolder(tmp_path / "fleet")


@pytest.fixture
def there(tmp_path):
    """Make the folder that a suite writes into."""
    there = tmp_path / "node"
    (there / JOURNAL).parent.mkdir(parents=True)
    return there


def copied(folder, there, sent):
    folder.add(RUN, list(node_run.new_pieces(there, sent)))
    root = folder.path / RUN.name
    return {path.relative_to(root).as_posix(): path.read_text() for path in root.rglob("*") if path.is_file()}


def test_files_are_copied_as_they_grow(folder, there):
    sent = {}
    (there / LOG).write_text("collected 4\n")
    append_json_line(there / JOURNAL, {"journal": 1})
    for name in (".benchmarks/Linux/journal-20260101_000000-7.lock", ".benchmarks/.saving.lock", "other.txt"):
        (there / name).touch()
    assert copied(folder, there, sent) == {LOG: "collected 4\n", JOURNAL: '{"journal":1}\n'}
    append_json_line(there / JOURNAL, {"visit": 2})
    [piece] = node_run.new_pieces(there, dict(sent))
    assert piece == Piece(JOURNAL, len('{"journal":1}\n'), b'{"visit":2}\n')
    assert copied(folder, there, sent)[JOURNAL] == '{"journal":1}\n{"visit":2}\n'
    assert list(node_run.new_pieces(there, sent)) == []


def test_a_file_that_became_shorter_is_copied_whole(folder, there):
    sent = {}
    (there / JOURNAL).write_text("a long line that is torn")
    copied(folder, there, sent)
    (there / JOURNAL).write_text("short\n")
    assert copied(folder, there, sent)[JOURNAL] == "short\n"


def test_a_journal_that_the_run_removed_at_its_end_is_removed_here(folder, there):
    (there / JOURNAL).write_text("{}\n")
    (there / ".benchmarks/Linux/0001.json").write_text("{}")
    copied(folder, there, {})
    folder.keep_only(RUN, [".benchmarks/Linux/0001.json", LOG])
    assert folder.journals(RUN) == []
    assert [path.name for path in folder.results(RUN)] == ["0001.json"]


def test_another_machine_gets_the_journal_without_its_torn_line_and_the_depth_maps(folder, there):
    (there / JOURNAL).write_text('{"journal":1}\n{"visit":')
    maps = (there / JOURNAL).with_suffix("")
    maps.mkdir()
    (maps / "onnx-1.png").write_bytes(b"png")
    copied(folder, there, {})
    expected = {JOURNAL: b'{"journal":1}\n', f"{JOURNAL.removesuffix('.jsonl')}/onnx-1.png": b"png"}
    assert folder.to_go_on_with(RUN) == expected
    # what the other machine appends then stands behind what is here
    folder.add(RUN, [Piece(JOURNAL, len(expected[JOURNAL]), b'{"visit":3}\n')])
    assert (folder.path / RUN.name / JOURNAL).read_text() == '{"journal":1}\n{"visit":3}\n'


def test_a_run_that_was_not_begun_has_nothing_to_go_on_with(folder):
    assert folder.to_go_on_with(RUN) == {}
    assert folder.cells(RUN) == Cells(None, (), {})
    [line] = problems(RUN, folder.cells(RUN))
    assert line == "run-1 (A CPU, kind aaaaaaaaaaaa, on host): all of its cells are missing: it was not begun"


def test_cells_of_a_lost_run_are_those_of_its_journal(folder):
    path = folder.path / RUN.name / JOURNAL
    for row in (
        {"journal": 1, "identity": {"cells": CELLS}},
        {"visit": {"fullname": CELLS[0]}, "elapsed_s": 1.0, "took_s": 1.0},
        {"cell": {"fullname": CELLS[1]}, "elapsed_s": 2.0},
        {"failed": CELLS[2], "reason": "one is not two"},
        {"skipped": CELLS[3], "reason": "no such CPU flag"},
    ):
        append_json_line(path, row)
    cells = folder.cells(RUN)
    # rounds of a pass are no result before all passes are made
    assert cells == Cells(tuple(CELLS), (CELLS[0],), {CELLS[2]: "one is not two"})
    assert not cells.whole
    assert list(problems(FleetRun(**vars(RUN) | {"why": "host was lost"}), cells)) == [
        "run-1 (A CPU, kind aaaaaaaaaaaa, on host): 1 of 4 cells are missing: host was lost",
        f"  missing: {CELLS[0]}",
        f"  failed: {CELLS[2]}: one is not two",
    ]


def test_cells_of_a_saved_run_are_those_of_its_newest_file(folder):
    for name, finished in (("0001.json", CELLS[:1]), ("0002.json", CELLS[:3])):
        skipped = [{"cell": CELLS[3], "reason": "no such CPU flag"}]
        status = {"planned": CELLS, "finished": finished, "failed": [], "skipped": skipped}
        path = folder.path / RUN.name / ".benchmarks/Linux" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"midas_bench": status}))
    assert folder.cells(RUN) == Cells(tuple(CELLS), (), {})
    assert list(problems(RUN, folder.cells(RUN))) == []


def test_the_state_of_runs_is_read_back(folder):
    runs = [RUN, FleetRun("run-2", "b", "B", ("x", "y"), LOST, "y was lost"), FleetRun("run-3", "c", "C", (), ENDED)]
    assert folder.load() == []
    folder.save(runs)
    assert folder.load() == runs
    (folder.path / STATE).write_text('{"name": 1}\n')
    with pytest.raises(UserError, match="is not the state of a fleet's runs; choose another folder"):
        folder.load()


@pytest.mark.parametrize(("per", "names"), [("node", ["n1", "n2", "n3"]), ("kind", ["n1", "n2"])])
def test_machines_are_all_or_one_of_each_kind(per, names):
    assert [one.host for one in chosen(NODES, per)] == names
    assert [run.name for run in new_runs(chosen(NODES, per))] == [f"run-{n}" for n in range(1, len(names) + 1)]
    assert counted(NODES) == "3 machines: 2 of kind aaa (CPU a), 1 of kind bbb (CPU b)"


@pytest.mark.parametrize("argument", ["--benchmark-json=a.json", "--benchmark-storage", "--benchmark-storage=file://x"])
def test_where_results_go_is_not_for_pytest_to_say(argument):
    with pytest.raises(UserError, match="cannot be chosen: each machine saves its own; leave it out, and use -o"):
        check_arguments(["--quick", argument])
    check_arguments(["--quick", "--benchmark-save=name"])


def test_a_resume_is_recognised_with_and_without_a_value():
    words = ("--resume", "--resume=force", "--resumed", "-r")
    assert [fleet_run.is_resume(word) for word in words] == [True, True, False, False]
