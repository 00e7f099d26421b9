"""What a user wants an environment to hold: requirements, a file of them, and what midas-bench needs beside."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from midas_bench.depth.torch_extra import EXTRA
from midas_bench.depth.torch_extra import LIBRARIES as TORCH
from midas_bench.errors import UserError
from midas_bench.files import as_utf8

DISTRIBUTION = "midas-bench"
FILES = (".txt", ".in", ".toml")

NAME, COMPARISON = r"[A-Za-z][\w.-]*", r"(?:===|[=<>!~]=|[<>])\s*[\w.*+!-]+"
REQUIREMENT = re.compile(
    rf"(?P<name>{NAME}\s*(?:\[[\w\s.,-]*\])?)(?P<versions>(?:[\s,]*{COMPARISON})*)[\s,]*", re.ASCII
)
NO_REQUIREMENT = re.compile(r"(?:^|\s)#.*|\s--.*|\s*\\\s*$")
"""What may follow a requirement on its line of a file: a comment, options, a line's continuation."""


def by_normalised_name(
    distributions: Sequence[tuple[str | None, str]], without: Collection[str] = (DISTRIBUTION,)
) -> dict[str, str]:
    """Return versions by normalised name, sorted; of two that are installed behind each other, Python's first."""
    versions = {canonicalize_name(name): version for name, version in reversed(distributions) if name}
    return {name: version for name, version in sorted(versions.items()) if name not in without}


@dataclass(frozen=True)
class Wanted:
    """What an environment shall hold.

    Attributes:
        label: as the user gave it.
        requirements: lines of a requirements file.
        files: requirements files beside them.
        named: what the user has named, by normalised name.
        torch: whether PyTorch is among them.
    """

    label: str
    requirements: tuple[str, ...]
    files: tuple[Path, ...] = ()
    named: frozenset[str] = frozenset()
    torch: bool = False


def wanted(spec: str, file: Path | None, extras: Collection[str]) -> Wanted:
    """Read the requirements of a file, or those that the user typed.

    Raises:
        UserError: there are none.
    """
    if file:
        return with_own(spec, list(_requirements_of(file, extras)), extras, None if file.suffix == ".toml" else file)
    if spec.endswith(FILES):
        raise UserError(spec, "is no file here", "check its path")
    return with_own(spec, parse(spec), extras)


def with_own(label: str, named: Sequence[Requirement], extras: Collection[str], file: Path | None = None) -> Wanted:
    """Add what midas-bench needs and the user does not name.

    Raises:
        UserError: the user names midas-bench.
    """
    names = frozenset(canonicalize_name(requirement.name) for requirement in named)
    if DISTRIBUTION in names:
        raise UserError(label, f"names {DISTRIBUTION} itself, which runs from its source", "leave it out")
    own = own_requirements(extras, names)
    torch = EXTRA in extras or bool(names & set(TORCH))
    if file:
        return Wanted(label, tuple(own), (file,), names, torch)
    return Wanted(label, (*own, *map(str, named)), (), names, torch)


def parse(spec: str) -> list[Requirement]:
    """Read requirements that blanks or commas separate; commas also join the versions of one.

    Raises:
        UserError: something else stands there.
    """
    text, found, end = spec.strip(" \t\n,"), [], 0
    while end < len(text):
        match = REQUIREMENT.match(text, end)
        try:
            if match is None:
                raise InvalidRequirement
            versions = (re.sub(r"\s", "", version) for version in re.findall(COMPARISON, match["versions"]))
            found.append(Requirement(match["name"] + ",".join(versions)))
            end = match.end()
        except InvalidRequirement:
            next_step = "write packages as onnxruntime==1.24.*, or name a requirements file or an environment"
            raise UserError(spec, f"is no requirement from `{text[end:]}` on", next_step) from None
    return found


def _requirements_of(path: Path, extras: Collection[str]) -> Iterator[Requirement]:
    """Yield the requirements of a file that apply here; lines that are none are left to the installer.

    Raises:
        UserError: it cannot be read.
    """
    try:
        text = as_utf8(path.read_bytes()).decode()
        lines = _dependencies(text, extras) if path.suffix == ".toml" else text.splitlines()
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror})", "check its permissions") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(path, f"holds no requirements ({error})", "name a requirements file") from error
    for line in lines:
        with suppress(InvalidRequirement):
            requirement = Requirement(NO_REQUIREMENT.sub("", line))
            if not requirement.marker or requirement.marker.evaluate({"extra": ""}):
                yield requirement


def _dependencies(text: str, extras: Collection[str]) -> list[str]:
    project = tomllib.loads(text)["project"]
    optional = project.get("optional-dependencies", {})
    lines = [*project["dependencies"], *(line for extra in extras for line in optional.get(extra, ()))]
    # an extra that stands for others of the project names the project
    return [line for line in lines if not line.startswith(f"{project['name']}[")]


def own_requirements(extras: Collection[str], named: Collection[str]) -> list[str]:
    """Return what midas-bench needs with these extras, but for what the user has named."""
    lines: set[str] = set()
    for requirement in map(Requirement, metadata.requires(DISTRIBUTION) or ()):
        marker, requirement.marker = requirement.marker, None
        if marker and not any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            continue
        if canonicalize_name(requirement.name) == DISTRIBUTION:
            lines.update(own_requirements(requirement.extras, named))
        elif canonicalize_name(requirement.name) not in named:
            lines.add(str(requirement))
    return sorted(lines)
