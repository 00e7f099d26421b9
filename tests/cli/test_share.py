import json
import os
from pathlib import Path

import pytest

from midas_bench.cli import share
from midas_bench.cli.main import main
from midas_bench.results.run_files import read

SMALL = Path(__file__).parents[1] / "results/data/small.json"


@pytest.fixture
def run_file(changed, tmp_path, monkeypatch):
    """Save a run that names a host, a user and a folder, and stand in an empty folder."""

    def change(content):
        content["machine_info"]["node"] = "build-07"
        content["benchmarks"][0]["extra_info"]["noise"]["reasons"] = ["/home/annelise/nightly.sh on build-07"]

    (tmp_path / "here").mkdir()
    path = changed(change, "build-07-run.json")
    monkeypatch.chdir(tmp_path / "here")
    return path


def test_a_copy_stands_in_this_folder_under_a_name_that_gives_nothing_away(run_file, capsys):
    before = run_file.read_bytes()
    assert main(["share", str(run_file)]) == 0
    [path] = Path().iterdir()
    assert path.name == "[host]-run-shared.json"
    text = path.read_text()
    assert "annelise" not in text
    assert "build-07" not in text
    assert run_file.read_bytes() == before
    assert [record.times for record in read(path).records] == [record.times for record in read(run_file).records]
    said = capsys.readouterr().out
    assert said.startswith("[host]-run-shared.json (")
    assert "left out branch, node; 1 text changed" in said


def test_names_of_this_machine_and_words_of_the_user_are_taken_out(changed, tmp_path, monkeypatch):
    def change(content):
        reasons = ["grzegorz used workshop9", "for Acme"]
        content["benchmarks"][0]["extra_info"]["noise"]["reasons"] = reasons

    monkeypatch.setenv("USER", "grzegorz")
    monkeypatch.setattr(share.platform, "node", lambda: "workshop9.lan.example")
    output = tmp_path / "copy.json"
    assert main(["share", str(changed(change)), "-o", str(output), "--remove", "acme"]) == 0
    [*reasons] = json.loads(output.read_text())["benchmarks"][0]["extra_info"]["noise"]["reasons"]
    assert reasons == ["[user] used [host]", "for [removed]"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none.json"], "none.json: cannot be read"),
        ([str(Path(__file__))], "is not whole JSON"),
        ([str(SMALL), "-o", str(SMALL)], "is the run itself"),
        ([str(SMALL), "-o", "."], "it is a folder"),
        ([str(SMALL), "--remove", "onnx"], "--remove onnx: cannot be taken out"),
    ],
)
def test_bad_input_is_said_in_one_line_and_nothing_is_written(arguments, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    before = SMALL.read_bytes()
    assert main(["share", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
    assert SMALL.read_bytes() == before


def test_what_is_no_run_is_refused(tmp_path, capsys):
    path = tmp_path / "other.json"
    path.write_text('{"a": 1}')
    assert main(["share", str(path), "-o", str(tmp_path / "copy.json")]) == 2
    assert "has no list `benchmarks`" in capsys.readouterr().err
    path.write_text('{"benchmarks": [{"name": "a", "stats": {}, "extra_info": ' + "[" * 400 + "]" * 400 + "}]}")
    assert main(["share", str(path), "-o", str(tmp_path / "copy.json")]) == 2
    assert not (tmp_path / "copy.json").exists()


def test_a_copy_is_written_by_a_user_without_a_name_and_a_home(monkeypatch):
    def nobody():
        raise KeyError("getpwuid(): uid not found: 54321")

    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(share.getpass, "getuser", nobody)
    monkeypatch.setattr(share.Path, "home", homeless)
    for name in (*share.USER_VARIABLES, *share.HOST_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    names = share.local_names()
    assert names.users == frozenset()
    assert names.hosts == frozenset({os.uname().nodename})
