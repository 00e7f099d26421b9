"""The network as a file that a runtime loads: TorchScript, ONNX or LiteRT; or its weights, as a checkpoint.

Run as a process of its own (`python -m midas_bench.depth.graph`), so that a process that only runs ONNX Runtime never
imports torch, and the memory that tracing takes is given back. `artifacts.py` is its only caller.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import onnxruntime
import torch

from midas_bench.depth.backends.base import Backend
from midas_bench.depth.convert import SAME, require_close
from midas_bench.depth.interface import MIDAS, NetworkInterface
from midas_bench.depth.network import MidasSmall, load_network
from midas_bench.depth.optimize import deployed
from midas_bench.depth.weights import Weights
from midas_bench.processes import Reply, answer

EXPORT_OPTIONS = {
    "jit": {"trace_batch": 1},
    # a dimension of 1 would be taken for a constant
    "onnx": {"example_batch": 2, "dynamic_batch": True},
    "onnx-plain": {"example_batch": 1},
}
"""Part of an artifact's key: change them and the artifact is built anew."""


def trace(network: MidasSmall, path: Path, interface: NetworkInterface = MIDAS) -> None:
    """Trace the plain network with `torch.jit.trace`, as the article did, and save."""
    example = torch.zeros(interface.shape(EXPORT_OPTIONS["jit"]["trace_batch"]))
    with warnings.catch_warnings(), torch.inference_mode():
        # TorchScript is deprecated and still what the article's claim is about
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"torch\.jit")
        warnings.filterwarnings("ignore", message=r".*torch\.jit\.\w+. is (deprecated|not supported)")
        traced = torch.jit.trace(network, example)  # type: ignore[no-untyped-call]
        # torch is given open files: as a path it takes UTF-8 alone
        with path.open("wb") as file:
            torch.jit.save(traced, file)


def export_onnx(network: MidasSmall, path: Path, interface: NetworkInterface = MIDAS) -> None:
    """Export what is deployed to one ONNX file: `batch` (N, 3, H, W) to `depth` (N, H, W), N alone free."""
    example = torch.zeros(interface.shape(EXPORT_OPTIONS["onnx"]["example_batch"]))
    _export(deployed(network), example, path, dynamic_shapes={"batch": {0: torch.export.Dim("n")}})
    # a graph that cannot be loaded must not enter the cache
    onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])


def export_plain_onnx(network: MidasSmall, path: Path, interface: NetworkInterface = MIDAS) -> None:
    """Export the network as it was trained to one ONNX file, for one image: what others run, who publish it so."""
    _export(network, torch.zeros(interface.shape(EXPORT_OPTIONS["onnx-plain"]["example_batch"])), path)


def _export(network: torch.nn.Module, example: torch.Tensor, path: Path, **options: Any) -> None:
    torch.onnx.export(
        network,
        (example,),
        str(path),
        dynamo=True,
        external_data=False,
        input_names=["batch"],
        output_names=["depth"],
        verbose=False,
        **options,
    )


def export_litert(network: MidasSmall, path: Path, interface: NetworkInterface = MIDAS) -> None:
    """Convert what is deployed by litert-torch: float32 (1, 3, H, W) to (1, H, W), which LiteRT cannot resize.

    Raises:
        ValueError: its depth is not the network's.
    """
    import litert_torch

    from midas_bench.depth.backends.litert_interpreter import LiteRtBackend

    # bytes, since the converter takes names of UTF-8 alone
    path.write_bytes(litert_torch.convert(deployed(network), (torch.zeros(interface.shape(1)),)).model_content())
    _require_same_depth(LiteRtBackend(path, 1, interface), network, interface)


def _require_same_depth(backend: Backend, network: MidasSmall, interface: NetworkInterface) -> None:
    noise = interface.noise()
    with torch.inference_mode():
        expected = network(torch.from_numpy(noise)).numpy()
    require_close(backend(noise), expected, SAME, "PyTorch")


def save_checkpoint(network: MidasSmall, path: Path, _: NetworkInterface = MIDAS) -> None:
    """Save the state dict, which all sizes share, so that other revisions of this package load the same weights."""
    with path.open("wb") as file:
        torch.save(network.state_dict(), file)


BUILDERS = {
    "jit": trace,
    "onnx": export_onnx,
    "onnx-plain": export_plain_onnx,
    "litert": export_litert,
    "checkpoint": save_checkpoint,
}


def build(request: Reply) -> Reply:
    """Build one artifact: `kind`, resolved `weights`, and the `path` to write."""
    weights = Weights(**request["weights"])
    BUILDERS[request["kind"]](load_network(weights), Path(request["path"]), weights.interface)
    return {}


if __name__ == "__main__":
    sys.exit(answer(build))
