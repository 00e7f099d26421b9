"""PyTorch is an extra: it draws seeded weights, makes graphs and runs its own backends, and nothing else needs it."""

from __future__ import annotations

from midas_bench.errors import missing_libraries

EXTRA = "torch"
LIBRARIES = ("torch", "torchvision", "timm")
NO_TORCH = f"needs torch, which is not installed; pip install 'midas-bench[{EXTRA}]'"


def require_torch(thing: str) -> None:
    """Refuse what PyTorch is needed for where it is not installed.

    Args:
        thing: that needs it, as the error names it.

    Raises:
        UserError: torch, torchvision or timm is not installed.
    """
    next_step = f"pip install 'midas-bench[{EXTRA}]', or name an ONNX file with --model"
    absent = missing_libraries(thing, LIBRARIES, next_step)
    if absent:
        raise absent
