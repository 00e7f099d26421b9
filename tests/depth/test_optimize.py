import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from midas_bench.depth import photo
from midas_bench.depth.flop import DEPLOYED_FLOP, PLAIN_FLOP
from midas_bench.depth.network import FeatureFusionBlock
from midas_bench.depth.optimize import DeployedFusionBlock, _padded, deployed, layers
from midas_bench.depth.preprocess import preprocess


@pytest.fixture(scope="module")
def ours(seeded_network):
    return deployed(seeded_network)


SIZES = [(160, 256), (256, 160), (384, 384), (32, 32)]


def flops(network, height=256, width=256):
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.zeros(1, 3, height, width))
    return counter.get_total_flops()


def test_it_computes_the_same_depth_up_to_rounding(seeded_network, ours, photos):
    batch = torch.from_numpy(preprocess([photo.decode(taken.data) for taken in photos.values()]))
    with torch.inference_mode():
        expected, depth = seeded_network(batch), ours(batch)
    assert (depth - expected).abs().max() <= 5e-5 * (expected.max() - expected.min())


@pytest.mark.parametrize("size", SIZES)
def test_it_does_so_for_all_sides_that_are_multiples_of_32(seeded_network, ours, size):
    torch.manual_seed(4)
    batch = torch.randn(2, 3, *size)
    with torch.inference_mode():
        expected, depth = seeded_network(batch), ours(batch)
    assert depth.shape == (2, *size)
    assert (depth - expected).abs().max() <= 5e-5 * (expected.max() - expected.min())


def test_statistics_that_batch_norm_learned_are_folded_too(seeded_network):
    """Seeded weights have means of 0 and variances of 1, which any mistake in the order would leave unseen."""
    torch.manual_seed(0)
    network = copy.deepcopy(seeded_network)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.running_mean.normal_(0, 0.1)
        norm.running_var.uniform_(0.5, 2)
        norm.weight.uniform_(0.5, 1.5)
        norm.bias.normal_(0, 0.1)
    batch = torch.randn(1, 3, 256, 256)
    with torch.inference_mode():
        expected, depth = network(batch), deployed(network)(batch)
    assert norms
    assert np.ptp(expected.numpy()) > 0
    assert (depth - expected).abs().max() <= 5e-5 * (expected.max() - expected.min())


def test_the_plain_network_is_left_alone(seeded_network, ours):
    assert any(isinstance(module, nn.BatchNorm2d) for module in seeded_network.modules())
    assert isinstance(seeded_network.scratch.refinenet4, FeatureFusionBlock)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in ours.modules())


def test_nothing_is_left_that_is_never_called(ours):
    called = set()
    hooks = [
        module.register_forward_hook(lambda module, *_: called.add(module))
        for module in ours.modules()
        if list(module.parameters(recurse=False))
    ]
    with torch.inference_mode():
        ours(torch.zeros(1, 3, 256, 256))
    assert len(called) == len(hooks) == 97


def test_nothing_works_in_place(seeded_network, ours):
    assert any(getattr(module, "inplace", False) for module in seeded_network.modules())
    assert not any(getattr(module, "inplace", False) for module in ours.modules())


def test_it_takes_fewer_operations(seeded_network, ours):
    """9.19 GFLOP before; 0.25 less for `out_conv` before upsampling, 0.45 for its merging into the unit before."""
    assert (flops(seeded_network), flops(ours)) == (PLAIN_FLOP, DEPLOYED_FLOP)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_its_operations_are_in_proportion_to_the_inputs_pixels(seeded_network, ours, height, width):
    counted = [flops(network, height, width) * 256 * 256 for network in (seeded_network, ours)]
    assert counted == [flop * height * width for flop in (PLAIN_FLOP, DEPLOYED_FLOP)]


def test_it_holds_fewer_parameters(seeded_network, ours):
    before, after = (sum(each.numel() for each in network.parameters()) for network in (seeded_network, ours))
    assert (before, after) == (21_320_545, 15_015_137)


@pytest.mark.parametrize("features", [True, False])
def test_projecting_before_upsampling_is_the_same_as_after(features):
    torch.manual_seed(1)
    block = FeatureFusionBlock(8, 4).eval()
    path, others = torch.randn(2, 1, 8, 5, 7)
    given = (path, others) if features else (path,)
    with torch.inference_mode():
        torch.testing.assert_close(DeployedFusionBlock(block, features)(*given), block(*given), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("size", [(8, 8), (7, 10)])
def test_constant_padding_is_what_same_means_for_that_size(kernel, stride, size):
    torch.manual_seed(2)
    conv = layers.Conv2dSame(3, 4, kernel, stride)
    given = torch.randn(1, 3, *size)
    with torch.inference_mode():
        torch.testing.assert_close(_padded(conv, size)(given), conv(given))
