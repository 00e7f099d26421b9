"""A plugin of pytest for an environment without PyTorch: what needs it is skipped, and says so.

`python -m pytest -p without_torch`, with this folder on the path.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from types import ModuleType

import pytest

import midas_bench.depth
from midas_bench.errors import UserError

PARTS = ("torch", "torchvision", "timm", "onnxscript", "pnnx")
"""What the extra `torch` installs, and a converter that cannot be installed without it."""
AT_IMPORT = re.compile(rf"^(?:import|from) (?:{'|'.join(PARTS)})\b", re.MULTILINE)


OWN = ("baseline_recipe", "graph", "network")
"""Modules of `midas_bench.depth` that import it; tests of other modules compare with some of them."""


class Absent(ModuleType):
    """Stands for a module that cannot be imported: a test that calls anything of it needs PyTorch."""

    def __getattr__(self, name: str) -> Callable[..., object]:
        """Return a function that says so."""
        if name.startswith("__"):
            raise AttributeError(name)

        def absent(*_: object, **__: object) -> object:
            raise ModuleNotFoundError("No module named 'torch'", name="torch")

        absent.__name__ = name
        return absent


def pytest_configure() -> None:
    """Let modules of tests be imported that compare with what needs it."""
    for name in OWN:
        whole = f"midas_bench.depth.{name}"
        try:
            importlib.import_module(whole)
        except ModuleNotFoundError:
            sys.modules[whole] = Absent(whole)
            setattr(midas_bench.depth, name, sys.modules[whole])


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave modules out that import PyTorch when they are imported."""
    if collection_path.suffix == ".py" and AT_IMPORT.search(collection_path.read_text(encoding="utf-8")):
        print(f"left out, for it imports PyTorch: {collection_path}")
        return True
    return None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    """Skip where a fixture needs it, or a mark says that the test does."""
    if item.get_closest_marker("torch"):
        pytest.skip("needs torch")
    return (yield from _skipping())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    """Skip where a test needs it."""
    return (yield from _skipping())


def _skipping() -> Generator[None, object, object]:
    try:
        return (yield)
    except ModuleNotFoundError as error:
        if error.name not in PARTS:
            raise
        pytest.skip(f"needs {error.name}")
    except UserError as error:
        if "needs torch" not in error.reason:
            raise
        pytest.skip("needs torch")
