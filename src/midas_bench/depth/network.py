"""MiDaS_small (MiDaS v2.1 small): EfficientNet-Lite3 encoder, RefineNet decoder.

Built on timm's `tf_efficientnet_lite3` under the parameter names of the official checkpoint, so that its state dict
loads with `strict=True`. Architecture: Ranftl et al., "Towards Robust Monocular Depth Estimation", 2020, and the
reference code of isl-org/MiDaS, release v2_1.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from midas_bench.depth.checkpoint import read_parameters
from midas_bench.depth.torchvision_compat import timm
from midas_bench.depth.weights import SEED, Weights


class ResidualConvUnit(nn.Module):
    """Add two 3x3 convolutions, each after a ReLU, to their input; the shape stays."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, H, W)."""
        out: Tensor = self.conv1(functional.relu(x))
        out = self.conv2(functional.relu(out))
        return x + out


class FeatureFusionBlock(nn.Module):
    """Add the encoder's features to the decoder's path, refine, and double the resolution."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.resConfUnit1 = ResidualConvUnit(channels)
        self.resConfUnit2 = ResidualConvUnit(channels)
        self.out_conv = nn.Conv2d(channels, out_channels, 1)

    def forward(self, path: Tensor, features: Tensor | None = None) -> Tensor:
        """Map (N, C, H, W), with features of the same shape, to (N, out_channels, 2H, 2W)."""
        if features is not None:
            path = path + self.resConfUnit1(features)
        path = self.resConfUnit2(path)
        path = functional.interpolate(path, scale_factor=2, mode="bilinear", align_corners=True)
        fused: Tensor = self.out_conv(path)
        return fused


class Encoder(nn.Module):
    """EfficientNet-Lite3 as four stages of falling resolution."""

    def __init__(self) -> None:
        super().__init__()
        net: Any = timm.create_model("tf_efficientnet_lite3", pretrained=False)
        # The Identity stands where the checkpoint's numbering has an activation: timm keeps it inside bn1.
        self.layer1 = nn.Sequential(net.conv_stem, net.bn1, nn.Identity(), *net.blocks[0:2])
        self.layer2 = nn.Sequential(*net.blocks[2:3])
        self.layer3 = nn.Sequential(*net.blocks[3:5])
        self.layer4 = nn.Sequential(*net.blocks[5:])

    def forward(self, batch: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Map (N, 3, H, W) to 32, 48, 136 and 384 channels at 1/4, 1/8, 1/16 and 1/32 of H and W."""
        layer1 = self.layer1(batch)
        layer2 = self.layer2(layer1)
        layer3 = self.layer3(layer2)
        return layer1, layer2, layer3, self.layer4(layer3)


class Decoder(nn.Module):
    """Fuse the encoder's stages from coarse to fine into one depth map."""

    def __init__(self) -> None:
        super().__init__()
        self.layer1_rn = nn.Conv2d(32, 64, 3, padding=1, bias=False)
        self.layer2_rn = nn.Conv2d(48, 128, 3, padding=1, bias=False)
        self.layer3_rn = nn.Conv2d(136, 256, 3, padding=1, bias=False)
        self.layer4_rn = nn.Conv2d(384, 512, 3, padding=1, bias=False)
        self.refinenet4 = FeatureFusionBlock(512, 256)
        self.refinenet3 = FeatureFusionBlock(256, 128)
        self.refinenet2 = FeatureFusionBlock(128, 64)
        self.refinenet1 = FeatureFusionBlock(64, 64)
        self.output_conv = nn.Sequential(
            nn.Conv2d(64, 32, 3, padding=1),
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
            nn.Conv2d(32, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 1, 1),
            nn.ReLU(),
        )

    def forward(self, stages: tuple[Tensor, Tensor, Tensor, Tensor]) -> Tensor:
        """Map the encoder's stages for (N, 3, H, W) to (N, 1, H, W)."""
        path = self.refinenet4(self.layer4_rn(stages[3]))
        path = self.refinenet3(path, self.layer3_rn(stages[2]))
        path = self.refinenet2(path, self.layer2_rn(stages[1]))
        path = self.refinenet1(path, self.layer1_rn(stages[0]))
        depth: Tensor = self.output_conv(path)
        return depth


class MidasSmall(nn.Module):
    """Estimate inverse relative depth from normalised RGB; larger is nearer, nothing is below zero."""

    def __init__(self) -> None:
        super().__init__()
        self.pretrained = Encoder()
        self.scratch = Decoder()

    def forward(self, batch: Tensor) -> Tensor:
        """Map float32 (N, 3, H, W), H and W multiples of 32, to float32 (N, H, W)."""
        return torch.squeeze(self.scratch(self.pretrained(batch)), dim=1)


def load_network(weights: Weights) -> MidasSmall:
    """Build the network with these weights, ready for inference (eval mode, no gradients).

    Raises:
        UserError: the weights file holds no parameters of this network, or unusable ones.
    """
    if weights.path is None:
        network = _seeded_network()
    else:
        network = MidasSmall()
        # the counters that it lacks are not used at inference
        network.load_state_dict(read_parameters(Path(weights.path), network.state_dict()), strict=False)
    return network.eval().requires_grad_(False)


def _seeded_network() -> MidasSmall:
    """Draw timm's and torch's default initialisation from a fixed seed, then lift the output above zero.

    With the plain initialisation the last ReLU clips 83 % of the depth map. The last bias is set from the output for
    synthetic photos, rounded up to a coarse grid so that rounding differences between CPUs give the same bias.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        network = MidasSmall().eval()
        photos = _synthetic_photos()
    tail = network.scratch.output_conv
    tail[5] = nn.Identity()
    with torch.inference_mode():
        raw = network(photos)
    tail[5] = nn.ReLU()
    spread = float(raw.max() - raw.min())
    grid = 2.0 ** math.floor(math.log2(spread) - 2)
    lift = spread - float(raw.min())
    with torch.no_grad():
        tail[4].get_parameter("bias").fill_(math.ceil(lift / grid) * grid)
    return network


def _synthetic_photos() -> Tensor:
    """Return normalised noise at scales from fine to coarse, (4, 3, 256, 256)."""
    photos = []
    for size in (4, 16, 64, 256):
        noise = torch.randn(1, 3, size, size)
        photos.append(functional.interpolate(noise, size=(256, 256), mode="bilinear", align_corners=False))
    return torch.cat(photos)
