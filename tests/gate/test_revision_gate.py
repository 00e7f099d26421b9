"""What a gate of two revisions says before it measures."""

from dataclasses import replace

import pytest

from midas_bench.depth.config import Resolved
from midas_bench.depth.interface import NetworkInterface
from midas_bench.depth.weights import Weights
from midas_bench.gate.arms import BASE, HEAD, Arm, Sides
from midas_bench.gate.block_journal import BlockJournal
from midas_bench.gate.gate_cells import ALTERNATIVES, FAMILY
from midas_bench.gate.open_arms import notes_on_code
from midas_bench.gate.question import ArmRequest, Question
from midas_bench.gate.revision_gate import identity, with_cells, with_photos
from midas_bench.gate.revisions import Revision
from midas_bench.gate.thresholds import Thresholds


@pytest.fixture
def revision(tmp_path):
    def made(label, digest="same", *pins):
        return Revision(label, None, tmp_path, digest, pins)

    return made


def test_gate_notes_that_equal_code_and_dependencies_differ_by_noise_alone(revision):
    assert notes_on_code(revision("main"), revision("head"), False) == [
        "base and head hold the same code: whatever differs is noise"
    ]


def test_dependencies_that_differ_are_told_whether_they_take_part_or_not(revision):
    base, head = revision("main", "same", "torch==1"), revision("head", "same", "torch==2")
    [same, ignored] = notes_on_code(base, head, False)
    assert "whatever differs is noise" in same
    assert "both sides run with what is installed here: torch==1 (main only); torch==2 (head only)" in ignored
    [taken] = notes_on_code(base, head, True)
    assert taken.startswith("base and head hold the same code, and the dependencies differ: torch==1 (main only)")
    [beside] = notes_on_code(base, revision("head", "other", "torch==2"), True)
    assert beside.startswith("beside the code the dependencies differ")


def test_two_settings_of_one_model_are_two_arms_and_a_copy_of_it_is_the_same(revision):
    def arm(path, **interface):
        weights = Weights("model", "0" * 64, path, NetworkInterface(**interface))
        return Arm(path, revision("here"), Resolved(backend="onnx", threads=1, weights=weights, cache_dir="/cache"))

    base = arm("/a/own.onnx", height=64)
    assert Sides(base, (arm("/b/copy.onnx", height=64),), {}, None).same
    for other in (arm("/a/own.onnx", height=96), arm("/a/own.onnx", height=64, meaning="depth")):
        assert not Sides(base, (other,), {}, None).same


def test_cells_of_the_usual_scene_get_the_first_of_the_users_photos(revision, tmp_path):
    base, head = (Arm(name, revision(name)) for name in (BASE, HEAD))
    asked = replace(QUESTION, photos="mine", cells=(*FAMILY[:1], replace(FAMILY[0], scene="pet")))
    for scenes, expected in ((("own",), ["own", "pet"]), (("street", "own"), ["street", "pet"])):
        sides = Sides(base, (head,), dict.fromkeys(scenes, ()), tmp_path)
        assert [cell.scene for cell in with_photos(asked, sides).cells] == expected
    assert with_photos(replace(asked, photos=None), Sides(base, (head,), {"own": ()}, tmp_path)).cells == asked.cells


QUESTION = Question(ArmRequest("main"), (ArmRequest(),), FAMILY, "auto", Thresholds(0.05, 0.05, 0.2), 0.01, 300, seed=1)
FACTS = {"machine": {"fingerprint": "abc", "versions": {"torch": "2"}}, "weights": "seeded"}


def test_resume_takes_blocks_only_of_a_gate_with_the_same_question(revision, tmp_path):
    base, head = (Arm(name, revision(name)) for name in (BASE, HEAD))
    sides = Sides(base, (head,), {}, tmp_path)

    def path(question=QUESTION, sides=sides, facts=FACTS):
        return BlockJournal.of(tmp_path, identity(question, sides, facts)).path

    others = [
        path(replace(QUESTION, cells=FAMILY[:1])),
        *(
            path(replace(QUESTION, thresholds=replace(QUESTION.thresholds, **{k: 0.1})))
            for k in ("time", "memory", "startup")
        ),
        path(replace(QUESTION, thresholds=replace(QUESTION.thresholds, named={"decode": 0.1}))),
        path(replace(QUESTION, control=False)),
        path(sides=replace(sides, heads=(replace(head, environment="0123"),))),
        path(sides=replace(sides, heads=(head, head))),
        path(sides=replace(sides, calls="module:calls")),
        path(replace(QUESTION, alpha=0.02)),
        path(replace(QUESTION, fresh_env=True)),
        path(sides=replace(sides, heads=(Arm(HEAD, revision("head", "another")),))),
        path(facts=FACTS | {"weights": "official"}),
        path(facts=FACTS | {"machine": {"fingerprint": "abc", "versions": {"torch": "3"}}}),
        path(facts=FACTS | {"machine": {"fingerprint": "def", "versions": {"torch": "2"}}}),
    ]
    assert len({path(), *others}) == 1 + len(others)
    assert path(replace(QUESTION, seed=2, budget_s=900, resume=True, lenient=True)) == path()


@pytest.mark.parametrize(
    ("backends", "cells", "compared"),
    [
        ((None, None), FAMILY[:1], ["pipeline[onnx-b1-street]"]),
        (("openvino", "openvino"), (), [cell.name.replace("onnx", "openvino") for cell in FAMILY]),
        # a backend that both sides name is the cells' too
        (("openvino", "openvino"), FAMILY[1:2], ["decode[openvino-b1-street]"]),
        (("onnx", "openvino"), (), [cell.name for cell in ALTERNATIVES]),
        (("onnx", "openvino"), FAMILY[1:2], ["decode[b1-street]"]),
    ],
)
def test_cells_have_the_backend_of_the_arms(revision, tmp_path, backends, cells, compared):
    config = Resolved(backend=backends[0] or "onnx", threads=1, weights=Weights("seeded", "0" * 64), cache_dir="")
    base, head = (Arm(name, revision(name), config) for name in (BASE, HEAD))
    requests = [ArmRequest("main", backend=backend) for backend in backends]
    asked = replace(QUESTION, base=requests[0], heads=(requests[1],), cells=cells)
    assert [cell.name for cell in with_cells(asked, Sides(base, (head,), {}, tmp_path)).cells] == compared
