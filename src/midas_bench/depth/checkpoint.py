"""A checkpoint as others save it: where in it the network's parameters are, and whether they fit.

Training loops wrap a state dict in mappings of their own, and DataParallel, `torch.compile` and Lightning put something
before each name. Nothing of a checkpoint is ever run: PyTorch's reader takes tensors and plain containers alone.
"""

from __future__ import annotations

import re
import reprlib
import warnings
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from midas_bench.errors import UserError

ADVICE = "give a MiDaS v2.1 small checkpoint, or use --weights seeded for timing only"
SAVE_ALONE = "save the network's state_dict() alone with torch.save, and give that"

FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
"""The types that are converted to float32; what is narrower would need a scale beside it."""

WRAPPERS = frozenset({"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
"""The parts that DataParallel, torch.compile, FSDP and activation checkpointing put into names, at any place."""

AVERAGED = re.compile(r"(?<![a-z])(ema|swa|avg|averaged?|shadow|teacher)(?![a-z])", re.IGNORECASE)
"""The names of averages that training keeps beside the network."""

COUNTER = ".num_batches_tracked"
"""The end of the names of counters, which inference does not use and older PyTorch did not save."""


MOST_PREFIXES = 16
"""The parts of a name, at most, after which the network's own name may begin."""


@dataclass(frozen=True)
class Candidate:
    """What a checkpoint holds in one place under names of the network.

    Attributes:
        place: the mapping's keys and the prefix of its names, such as `['state_dict'] model.*`; empty without either.
        values: by the network's names; tensors where it is a state dict.
        unknown: names of tensors beside them that the network has not.
    """

    place: str
    values: dict[str, object]
    unknown: list[str]


def read_parameters(path: Path, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the network's parameters as float32, by the names of `expected`; counters are left out.

    Args:
        path: the checkpoint.
        expected: the network's state dict, whose names and shapes count.

    Raises:
        UserError: it cannot be read, has no parameters that fit or several sets of them, or a value is unusable.
    """
    required = {name: value for name, value in expected.items() if not name.endswith(COUNTER)}
    mappings = list(_mappings(_read(path)))
    candidates = [one for place, mapping in mappings for one in _candidates(place, mapping, expected.keys())]
    if not candidates:
        raise UserError(path, _foreign(mappings), ADVICE)
    chosen = _chosen(path, candidates, required)
    where = f" in {chosen.place}" if chosen.place else ""

    def check(problem: str, names: list[str]) -> None:
        if names:
            raise UserError(
                path, f"{problem} {len(names)} parameters of MiDaS_small{where} (first: {min(names)})", ADVICE
            )

    check("lacks", [name for name in required if name not in chosen.values])
    check("has unknown", chosen.unknown)
    parameters = {}
    for name in required:
        value = chosen.values[name]
        if not isinstance(value, Tensor) or _unusable(value):
            what = _unusable(value) if isinstance(value, Tensor) else f"a {type(value).__name__}"
            raise UserError(path, f"holds {what}{where} in place of a float tensor ({name})", SAVE_ALONE)
        parameters[name] = value.detach().to(torch.float32)
    check("has misshaped", [name for name, value in parameters.items() if value.shape != required[name].shape])
    check("holds NaN or infinity in", [name for name, value in parameters.items() if not value.isfinite().all()])
    return parameters


def _read(path: Path) -> object:
    try:
        # the reader is given an open file: as a path it takes UTF-8 alone
        file = path.open("rb")
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror})", "check the path and its permissions") from error
    with file, warnings.catch_warnings(record=True) as remarks:
        # the reader warns of a pickle protocol before it fails for it
        warnings.simplefilter("always")
        try:
            return torch.load(file, map_location="cpu", weights_only=True)
        # on damaged files the reader raises whatever it stumbles over
        except Exception as error:
            words = " ".join(map(str, [error, *(remark.message for remark in remarks)]))
            raise UserError(path, *_unreadable(path, words)) from error


def _unreadable(path: Path, words: str) -> tuple[str, str]:
    """Return why PyTorch's reader refuses a file, by its words, and what to do about it."""
    with path.open("rb") as file:
        start = file.read(64)
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < path.stat().st_size:
        return "is a safetensors file", "convert it: torch.save(safetensors.torch.load_file(FILE), 'weights.pt')"
    if start.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS and not the file itself", "fetch it with `git lfs pull`"
    if "TorchScript" in words:
        return "is a TorchScript archive and no state dict", SAVE_ALONE
    if python_object := re.search(r"GLOBAL (\S+)", words):
        return f"holds Python objects other than tensors ({python_object[1]}), which could run code", SAVE_ALONE
    if protocol := re.search(r"Detected pickle protocol (\d+)", words):
        return f"was saved with pickle protocol {protocol[1]}", "save it with torch.save's default protocol"
    return "is damaged or not a PyTorch checkpoint", ADVICE


def _mappings(content: object) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield the mappings in nested containers, the outer ones first, each with its place; an optimizer's are not."""
    waiting = deque([("", content)])
    seen = set()
    while waiting:
        place, container = waiting.popleft()
        # one that is held twice, or holds itself, counts once
        if id(container) in seen:
            continue
        seen.add(id(container))
        items: list[tuple[object, object]] = []
        if isinstance(container, Mapping):
            yield place, {name: value for name, value in container.items() if isinstance(name, str)}
            items = list(container.items())
        elif isinstance(container, list | tuple):
            items = list(enumerate(container))
        waiting.extend(
            (f"{place}[{reprlib.repr(key)}]", value)
            for key, value in items
            if isinstance(value, Mapping | list | tuple) and not str(key).lower().startswith("optim")
        )


def _foreign(mappings: list[tuple[str, dict[str, object]]]) -> str:
    """Say what a checkpoint holds in place of the network."""
    for place, mapping in mappings:
        for key, value in mapping.items():
            if isinstance(value, Tensor):
                where = f" in {place}" if place else ""
                return f"holds no parameters of MiDaS_small{where} (first: {reprlib.repr(key)})"
    return "is not a state dict of tensors"


def _candidates(place: str, mapping: Mapping[str, object], names: Set[str]) -> list[Candidate]:
    """Sort a mapping by what stands before the network's names."""
    by_prefix: dict[str, dict[str, object]] = defaultdict(dict)
    others = []
    for key, value in mapping.items():
        prefix, name = _split(key, names)
        if name is None or name in by_prefix[prefix]:
            others += [key] if isinstance(value, Tensor) else []
        else:
            by_prefix[prefix][name] = value
    return [
        Candidate(
            " ".join(filter(None, (place, f"{prefix}*" if prefix else ""))),
            values,
            [key for key in others if key.startswith(prefix)],
        )
        for prefix, values in by_prefix.items()
        if values
    ]


def _split(key: str, names: Set[str]) -> tuple[str, str | None]:
    """Return what stands before a name of the network and that name, without the parts that wrappers put into it."""
    parts = key.split(".")
    for start, part in enumerate(parts[:MOST_PREFIXES]):
        name = ".".join(part for part in parts[start:] if part not in WRAPPERS)
        if part not in WRAPPERS and name in names:
            return "".join(f"{part}." for part in parts[:start]), name
    return "", None


def _chosen(path: Path, candidates: list[Candidate], required: Mapping[str, Tensor]) -> Candidate:
    """Return the one set of parameters that is whole, plain ones before averages; else the one that has the most."""
    whole = [one for one in candidates if all(isinstance(one.values.get(name), Tensor) for name in required)]
    if not whole:
        return max(candidates, key=lambda one: len(one.values))
    plain = [one for one in whole if not AVERAGED.search(one.place)] or whole
    first, *others = plain
    if any(not _same(first.values[name], other.values[name]) for other in others for name in required):
        places = ", ".join(one.place or "the plain names" for one in plain)
        raise UserError(path, f"holds {len(plain)} different sets of parameters ({places})", SAVE_ALONE)
    return first


def _same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    usable = not _unusable(one) and not _unusable(other)
    return usable and (one.dtype, one.shape) == (other.dtype, other.shape) and torch.equal(one, other)


def _unusable(value: Tensor) -> str:
    """Return what a tensor is that cannot stand for weights, or nothing."""
    if value.is_meta:
        return "a tensor without values (meta)"
    if value.layout != torch.strided or value.is_nested:
        return "a sparse or nested tensor"
    return "" if value.dtype in FLOATS else f"{str(value.dtype).removeprefix('torch.')} values"
