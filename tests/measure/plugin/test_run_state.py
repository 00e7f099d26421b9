import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from filelock import FileLock, Timeout

from midas_bench.errors import UserError
from midas_bench.measure.plugin import run_journal as journals
from midas_bench.measure.plugin.resume_key import differences
from midas_bench.measure.plugin.run_journal import SCHEMA, RunJournal, new_journal, read_rows, take_abandoned_journal
from midas_bench.measure.plugin.run_state import RunState

HEAD = json.dumps({"journal": SCHEMA, "identity": {}}) + "\n"


@pytest.fixture
def journal(tmp_path):
    return RunJournal(tmp_path / "journal-1.jsonl")


def written(path, text):
    path.write_text(text)
    return path


def test_a_row_is_on_disk_as_soon_as_it_is_appended(journal):
    journal.append({"journal": 1})
    journal.append({"skipped": "b"})
    assert read_rows(journal.path) == [{"journal": 1}, {"skipped": "b"}]


def test_a_torn_last_line_is_passed_over(tmp_path):
    path = written(tmp_path / "j", HEAD + '{"skipped": "a"}\n{"cell": {"fulln')
    assert [list(row) for row in read_rows(path)] == [["journal", "identity"], ["skipped"]]


def test_a_damaged_line_before_the_last_is_the_users_error_and_names_the_line(tmp_path):
    path = written(tmp_path / "j", HEAD + '{"cell": {"fulln\n{"skipped": "a"}\n')
    with pytest.raises(UserError, match="is damaged in line 2; remove it and run again"):
        read_rows(path)


@pytest.mark.parametrize("head", ['{"journal": 99}\n', '{"cell": {}}\n'])
def test_a_journal_of_another_version_is_refused(tmp_path, head):
    with pytest.raises(UserError, match="is not a journal that this version can read"):
        read_rows(written(tmp_path / "j", head))


def test_the_newest_journal_that_nobody_holds_is_taken(tmp_path):
    for age, name in enumerate(["journal-c.jsonl", "journal-a.jsonl", "journal-b.jsonl"]):
        os.utime(written(tmp_path / name, HEAD), (1e9 - age, 1e9 - age))
    assert taken(tmp_path) == "journal-c.jsonl"
    with FileLock(tmp_path / "journal-c.lock"):
        assert taken(tmp_path) == "journal-a.jsonl"


def taken(folder):
    """Name the journal that would be gone on with, and leave it to others again."""
    journal = take_abandoned_journal(folder)
    journal.release()
    return journal.path.name


def test_of_two_runs_that_resume_at_once_each_gets_a_journal_of_its_own_or_none(tmp_path):
    written(tmp_path / "journal-a.jsonl", HEAD)
    first = take_abandoned_journal(tmp_path)
    assert take_abandoned_journal(tmp_path) is None
    with pytest.raises(Timeout):
        RunJournal(first.path)
    first.release()
    assert taken(tmp_path) == "journal-a.jsonl"


def test_a_journal_that_its_run_removed_meanwhile_is_not_taken(tmp_path, monkeypatch):
    gone = tmp_path / "journal-a.jsonl"
    monkeypatch.setattr(type(tmp_path), "glob", lambda *_: [gone])
    assert take_abandoned_journal(tmp_path) is None
    assert not list(tmp_path.iterdir())


def test_the_journal_of_a_living_process_is_not_taken(tmp_path):
    script = """
import sys
from pathlib import Path
from midas_bench.measure.plugin.run_journal import new_journal
journal = new_journal(Path(sys.argv[1]))
journal.append({"journal": 1})
print("ready", flush=True)
sys.stdin.read()
"""
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as living:
        assert living.stdout.readline() == "ready\n"
        assert len(list(tmp_path.glob("journal-*.jsonl"))) == 1
        assert take_abandoned_journal(tmp_path) is None
        living.kill()
        living.wait()
        assert take_abandoned_journal(tmp_path) is not None


def test_where_there_is_no_journal_there_is_nothing_to_take(tmp_path):
    assert take_abandoned_journal(tmp_path / "absent") is None


def test_two_processes_name_their_journals_differently(tmp_path, monkeypatch):
    first = new_journal(tmp_path)
    monkeypatch.setattr(journals.os, "getpid", lambda: 1)
    assert new_journal(tmp_path).path != first.path


def test_a_folder_that_cannot_be_made_is_the_users_error(tmp_path):
    written(tmp_path / "file", "")
    with pytest.raises(UserError, match="cannot be written"):
        RunJournal(tmp_path / "file/journal-1.jsonl")


def test_a_removed_journal_leaves_nothing(journal, tmp_path):
    journal.append({"journal": 1})
    journal.depth_maps_folder.mkdir()
    (journal.depth_maps_folder / "a.png").touch()
    journal.remove()
    assert list(tmp_path.iterdir()) == []


def report(name, outcome="passed", when="call", text="", longrepr=None):
    return SimpleNamespace(
        nodeid=name,
        when=when,
        failed=outcome == "failed",
        skipped=outcome == "skipped",
        longreprtext=text,
        longrepr=longrepr or text,
    )


def test_what_became_of_each_cell_is_listed_and_journalled(journal):
    kept = RunState(["a", "b", "c", "d"], journal)
    kept.pending["a"] = {"fullname": "a"}
    kept.record_report(report("a", when="setup"))
    kept.record_report(report("a"))
    kept.record_report(report("b", "failed", text="E  some context\nfake differs from eager"))
    kept.record_report(report("c", "skipped", "setup", longrepr=("file.py", 3, "Skipped: no such CPU flag")))
    assert kept.to_json() == {
        "schema": 1,
        "status": "partial",
        "planned": ["a", "b", "c", "d"],
        "finished": ["a"],
        "failed": [{"cell": "b", "reason": "fake differs from eager"}],
        "skipped": [{"cell": "c", "reason": "no such CPU flag"}],
    }
    lines = [json.loads(line) for line in journal.path.read_text().splitlines()]
    assert lines == [
        {"cell": {"fullname": "a"}, "elapsed_s": 0.0},
        {"failed": "b", "reason": "fake differs from eager"},
        {"skipped": "c", "reason": "no such CPU flag"},
    ]


def test_a_run_is_complete_when_each_cell_is_finished_or_skipped(journal):
    kept = RunState(["a", "b"], journal)
    kept.finished["a"] = {}
    assert not kept.complete
    kept.skipped["b"] = "reason"
    assert not kept.complete, "another pass may follow"
    kept.passes_ended = True
    assert kept.complete


def test_a_cell_that_fails_after_it_was_timed_is_not_finished(journal):
    kept = RunState(["a"], journal)
    kept.pending["a"] = {"fullname": "a"}
    kept.record_report(report("a"))
    kept.record_report(report("a", "failed", "teardown", text="it would not close"))
    assert kept.finished == {}
    assert kept.failed == {"a": "it would not close"}


NOW = {
    "code": "0123456789abcdef",
    "options": {"benchmark_min_rounds": "10", "threads": [2]},
    "versions": {"numpy": "2.1"},
    "cells": ["a", "b"],
}


@pytest.mark.parametrize(
    ("then", "messages"),
    [
        ({}, []),
        ({"code": "fedcba9876543210"}, ["code: fedcba987654 then, 0123456789ab now"]),
        (
            {"options": {"benchmark_min_rounds": "100", "threads": [1]}},
            ["benchmark_min_rounds: 100 then, 10 now", "threads: [1] then, [2] now"],
        ),
        ({"versions": {"numpy": "2.0"}}, ["numpy: 2.0 then, 2.1 now"]),
        ({"cells": ["a", "b", "c"]}, ["cells: 3 were planned, now 2, without c"]),
        ({"cells": ["a"]}, ["cells: 1 were planned, now 2, newly with b"]),
        ({"cells": ["a", "c"]}, ["cells: 2 were planned, now 2, without c, newly with b"]),
        ({"cells": ["b", "a"]}, ["cells: 2 were planned, now 2, in another order"]),
    ],
)
def test_differences_are_named_with_both_values(then, messages):
    assert differences(NOW | then, NOW) == messages
