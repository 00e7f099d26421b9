"""uv where it is installed, else pip: from requirements to exact versions, and into an environment."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from midas_bench.depth.torch_extra import LIBRARIES as TORCH
from midas_bench.errors import UserError
from midas_bench.files import CACHE_VARIABLE
from midas_bench.gate.requirements import Wanted, by_normalised_name
from midas_bench.processes import PR_SET_PDEATHSIG

LINKS_VARIABLE = "PIP_FIND_LINKS"
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
NEWEST_SHOWN = 3
LONGEST_REASON = 300

END_WITH_PARENT = f"""
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl({PR_SET_PDEATHSIG}, signal.SIGKILL)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""An installer that outlived a killed gate would disturb the next one."""

NO_NETWORK = ("connection broken by", "error sending request", "dns error", "Failed to fetch", "Could not connect")
NO_SPACE = "No space left on device"
NO_PIP = "No module named pip"


class NoNetworkError(UserError):
    """A package index could not be reached."""


def resolve(wanted: Wanted, folder: Path) -> list[str]:
    """Return exact versions, a line each, of all that must be installed.

    A version that is installed here stays where the requirements allow it.

    Args:
        wanted: the requirements.
        folder: for a folder that is not kept.

    Raises:
        UserError: nothing fulfils the requirements, or an index could not be reached.
    """
    with tempfile.TemporaryDirectory(prefix="resolving-", dir=folder) as temporary:
        asked, resolved = Path(temporary, "asked.txt"), Path(temporary, "resolved.txt")
        asked.write_text("\n".join(wanted.requirements), encoding="utf-8")
        uv = _uv()
        if uv is None:
            files = [word for path in (asked, *wanted.files) for word in ("-r", str(path))]
            _pip(wanted, "--dry-run", "--report", str(resolved), *files)
            return _pins(wanted, json.loads(resolved.read_text(encoding="utf-8")))
        # uv prefers the versions that its output names already
        resolved.write_text("\n".join(f"{name}=={version}" for name, version in installed().items()), encoding="utf-8")
        plain = ("--no-header", "--no-annotate", "--python", sys.executable, "--output-file", str(resolved))
        _run(wanted, [uv, "pip", "compile", *plain, *_uv_options(wanted), str(asked), *map(str, wanted.files)])
        lines = map(str.strip, resolved.read_text(encoding="utf-8").splitlines())
        return sorted(line for line in lines if line and not line.startswith("#"))


def install(wanted: Wanted, pins: Iterable[str], environment: Path, python: Path) -> None:
    """Install exact versions into a virtual environment.

    Raises:
        UserError: one cannot be had, or the disk is full.
    """
    listed = environment / "pins.txt"
    listed.write_text("\n".join(pins), encoding="utf-8")
    uv = _uv()
    if uv is None:
        base = {"base": str(environment), "platbase": str(environment)}
        packages = sysconfig.get_path("purelib", "venv", base)
        # nothing is compiled: a gate has compiled modules in folders of its own
        _pip(wanted, "--no-deps", "--no-compile", "--target", packages, "-r", str(listed))
    else:
        options = ("--no-deps", "--python", str(python), *_uv_options(wanted))
        _run(wanted, [uv, "pip", "install", *options, "-r", str(listed)])


def installed() -> dict[str, str]:
    """Return the versions of what is installed here, but for midas-bench, by normalised name."""
    return by_normalised_name([(each.metadata["Name"], each.version) for each in metadata.distributions()])


def _pins(wanted: Wanted, report: dict[str, Any]) -> list[str]:
    """Return what pip would install, and what of its requirements is installed here already."""
    planned = {canonicalize_name(row["metadata"]["name"]): row for row in report["install"]}
    pins: dict[str, str] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    left = [*map(Requirement, (*wanted.requirements, *wanted.named, *planned))]
    while left:
        requirement = left.pop()
        name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        if name in planned:
            pins[name], needs = _pin(planned[name]), planned[name]["metadata"].get("requires_dist", [])
        else:
            pins[name], needs = f"{name}=={metadata.version(name)}", metadata.requires(name) or []
        left += [
            need
            for need in map(Requirement, needs)
            if not need.marker or any(need.marker.evaluate({"extra": extra}) for extra in ("", *extras))
        ]
    return sorted(pins.values())


def _pin(row: dict[str, Any]) -> str:
    found = row["metadata"]
    name = canonicalize_name(found["name"])
    return f"{name} @ {row['download_info']['url']}" if row["is_direct"] else f"{name}=={found['version']}"


def _uv() -> str | None:
    # in an environment that is not activated, it lies beside its Python alone
    folders = (str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath))
    return shutil.which("uv", path=os.pathsep.join(folders))


def _uv_options(wanted: Wanted) -> list[str]:
    links = os.environ.get(LINKS_VARIABLE, "").split()
    options = [word for link in links for word in ("--find-links", link)]
    if _wants_cpu_index(wanted):
        options += ["--torch-backend", "cpu"]
    # wheels alone: building some old version can take an hour, and runs its code
    return ["--no-build", "--quiet", *options]


def _pip(wanted: Wanted, *arguments: str) -> None:
    options = ["--only-binary=:all:", "--no-input", "--disable-pip-version-check", "--retries", "1"]
    if _wants_cpu_index(wanted):
        options += ["--extra-index-url", TORCH_CPU_INDEX]
    _run(wanted, [sys.executable, "-m", "pip", "install", *options, *arguments])


def _wants_cpu_index(wanted: Wanted) -> bool:
    # PyPI's PyTorch for Linux brings several GB of CUDA
    return wanted.torch and not os.environ.get(LINKS_VARIABLE) and "+cpu" in installed().get(TORCH[0], "+cpu")


def _run(wanted: Wanted, command: Sequence[str]) -> None:
    wrapper = [sys.executable, "-c", END_WITH_PARENT] if sys.platform == "linux" else []
    ran: Any = subprocess.run(
        [*wrapper, *command],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, encoding="utf-8", errors="replace",
        env={**os.environ, "PYTHONIOENCODING": "utf-8", "NO_COLOR": "1"},
    )  # fmt: skip
    if ran.returncode:
        raise refusal(wanted.label, f"{ran.stdout}\n{ran.stderr}")


def refusal(label: str, said: str) -> UserError:
    """Return the essence of what uv or pip said, on one line."""
    if NO_PIP in said:
        return UserError(label, "cannot be installed: neither uv nor pip is here", "install one of them")
    if NO_SPACE in said:
        return UserError(label, f"cannot be installed ({NO_SPACE})", f"free some space, or set {CACHE_VARIABLE}")
    # an index that was reached lists versions, and then another one's silence is not the reason
    if any(sign in said for sign in NO_NETWORK) and not re.search(r"\(from versions: (?!none)", said):
        next_step = f"check the network, or name a folder of wheels in {LINKS_VARIABLE}"
        return NoNetworkError(label, "cannot be looked up: a package index was not reached", next_step)
    next_step = "name versions that exist for this Python and go together"
    return UserError(label, f"cannot be installed ({_essence(said)})", next_step)


def _essence(said: str) -> str:
    # uv frames its reasons with characters that draw boxes, and breaks their lines
    plain = " ".join(re.sub(r"[^\x00-\x7f]", " ", said).split())
    uv = re.search(r"(Because .*?),? we can conclude", plain)
    if uv:
        return _short(uv[1])
    conflict = re.search(r"The conflict is caused by:\n(.*?)\n\n", said, re.DOTALL)
    if conflict:
        return _short(", ".join(map(str.strip, conflict[1].splitlines())))
    missing = re.search(r"a version that satisfies the requirement (.*?) \(from versions: (.*?)\)", plain)
    if missing:
        newest = missing[2].split(", ")[-NEWEST_SHOWN:]
        found = f"the newest are {', '.join(newest)}" if newest != ["none"] else "nor another version of it"
        return f"there is no wheel of {missing[1]} for this Python, {found}"
    errors = [line.split(":", 1)[1] for line in said.splitlines() if line.lower().startswith("error:")]
    return _short(" ".join(errors[0].split()) if errors else plain or "it gave no reason")


def _short(reason: str) -> str:
    return reason if len(reason) <= LONGEST_REASON else f"{reason[:LONGEST_REASON]} ..."
