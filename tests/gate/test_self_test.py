"""The self-test's own course: what is finished survives whatever ends it."""

import json

import pytest

from midas_bench.cli.main import main
from midas_bench.gate import self_test
from midas_bench.gate.arms import BASE, HEAD, Arm, Sides
from midas_bench.gate.block_journal import BlockJournal
from midas_bench.gate.fake_revision import write_fake_revision
from midas_bench.gate.gate_cells import FAMILY
from midas_bench.gate.question import ArmRequest, Question
from midas_bench.gate.result import GateResult
from midas_bench.gate.revision_gate import Listener
from midas_bench.gate.self_test import SelfTestPlan
from midas_bench.gate.thresholds import Thresholds
from midas_bench.processes import ProcessDiedError

BLOCKS = 14


@pytest.fixture
def run(repository, monkeypatch, capsys, tmp_path):
    """Run the self-test on a stand-in whose blocks are made up; `ends` holds by number how a block ends instead."""
    monkeypatch.chdir(repository.folder)
    monkeypatch.setenv("MIDAS_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(self_test, "RESAMPLED_QUICK", 10)
    made = []

    def ran(*arguments, ends=None):
        def block(series, cells, *_):
            if ends and len(made) in ends:
                raise ends[len(made)]
            made.append(len(made))
            logs = {cell.name: made[-1] / 1e4 for cell in cells} | {
                series.memory_figure: 0.0,
                series.startup_figure: 0.0,
            }
            return {"lane": series.backend, "log_ratios": logs, "base": {}, "disturbed": [], "block_s": 1.0}

        monkeypatch.setattr(self_test, "measure_block", block)
        output = tmp_path / "output"
        code = main(["gate", "--self-test", "--quick", "--blocks", str(BLOCKS), "-o", str(output), *arguments])
        kept = json.loads((output / "self-test.json").read_text()) if code == 0 else {}
        return code, capsys.readouterr().err, [row["log_ratios"] for row in kept.get("blocks", ())]

    return ran


@pytest.mark.parametrize(
    ("end", "code", "words"),
    [
        (KeyboardInterrupt(), 130, "finished blocks are kept: --resume goes on"),
        (ProcessDiedError("arm base: killed"), 2, "arm base: killed; --resume goes on with its finished blocks"),
    ],
)
def test_self_test_resumes_without_measuring_finished_blocks_again(run, end, code, words):
    found = run(ends={5: end})
    assert found[0] == code
    assert words in found[1]
    code, said, blocks = run("--resume")
    assert code == 0, said
    assert [blocks[n][next(iter(blocks[n]))] for n in range(BLOCKS)] == [n / 1e4 for n in range(BLOCKS)]
    assert run("--resume")[0] == 2  # what is written is done


class Course(Listener):
    """Live gates that are made up, interrupted before the one of this number."""

    def __init__(self):
        self.asked = []
        self.interrupted_before = None

    def gate(self, question, sides, _notes, _listener, journal):
        if len(self.asked) == self.interrupted_before:
            raise KeyboardInterrupt
        self.asked.append((sides.heads[0].slowdown, question.seed))
        journal.append({"lane": "onnx", "number": len(self.asked)})
        facts = {"blocks": 1, "disturbed_blocks": 0, "seconds": 1.0}
        return GateResult("base", "head", [], [], 0.01, facts=facts)


def test_self_test_resumes_without_running_finished_live_gates_again(monkeypatch, tmp_path):
    course = Course()
    monkeypatch.setattr(self_test, "compare_sides", course.gate)
    question = Question(ArmRequest(), (ArmRequest(),), FAMILY, "auto", Thresholds(0.05, 0.05, 0.2), 0.01, 300, seed=1)
    base, head = (Arm(name, write_fake_revision(tmp_path / name)) for name in (BASE, HEAD))
    sides = Sides(base, (head,), {}, tmp_path)
    journal = BlockJournal(tmp_path / "journal.jsonl")

    def live():
        return self_test._run_live_gates(SelfTestPlan(10, 2, question), sides, course, journal)

    course.interrupted_before = 3
    with pytest.raises(KeyboardInterrupt):
        live()
    course.interrupted_before = None
    summaries, equal = live()
    assert course.asked == [(0.0, 2), (0.05, 2), (0.0, 3), (0.05, 3)]
    assert [summary["slowdown"] for summary in summaries] == [0.0, 0.05, 0.0, 0.05]
    assert [row["number"] for row in equal] == [1, 3]
