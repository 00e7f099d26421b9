import onnx
import pytest

from midas_bench.depth.artifacts import artifact
from midas_bench.depth.weights import seeded


@pytest.fixture(scope="module")
def model(graphs):
    return onnx.load(artifact("onnx", seeded(), graphs).path)


def shape_of(value):
    return [dimension.dim_value or dimension.dim_param for dimension in value.type.tensor_type.shape.dim]


def test_the_onnx_graph_is_valid_and_whole(model):
    onnx.checker.check_model(model, full_check=True)
    assert not any(tensor.external_data for tensor in model.graph.initializer)


def test_its_input_and_output_are_named_and_take_any_batch(model):
    [given], [returned] = model.graph.input, model.graph.output
    assert (given.name, returned.name) == ("batch", "depth")
    free, *fixed = shape_of(given)
    assert isinstance(free, str)
    assert fixed == [3, 256, 256]
    assert shape_of(returned) == [free, 256, 256]


def test_batch_norm_is_folded_into_the_convolutions(model):
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("Conv") == 97
    assert "BatchNormalization" not in kinds


def test_it_holds_the_weights_of_the_network(model, seeded_network):
    held = {tuple(tensor.dims): onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    expected = seeded_network.state_dict()["scratch.layer4_rn.weight"].numpy()
    assert (held[512, 384, 3, 3] == expected).all()


def test_the_graphs_are_files_that_this_machines_other_programs_can_read(graphs):
    for kind in ("jit", "onnx"):
        assert artifact(kind, seeded(), graphs).path.stat().st_size > 60_000_000


@pytest.mark.torch
def test_the_exporter_is_a_process_of_its_own(cold_onnx):
    for told in cold_onnx["processes"]:
        assert "midas_bench.depth.graph" not in told["modules"]
