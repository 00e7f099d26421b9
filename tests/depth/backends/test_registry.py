import subprocess
import sys

import numpy as np
import pytest

from midas_bench.depth.backends import registry
from midas_bench.errors import UserError


def test_the_three_backends_of_the_matrix_are_there():
    assert {"eager", "jit", "onnx"} <= registry.REGISTRY.keys()


def test_names_are_kept_in_order_and_once():
    assert registry.select(["onnx", "eager", "onnx"]) == ("onnx", "eager")


def test_all_takes_every_backend_that_is_present(monkeypatch):
    assert registry.select(["all"]) == tuple(registry.REGISTRY)
    monkeypatch.setattr(registry, "missing", lambda row: "no" if row.name == "jit" else None)
    assert "jit" not in registry.select(["all"])


def test_an_unknown_name_is_the_users_error_and_says_what_there_is():
    with pytest.raises(UserError, match="backend 'tpu': is unknown; choose from eager, jit, onnx"):
        registry.select(["onnx", "tpu"])


def test_a_backend_whose_library_is_missing_says_so(monkeypatch):
    row = registry.Row("odd", "odd", "fp32", "no_such_library")
    monkeypatch.setitem(registry.REGISTRY, "odd", row)
    with pytest.raises(UserError, match="backend odd: needs no_such_library, which is not installed; install it"):
        registry.select(["odd"])


def test_backends_are_imported_when_they_are_opened():
    script = """
import sys
import midas_bench.cli.main, midas_bench.depth.pipeline, midas_bench.depth.calls, midas_bench.options
print([name for name in ("torch", "timm", "onnxruntime") if name in sys.modules])
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
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
        registry.checked(wrong)


def test_a_batch_is_put_in_order():
    turned = np.zeros((1, 256, 256, 3), np.float32).transpose(0, 3, 1, 2)
    assert registry.checked(turned).flags.c_contiguous
