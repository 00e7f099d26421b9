"""The command from end to end: real git, real processes, calls that take known times instead of the network."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from midas_bench.cli import gate as cli
from midas_bench.cli import gate_question as command
from midas_bench.cli.main import main
from midas_bench.errors import UserError
from midas_bench.gate import measurement, rule
from midas_bench.gate.fake_revision import CALLS
from midas_bench.measure.noise_probe import NoiseReading

FAST = ["--cell", "eager", "--startup-threshold", "90%", "--seed", "1", "--measure"]


@pytest.fixture
def gate(repository, checkpoint, monkeypatch, capsys, tmp_path):
    """Run the gate in the repository: its exit code, what it printed, and the JSON it wrote."""
    monkeypatch.chdir(repository.folder)
    monkeypatch.setenv("MIDAS_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(measurement, "ROUNDS", 6)

    def ran(*arguments):
        output = tmp_path / "gate.json"
        output.unlink(missing_ok=True)
        usual = [*FAST, "--weights", str(checkpoint), "--json", str(output)] if "--base" in arguments else []
        code = main(["gate", *usual, *arguments])
        document = json.loads(output.read_text()) if output.exists() else {}
        return code, capsys.readouterr(), document

    return ran


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """Script what the probe says: nothing, whatever the machine does while the tests run."""
    figures = {"matrix_ratio": 1.0, "copy_ratio": 1.0, "steal_fraction": 0.0, "others_fraction": 0.0}
    monkeypatch.setattr(measurement, "judge", lambda *_: NoiseReading(**figures))
    return figures


def test_a_self_tests_file_is_read_in_every_encoding_of_unicode(tmp_path, encoded_text):
    document = {"blocks": [1], "figures": ["Füße"]}
    (tmp_path / "self-test.json").write_bytes(encoded_text(json.dumps(document, ensure_ascii=False)))
    assert cli._read_self_test(tmp_path / "self-test.json") == document


def verdicts(document):
    return {figure["figure"]["name"]: figure["verdict"] for figure in document["figures"]}


def left_behind(cache):
    """List run folders and journals that a gate should have removed."""
    return [path.name for path in (cache / "gate").iterdir() if path.name != "running.lock"]


def test_gate_passes_equal_sides_and_leaves_the_checkout_unchanged(gate, repository, tmp_path):
    repository.write(colour=7)
    (repository.folder / "dirty.txt").write_text("mine")
    before = repository.state()
    markdown = tmp_path / "gate.md"
    code, said, document = gate("--base", "main", "--threshold", "30%", "--markdown", str(markdown))
    assert code == 0, said
    assert "PASS" in said.out
    assert "base and head hold the same code" in said.out
    assert set(verdicts(document).values()) <= {"not slower", "improved"}
    assert "| `pipeline[eager-b1-street]` |" in markdown.read_text()
    assert repository.state() == before
    assert left_behind(tmp_path / "cache") == []


@pytest.mark.slow
def test_a_slower_revision_regresses_and_its_figures_are_told(gate, repository):
    repository.write(pipeline_s=0.004)
    repository.commit("slower")
    code, said, document = gate("--base", "HEAD~1", "--head", "HEAD")
    assert code == 1
    assert verdicts(document)["pipeline[eager-b1-street]"] == "regressed"
    [figure] = [f for f in document["figures"] if f["figure"]["name"] == "pipeline[eager-b1-street]"]
    assert figure["blocks"] == len(figure["log_ratios"]) >= 12
    assert 1 < figure["ratio"]["low"] <= figure["ratio"]["estimate"] <= figure["ratio"]["high"]
    assert "FAIL: pipeline[eager-b1-street]: worse than on HEAD~1" in said.out


@pytest.mark.slow
def test_other_heat_maps_fail_unless_they_are_allowed(gate, repository):
    repository.write(colour=200)
    arguments = ("--base", "main", "--threshold", "30%")
    code, said, document = gate(*arguments)
    assert code == 1
    assert document["outputs"][0]["changed"]
    assert "CHANGED, heat maps differ by up to 193 of 255 levels, visibly in 100.00% of the pixels" in said.out
    assert gate(*arguments, "--allow-changed-output")[0] == 0


@pytest.mark.slow
def test_a_larger_memory_peak_fails(gate, repository):
    repository.write(memory_mib=40)
    code, said, document = gate("--base", "main", "--threshold", "30%")
    assert code == 1
    assert verdicts(document)["peak memory [eager]"] == "regressed"
    assert "FAIL: peak memory [eager]" in said.out


def test_a_base_without_the_package_is_missing(gate, repository):
    repository.git("rm", "-r", "--quiet", "src")
    repository.commit("without")
    repository.write()
    code, said, document = gate("--base", "main")
    assert code == 3
    assert set(verdicts(document).values()) == {"missing"}
    assert "has no package src/midas_bench" in said.out


def test_a_base_that_moved_on_is_told_before_measuring_in_the_verdict_and_in_the_json(gate, repository, tmp_path):
    shared = repository.git("rev-parse", "HEAD")
    repository.git("checkout", "--quiet", "-b", "feature")
    (repository.folder / "README.md").write_text("only words\n")
    repository.commit("words")
    repository.git("checkout", "--quiet", "main")
    # nothing can be timed then, which makes this test short
    repository.git("rm", "-r", "--quiet", "src")
    repository.commit("main moves on")
    repository.commit("and on")
    repository.git("checkout", "--quiet", "feature")
    markdown = tmp_path / "gate.md"
    code, printed, document = gate("--base", "main", "--markdown", str(markdown))
    assert code == 3
    note = "main has 2 commits that the head lacks, and a difference may come from there."
    assert note in printed.err
    assert note in printed.out
    assert f"--merge-base compares with {shared[:9]}" in printed.err
    assert printed.out.splitlines()[-1].endswith("; the base has 2 commits that the head lacks, see --merge-base")
    assert "2 commits that the head lacks" in markdown.read_text().splitlines()[0]
    assert (document["merge_base"], document["commits_only_in_base"]) == (shared, 2)
    assert any(note in line for line in document["notes"])


@pytest.mark.slow
def test_the_merge_base_of_a_branch_that_changed_only_words_is_the_same_code(gate, repository):
    shared = repository.git("rev-parse", "HEAD")
    repository.git("checkout", "--quiet", "-b", "feature")
    (repository.folder / "README.md").write_text("only words\n")
    repository.commit("words")
    repository.git("checkout", "--quiet", "main")
    repository.write(pipeline_s=0.001)
    repository.commit("main gets faster")
    repository.git("checkout", "--quiet", "feature")
    code, printed, document = gate("--base", "main", "--merge-base", "--budget", "3s", "--inconclusive", "pass")
    assert code == 0
    assert "base and head hold the same code" in printed.out
    assert f"merge base of main and HEAD ({shared[:9]}) (base)" in printed.out
    assert (document["merge_base"], document["commits_only_in_base"]) == (shared, 0)
    assert "lacks" not in printed.out


def test_a_base_that_cannot_be_opened_is_missing_with_its_last_words(gate, repository):
    repository.write(opening="raise TypeError('unexpected field')")
    repository.commit("another interface")
    repository.write()
    code, _, document = gate("--base", "main")
    assert code == 3
    assert document["figures"][0]["reason"] == "arm base: TypeError: unexpected field"


def test_a_base_whose_folders_lack_init_files_is_missing_and_not_the_installed_package(gate, repository):
    for package in ("src/midas_bench", "src/midas_bench/depth"):
        (repository.folder / package / "__init__.py").unlink()
    repository.commit("without __init__.py")
    repository.write()
    code, said, document = gate("--base", "main")
    assert code == 3
    assert set(verdicts(document).values()) == {"missing"}
    assert "has a folder of its package no __init__.py?" in said.out


@pytest.mark.slow
def test_a_call_that_one_side_lacks_is_missing_and_the_others_are_judged(gate):
    code, said, document = gate("--base", "main", "--threshold", "30%", "--cell", "heatmap[eager-b1-street]")
    assert code == 3
    found = verdicts(document)
    assert found["heatmap[eager-b1-street]"] == "missing"
    assert found["pipeline[eager-b1-street]"] in ("not slower", "improved")
    assert "missing: base and head: no call heatmap" in said.out


@pytest.mark.slow
def test_a_head_without_the_whole_way_has_its_stages_judged(gate, repository):
    repository.write(whole="way")
    code, said, document = gate("--base", "main", "--threshold", "30%", "--cell", "decode[eager-b1-street]")
    assert code == 3
    found = verdicts(document)
    assert found["pipeline[eager-b1-street]"] == "missing"
    assert found["decode[eager-b1-street]"] in ("not slower", "improved")
    assert document["outputs"] == []
    assert "output [eager-b1-street]: outputs are not compared: head: no call pipeline" in said.out


@pytest.mark.slow
def test_blocks_are_kept_until_the_result_is_written(gate, monkeypatch):
    def full(path, _):
        raise UserError(path, "cannot be written (No space left on device)", "free some space")

    with monkeypatch.context() as patch:
        patch.setattr(cli, "write_whole", full)
        code, said, _ = gate("--base", "main", "--budget", "3s")
    assert code == 2
    assert "No space left" in said.err
    code, _, document = gate("--base", "main", "--budget", "3s", "--resume")
    assert code in (0, 3)
    assert document["figures"][0]["blocks"] >= 2
    assert gate("--base", "main", "--resume")[0] == 2


def test_gate_refuses_an_unwritable_output_before_it_measures(gate, monkeypatch, tmp_path):
    monkeypatch.setattr(cli, "gate_revisions", None)
    (tmp_path / "file").touch()
    for flag in ("--json", "--markdown"):
        for place in (tmp_path / "file" / "gate.json", tmp_path):
            code, said, _ = gate("--base", "main", flag, str(place))
            assert code == 2
            assert f"{place}: cannot be written" in said.err


def test_a_bug_of_the_gate_is_not_reported_as_a_regression(gate, monkeypatch):
    def broken(*_):
        raise ValueError("math domain error")

    monkeypatch.setattr(cli, "gate_revisions", broken)
    code, said, _ = gate("--base", "main")
    assert code == 2
    assert "gate: stopped at a bug of its own, ValueError: math domain error (test_command.py:" in said.err


def test_an_interruption_before_the_first_block_offers_no_resume(gate, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "gate_revisions", interrupted)
    code, said, _ = gate("--base", "main")
    assert code == 130
    assert "--resume" not in said.err


@pytest.mark.slow
def test_a_worker_that_dies_again_and_again_makes_its_figures_invalid(gate, repository, tmp_path):
    repository.write(opening=f"os.mkdir({str(tmp_path / 'opened')!r})")  # which succeeds once
    code, _, document = gate("--base", "main")
    assert code == 3
    assert verdicts(document)["pipeline[eager-b1-street]"] == "invalid"
    assert document["figures"][0]["reason"].startswith("arm head: FileExistsError")


@pytest.fixture
def far_first_look(monkeypatch):
    """Let the gate need more blocks than any machine makes in some seconds."""
    monkeypatch.setattr(rule, "FIRST_LOOK", 100)


@pytest.mark.slow
@pytest.mark.usefixtures("far_first_look")
def test_a_budget_that_is_too_short_is_inconclusive_and_says_so(gate):
    code, said, document = gate("--base", "main", "--budget", "3s")
    assert code == 3
    assert verdicts(document)["pipeline[eager-b1-street]"] == "inconclusive"
    assert "100 are needed" in said.out
    assert "INCONCLUSIVE: pipeline[eager-b1-street]" in said.out
    assert 0 < document["figures"][0]["blocks"] < 100
    assert gate("--base", "main", "--budget", "3s", "--inconclusive", "pass")[0] == 0


@pytest.mark.slow
@pytest.mark.usefixtures("far_first_look")
def test_undecided_figures_are_invalid_on_a_disturbed_machine(gate, machine):
    machine["others_fraction"] = 0.9
    code, said, document = gate("--base", "main", "--budget", "3s")
    assert code == 3
    assert set(verdicts(document).values()) == {"invalid"}
    assert "invalid: the machine was disturbed during" in said.out
    assert "(other processes used 90% of a core)" in said.out


@pytest.mark.slow
def test_settled_figures_keep_their_verdict_on_a_disturbed_machine(gate, machine):
    machine["others_fraction"] = 0.9
    code, said, _ = gate("--base", "main", "--threshold", "30%")
    assert code == 0
    assert re.search(r"The machine was disturbed during (\d+) of \1 blocks; all arms shared it\.", said.out)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "needs run, compare or self-test"),
        (("--base", "nowhere"), "revision nowhere: is unknown here"),
        (("--base", "main", "--head", "nowhere"), "revision nowhere: is unknown here"),
        (("--base", ""), "is an empty name; check the variable"),
        (("--base", "main", "--head", ""), "is an empty name; check the variable"),
        (("--baseline", "a.json", "--run", "b.json", "--merge-base"), "--merge-base: means nothing with"),
        (("--self-test", "--merge-base"), "--merge-base: means nothing with"),
        (("--base", "main", "--cell", "tpu"), "--cell tpu: is unknown"),
        (("--base", "main", "--full"), "--full: takes all cells"),
        (("run",), "gate run: needs to know what to compare; give --base main, or --head-env"),
        (("--base", "main", "--threshold", "0.05"), "--threshold 0.05: could be 0.05 % or 5 %"),
        (("--base", "main", "--alpha", "150%"), "--alpha 150%: is not a share"),
        (("--base", "main", "--budget", "soon"), "--budget soon: is not a time"),
        (("--base", "main", "--resume"), "--resume: finds no interrupted gate"),
        (("--baseline", "a.json", "--run", "b.json"), "a.json: cannot be read"),
        (("--base", "main", "--force"), "--force: means nothing with"),
        (("--base", "main", "--quick"), "--quick: means nothing with"),
        (("--base", "main", "--baseline", "a.json", "--run", "b.json"), "--baseline: means nothing with"),
        (("--baseline", "a.json", "--run", "b.json", "--resume"), "--resume: means nothing with"),
        (("--baseline", "a.json", "--run", "b.json", "--cell", "onnx"), "--cell: means nothing with"),
        (("--self-test", "--base", "main"), "means nothing with `midas-bench gate self-test`"),
        (("--self-test", "--quick", "--gates", "3"), "--gates: means nothing with"),
        (("--self-test", "--blocks-from", "a.json", "--alpha", "2%"), "--alpha: means nothing with"),
        (("--self-test", "--json", "a.json"), "--json: means nothing with"),
        (("--self-test", "--blocks-from", "nowhere.json"), "nowhere.json: cannot be read"),
        (("--self-test", "--quick", "--blocks", "3"), "has 3 blocks; record at least 12"),
    ],
)
def test_gate_reports_bad_input_in_one_line(gate, arguments, words):
    code, said, _ = gate(*arguments)
    assert code == 2
    assert words in said.err
    assert len([line for line in said.err.splitlines() if line.startswith("midas-bench:")]) == 1
    assert "Traceback" not in said.err


def test_gate_outside_of_a_repository_is_one_line(gate, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    code, said, _ = gate("--base", "main")
    assert code == 2
    assert "is in no git repository" in said.err


@pytest.mark.parametrize(("text", "value"), [("5%", 0.05), ("5", 0.05), ("2.5 %", 0.025), (".5%", 0.005)])
def test_a_threshold_is_read_in_per_cent(text, value):
    assert command.parse_share("--threshold", text) == pytest.approx(value)


class Started:
    """The command in a process of its own, to be interrupted."""

    def __init__(self, repository, checkpoint, cache, *arguments):
        self.cache = cache
        self.process = subprocess.Popen(
            [sys.executable, "-m", "midas_bench.cli.main", "gate", *FAST, "--weights", str(checkpoint), *arguments],
            cwd=repository.folder,
            env={**os.environ, "MIDAS_BENCH_CACHE": str(cache)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_for_blocks(self, count):
        end_s = time.monotonic() + 60
        while len(self.blocks()) < count:
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < end_s
            time.sleep(0.02)

    def blocks(self):
        found = [path.read_text().splitlines() for path in (self.cache / "gate").glob("journal-*.jsonl")]
        return [line for lines in found for line in lines if '"lane"' in line]

    def end(self, how):
        children = psutil.Process(self.process.pid).children()
        self.process.send_signal(how)
        said = self.process.communicate(timeout=60)
        psutil.wait_procs(children, timeout=20)
        assert not [child for child in children if child.is_running()]
        return said


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_gate_leaves_no_process_loses_no_block_and_goes_on(gate, repository, checkpoint, tmp_path, how):
    before = repository.state()
    arguments = ("--base", "main", "--threshold", "30%")
    started = Started(repository, checkpoint, tmp_path / "cache", *arguments)
    started.wait_for_blocks(4)
    said = started.end(how)[1]
    kept_ratios = [json.loads(line)["row"]["log_ratios"]["pipeline[eager-b1-street]"] for line in started.blocks()]
    kept = len(kept_ratios)
    assert kept >= 4
    if how == signal.SIGINT:
        assert started.process.returncode == 130
        assert "--resume goes on" in said
    code, said, document = gate(*arguments, "--resume")
    # a busy machine may disturb the blocks of the first process, whose probe is real, and leave a figure open
    assert code in {0, 3}, said
    assert document["figures"][0]["log_ratios"][:kept] == kept_ratios
    assert repository.state() == before
    assert left_behind(tmp_path / "cache") == []


@pytest.mark.slow
def test_a_second_gate_at_once_is_refused(gate, repository, checkpoint, tmp_path):
    started = Started(repository, checkpoint, tmp_path / "cache", "--base", "main")
    started.wait_for_blocks(1)
    code, said, _ = gate("--base", "main")
    started.end(signal.SIGKILL)
    assert code == 2
    assert "another one is running on this machine" in said.err


@pytest.mark.slow
def test_the_self_test_measures_a_stand_in_and_draws_its_table_and_chart(gate, tmp_path):
    output = tmp_path / "self test"
    code, said, _ = gate("--self-test", "--quick", "--blocks", "12", "--threshold", "30%", "-o", str(output))
    assert code == 0, said
    document = json.loads((output / "self-test.json").read_text())
    assert [row["slowdown"] for row in document["resampled"]["rows"]] == [0.0, 0.02, 0.05, 0.10]
    assert len(document["blocks"]) == 12
    assert (output / "gate-self-test.png").read_bytes().startswith(b"\x89PNG")
    assert r"| slowdown of pipeline\[stand-in-b1-street\] |" in said.out
    again = tmp_path / "again"
    assert gate("--self-test", "--blocks-from", str(output / "self-test.json"), "-o", str(again))[0] == 0
    assert json.loads((again / "self-test.json").read_text())["resampled"] == document["resampled"]


def test_the_stand_ins_text_is_a_module():
    assert "calls" in compile(CALLS, str(Path("calls.py")), "exec").co_names
