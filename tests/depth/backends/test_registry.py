import subprocess
import sys

import numpy as np
import pytest

from midas_bench.depth.backends import base, registry
from midas_bench.depth.calibration import project_photos
from midas_bench.depth.weights import Weights
from midas_bench.errors import UserError


def test_the_three_backends_of_the_matrix_are_there():
    assert {"eager", "jit", "onnx"} <= registry.REGISTRY.keys()


def test_names_are_kept_in_order_and_once():
    assert registry.select(["onnx", "eager", "onnx"]) == ("onnx", "eager")


def test_all_takes_every_backend_that_is_present(monkeypatch):
    absent = UserError("jit", "no", "no")
    monkeypatch.setattr(registry, "missing", lambda row: absent if row.name == "jit" else None)
    assert registry.select(["all"]) == tuple(name for name in registry.REGISTRY if name != "jit")


def test_an_unknown_name_is_the_users_error_and_says_what_there_is():
    with pytest.raises(UserError, match="backend 'tpu': is unknown; choose from eager, jit, onnx"):
        registry.select(["onnx", "tpu"])


def test_a_backend_whose_library_is_missing_says_so(monkeypatch):
    row = registry.Row("odd", "odd", "fp32", ("json", "no_such_library"), extra="oddities")
    monkeypatch.setitem(registry.REGISTRY, "odd", row)
    said = r"backend odd: needs no_such_library, which is not installed; pip install 'midas-bench\[oddities\]'"
    with pytest.raises(UserError, match=said):
        registry.select(["odd"])


def test_a_library_without_a_wheel_for_this_machine_is_not_advised(monkeypatch):
    row = registry.Row("odd", "odd", "fp32", ("no_such_library",), extra="oddities", wheels=frozenset({"x86_64"}))
    monkeypatch.setattr(registry.sys, "platform", "linux")
    monkeypatch.setattr(registry.platform, "machine", lambda: "aarch64")
    assert str(registry.missing(row)).endswith("leave the backend out, for they have no wheel for aarch64")
    monkeypatch.setattr(registry.platform, "machine", lambda: "x86_64")
    assert str(registry.missing(row)).endswith("pip install 'midas-bench[oddities]'")


def test_a_cpu_without_the_instructions_is_said_before_the_library(monkeypatch):
    row = registry.Row("odd", "odd", "bf16", ("no_such_library",), cpu_flags=frozenset({"a1", "b2"}))
    monkeypatch.setattr(registry.cpu, "flags", lambda: frozenset({"avx2"}))
    assert "backend odd: needs a CPU with a1 or b2; leave the backend out" in str(registry.missing(row))
    monkeypatch.setattr(registry.cpu, "flags", lambda: frozenset({"avx2", "b2"}))
    assert registry.suits_cpu(row)


@pytest.mark.torch
def test_without_a_compiler_or_headers_compile_is_left_out(monkeypatch, tmp_path):
    row = registry.REGISTRY["compile"]
    monkeypatch.setattr(registry.sysconfig, "get_paths", lambda: {"include": str(tmp_path)})
    (tmp_path / "compiler").write_text("")
    (tmp_path / "compiler").chmod(0o755)
    monkeypatch.setenv("CXX", str(tmp_path / "nowhere"))
    assert "needs a C++ compiler, and none is found; install g++" in str(registry.missing(row))
    monkeypatch.setenv("CXX", str(tmp_path / "compiler"))
    assert "Python.h is not found; install python3-dev" in str(registry.missing(row))
    (tmp_path / "Python.h").write_text("")
    assert registry.missing(row) is None


def test_int8_is_calibrated_and_its_fidelity_reduced():
    assert {row.name for row in registry.ROWS if row.calibrated} == {"onnx-int8", "openvino-int8", "litert-int8"}
    reduced = {
        "eager-bf16", "openvino-bf16", "onnx-int8", "openvino-int8", "ncnn-bf16", "ncnn-fp16", "mnn-fp16",
        "litert-int8",
    }  # fmt: skip
    assert {row.name for row in registry.ROWS if not row.exact} == reduced


@pytest.mark.torch
def test_a_calibrated_backend_without_photos_is_the_users_error(tmp_path):
    from midas_bench.depth.weights import seeded

    with pytest.raises(UserError, match="onnx-int8 graph: is calibrated on photos, and none are given; name some"):
        registry.prepare("onnx-int8", seeded(), tmp_path)


def test_a_users_own_model_runs_where_graphs_are_read():
    model = Weights("model", "0" * 64, "model.onnx")
    for name in ("onnx", "onnx-int8", "openvino", "openvino-bf16", "openvino-int8", "opencv", "ncnn", "mnn"):
        registry.check_runs(name, model)
    for name in ("eager", "jit", "compile", "litert", "litert-int8"):
        with pytest.raises(UserError, match=f"backend {name}: cannot run an ONNX model; choose from onnx, onnx-int8"):
            registry.check_runs(name, model)


def test_backends_are_imported_when_they_are_opened():
    script = """
import sys
import midas_bench.cli.main, midas_bench.depth.pipeline, midas_bench.depth.calls, midas_bench.options
print([name for name in ("torch", "timm", "onnxruntime") if name in sys.modules])
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


WITHOUT_TORCH = """
import json, sys
import numpy as np
from pathlib import Path
from midas_bench.depth.backends import registry
from midas_bench.depth.weights import seeded
name, cache_dir, *photos = sys.argv[1:]
backend = registry.load(name, seeded(), 1, Path(cache_dir), photos)
backend(np.zeros((1, 3, 256, 256), np.float32))
print([name for name in ("torch", "timm", "nncf") if name in sys.modules])
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["onnx-int8", "openvino", "openvino-int8", "opencv", "ncnn", "mnn", "litert"])
def test_what_runs_a_graph_never_imports_torch_nor_prints(prepared, name):
    if registry.missing(registry.find(name)):
        pytest.skip(str(registry.missing(registry.find(name))))
    command = [sys.executable, "-c", WITHOUT_TORCH, name, str(prepared(name)), *project_photos()]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


def test_eager_needs_no_graph(tmp_path, files_in):
    from midas_bench.depth.weights import seeded

    assert registry.is_prepared("eager", seeded(), tmp_path)
    assert registry.prepare("eager", seeded(), tmp_path) is None
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("name", ["jit", "onnx"])
def test_a_graph_is_prepared_once(graphs, tmp_path, name):
    from midas_bench.depth.weights import seeded

    assert not registry.is_prepared(name, seeded(), tmp_path)
    assert registry.is_prepared(name, seeded(), graphs)
    made = registry.prepare(name, seeded(), graphs)
    assert not made.built_now
    assert made.build_s > 0


def batch(*shape, dtype=np.float32):
    return np.zeros(shape, dtype)


@pytest.mark.parametrize(
    "wrong",
    [
        batch(3, 256, 256),
        batch(1, 256, 256, 3),
        batch(1, 3, 256, 255),
        batch(1, 1, 256, 256),
        batch(0, 3, 256, 256),
        batch(1, 3, 256, 256, dtype=np.float64),
        batch(1, 3, 256, 256, dtype=np.uint8),
    ],
    ids=lambda wrong: f"{wrong.dtype}{wrong.shape}",
)
def test_a_batch_of_another_shape_or_type_is_refused(wrong):
    with pytest.raises(ValueError, match=r"expected float32 \(N, 3, 256, 256\), got"):
        base.checked(wrong)


def test_a_batch_is_put_in_order():
    turned = np.zeros((1, 256, 256, 3), np.float32).transpose(0, 3, 1, 2)
    assert base.checked(turned).flags.c_contiguous


def test_all_takes_for_a_model_of_ones_own_what_can_run_it():
    assert set(registry.select(["all"], own_model=True)) == {
        name for name in registry.select(["all"]) if registry.find(name).reads_onnx
    }
    # what is named is refused where it is opened, with the reason
    assert registry.select(["eager"], own_model=True) == ("eager",)
