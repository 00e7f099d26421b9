"""Each flag once, for commands and for pytest."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from midas_bench.depth.backends.registry import REGISTRY
from midas_bench.depth.config import PipelineConfig, check_threads
from midas_bench.depth.model_settings import FLAGS, PRESETS
from midas_bench.errors import UserError

if TYPE_CHECKING:  # commands run without pytest
    import pytest

T = TypeVar("T")

SECONDS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Option:
    """A flag: its name, help, and what argparse needs to know of it."""

    name: str
    help: str
    settings: dict[str, Any]


class _Once(argparse.Action):
    """Keep the value of a flag that a command takes once; argparse would keep the last of several."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: Any = None
    ) -> None:
        del parser, option_string
        earlier = getattr(namespace, self.dest)
        at_most_one(self.option_strings[0], [values] if earlier is None else [earlier, values])
        setattr(namespace, self.dest, values)


ONE_BACKEND = f"backend to run: {', '.join(REGISTRY)}"
ONE_COUNT = "threads for the runtime and for OpenCV (default: the physical cores this process may use)"
SINGLE = {"--backend": f"{ONE_BACKEND} (default: onnx)", "--threads": ONE_COUNT}
"""What commands say that take one of each."""

MODEL_SETTINGS = (
    ("size", "HxW", "height x width of the network's input, of a --model where it leaves them free (default: 256x256)"),
    ("output", "NAME", "its output that holds depth, where it has several"),
    ("preset", "NAME", f"how its input is normalised: {', '.join(PRESETS)} (default: midas, or raw for uint8)"),
    ("mean", "R,G,B", "what is subtracted from pixels that are divided by --scale"),
    ("std", "R,G,B", "what the difference is divided by"),
    ("scale", "NUMBER", "what pixels of 0 to 255 are divided by"),
    ("meaning", "NAME", "what its numbers are, inverse (larger is nearer) or depth (default: inverse)"),
)
"""What a user can say of a model, or of its size without one: a setting, what stands for its value, and its help."""

SEVERAL_BACKENDS = "several as a,b or by repeating the flag; 'all' for every one"
IN_PYTEST: Mapping[str, dict[str, Any]] = {
    "--backend": {
        "help": f"{ONE_BACKEND}; {SEVERAL_BACKENDS}, 'fast' for the fastest in a first look of up to a minute"
    },
    "--model": {
        "action": "append",
        "help": "an ONNX file of your own in place of the network; repeat the flag to compare several models",
    },
}
"""What differs there: a run may compare what a command takes one of, and look for backends itself."""

MODEL_FLAGS = ("--model", *(FLAGS[name] for name, _, _ in MODEL_SETTINGS))

OPTIONS = {
    option.name: option
    for option in (
        Option(
            "--backend",
            f"{ONE_BACKEND}; {SEVERAL_BACKENDS}",
            {"action": "append", "metavar": "NAME"},
        ),
        Option(
            "--weights",
            "auto (official if cached or downloadable, else seeded), official, seeded (timing only), or a path",
            {"default": "auto", "metavar": "WEIGHTS"},
        ),
        Option(
            "--model",
            "an ONNX file of your own in place of the network: one picture in, one map of depth out",
            {"action": _Once, "default": None, "metavar": "FILE"},
        ),
        *(
            Option(
                FLAGS[name],
                says if name == "size" else f"of --model: {says}",
                {"default": None, "metavar": metavar, "dest": f"model_{name}"},
            )
            for name, metavar, says in MODEL_SETTINGS
        ),
        Option(
            "--threads",
            f"{ONE_COUNT}; several as 1,2",
            {"action": "append", "metavar": "N"},
        ),
        Option("--photos", "folder with your own photos, one folder per scene", {"default": None, "metavar": "DIR"}),
        Option(
            "--budget",
            "time for the cells of the default run, such as 90s, 10min or 1h; more time, more passes (default: 6min)",
            {"default": None, "metavar": "TIME"},
        ),
        Option("--quick", "one scene, batch 1 and 4, two passes: under a minute", {"action": "store_true"}),
        Option(
            "--noise",
            "mark cells during which the machine was disturbed, or rerun them (at most twice)",
            {"choices": ("mark", "rerun"), "default": "mark"},
        ),
        Option(
            "--resume",
            "go on with the newest interrupted run; '--resume=force' even if code, options or machine changed",
            {"nargs": "?", "const": "yes", "choices": ("yes", "force"), "default": None},
        ),
    )
}


def add_to_parser(
    parser: argparse._ActionsContainer, names: Iterable[str], says: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Add the named options to a command, or to a group of its options; `says` has help of its own for some."""
    for name in names:
        parser.add_argument(name, help=says.get(name, OPTIONS[name].help), **OPTIONS[name].settings)


def add_to_pytest(parser: pytest.Parser) -> None:
    """Add every option to pytest, in a group of their own."""
    group = parser.getgroup("midas-bench", "MiDaS_small benchmarks")
    for option in OPTIONS.values():
        group.addoption(option.name, **{"help": option.help} | option.settings | IN_PYTEST.get(option.name, {}))


def model_settings(options: object) -> tuple[tuple[str, str], ...]:
    """Return what the flags of a command or of pytest say of the model; flags that are not given are left out."""
    given = ((name, getattr(options, f"model_{name}", None)) for name in FLAGS)
    return tuple((name, value) for name, value in given if value is not None)


def pipeline_config(arguments: argparse.Namespace, **fields: Any) -> PipelineConfig:
    """Return what the flags of a command say of the pipeline.

    Args:
        arguments: with the flags of weights and model, and of backend and threads unless `fields` has them.
        fields: of `PipelineConfig`, in place of what flags say or beside it.

    Raises:
        UserError: several backends or thread counts are named, or no number of threads.
    """
    if "backend" not in fields:
        fields["backend"] = at_most_one("--backend", split(arguments.backend)) or "onnx"
    if "threads" not in fields:
        fields["threads"] = one_thread_count(arguments.threads)
    usual = {"weights": arguments.weights, "model": arguments.model, "model_settings": model_settings(arguments)}
    return PipelineConfig(**usual | fields)


def split(values: Iterable[str] | None) -> list[str]:
    """Flatten `a,b` and repeated flags to a list of names."""
    return [name.strip() for value in values or () for name in value.split(",") if name.strip()]


def thread_counts(values: Sequence[str] | None) -> tuple[int, ...]:
    """Read `1,2` or repeated flags as thread counts, each once.

    Raises:
        UserError: one is not a number, or not between 1 and the cores this process may use.
    """
    counts = []
    for text in split(values):
        try:
            counts.append(check_threads(int(text)))
        except ValueError:
            advice = "give one such as 2, or a list as 1,2"
            raise UserError(f"--threads {text}", "is not a whole number", advice) from None
    return tuple(dict.fromkeys(counts))


def one_thread_count(values: Sequence[str] | None) -> int | None:
    """Return the count of a command that takes one, or None where none is named.

    Raises:
        UserError: there are several, or as `thread_counts`.
    """
    return at_most_one("--threads", thread_counts(values))


def at_most_one(flag: str, values: Sequence[T]) -> T | None:
    """Return the value of a flag that a command takes once.

    Raises:
        UserError: there are several.
    """
    if len(values) > 1:
        raise UserError(f"{flag} {','.join(map(str, values))}", "names several", "name one")
    return values[0] if values else None


def seconds(flag: str, text: str, bare: str) -> float:
    """Read `90s`, `5min`, `1h`, or a number without a unit, which `bare` then is, as seconds.

    Raises:
        UserError: it is no such time, or nothing at all.
    """
    number = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*([a-z]*)\s*", text)
    unit = SECONDS.get(number[2] or bare) if number else None
    if not number or not unit or float(number[1]) == 0:
        raise UserError(f"{flag} {text}", "is not a time", "give one as 90s, 5min or 1h")
    return float(number[1]) * unit
