"""`midas-bench fleet` without Ray: flags, pytest's arguments, and folders of earlier calls."""

import json

import pytest

from midas_bench.cli import fleet, main
from midas_bench.errors import UserError
from midas_bench.fleet.runs import ENDED, LOST, FleetFolder, FleetRun


def parsed(*words):
    return main._parse(["fleet", "run", *words])


def test_without_the_extra_one_line_names_it(monkeypatch, capsys):
    monkeypatch.setattr("midas_bench.errors.importlib.util.find_spec", lambda name: None if name == "ray" else name)
    assert main.main(["fleet", "run", "--quick"]) == 2
    reason = "needs ray, which is not installed; pip install 'midas-bench[fleet]'"
    assert capsys.readouterr() == ("", f"midas-bench: midas-bench fleet: {reason}\n")


@pytest.mark.parametrize(
    ("words", "per", "passed_on"),
    [
        ((), "node", []),
        (("--per", "kind"), "kind", []),
        (("--quick", "--per", "kind", "-k", "onnx and b1", "test_pipeline.py"), "kind",
         ["--quick", "-k", "onnx and b1", "test_pipeline.py"]),
        (("-p", "no:cacheprovider", "-m", "slow", "--pe"), "node", ["-p", "no:cacheprovider", "-m", "slow", "--pe"]),
        (("--resume=force", "--benchmark-min-rounds=3"), "node", ["--resume=force", "--benchmark-min-rounds=3"]),
    ],
)  # fmt: skip
def test_what_is_not_the_commands_own_is_pytests(words, per, passed_on):
    arguments = parsed(*words)
    assert (arguments.per, arguments.passed_on) == (per, passed_on)


@pytest.mark.parametrize("words", [[], ["walk"], ["run", "--per", "country"]])
def test_bad_usage_says_how_it_is_meant(words, capsys):
    with pytest.raises(SystemExit) as caught:
        main.main(["fleet", *words])
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("usage: midas-bench fleet run [--address ADDRESS]")


def test_a_folder_with_runs_is_gone_on_with_only_where_that_is_asked_for(tmp_path):
    folder = FleetFolder(tmp_path)
    assert fleet._unfinished(folder, resume=False) == []
    with pytest.raises(UserError, match="holds no fleet's runs to go on with; leave out --resume, or choose -o"):
        fleet._unfinished(folder, resume=True)
    runs = [FleetRun("run-1", "a", "A", ("h",), ENDED), FleetRun("run-2", "b", "B", ("i",), ENDED, "exit code 3: disk")]
    folder.save(runs)
    saved = tmp_path / "run-1/.benchmarks/x/0001.json"
    saved.parent.mkdir(parents=True)
    saved.write_text('{"midas_bench": {"planned": ["c"], "finished": ["c"], "failed": [], "skipped": []}}')
    with pytest.raises(UserError, match="holds an earlier fleet's runs; add --resume to go on with them, or choose -o"):
        fleet._unfinished(folder, resume=False)
    whole, begun = fleet._unfinished(folder, resume=True)
    assert whole == runs[0]
    assert (begun.name, begun.state, begun.why) == ("run-2", LOST, "")


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        ({"finished": ["c", "d"], "failed": []}, 0, []),
        ({"finished": ["c"], "failed": [{"cell": "d", "reason": "no"}]}, 1, ["  failed: d: no"]),
        ({"finished": ["c"], "failed": []}, 3, ["run-1 (A, kind a, on h): 1 of 2 cells are missing", "  missing: d"]),
    ],
)
def test_the_end_says_what_is_missing_and_reports_on_the_rest(tmp_path, monkeypatch, capsys, status, code, said):
    reported = []
    monkeypatch.setattr(fleet, "machines_report", lambda *arguments: reported.append(arguments))
    saved = tmp_path / "run-1/.benchmarks/x/0001.json"
    saved.parent.mkdir(parents=True)
    saved.write_text(json.dumps({"midas_bench": {"planned": ["c", "d"], "skipped": []} | status}))
    assert fleet._told(FleetFolder(tmp_path), [FleetRun("run-1", "a", "A", ("h",), ENDED)]) == code
    assert reported == [([saved], tmp_path / "report")]
    out, err = capsys.readouterr()
    assert err.splitlines() == [f"midas-bench: {line}" for line in said]
    assert out == f"{tmp_path}: {int(code != 3)} of 1 runs are whole\n"
