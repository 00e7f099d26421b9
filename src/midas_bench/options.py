"""Each flag once, for commands and for pytest."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from midas_bench.depth.backends.registry import REGISTRY

if TYPE_CHECKING:  # commands run without pytest
    import pytest


@dataclass(frozen=True)
class Option:
    """A flag: its name, help, and what argparse needs to know of it."""

    name: str
    help: str
    settings: dict[str, Any]


OPTIONS = {
    option.name: option
    for option in (
        Option(
            "--backend",
            f"backend to run: {', '.join(REGISTRY)}; several as a,b or by repeating the flag; 'all' for every one",
            {"action": "append", "metavar": "NAME"},
        ),
        Option(
            "--weights",
            "auto (official if cached or downloadable, else seeded), official, seeded (timing only), or a path",
            {"default": "auto", "metavar": "WEIGHTS"},
        ),
        Option(
            "--threads",
            "threads for torch, ONNX Runtime and OpenCV (default: the physical cores this process may use)",
            {"type": int, "default": None, "metavar": "N"},
        ),
        Option("--photos", "folder with your own photos, one folder a scene", {"default": None, "metavar": "DIR"}),
        Option("--quick", "one scene, batch 1 and 4, few rounds: under a minute", {"action": "store_true"}),
    )
}


def add_to_parser(parser: argparse.ArgumentParser, names: Iterable[str]) -> None:
    """Add the named options to a command."""
    for name in names:
        parser.add_argument(name, help=OPTIONS[name].help, **OPTIONS[name].settings)


def add_to_pytest(parser: pytest.Parser) -> None:
    """Add every option to pytest, in a group of their own."""
    group = parser.getgroup("midas-bench", "MiDaS_small benchmarks")
    for option in OPTIONS.values():
        group.addoption(option.name, help=option.help, **option.settings)


def split(values: Iterable[str] | None) -> list[str]:
    """Flatten `a,b` and repeated flags to a list of names."""
    return [name.strip() for value in values or () for name in value.split(",") if name.strip()]
