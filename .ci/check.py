"""Check what a CI step wrote: `no-skips FILE.xml ...` and `smoke FILE.json LOAD.json`. Exit 1 and say what is wrong."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from xml.etree import ElementTree

BACKENDS = {"eager", "jit", "onnx"}
DRIVEN = {("onnx", scenario) for scenario in ("single-stream", "multi-stream", "offline", "server")}
KEYS = {
    "kind",
    "scene",
    "backend",
    "batch_size",
    "threads",
    "input_shape",
    "photos",
    "images_per_second",
    "latency_s",
    "load_s",
    "first_inference_s",
    "weights",
    "max_relative_error",
    "noise",
}


def no_skips(paths: list[str]) -> list[str]:
    """Count a skipped test as a failure, and a run without tests too."""
    problems = []
    for path in paths:
        suite = ElementTree.parse(path).getroot().find("testsuite")
        assert suite is not None
        if int(suite.attrib["tests"]) == 0:
            problems.append(f"{path}: no test ran")
        problems += [
            f"skipped: {case.attrib['name']}" for case in suite.iter("testcase") if case.find("skipped") is not None
        ]
    return problems


def smoke(paths: list[str]) -> list[str]:
    """Expect one complete cell for each backend, with raw rounds and every key; and LoadGen's scenarios for one."""
    document, load = (json.loads(Path(path).read_text(encoding="utf-8")) for path in paths)
    problems = []
    for path, run in zip(paths, (document, load), strict=True):
        if run["midas_bench"]["status"] != "complete":
            problems.append(f"{path}: status is {run['midas_bench']['status']}")
    driven = [cell["extra_info"] for cell in load["benchmarks"]]
    if {(info["backend"], info["scenario"]) for info in driven} != DRIVEN:
        problems.append(f"LoadGen's cells are {[(info['backend'], info['scenario']) for info in driven]}")
    problems += [
        f"{info['backend']}, {info['scenario']} is no short run, or has no throughput"
        for info in driven
        if info["rules"] != "short" or info["valid"] or not info["images_per_second"]
    ]
    cells = {cell["extra_info"]["backend"]: cell for cell in document["benchmarks"]}
    if cells.keys() != BACKENDS:
        problems.append(f"backends are {sorted(cells)}")
    for name, cell in cells.items():
        missing = KEYS - cell["extra_info"].keys()
        if missing:
            problems.append(f"{name} lacks {sorted(missing)}")
        if len(cell["stats"]["data"]) != cell["stats"]["rounds"]:
            problems.append(f"{name} lost its raw rounds")
    return problems


if __name__ == "__main__":
    check, *arguments = sys.argv[1:]
    found = {"no-skips": no_skips, "smoke": smoke}[check](arguments)
    print("\n".join(found) or f"{check}: all is well")
    sys.exit(bool(found))
