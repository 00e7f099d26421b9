"""torchvision, and timm which imports it, beside whichever torch is installed.

torchvision from the main package index is built against CUDA torch. Beside a CPU-only torch its C++ operators do not
load, and `import torchvision` ends with "operator torchvision::nms does not exist". Nothing here uses those operators,
so where they are absent it is enough to declare them. Take timm and torchvision from here and nowhere else.
"""

from __future__ import annotations

import importlib
import sys

import torch

DETECTION_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def _import_torchvision() -> list[torch.library.Library]:
    """Import torchvision, and return the declarations it needed; they last as long as the returned objects."""
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
    else:
        return []
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]  # half imported
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for operator in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, operator):
            library.define(operator + DETECTION_SCHEMA)  # type: ignore[no-untyped-call]
    importlib.import_module("torchvision")
    return [library]


_declarations = _import_torchvision()

import timm  # noqa: E402
from torchvision import transforms  # noqa: E402

__all__ = ["timm", "transforms"]
