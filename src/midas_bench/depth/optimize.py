"""The network as it is deployed: the same function up to rounding, with less to compute.

What changes, and why it may:

- batch norm is folded into the convolution before it: at inference both are linear;
- a fusion block's 1x1 `out_conv` stands before the upsampling, on a quarter of the pixels: interpolation works on each
  channel alone and its weights sum to one, so the two commute;
- being linear, it also moves into the residual unit's last convolution, which then has half as many outputs;
- TensorFlow's "same" padding, which timm computes from the input's size at run time, is written down; it is the same
  for all sides that are multiples of 32, because each stride then halves an even number;
- what is never called is dropped;
- no activation works in place: the graph is the same, and exporting it takes half the time.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from midas_bench.depth.network import FeatureFusionBlock, MidasSmall, ResidualConvUnit
from midas_bench.depth.preprocess import INPUT_SIZE
from midas_bench.depth.torchvision_compat import timm

layers: Any = timm.layers


class DeployedFusionBlock(nn.Module):
    """Do what `FeatureFusionBlock` does, channels first and pixels last."""

    def __init__(self, block: FeatureFusionBlock, with_features: bool) -> None:
        super().__init__()
        self.features: ResidualConvUnit | None = block.resConfUnit1 if with_features else None
        self.conv1 = block.resConfUnit2.conv1
        self.conv2 = _projected(block.resConfUnit2.conv2, block.out_conv)
        self.out_conv = block.out_conv

    def forward(self, path: Tensor, features: Tensor | None = None) -> Tensor:
        """Map (N, C, H, W), with features of the same shape, to (N, out_channels, 2H, 2W)."""
        if self.features is not None:
            path = path + self.features(features)
        residual = self.conv2(functional.relu(self.conv1(functional.relu(path))))
        return functional.interpolate(
            self.out_conv(path) + residual, scale_factor=2, mode="bilinear", align_corners=True
        )


def deployed(network: MidasSmall) -> MidasSmall:
    """Return a copy of the network, in eval mode, that gives the same depth up to rounding."""
    ours = copy.deepcopy(network).eval()
    for parent in list(ours.pretrained.modules()):
        _fold_batch_norm(parent)
    _pad_explicitly(ours)
    decoder = ours.scratch
    for name in ("refinenet1", "refinenet2", "refinenet3", "refinenet4"):
        # the coarsest block has no path to add features to
        setattr(decoder, name, DeployedFusionBlock(getattr(decoder, name), with_features=name != "refinenet4"))
    for layer in ours.modules():
        if isinstance(layer, nn.ReLU6):
            layer.inplace = False
    return ours.requires_grad_(False)


def _fold_batch_norm(parent: nn.Module) -> None:
    """Fold each batch norm among the children into the convolution before it, and leave its activation."""
    before: tuple[str, nn.Conv2d] | None = None
    for name, child in list(parent.named_children()):
        if isinstance(child, nn.Conv2d):
            before = name, child
        elif isinstance(child, layers.BatchNormAct2d):
            assert before is not None, f"{name} follows no convolution"
            setattr(parent, before[0], fuse_conv_bn_eval(before[1], child))
            setattr(parent, name, child.act)


def _pad_explicitly(network: MidasSmall) -> None:
    """Replace timm's convolutions that pad as TensorFlow does by ones whose padding is a constant."""
    sizes: dict[str, tuple[int, int]] = {}

    def record(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda _, given: sizes.update({name: (given[0].shape[-2], given[0].shape[-1])})

    convolutions = {name: module for name, module in network.named_modules() if isinstance(module, layers.Conv2dSame)}
    hooks = [convolution.register_forward_pre_hook(record(name)) for name, convolution in convolutions.items()]
    with torch.inference_mode():
        network(torch.zeros(1, 3, INPUT_SIZE, INPUT_SIZE))
    for hook in hooks:
        hook.remove()
    for name, convolution in convolutions.items():
        parent, _, own_name = name.rpartition(".")
        setattr(network.get_submodule(parent), own_name, _padded(convolution, sizes[name]))


def _padded(conv: Any, size: tuple[int, int]) -> nn.Module:
    """Return the convolution with the padding that "same" means for inputs of this height and width.

    Source: TensorFlow's documentation of `padding="SAME"`: the output is ceil(size / stride), and an odd pixel of
    padding goes to the bottom and to the right.
    """
    together = [
        max((math.ceil(pixels / stride) - 1) * stride + (kernel - 1) * dilation + 1 - pixels, 0)
        for pixels, stride, kernel, dilation in zip(size, conv.stride, conv.kernel_size, conv.dilation, strict=True)
    ]
    plain = nn.Conv2d(
        conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, 0, conv.dilation, conv.groups,
        bias=conv.bias is not None,
    )  # fmt: skip
    plain.load_state_dict(conv.state_dict())
    height, width = together
    if height % 2 == 0 and width % 2 == 0:
        plain.padding = (height // 2, width // 2)
        return plain
    pad = nn.ZeroPad2d((width // 2, width - width // 2, height // 2, height - height // 2))
    return nn.Sequential(pad, plain)


def _projected(conv: Any, project: nn.Conv2d) -> nn.Conv2d:
    """Return one convolution that does `conv` and then the 1x1 `project` without its bias, in double precision."""
    matrix = project.weight[:, :, 0, 0].double()
    joined = nn.Conv2d(conv.in_channels, project.out_channels, conv.kernel_size, padding=conv.padding)
    assert joined.bias is not None
    with torch.no_grad():
        joined.weight.copy_(torch.einsum("oc,cikl->oikl", matrix, conv.weight.double()))
        joined.bias.copy_(matrix @ conv.bias.double())
    return joined
