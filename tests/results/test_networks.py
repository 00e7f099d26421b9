"""Whose figures are of one network: a model of one's own is known by its bytes and by how it is fed and read."""

import copy
import json
from dataclasses import asdict, replace
from pathlib import Path

import msgspec
import pytest

from midas_bench.depth.interface import MIDAS
from midas_bench.depth.weights import Weights as Found
from midas_bench.gate.saved_gate import SavedQuestion, gate_saved
from midas_bench.gate.thresholds import Thresholds
from midas_bench.report.photo_strip import Album
from midas_bench.report.sections import document
from midas_bench.report.select_runs import choose
from midas_bench.results.machines import MachineResult, machines
from midas_bench.results.price import Prices
from midas_bench.results.record import Interface, Weights
from midas_bench.results.run_files import read, run_from
from midas_bench.results.shared_copy import Names, shared_copy

WIDE = replace(MIDAS, height=252, width=336, mean=(0.5, 0.5, 0.5), dtype="float16", output="depth")


def test_the_interface_that_results_hold_is_the_networks():
    assert msgspec.structs.asdict(Interface()) == asdict(MIDAS)
    assert msgspec.convert(asdict(WIDE), Interface).text == "252x336, dtype float16, mean 0.5,0.5,0.5, output depth"
    assert Interface().text == ""


def test_what_results_say_of_a_model_is_its_name_and_its_interface_but_not_its_folder():
    found = Found("model", "ab" * 32, "/home/somebody/plans/student.onnx", WIDE)
    assert found.described == {**found.identity, "file": "student.onnx"}
    assert found.identity == {"source": "model", "sha256": "ab" * 32, "interface": asdict(WIDE)}
    shown = msgspec.convert(found.described, Weights)
    assert shown.text == "student.onnx (abababab), 252x336, dtype float16, mean 0.5,0.5,0.5, output depth"
    assert shown.identity_text == shown.text.replace("student.onnx", "model")


def test_what_results_say_of_midas_small_is_what_it_was():
    for source, path in (("official", "a.pt"), ("seeded", None), ("file", "/home/somebody/b.pt")):
        found = Found(source, "ab" * 32, path)
        assert found.described == found.identity == {"source": source, "sha256": "ab" * 32}


@pytest.fixture
def saved(synthetic, tmp_path):
    """Save a run of some weights: `saved("a", weights)`."""
    numbers = iter(range(100))

    def save(name, weights, **interface):
        number = next(numbers)
        maker = synthetic.Maker(seed=number, scenes=("street",))
        maker.latency(depth_maps=False)
        content = synthetic.content(maker.benchmarks, f"2026-01-{number + 1:02}T03:04:05+00:00")
        used = copy.deepcopy(weights)
        if interface:
            used["interface"] |= interface
        for benchmark in content["benchmarks"]:
            benchmark["extra_info"]["weights"] = used
        return synthetic.save(tmp_path / f"{name}.json", content, depth_maps=False)

    return save


def test_a_run_of_a_model_is_read_back(saved, synthetic):
    [weights] = {record.info.weights for record in read(saved("a", synthetic.STUDENT)).records}
    assert (weights.file, weights.interface.size, weights.own) == ("student.onnx", "252x336", True)
    assert weights.text == "student.onnx (5d5d5d5d), 252x336, meaning depth"


def test_a_file_from_before_interfaces_were_recorded_is_one_of_midas_own(saved, synthetic):
    old = {name: synthetic.STUDENT[name] for name in ("source", "sha256")}
    [weights] = {record.info.weights for record in read(saved("a", old)).records}
    assert (weights.interface, weights.text) == (Interface(), "model (5d5d5d5d)")


@pytest.mark.parametrize("other", [{"height": 518, "width": 518}, {"mean": [0.5, 0.5, 0.5]}, {"meaning": "inverse"}])
def test_another_size_or_normalisation_of_one_file_is_another_network(saved, synthetic, other):
    paths = saved("a", synthetic.STUDENT), saved("b", synthetic.STUDENT, **other)
    [warning] = [w for w in compared(*paths).warnings if w.startswith("DIFFERENT NETWORKS: ")]
    assert "student.onnx (5d5d5d5d), 252x336, meaning depth in a and student.onnx (5d5d5d5d)" in warning
    [shown] = machines([MachineResult(path.stem, read(path)) for path in paths], Prices()).differences().items()
    assert shown[0] == "weights"
    assert len(set(shown[1])) == 2
    history = choose([paths[0].parent], [], Album()).history
    assert [run.name for run in history] == ["b"]
    result = gate_saved(SavedQuestion([paths[0]], [paths[1]], Thresholds(0.05, 0.05, 0.2), 0.01))
    assert any(note.startswith("DIFFERENT NETWORKS: student.onnx") for note in result.notes)


def test_a_copy_of_a_model_and_other_weights_of_midas_small_are_no_other_network(saved, synthetic):
    copied = saved("a", synthetic.STUDENT), saved("b", {**synthetic.STUDENT, "file": "copy.onnx"})
    weights = saved("c", synthetic.WEIGHTS), saved("d", {"source": "official", "sha256": "70" * 32})
    for paths in (copied, weights):
        assert not any("NETWORKS" in warning for warning in compared(*paths).warnings)
    assert len(choose([weights[0]], [], Album()).history) == 2


def compared(*paths):
    [section] = [part for part in document(choose(paths, [], Album())).sections if part.id == "comparison"]
    return section


def test_a_shared_copy_keeps_the_models_name_and_no_folder_of_it(saved, synthetic):
    path = saved("a", {**synthetic.STUDENT, "file": "/data/quarterly-plans/student of annelise.onnx"})
    shared = shared_copy(json.loads(path.read_text()), Names(users=frozenset({"annelise"})))
    assert "quarterly-plans" not in json.dumps(shared.content)
    [weights] = {record.info.weights for record in run_from(shared.content, Path("copy.json")).records}
    assert weights.text == "student of [user].onnx (5d5d5d5d), 252x336, meaning depth"
