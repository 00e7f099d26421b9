"""Depth networks of transformers with seeded weights, written as ONNX files: `python networks.py FOLDER`.

They are made from configurations, and nothing is downloaded.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

# PyPI's torchvision, which transformers imports, does not load beside every PyTorch
from midas_bench.depth import torchvision_compat  # noqa: F401

os.environ["HF_HUB_OFFLINE"] = "1"

from transformers import (
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    Dinov2Config,
    DPTConfig,
    DPTForDepthEstimation,
    GLPNConfig,
    GLPNForDepthEstimation,
    Swinv2Config,
)

SEED = 20


def depth_anything() -> torch.nn.Module:
    """Make Depth Anything V2 with photos and patches as published, narrower and with a third of the blocks."""
    encoder = Dinov2Config(
        hidden_size=96, num_attention_heads=3, num_hidden_layers=4, image_size=518, patch_size=14,
        out_indices=[1, 2, 3, 4], apply_layernorm=True, reshape_hidden_states=False,
    )  # fmt: skip
    config = DepthAnythingConfig(
        backbone_config=encoder, reassemble_hidden_size=96, neck_hidden_sizes=[24, 48, 96, 96], fusion_hidden_size=32
    )
    return DepthAnythingForDepthEstimation(config)


def dpt_swin() -> torch.nn.Module:
    """Make DPT with Swin V2, as in MiDaS 3.1, narrower and with fewer blocks; every second block shifts its windows."""
    encoder = Swinv2Config(
        image_size=256, embed_dim=24, depths=(2, 2, 1, 1), num_heads=(1, 2, 4, 8), window_size=16,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = DPTConfig(backbone_config=encoder, neck_hidden_sizes=[24, 48, 96, 192], fusion_hidden_size=32)
    return DPTForDepthEstimation(config)


def glpn() -> torch.nn.Module:
    """Make GLPN, narrower and with fewer blocks."""
    return GLPNForDepthEstimation(
        GLPNConfig(
            hidden_sizes=[16, 32, 40, 64], depths=[1, 1, 1, 1], num_attention_heads=[1, 2, 5, 8], decoder_hidden_size=16
        )
    )


@dataclass(frozen=True)
class Export:
    """How a network becomes a file.

    Attributes:
        make: makes the network.
        size: height and width of the example.
        free: whether batch, height and width stay free. TorchScript's exporter does it in 2 to 6 s of CPU time where
            `torch.export` needs 40 to 50 s.
    """

    make: Callable[[], torch.nn.Module]
    size: tuple[int, int]
    free: bool


EXPORTS = {
    "depth_anything_518": Export(depth_anything, (518, 518), False),
    "depth_anything_252": Export(depth_anything, (252, 336), True),
    "dpt_swin_256": Export(dpt_swin, (256, 256), False),
    "glpn": Export(glpn, (192, 256), True),
}


def seeded(make: Callable[[], torch.nn.Module]) -> torch.nn.Module:
    """Make a network whose signals neither vanish nor grow, as those of freshly made transformers would."""
    torch.manual_seed(SEED)
    network = make().eval()
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d | torch.nn.Linear):
            torch.nn.init.kaiming_normal_(module.weight)
    return network


def write(name: str, path: Path) -> None:
    """Export one of the networks."""
    how = EXPORTS[name]
    axes = {"pixel_values": {0: "n", 2: "h", 3: "w"}, "predicted_depth": {0: "n", 1: "p", 2: "q"}}
    torch.onnx.export(
        seeded(how.make), (torch.zeros(1, 3, *how.size),), str(path), dynamo=not how.free,
        opset_version=17 if how.free else None, dynamic_axes=axes if how.free else None,
        input_names=["pixel_values"], output_names=["predicted_depth"], verbose=False,
    )  # fmt: skip


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    for name in EXPORTS:
        write(name, Path(sys.argv[1], f"{name}.onnx"))
