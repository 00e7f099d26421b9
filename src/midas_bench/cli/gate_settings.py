"""Settings of the gate that a project keeps in its pyproject.toml, under `[tool.midas-bench.gate]`."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from midas_bench.cli.gate_flags import ALL, Flag, flag_named, flags_of
from midas_bench.errors import UserError

FILE = "pyproject.toml"
TABLE = "tool.midas-bench.gate"


def with_settings(words: Sequence[str], folder: Path) -> list[str]:
    """Return a subcommand's words with the flags of the project's settings before them, so that later ones count.

    A flag that can be repeated is taken from the settings only where the words do not have it; `--threshold` is taken
    in any case, for each figure has one of its own.

    Raises:
        UserError: the settings cannot be read, or hold what no flag is called.
    """
    if not words or words[0] not in ALL:
        return list(words)
    settings = _settings(folder)
    if not settings:
        return list(words)
    flags = {name: flag for subcommand in ALL for name, flag in flags_of(subcommand).items()}
    taken = flags_of(words[0])
    given = {flag_named(word.partition("=")[0]) for word in words}
    from_settings: list[str] = []
    for key, value in settings.items():
        flag = flags.get(f"--{key}")
        if flag is None:
            names = ", ".join(name.removeprefix("--") for name in sorted(taken))
            raise UserError(f"{FILE}: [{TABLE}] {key}", "is no flag of the gate", f"choose from {names}")
        if flag.name in taken and (flag.name not in given or flag.name == "--threshold"):
            from_settings += _words(flag, key, value)
    return [words[0], *from_settings, *words[1:]]


def _settings(folder: Path) -> dict[str, Any]:
    for place in (folder, *folder.parents):
        path = place / FILE
        if path.is_file():
            break
        if (place / ".git").exists():
            return {}
    else:
        return {}
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror})", "check its permissions") from error
    except ValueError as error:
        raise UserError(path, f"is not TOML ({error})", "mend it") from error
    table = document.get("tool", {}).get("midas-bench", {}).get("gate", {})
    if not isinstance(table, dict):
        raise UserError(f"{path}: {TABLE}", "is no table", f"write [{TABLE}] above its settings")
    return table


def _words(flag: Flag, key: str, value: Any) -> Iterator[str]:
    """Yield what a user would type for a setting: text, a number, a list of them, true or false, or by figure."""
    if flag.is_switch:
        if not isinstance(value, bool):
            raise UserError(f"{FILE}: [{TABLE}] {key} = {value!r}", "is neither true nor false", "write one of them")
        if value:
            yield flag.name
        return
    values = [f"{name}={share}" for name, share in value.items()] if isinstance(value, dict) else value
    for each in values if isinstance(values, list) else [values]:
        if isinstance(each, bool) or not isinstance(each, (str, int, float)):
            raise UserError(f"{FILE}: [{TABLE}] {key} = {value!r}", "is no value of a flag", 'write it as "5%"')
        yield f"{flag.name}={each}"
