"""Graphs for runtimes that do not read ONNX as others write it."""

import numpy as np
import onnx
import onnxruntime
import pytest
from tests.depth.own_networks import network

from midas_bench.depth import artifacts, convert
from midas_bench.depth.interface import NetworkInterface
from midas_bench.depth.weights import seeded

INTERFACE = NetworkInterface(height=64, width=96)


@pytest.fixture
def saved(tmp_path):
    """Save a model with its weights beside it."""

    def save(made):
        path = tmp_path / "own.onnx"
        onnx.save(made, path, save_as_external_data=True, location="own.data", size_threshold=10)
        return path

    return save


KINDS = {
    "uint8": ((1, 64, 96, 3), (1, 64, 96, 1), None),
    "float16": ((1, 3, 64, 96), (1, 1, 64, 96), None),
    "float32": ((1, 3, 64, 96), (1, 1, 16, 24), (1, 1, 16, 24)),
}


@pytest.mark.parametrize("dtype", KINDS)
def test_a_graph_becomes_one_file_of_float32_with_one_output(saved, dtype):
    given, returned, second = KINDS[dtype]
    source = saved(network(given, returned, dtype, second=second))
    model, off = convert.in_float32(source, "depth")
    assert [value.name for value in model.graph.output] == ["depth"]
    # floats as networks take them: with large ones, float16 is too coarse on a processor that computes in it
    picture = (np.random.default_rng(1).integers(256, size=given) / (1 if dtype == "uint8" else 255)).astype(dtype)
    plain = onnxruntime.InferenceSession(source)
    made = onnxruntime.InferenceSession(model.SerializeToString())
    name = plain.get_inputs()[0].name
    [expected] = plain.run(["depth"], {name: picture})
    [depth] = made.run(None, {name: picture.astype(np.float32)})
    assert depth.dtype == np.float32
    np.testing.assert_allclose(depth, expected, rtol=0, atol=off * float(np.ptp(expected)))
    assert (off > convert.SAME) == (dtype == "float16")


class Backend:
    """Give ONNX Runtime's own depth, scaled and cut."""

    def __init__(self, path, scale=1.0, rows=None):
        self.session, self.scale, self.rows = onnxruntime.InferenceSession(path), scale, rows

    def __call__(self, batch):
        [depth] = self.session.run(None, {self.session.get_inputs()[0].name: batch})
        return depth[:, 0, : self.rows] * np.float32(self.scale)


def test_what_differs_from_onnx_runtime_is_not_kept(saved):
    source = saved(network((1, 3, 64, 96), (1, 1, 64, 96)))
    convert.require_same_depth(Backend(source), source, INTERFACE, convert.SAME)
    with pytest.raises(ValueError, match=r"off ONNX Runtime's by 0\.0\d+ of the range, where 0\.001 is allowed"):
        convert.require_same_depth(Backend(source, scale=1.01), source, INTERFACE, convert.SAME)
    with pytest.raises(ValueError, match="by nan of the range"):
        convert.require_same_depth(Backend(source, scale=np.nan), source, INTERFACE, convert.SAME)
    with pytest.raises(ValueError, match=r"of \(1, 63, 96\), where ONNX Runtime gives \(1, 64, 96\)"):
        convert.require_same_depth(Backend(source, rows=63), source, INTERFACE, convert.SAME)


def test_a_converters_version_decides_its_own_graphs_alone(monkeypatch):
    def keys(version):
        versions = {"ncnn": version, "onnx": "1"}
        monkeypatch.setattr(
            artifacts, "library_versions", lambda names: {name: versions[name] for name in names if name in versions}
        )
        return {kind: artifacts.key(kind, seeded()) for kind in ("onnx", "opencv", "ncnn", "mnn")}

    before, after = keys("1"), keys("2")
    assert [kind for kind in before if before[kind] != after[kind]] == ["ncnn"]
    assert len(set(before.values())) == 4
