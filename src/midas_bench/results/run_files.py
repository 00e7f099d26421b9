"""JSON files of pytest-benchmark, complete or partial, ours or anyone's -> runs."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from midas_bench.errors import UserError
from midas_bench.files import as_utf8
from midas_bench.results.cell_reader import record_from
from midas_bench.results.json_fields import Fields, clean
from midas_bench.results.machine_fields import display_facts, machine_from
from midas_bench.results.runs import Record, Run, Skip

SCHEMA = 1
"""The form of the key `midas_bench` that this version writes, and the newest that it reads."""

STORAGE = Path(".benchmarks")


def read(path: Path) -> Run:
    """Read one file.

    Raises:
        UserError: it cannot be read, is not whole JSON, is no pytest-benchmark file, or comes from a newer version. Or
            it holds no cell, one cell twice, or impossible values.
    """
    return run_from(parsed(path), path)


def parsed(path: Path) -> object:
    """Return the JSON of a file.

    Raises:
        UserError: it cannot be read, or is not whole JSON.
    """
    try:
        text = as_utf8(path.read_bytes()).decode()
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror})", "check the path") from error
    except UnicodeDecodeError as error:
        raise UserError(path, "is not text, so it is no JSON", "name a file that pytest-benchmark saved") from error
    if not text.strip():
        raise UserError(path, "is empty, because its run ended before it could save", "run again with --resume")
    try:
        return json.loads(text)
    # a plain ValueError comes from an integer of thousands of digits
    except (ValueError, RecursionError) as error:
        place = f" at line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        reason = f"is not whole JSON (it breaks off or goes wrong{place})"
        raise UserError(path, reason, "run again with --resume, or name another file") from error


def run_from(content: object, path: Path) -> Run:
    """Turn parsed JSON into a run; `path` names it in errors.

    Raises:
        UserError: as `read`.
    """
    fields = Fields(path, "the file", content)
    if "benchmarks" not in fields:
        raise UserError(path, "has no list `benchmarks`", "name a file that pytest-benchmark saved")
    ours = fields.section("midas_bench") or Fields(path, "midas_bench", {})
    schema = ours.whole("schema") or SCHEMA
    if schema > SCHEMA:
        raise UserError(path, f"has form {schema}, but this version reads forms up to {SCHEMA}", "update midas-bench")
    records = tuple(record_from(section, path) for section in fields.sections("benchmarks"))
    check_unique(path, records)
    if not records:
        raise UserError(path, "holds no measured cell", "run the benchmarks without --benchmark-disable")
    commit = fields.section("commit_info") or Fields(path, "commit_info", {})
    machine = fields.section("machine_info") or Fields(path, "machine_info", {})
    return Run(
        path=path,
        records=records,
        status=ours.text("status") or "unknown",
        planned=ours.texts("planned"),
        failed=_left_out(ours, "failed"),
        skipped=_left_out(ours, "skipped"),
        when=fields.text("datetime") or "",
        commit=commit.text("id"),
        branch=commit.text("branch"),
        machine=machine_from(machine),
        conditions=display_facts(ours.plain("conditions")),
        lacking=tuple(lacking(ours, machine, records)),
    )


def _left_out(ours: Fields, name: str) -> tuple[Skip, ...]:
    return tuple(Skip(row.text("cell") or "?", row.text("reason") or "no reason given") for row in ours.sections(name))


def check_unique(path: Path, records: Iterable[Record]) -> None:
    """Refuse a file that holds a cell twice, because it is unclear which one is meant.

    Raises:
        UserError: it does.
    """
    [(name, count)] = Counter(record.fullname for record in records).most_common(1) or [("", 0)]
    if count > 1:
        raise UserError(path, f"holds the cell {clean(name)} {count} times", "keep one run per file")


def lacking(ours: Fields, machine: Fields, records: tuple[Record, ...]) -> Iterable[str]:
    """Yield what a file of this suite holds and this one does not."""
    if "status" not in ours:
        yield "whether the run was complete"
    if all(record.kind == "plain" for record in records):
        yield "scene, backend and batch size of its cells (it was not written by this suite)"
    if "midas_bench" not in machine:
        yield "the machine's fingerprint"
    if all(record.info.noise.noisy is None for record in records):
        yield "whether the machine was quiet"
    if not any(len(record.times.rounds_s) for record in records):
        yield "the raw rounds (save them with --benchmark-save-data), and so every interval"
    kinds = {record.kind for record in records}
    labels = {"memory": "memory", "startup": "start-up", "ratio": "interleaved ratios"}
    absent = [text for kind, text in labels.items() if kind not in kinds]
    if absent and "latency" in kinds:
        yield f"cells for {', '.join(absent)}"
    if "latency" in kinds and not any(record.info.depth_maps for record in records):
        yield "depth maps"


def depth_maps_of(path: Path) -> Path:
    """Return the folder beside a file that its run's depth maps are kept in."""
    return path.with_suffix("") if path.suffix == ".json" else path.with_name(path.name + "-maps")


def saved_in(folder: Path) -> list[Path]:
    """Return the JSON files in a folder and below it, oldest first by the number and date in their names.

    Raises:
        UserError: there is none.
    """
    # os.walk passes over folders that cannot be read, or that vanish meanwhile
    walked = os.walk(folder)
    paths = oldest_first(Path(place, name) for place, _, names in walked for name in names)
    if not paths:
        advice = "name a file, or run `pytest bench/ --benchmark-autosave` first"
        raise UserError(folder, "holds no *.json file" if folder.is_dir() else "no such file or folder", advice)
    return paths


def siblings(path: Path) -> list[Path]:
    """Return the other JSON files in a file's folder, oldest first, and none of the folders in it."""
    others = (Path(entry.path) for entry in os.scandir(path.parent) if entry.is_file())
    return oldest_first(other for other in others if other.resolve() != path.resolve())


def oldest_first(paths: Iterable[Path]) -> list[Path]:
    """Return the JSON files among the paths, by the number and date in their names."""
    return sorted((path for path in paths if path.suffix == ".json"), key=lambda path: (path.name, str(path)))
