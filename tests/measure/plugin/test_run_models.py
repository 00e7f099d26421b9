"""What several models are called in ids, results and reports."""

from types import SimpleNamespace

import numpy as np
import pytest

from midas_bench.depth.config import PipelineConfig
from midas_bench.measure.plugin.resume_key import differences
from midas_bench.measure.plugin.run_models import RunModel, model_names


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (["teacher.onnx", "small/student_v2.onnx"], ["teacher", "student_v2"]),
        (["a.onnx"], ["a"]),
        ([], []),
        (["runs/1/model.onnx", "runs/2/model.onnx"], ["1.model", "2.model"]),
        (["x/best/model.onnx", "y/best/model.onnx"], ["x.best.model", "y.best.model"]),
        (["x/a.onnx", "x/b.onnx", "y/a.onnx"], ["x.a", "x.b", "y.a"]),
        (["my model (2).onnx", "été.onnx"], ["my_model_2", "ete"]),
        (["深度.onnx", "a.onnx"], ["model", "a"]),
        (["a[1]::b.onnx", "-.onnx"], ["a_1_b", "-"]),
    ],
)
def test_names_are_short_differ_and_fit_into_ids(files, names):
    assert model_names(files) == names


@pytest.mark.parametrize("files", [["a.onnx", "a.pb"], ["深.onnx", "度.onnx"]])
def test_names_that_no_folder_tells_apart_are_numbered(files):
    one, other = model_names(files)
    assert (one.rpartition(".")[2], other.rpartition(".")[2]) == ("1", "2")


def test_photos_whose_depth_nothing_can_be_compared_with_are_named():
    ramp = np.linspace(0, 1, 6, dtype=np.float32).reshape(2, 3)
    maps = {"good.jpg": ramp, "flat.jpg": np.zeros_like(ramp), "bad.jpg": np.where(ramp > 0.9, np.nan, ramp)}
    teacher = RunModel("teacher", PipelineConfig())
    teacher.references = {"fast": SimpleNamespace(depth=lambda photos: np.stack([maps[p.file] for p in photos]))}
    assert teacher.photos_without_depth([SimpleNamespace(file=file) for file in maps]) == ["flat.jpg", "bad.jpg"]


def test_a_resumed_comparison_names_the_model_that_was_replaced():
    then = {"weights": {"weights of large": "1" * 64, "weights of small": "2" * 64}}
    now = {"weights": {"weights of large": "1" * 64, "weights of small": "3" * 64}}
    assert differences(then, now) == [f"weights of small: {'2' * 64} then, {'3' * 64} now"]
    [alone] = differences({"weights": "1" * 64}, now)
    assert alone.startswith(f"weights: {'1' * 12} then")
