import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from midas_bench.depth import artifacts
from midas_bench.depth.backends import registry
from midas_bench.depth.custom_model import own_model, read_model
from midas_bench.depth.interface import MIDAS
from midas_bench.errors import UserError
from midas_bench.files import sha256_of


def model(given=("n", 3, 256, 256), returned=("n", 256, 256), kind=TensorProto.FLOAT, given_kind=TensorProto.FLOAT):
    """Make a graph that means over colours; nothing is checked but what it declares."""
    value = helper.make_tensor_value_info
    node = helper.make_node("ReduceMean", ["x"], ["y"], axes=[1], keepdims=0)
    graph = helper.make_graph([node], "own", [value("x", given_kind, given)], [value("y", kind, returned)])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


@pytest.fixture
def saved(tmp_path):
    def save(made):
        path = tmp_path / "own é.onnx"
        onnx.save(made, path)
        return path

    return save


@pytest.mark.parametrize("batch", ["n", 1, None])
def test_a_model_of_the_right_shapes_stands_for_weights(saved, batch):
    path = saved(model((batch, 3, 256, 256), (batch, 256, 256)))
    found = own_model(str(path))
    assert (found.source, found.sha256, found.path) == ("model", sha256_of(path), str(path))


def test_free_sizes_are_those_of_midas_or_those_asked_for(saved):
    path = str(saved(model(("n", 3, "h", "w"), ("n", "h", "w"))))
    assert own_model(path).interface == MIDAS
    wide = own_model(path, [("size", "196x308")])
    assert (wide.interface.height, wide.interface.width) == (196, 308)
    assert wide.sha256 == own_model(path).sha256
    assert wide.fingerprint != own_model(path).fingerprint
    assert own_model(path, [("size", "518")]).interface.shape(1) == (1, 3, 518, 518)


@pytest.mark.parametrize(
    ("given", "interface"),
    [
        (("n", 3, 256, 256), {}),
        (("n", 3, 384, 512), {"height": 384, "width": 512}),
        ((1, 384, 512, 3), {"height": 384, "width": 512, "layout": "NHWC"}),
        (("n", "h", "w", 3), {"layout": "NHWC"}),
        (("n", -1, -1, 3), {"layout": "NHWC"}),
        (("n", "c", "h", "w"), {}),
        ((1, 3, "h", 512), {"width": 512}),
        ((1, 3, 3, 3), {"height": 3, "width": 3}),
    ],
)
def test_size_and_layout_are_read_from_the_graph(saved, given, interface):
    assert own_model(str(saved(model(given, ("n", 1, "h", "w"))))).interface == replace(MIDAS, **interface)


def test_the_type_is_read_from_the_graph_and_whole_numbers_are_not_normalised(saved):
    half = own_model(str(saved(model(given_kind=TensorProto.FLOAT16)))).interface
    assert half == replace(MIDAS, dtype="float16")
    whole = own_model(str(saved(model(given_kind=TensorProto.UINT8)))).interface
    assert whole == replace(MIDAS, dtype="uint8", mean=(0, 0, 0), std=(1, 1, 1), scale=1)
    own_model(str(saved(model(given_kind=TensorProto.UINT8))), [("preset", "raw")])
    with pytest.raises(UserError, match=r"takes uint8, which is not normalised, and --mean says otherwise; leave it"):
        own_model(str(saved(model(given_kind=TensorProto.UINT8))), [("mean", "0.5")])


def test_a_size_that_contradicts_the_graph_is_refused(saved):
    path = str(saved(model(("n", 3, 384, 384), ("n", 384, 384))))
    assert own_model(path, [("size", "384x384")]) == own_model(path)
    with pytest.raises(UserError, match=r"has an input of float \(N, 3, 384, 384\), and --size says 256x256; leave"):
        own_model(path, [("size", "256x256")])


def noted(path, text):
    path.with_suffix(".toml").write_text(text, encoding="utf-8")
    return str(path)


def with_metadata(made, **settings):
    helper.set_model_props(made, {f"midas_bench.{name}": value for name, value in settings.items()} | {"author": "me"})
    return made


def test_settings_are_read_from_the_file_beside_the_model(saved):
    path = saved(model(("n", 3, "h", "w"), ("n", "h", "w")))
    text = 'size = "182x252"\nmean = [0.1, 0.2, 0.3]\nstd = 0.5\nscale = 1\nmeaning = "depth"\n'
    expected = replace(
        MIDAS, height=182, width=252, mean=(0.1, 0.2, 0.3), std=(0.5, 0.5, 0.5), scale=1, meaning="depth"
    )
    assert own_model(noted(path, text)).interface == expected
    assert own_model(noted(path, "size = [182, 252]")).interface == replace(MIDAS, height=182, width=252)
    assert own_model(noted(path, "size = 252")).interface == replace(MIDAS, height=252, width=252)


def test_flags_win_over_the_file_and_the_file_over_metadata(saved):
    path = saved(with_metadata(model(("n", 3, "h", "w"), ("n", "h", "w")), size="64", mean="0.5", meaning="depth"))
    assert own_model(str(path)).interface == replace(MIDAS, height=64, width=64, mean=(0.5, 0.5, 0.5), meaning="depth")
    # a preset speaks of the mean too
    found = read_model(noted(path, 'size = 96\npreset = "unit"\n'), [("size", "128"), ("std", "2")])
    unit = replace(MIDAS, height=128, width=128, mean=(0, 0, 0), std=(2, 2, 2), meaning="depth")
    assert found.weights.interface == unit
    assert found.origins == {
        "size": "--size",
        "std": "--std",
        "preset": "own é.toml, preset",
        "mean": "own é.toml, preset",
        "scale": "own é.toml, preset",
        "meaning": "own é.onnx, metadata midas_bench.meaning",
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('colour = "RGB"', r"own é\.toml, colour: is no setting of a model; choose from size, preset, mean"),
        ('mean = "red"', r"own é\.toml, mean red: is no number"),
        ("mean = [0.5, 0.5]", r"own é\.toml, mean 0\.5,0\.5: has 2 numbers"),
        ("mean = {r = 1}", r"own é\.toml, mean .*: is no number"),
        ("size = ", r"own é\.toml: is not TOML \(.*\); correct or remove it"),
    ],
)
def test_what_the_file_beside_the_model_has_wrong_is_named(saved, text, said):
    with pytest.raises(UserError, match=said):
        own_model(noted(saved(model()), text))


def test_what_metadata_have_wrong_is_named(saved):
    with pytest.raises(UserError, match=r"own é\.onnx, metadata midas_bench\.scale 0: is what pixels of 0 to 255"):
        own_model(str(saved(with_metadata(model(), scale="0"))))


def of_unknown_rank(what):
    made = model()
    getattr(made.graph, what)[0].type.tensor_type.ClearField("shape")
    return made


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (
            model(given=(4, 3, 256, 256)),
            r"has an input of float \(4, 3, 256, 256\); export it from float32, float16",
        ),
        (model(given=("n", 4, 256, 256)), r"has an input of float \(N, 4, 256, 256\); export it from float32"),
        (model(given=("n", 256, "w", 4)), r"has an input of float \(N, 256, free, 4\)"),
        (model(given=("n", 1, 256, 256)), r"has an input of float \(N, 1, 256, 256\)"),
        (model(given=(3, 256, 256)), r"has an input of float \(3, 256, 256\)"),
        (of_unknown_rank("input"), "has an input of float of any rank; export it from"),
        (
            of_unknown_rank("output"),
            r"has an output of float of any rank; export it to depth of \(N, H, W\)",
        ),
        (model(returned=("n", 1000)), r"has an output of float \(N, 1000\); export it to depth"),
        (model(returned=("n", 21, 256, 256)), r"has an output of float \(N, 21, 256, 256\)"),
        (model(returned=(4, 256, 256)), r"has an output of float \(4, 256, 256\)"),
        (model(kind=TensorProto.INT64), r"has an output of int64 \(N, 256, 256\)"),
        (model(given_kind=TensorProto.DOUBLE), r"has an input of double \(N, 3, 256, 256\)"),
        (model(kind=999), r"has an output of an unknown type \(N, 256, 256\)"),
    ],
)
def test_another_shape_or_type_is_named(saved, made, said):
    with pytest.raises(UserError, match=r"own é\.onnx: " + said) as caught:
        own_model(str(saved(made)))
    assert "\n" not in str(caught.value)


def of_outputs(*shapes):
    made = model()
    del made.graph.output[:], made.graph.node[:]
    for place, shape in enumerate(shapes):
        made.graph.output.append(helper.make_tensor_value_info(f"y{place}", TensorProto.FLOAT, shape))
    return made


def test_of_several_outputs_one_is_named(saved):
    path = str(saved(of_outputs(("n", 256, 256), ("n", 1, 64, 64), ("n", 1000))))
    listed = r"y0 of float \(N, 256, 256\), y1 of float \(N, 1, 64, 64\), y2 of float \(N, 1000\)"
    with pytest.raises(UserError, match=f"has 3 outputs: {listed}; name that of depth by --model-output"):
        own_model(path)
    with pytest.raises(UserError, match=f"has no output depth; choose --model-output from {listed}"):
        own_model(path, [("output", "depth")])
    with pytest.raises(UserError, match=r"has an output of float \(N, 1000\); .*, or choose --model-output"):
        own_model(path, [("output", "y2")])
    assert own_model(path, [("output", "y1")]).interface.output == "y1"
    with pytest.raises(UserError, match="has 0 outputs; export it to depth of"):
        own_model(str(saved(of_outputs())))


def test_an_only_output_that_is_named_is_no_other_network(saved):
    path = str(saved(model()))
    assert own_model(path, [("output", "y")]) == own_model(path)


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("size", "big", "--size big: is no size; give height x width in pixels, as 252x336"),
        ("size", "0x256", "--size 0x256: is no size"),
        ("size", "99999", "--size 99999: is no size"),
        ("preset", "own", "--preset own: is unknown; choose from midas, imagenet, unit, raw"),
        ("meaning", "metres", "--meaning metres: is unknown; choose from inverse, depth"),
        ("mean", "0.5,0.5", "--mean 0.5,0.5: has 2 numbers; give one for all colours, or three as"),
        ("mean", "red", "--mean red: is no number; give one such as 0.5"),
        ("mean", "nan", "--mean nan: is no number"),
        ("std", "1,0,1", "--std 1,0,1: is divided by; give numbers above 0"),
        ("scale", "0", "--scale 0: is what pixels of 0 to 255 are divided by; give a number above 0"),
    ],
)
def test_a_setting_that_cannot_be_read_is_named(saved, setting, value, said):
    with pytest.raises(UserError, match=said):
        own_model(str(saved(model())), [(setting, value)])


def test_settings_refine_a_preset(saved):
    path = str(saved(model()))
    unit = own_model(path, [("mean", "0.5"), ("preset", "unit")]).interface
    assert (unit.mean, unit.std, unit.scale) == ((0.5, 0.5, 0.5), (1, 1, 1), 255)
    assert own_model(path, [("preset", "midas")]).interface == own_model(path, [("preset", "imagenet")]).interface
    assert own_model(path, [("preset", "raw"), ("meaning", "depth")]).interface.meaning == "depth"


def test_several_inputs_are_refused_and_listed_weights_are_none(saved):
    made = model()
    made.graph.input.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, [1]))
    with pytest.raises(UserError, match="has 2 inputs where one is expected"):
        own_model(str(saved(made)))
    made.graph.initializer.append(helper.make_tensor("z", TensorProto.FLOAT, [1], [0.0]))
    assert own_model(str(saved(made))).source == "model"


def tensor(value=2.0):
    return numpy_helper.from_array(np.full(1, value, np.float32), "held")


def elsewhere(location="weights.bin", entries=True):
    """Make a tensor whose bytes are in another file."""
    made = tensor()
    made.ClearField("raw_data")
    made.data_location = TensorProto.EXTERNAL
    if entries:
        made.external_data.add(key="location", value=location)
    return made


def constant(held, **attributes):
    return helper.make_node("Constant", [], ["k"], **(attributes or {"value": held}))


def branches(held):
    shaped = helper.make_tensor_value_info("k", TensorProto.FLOAT, [1])
    return [
        helper.make_graph([constant(held)], "branch", [], [shaped]),
        helper.make_graph([], "b", [], [shaped], [held]),
    ]


def scaled(*nodes, **fields):
    """Make a graph that means over colours and multiplies by `k`, which comes from `nodes` or `fields`."""
    value = helper.make_tensor_value_info
    steps = [
        *nodes, helper.make_node("ReduceMean", ["x"], ["m"], axes=[1], keepdims=0),
        helper.make_node("Mul", ["m", "k"], ["y"]),
    ]  # fmt: skip
    given, returned = ("n", 3, 256, 256), ("n", 256, 256)
    graph = helper.make_graph(
        steps, "own", [value("x", TensorProto.FLOAT, given)], [value("y", TensorProto.FLOAT, returned)], **fields
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def in_initializer(held):
    held.name = "k"
    return scaled(initializer=[held])


def in_branch(held, which):
    one, other = branches(held)
    plain, _ = branches(tensor())
    condition = helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.array(True)))
    how = {"then_branch": (one, other)[which], "else_branch": plain}
    if which:
        how["then_branch"].node.append(helper.make_node("Identity", ["held"], ["k"]))
    return scaled(condition, helper.make_node("If", ["c"], ["k"], **how))


def in_loop(held):
    kinds = (("i", TensorProto.INT64, []), ("go", TensorProto.BOOL, []))
    outputs = [helper.make_tensor_value_info(*kinds[1]), helper.make_tensor_value_info("k", TensorProto.FLOAT, [1])]
    carried = helper.make_tensor_value_info("before", TensorProto.FLOAT, [1])
    body = helper.make_graph(
        [constant(held)], "body", [*(helper.make_tensor_value_info(*kind) for kind in kinds), carried], outputs
    )
    start = helper.make_node("Constant", [], ["one"], value=numpy_helper.from_array(np.ones(1, np.float32)))
    count = helper.make_node("Constant", [], ["count"], value=numpy_helper.from_array(np.array(1)))
    return scaled(start, count, helper.make_node("Loop", ["count", "", "one"], ["k"], body=body))


def in_function(held):
    made = scaled(helper.make_node("Held", [], ["k"], domain="own"))
    opsets = [helper.make_opsetid("", 13)]
    made.functions.append(helper.make_function("own", "Held", [], ["k"], [constant(held)], opsets))
    made.opset_import.append(helper.make_opsetid("own", 1))
    return made


def in_training(held):
    made = in_initializer(tensor())
    made.training_info.add().initialization.CopyFrom(helper.make_graph([], "start", [], [], [held]))
    return made


def in_sparse_attribute(held):
    indices = numpy_helper.from_array(np.zeros(1, np.int64), "indices")
    return scaled(constant(None, sparse_value=helper.make_sparse_tensor(held, indices, [1])))


def in_sparse_initializer(held):
    held.name = "k"
    indices = numpy_helper.from_array(np.zeros(1, np.int64), "indices")
    return scaled(sparse_initializer=[helper.make_sparse_tensor(held, indices, [1])])


def in_attribute_of_tensors(held):
    made = in_initializer(tensor())
    attribute = made.graph.node[0].attribute.add(name="several", type=onnx.AttributeProto.TENSORS)
    attribute.tensors.append(held)
    return made


PLACES = {
    "an initializer": in_initializer,
    "a constant": lambda held: scaled(constant(held)),
    "a constant of a branch": lambda held: in_branch(held, 0),
    "an initializer of a branch": lambda held: in_branch(held, 1),
    "a loop": in_loop,
    "a function": in_function,
    "a sparse constant": in_sparse_attribute,
    "a sparse initializer": in_sparse_initializer,
    "an attribute of several tensors": in_attribute_of_tensors,
    "training information": in_training,
}
NOT_RUN = ("an attribute of several tensors", "training information")


@pytest.mark.parametrize("location", ["/tmp/weights.bin", "../weights.bin", "*/_ORT_MEM_ADDR_/*", None])
@pytest.mark.parametrize("place", PLACES)
def test_weights_outside_of_the_folder_are_refused_wherever_the_model_has_them(saved, place, location):
    path = saved(PLACES[place](elsewhere(location or "", entries=location is not None)))
    (path.parent.parent / "weights.bin").write_bytes(np.full(1, 2, np.float32).tobytes())
    said = r"outside of its folder \(.*\)|in \*/_ORT_MEM_ADDR_/\*, and its folder has no such file"
    with pytest.raises(UserError, match=rf"own é\.onnx: keeps weights ({said}); keep the model and its weights in"):
        own_model(str(path))


@pytest.mark.parametrize("place", PLACES)
def test_weights_in_another_file_are_part_of_what_identifies_a_model(saved, place):
    path = saved(PLACES[place](elsewhere()))
    hashes = set()
    for factor in (2, 5):
        (path.parent / "weights.bin").write_bytes(np.full(1, factor, np.float32).tobytes())
        own = own_model(str(path))
        assert (own.external, own.path) == (("weights.bin",), str(path))
        hashes.add(own.sha256)
    assert len(hashes | {sha256_of(path)}) == 3


def test_a_link_to_weights_elsewhere_is_no_way_out(saved, tmp_path_factory):
    path = saved(in_initializer(elsewhere()))
    outside = tmp_path_factory.mktemp("outside") / "weights.bin"
    outside.write_bytes(np.full(1, 2, np.float32).tobytes())
    (path.parent / "weights.bin").symlink_to(outside)
    with pytest.raises(UserError, match=r"keeps weights outside of its folder \(weights\.bin\); keep the model"):
        own_model(str(path))


def test_weights_that_are_not_there_are_named(saved):
    with pytest.raises(UserError, match=r"keeps weights in weights\.bin, and its folder has no such file; keep"):
        own_model(str(saved(in_initializer(elsewhere()))))


@pytest.mark.usefixtures("makes_int8_here")
@pytest.mark.parametrize(
    "name",
    ["onnx", *(pytest.param(name, marks=pytest.mark.slow) for name in ("openvino", "onnx-int8", "openvino-int8"))],
)
def test_a_model_and_its_weights_may_both_be_links_as_download_caches_have_them(tmp_path, calibration, name):
    if registry.missing(registry.find(name)):
        pytest.skip(str(registry.missing(registry.find(name))))
    # the cache names files by their hashes
    files = {
        "model.onnx": ("4d6f", in_initializer(elsewhere()).SerializeToString()),
        "weights.bin": ("5765", np.full(1, 2, np.float32).tobytes()),
    }
    (tmp_path / "snapshot").mkdir()
    for link, (blob, data) in files.items():
        (tmp_path / blob).write_bytes(data)
        (tmp_path / "snapshot" / link).symlink_to(f"../{blob}")
    own = own_model(str(tmp_path / "snapshot/model.onnx"))
    assert own.path == str(tmp_path / "snapshot/model.onnx")
    batch = np.random.default_rng(0).random(size=(1, 3, 256, 256)).astype(np.float32)
    backend = registry.load(name, own, 1, tmp_path / "cache", calibration)
    depth = backend(batch)
    backend.close()
    assert np.median(depth / batch.mean(axis=1)) == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize("link", ["symbolic", "hard", "none"])
def test_links_to_weights_are_copied_while_a_model_is_read(tmp_path, link):
    snapshot = tmp_path / "snapshot"
    (snapshot / "sub").mkdir(parents=True)
    (snapshot / "model.onnx").write_text("model")
    weights = snapshot / "sub/weights.bin"
    (tmp_path / "blob").write_text("weights")
    if link == "symbolic":
        weights.symlink_to(tmp_path / "blob")
    elif link == "hard":
        weights.hardlink_to(tmp_path / "blob")
    else:
        weights.write_text("weights")
    with artifacts.without_links(snapshot / "model.onnx", ("sub/weights.bin",)) as path:
        beside = path.parent / "sub/weights.bin"
        assert (path.read_text(), beside.read_text()) == ("model", "weights")
        assert (beside.is_symlink(), beside.stat().st_nlink) == (False, 1)
        assert (path == snapshot / "model.onnx") == (link == "none")
    assert path.exists() == (link == "none")


def test_a_model_with_weights_elsewhere_needs_a_name_that_runtimes_read(saved):
    path = saved(in_initializer(elsewhere()))
    (path.parent / "weights.bin").write_bytes(np.full(1, 2, np.float32).tobytes())
    path = path.rename(path.with_suffix(".model"))
    with pytest.raises(UserError, match=r"own é\.model: keeps weights in another file, .* ends in \.onnx; rename it"):
        own_model(str(path))


@pytest.mark.usefixtures("makes_int8_here")
@pytest.mark.parametrize(
    "name",
    ["onnx", *(pytest.param(name, marks=pytest.mark.slow) for name in ("openvino", "onnx-int8", "openvino-int8"))],
)
@pytest.mark.parametrize("in_place", [True, False])
def test_a_model_never_runs_with_the_weights_of_another_that_has_the_same_graph(tmp_path, calibration, name, in_place):
    if registry.missing(registry.find(name)):
        pytest.skip(str(registry.missing(registry.find(name))))
    batch = np.random.default_rng(0).random(size=(1, 3, 256, 256)).astype(np.float32)
    graph = in_initializer(elsewhere()).SerializeToString()
    for factor in (2.0, 5.0):
        folder = tmp_path / ("one" if in_place else str(factor))
        folder.mkdir(exist_ok=True)
        (folder / "own.onnx").write_bytes(graph)
        (folder / "weights.bin").write_bytes(np.full(1, factor, np.float32).tobytes())
        backend = registry.load(name, own_model(str(folder / "own.onnx")), 1, tmp_path / "cache", calibration)
        depth = backend(batch)
        backend.close()
        assert np.median(depth / batch.mean(axis=1)) == pytest.approx(factor, rel=0.1)


def test_weights_that_change_after_the_check_are_noticed(saved, tmp_path):
    path = saved(in_initializer(elsewhere()))
    (path.parent / "weights.bin").write_bytes(np.full(1, 2, np.float32).tobytes())
    own = own_model(str(path))
    (path.parent / "weights.bin").write_bytes(np.full(1, 5, np.float32).tobytes())
    with pytest.raises(UserError, match=r"own é\.onnx: has changed or gone since it was checked"):
        registry.load("onnx", own, 1, tmp_path / "cache")
    (path.parent / "weights.bin").unlink()
    with pytest.raises(UserError, match=r"own é\.onnx: has changed or gone since it was checked"):
        registry.load("onnx", own, 1, tmp_path / "cache")


# ONNX Runtime's quantiser refuses sparse initializers, in one line
DIFFERENT = [("onnx", place) for place in PLACES if place not in NOT_RUN] + [
    pytest.param("onnx-int8", place, marks=pytest.mark.slow)
    for place in PLACES
    if place not in (*NOT_RUN, "a sparse initializer")
]


@pytest.mark.usefixtures("makes_int8_here")
@pytest.mark.parametrize(("name", "place"), DIFFERENT)
def test_two_models_that_differ_in_one_tensor_are_two_models(saved, tmp_path, calibration, place, name):
    batch = np.random.default_rng(0).random(size=(1, 3, 256, 256)).astype(np.float32)
    for factor in (2.0, 5.0):
        own = own_model(str(saved(PLACES[place](tensor(factor)))))
        backend = registry.load(name, own, 1, tmp_path / "cache", calibration)
        depth = backend(batch)
        backend.close()
        assert np.median(depth / batch.mean(axis=1)) == pytest.approx(factor, rel=0.1)


def test_what_is_no_model_is_refused(tmp_path):
    (tmp_path / "text.onnx").write_text("hello, this is text")
    with pytest.raises(UserError, match=r"text\.onnx: is damaged or not an ONNX model"):
        own_model(str(tmp_path / "text.onnx"))
    with pytest.raises(UserError, match=r"nowhere\.onnx: cannot be read \(No such file"):
        own_model(str(tmp_path / "nowhere.onnx"))
    with pytest.raises(UserError, match="cannot be read"):
        own_model(str(tmp_path))
    os.mkfifo(tmp_path / "pipe.onnx")
    with pytest.raises(UserError, match=r"pipe\.onnx: cannot be read \(it is no file of its own\); give the path"):
        own_model(str(tmp_path / "pipe.onnx"))
    (tmp_path / "empty.onnx").write_bytes(b"")
    with pytest.raises(UserError, match=r"empty\.onnx: is empty or not an ONNX model; copy or export it again"):
        own_model(str(tmp_path / "empty.onnx"))


@pytest.mark.parametrize("name", ["onnx", pytest.param("openvino", marks=pytest.mark.slow)])
@pytest.mark.parametrize("batch_dimension", ["n", 1])
def test_it_runs_at_every_batch_size_also_where_it_was_exported_for_one(saved, tmp_path, name, batch_dimension):
    if registry.missing(registry.find(name)):
        pytest.skip(str(registry.missing(registry.find(name))))
    own = own_model(str(saved(model((batch_dimension, 3, 256, 256), (batch_dimension, 256, 256)))))
    batch = np.random.default_rng(0).normal(size=(3, 3, 256, 256)).astype(np.float32)
    backend = registry.load(name, own, 1, tmp_path)
    try:
        np.testing.assert_allclose(backend(batch), batch.mean(axis=1), atol=1e-6)
    finally:
        backend.close()


@pytest.mark.slow
@pytest.mark.parametrize("right", [True, False])
def test_streams_of_openvino_that_give_other_depth_than_a_single_one_are_not_used(saved, tmp_path, monkeypatch, right):
    if registry.missing(registry.find("openvino")):
        pytest.skip(str(registry.missing(registry.find("openvino"))))
    from midas_bench.depth.backends import openvino

    monkeypatch.setattr(openvino, "calls_side_by_side", lambda _: 2)
    own = own_model(str(saved(model())))
    batch = np.random.default_rng(0).random(size=(3, 3, 256, 256)).astype(np.float32)
    made = []

    class Backend(openvino.OpenVinoBackend):
        def __call__(self, batch):
            return super().__call__(batch) + (0.1 if self._streams > 1 and not right else 0)

    monkeypatch.setattr(openvino, "OpenVinoBackend", lambda *given: made.append(Backend(*given)) or made[-1])
    backend = registry.load("openvino", own, 1, tmp_path)
    np.testing.assert_allclose(backend(batch), batch.mean(axis=1), atol=1e-6)
    assert (backend._streams, backend.threads) == (2 if right else 1, 1)
    [dropped] = [one for one in made if one is not backend]
    with pytest.raises(ValueError, match="closed"):
        dropped(batch)
    backend.close()


MEAN = ("ReduceMean", "x", "m", {"axes": [1], "keepdims": 0})


def does(*steps, returned=("n", 256, 256)):
    """Make a graph that declares what is asked for, and does something else."""
    made = model(returned=returned)
    del made.graph.node[:]
    for kind, given, result, attributes in steps:
        made.graph.node.append(helper.make_node(kind, given.split(), [result], **attributes))
    made.graph.initializer.append(helper.make_tensor("shape", TensorProto.INT64, [3], [-1, 256, 256]))
    return made


UNFIT = {
    "an unknown operator": (does(("Foo", "x", "y", {"domain": "my.ops"})), r"cannot be run \(.*Foo"),
    "depth of three": (
        does(("Reshape", "x shape", "y", {})),
        r"gives depth of \(3, 256, 256\) for one photo; try another --size",
    ),
    "one number": (
        does(("GlobalAveragePool", "x", "p", {}), ("ReduceMean", "p", "y", {"axes": [1], "keepdims": 0})),
        r"gives depth of \(1, 1, 1\) for one photo",
    ),
    "twenty classes": (
        does(("Concat", "x x", "y", {"axis": 1}), returned=("n", "c", "h", "w")),
        r"cannot be run \(the network gives \(1, 6, 256, 256\) in place of \(N, H, W\)",
    ),
    "no number": (does(MEAN, ("Log", "m", "y", {})), "gives NaN or infinity in place of depth; check how"),
}


@pytest.mark.parametrize("name", ["onnx", pytest.param("openvino", marks=pytest.mark.slow)])
@pytest.mark.parametrize("what", UNFIT)
def test_a_model_that_does_not_do_what_it_declares_is_refused_when_it_is_opened(saved, tmp_path, name, what):
    if registry.missing(registry.find(name)):
        pytest.skip(str(registry.missing(registry.find(name))))
    made, said = UNFIT[what]
    if what == "an unknown operator":
        made.opset_import.append(helper.make_opsetid("my.ops", 1))
    own = own_model(str(saved(made)))
    with pytest.raises(UserError, match=rf"own é\.onnx: {said}") as caught:
        registry.load(name, own, 1, tmp_path)
    assert "\n" not in str(caught.value)


def too_new(opset=13, ir_version=8):
    made = model()
    made.ir_version = ir_version
    made.opset_import[0].version = opset
    return made


def reshaped_to(sizes):
    made = does(MEAN, ("Reshape", "m sizes", "y", {}), returned=("n", "h", "w"))
    made.graph.initializer.append(numpy_helper.from_array(np.array(sizes, np.int64), "sizes"))
    return made


def of_foreign_operator():
    made = does(("Foo", "x", "y", {"domain": "my.ops"}))
    made.opset_import.append(helper.make_opsetid("my.ops", 1))
    return made


CAUSES = {
    "IR version": (too_new(ir_version=99), "onnx", "IR version: 99", "export it for an opset and an IR version that"),
    "opset": (too_new(opset=999), "onnx", "opset", "export it for an opset and an IR version that this runtime reads"),
    "operator": (of_foreign_operator(), "onnx", "Foo", "export it without that operator, or choose another backend"),
    "operator, OpenVINO": (
        of_foreign_operator(),
        "openvino",
        "Foo",
        "export it without that operator, or choose another backend",
    ),
    "missing value": (
        does(("Relu", "nowhere", "y", {})),
        "onnx",
        "nowhere",
        "export it again, or choose another backend",
    ),
    "size": (reshaped_to([-1, 384, 384]), "onnx", "cannot be reshaped", "try another --size where the graph"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["onnx-int8", "openvino-int8", "opencv", "ncnn", "mnn"])
def test_an_operator_that_a_graphs_maker_does_not_know_is_named(saved, tmp_path, calibration, files_in, name):
    if registry.missing(registry.find(name)):
        pytest.skip(str(registry.missing(registry.find(name))))
    own = own_model(str(saved(of_foreign_operator())))
    with pytest.raises(UserError, match=r"own é\.onnx: cannot be made into .*Foo.*; export it without that operator"):
        registry.load(name, own, 1, tmp_path / "cache", calibration)
    assert files_in(tmp_path / "cache") == []


@pytest.mark.parametrize("cause", CAUSES)
def test_each_cause_of_a_refusal_has_its_own_next_step(saved, tmp_path, cause):
    made, name, words, advice = CAUSES[cause]
    if registry.missing(registry.find(name)):
        pytest.skip(str(registry.missing(registry.find(name))))
    own = own_model(str(saved(made)))
    with pytest.raises(UserError, match=rf"own é\.onnx: cannot be run \(.*{words}.*; {advice}") as caught:
        registry.load(name, own, 1, tmp_path)
    assert "\n" not in str(caught.value)


ANY_NAME = [
    b"caf\xe9.onnx", b"\xff\xfe", "é è ü.onnx".encode(), b"no ending", b"two\nlines.onnx", b"%s {0} *?.onnx",
    b"-o.onnx",
    # by these endings runtimes, or onnx itself, choose another format
    b"model.ort", b"model.json", b"model.onnxtxt", b"model.pdmodel", b"model.xml", b"model.zip", b"MODEL.ONNX",
]  # fmt: skip
SLOW_NAMES = [
    pytest.param(name, backend, marks=pytest.mark.slow)
    for backend in ("openvino", "openvino-bf16", "onnx-int8", "openvino-int8", "opencv", "mnn")
    for name in ANY_NAME[:: 1 if backend == "openvino" else 4]
    if registry.suits_cpu(registry.find(backend))
]


@pytest.mark.parametrize(("file_name", "backend"), [*((name, "onnx") for name in ANY_NAME), *SLOW_NAMES])
@pytest.mark.parametrize("folder", [b"models", b"mod\xe8les"])
def test_a_model_of_any_name_runs_on_every_backend(tmp_path, calibration, file_name, backend, folder, request):
    if registry.missing(registry.find(backend)):
        pytest.skip(str(registry.missing(registry.find(backend))))
    # in a process of its own once for each kind, with a name and a folder that are no UTF-8
    if (file_name, folder) != (ANY_NAME[0], b"mod\xe8les"):
        request.getfixturevalue("makes_int8_here")
    path = tmp_path / os.fsdecode(folder) / os.fsdecode(file_name)
    path.parent.mkdir()
    path.write_bytes(in_initializer(tensor()).SerializeToString())
    own = own_model(str(path))
    opened = registry.load(backend, own, 1, tmp_path / "cache", calibration)
    batch = np.random.default_rng(0).random(size=(1, 3, 256, 256)).astype(np.float32)
    depth = opened(batch)
    opened.close()
    np.testing.assert_allclose(depth, 2 * batch.mean(axis=1), atol=0.05)
    assert list(path.parent.iterdir()) == [path]


def test_the_command_takes_a_model_of_any_name(tmp_path, project):
    path = tmp_path / os.fsdecode(b"caf\xe9.onnx")
    path.write_bytes(in_initializer(tensor()).SerializeToString())
    photo, output = str(project / "fixtures/images/chelsea.jpg"), tmp_path / "map.png"
    command = [sys.executable, "-m", "midas_bench.cli.main", "depth", photo, "-o", str(output), "--model", str(path)]
    assert subprocess.run(command, check=False).returncode == 0
    assert output.stat().st_size > 0
    path.write_bytes(PLACES["a loop"](elsewhere()).SerializeToString())
    ran = subprocess.run(command, capture_output=True, check=False)
    assert (ran.returncode, ran.stderr.count(b"\n")) == (2, 1)
    assert b"keeps weights in weights.bin, and its folder has no such file" in ran.stderr
