from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest


@pytest.fixture(scope="session")
def tool(project: Path) -> Callable[[str], SimpleNamespace]:
    """Load a script of tools/, which is no package: `tool("prose").sentences(text)`."""
    return lambda name: SimpleNamespace(**runpy.run_path(str(project / "tools" / f"{name}.py")))
