from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from midas_bench.depth import photo
from midas_bench.depth.flop import PLAIN_FLOP
from midas_bench.depth.network import MidasSmall, load_network
from midas_bench.depth.preprocess import preprocess
from midas_bench.depth.weights import Weights, seeded
from midas_bench.scene_photos import SCENES, from_manifest

MANIFEST = Path(__file__).parents[2] / "fixtures/images/manifest.toml"
EVERY_PHOTO = [taken for scene in from_manifest(MANIFEST).values() for taken in scene]
SMALLEST_NORMAL = torch.finfo(torch.float32).tiny

# As they stand in the official checkpoint, release v2_1 of isl-org/MiDaS.
OFFICIAL_NAMES = """
pretrained.layer1.0.weight
pretrained.layer1.1.weight
pretrained.layer1.1.running_mean
pretrained.layer1.1.num_batches_tracked
pretrained.layer1.3.0.conv_dw.weight
pretrained.layer1.3.0.bn1.bias
pretrained.layer1.3.0.conv_pw.weight
pretrained.layer1.4.0.conv_pw.weight
pretrained.layer1.4.0.conv_dw.weight
pretrained.layer1.4.2.conv_pwl.weight
pretrained.layer1.4.2.bn3.running_var
pretrained.layer2.0.0.conv_pw.weight
pretrained.layer2.0.2.bn3.weight
pretrained.layer3.0.0.conv_dw.weight
pretrained.layer3.1.4.conv_pwl.weight
pretrained.layer4.0.5.bn2.running_mean
pretrained.layer4.1.0.conv_pwl.weight
pretrained.layer4.1.0.bn3.bias
scratch.layer1_rn.weight
scratch.layer2_rn.weight
scratch.layer3_rn.weight
scratch.layer4_rn.weight
scratch.refinenet4.out_conv.weight
scratch.refinenet4.resConfUnit1.conv1.weight
scratch.refinenet4.resConfUnit1.conv2.bias
scratch.refinenet4.resConfUnit2.conv1.weight
scratch.refinenet1.resConfUnit1.conv1.bias
scratch.refinenet1.out_conv.bias
scratch.output_conv.0.weight
scratch.output_conv.2.bias
scratch.output_conv.4.weight
scratch.output_conv.4.bias
""".split()  # noqa: SIM905 - a list of words is read more easily

OFFICIAL_SHAPES = {
    "pretrained.layer1.0.weight": (32, 3, 3, 3),
    "pretrained.layer4.1.0.conv_pwl.weight": (384, 1392, 1, 1),
    "scratch.layer4_rn.weight": (512, 384, 3, 3),
    "scratch.refinenet4.out_conv.weight": (256, 512, 1, 1),
    "scratch.refinenet1.out_conv.weight": (64, 64, 1, 1),
    "scratch.output_conv.0.weight": (32, 64, 3, 3),
    "scratch.output_conv.4.weight": (1, 32, 1, 1),
}

NEVER_CALLED = {
    f"scratch.refinenet4.resConfUnit1.{conv}.{kind}" for conv in ("conv1", "conv2") for kind in ("weight", "bias")
}


@pytest.fixture(scope="module")
def batch(photos):
    return torch.from_numpy(preprocess([photo.decode(photos[scene].data) for scene in SCENES]))


@pytest.fixture(scope="module")
def depth(seeded_network, batch):
    with torch.inference_mode():
        return seeded_network(batch)


def test_it_has_the_parameters_of_the_checkpoint(seeded_network):
    count = sum(parameter.numel() for parameter in seeded_network.parameters())
    assert round(count / 1e6, 2) == 21.32
    assert len(seeded_network.state_dict()) == 482


def test_one_image_costs_the_known_operations(seeded_network):
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        seeded_network(torch.zeros(1, 3, 256, 256))
    assert counter.get_total_flops() == PLAIN_FLOP


def test_the_parameters_have_their_official_names(seeded_network):
    state = seeded_network.state_dict()
    assert [name for name in OFFICIAL_NAMES if name not in state] == []
    assert {name: tuple(state[name].shape) for name in OFFICIAL_SHAPES} == OFFICIAL_SHAPES


def test_the_output_is_a_depth_map_that_is_nowhere_below_zero(depth):
    assert depth.shape == (4, 256, 256)
    assert depth.dtype == torch.float32
    assert depth.isfinite().all()
    assert depth.min() >= 0


def test_other_multiples_of_32_are_taken_as_well(seeded_network):
    with torch.inference_mode():
        assert seeded_network(torch.zeros(1, 3, 192, 256)).shape == (1, 192, 256)


def test_a_state_dict_of_the_official_names_loads_strictly_and_gives_the_same_depth(seeded_network, batch, depth):
    copy = MidasSmall().eval()
    with torch.inference_mode():
        assert (copy(batch) - depth).abs().max() > 0.01 * depth.max()
    copy.load_state_dict(seeded_network.state_dict(), strict=True)
    with torch.inference_mode():
        torch.testing.assert_close(copy(batch), depth, rtol=0, atol=0)


def test_every_parameter_has_a_say_but_those_known_never_to_be_called(batch):
    network = load_network(seeded()).requires_grad_(True)
    network(batch[:1]).sum().backward()
    silent = {name for name, parameter in network.named_parameters() if parameter.grad is None}
    without_effect = {
        name for name, parameter in network.named_parameters() if name not in silent and not parameter.grad.any()
    }
    assert silent == NEVER_CALLED
    assert without_effect == set()


def test_the_statistics_of_batch_norm_have_a_say(seeded_network, batch, depth):
    state = {name: tensor.clone() for name, tensor in seeded_network.state_dict().items()}
    state["pretrained.layer1.1.running_mean"] += 1
    other = MidasSmall().eval()
    other.load_state_dict(state, strict=True)
    with torch.inference_mode():
        assert (other(batch) - depth).abs().max() > 0.01 * depth.max()


def test_photos_of_a_batch_do_not_mix(seeded_network, batch, depth):
    with torch.inference_mode():
        torch.testing.assert_close(seeded_network(batch[1:2])[0], depth[1], rtol=1e-4, atol=1e-4 * float(depth.max()))


def test_what_is_on_the_left_of_the_photo_shows_on_the_left_of_the_depth(seeded_network, batch, depth):
    changed = batch[:1].clone()
    changed[:, :, :, :32] = 2.0
    with torch.inference_mode():
        difference = (seeded_network(changed)[0] - depth[0]).abs()
    assert difference[:, :32].mean() > 2 * difference[:, -32:].mean()
    assert difference[:, :32].mean() > 2 * difference[:32, -32:].mean()


def test_it_is_ready_for_inference(seeded_network):
    assert not seeded_network.training
    assert not any(parameter.requires_grad for parameter in seeded_network.parameters())


def test_seeded_weights_are_the_same_at_every_load(seeded_network):
    torch.manual_seed(99)
    again = load_network(seeded())
    for (name, ours), theirs in zip(seeded_network.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs), name


def test_seeding_leaves_everyone_elses_random_numbers_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load_network(seeded())
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("taken", EVERY_PHOTO, ids=lambda taken: taken.file)
def test_seeded_weights_clip_less_than_a_hundredth_of_the_depth(seeded_network, taken):
    with torch.inference_mode():
        [depth] = seeded_network(torch.from_numpy(preprocess([photo.decode(taken.data)])))
    assert (depth == 0).float().mean() < 0.01
    assert depth.max() - depth.min() > 0.05 * depth.max()
    assert len(depth.unique()) > 10_000


def test_seeded_weights_make_no_denormals_and_no_dead_stage(seeded_network, batch):
    seen = {}

    def look(name):
        def hook(_module, _inputs, output):
            size = output.abs()
            denormals = int(((size > 0) & (size < SMALLEST_NORMAL)).sum())
            seen[name] = (denormals, bool(output.isfinite().all()), float(output.std()))

        return hook

    leaves = [(name, module) for name, module in seeded_network.named_modules() if not list(module.children())]
    hooks = [module.register_forward_hook(look(name)) for name, module in leaves]
    try:
        with torch.inference_mode():
            seeded_network(batch)
    finally:
        for hook in hooks:
            hook.remove()
    assert len(seen) > 150
    assert {name: found for name, found in seen.items() if found[0] or not found[1] or found[2] < 1e-6} == {}


def weights_from(path):
    return Weights("file", "0" * 64, str(path))


def test_a_checkpoint_is_loaded_from_its_file(checkpoint, batch, depth):
    with torch.inference_mode():
        other = load_network(weights_from(checkpoint))(batch)
    assert (other - depth).abs().max() > 0.01 * depth.max()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_wrapped_checkpoint_of_another_precision_gives_the_same_depth(tmp_path, seeded_network, batch, depth, dtype):
    state = {f"module.{name}": tensor.to(dtype) for name, tensor in seeded_network.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "weights.pt")
    network = load_network(weights_from(tmp_path / "weights.pt"))
    assert {value.dtype for value in network.parameters()} == {torch.float32}
    with torch.inference_mode():
        difference = (network(batch) - depth).abs().max()
    assert difference <= (0.05 if dtype == torch.float16 else 0) * float(depth.max())
