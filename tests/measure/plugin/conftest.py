from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SOURCES = Path(__file__).parent / "project"
collect_ignore = ["project"]
PATIENCE_S = 120.0

ROW = '[[photo]]\nscene = "{scene}"\nfile = "{name}"\nsource = "made"\nauthor = "made"\nlicence = "CC0"\n'


@dataclass
class Ran:
    """A pytest run that ended."""

    code: int
    output: str

    def __contains__(self, text: str) -> bool:
        return text in self.output


@dataclass
class Project:
    """A small project of its own: the suite's plugin, a fake backend, one photo a scene."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    begin: tuple[str, ...] = ()
    saves: bool = True
    storage_folder: Path | None = None

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """Start `pytest bench/ --benchmark-autosave` with the fake backend, in a process group of its own."""
        command = [sys.executable, "-m", "pytest", "bench/", "--weights=seeded"]
        command += ["--benchmark-autosave"] * self.saves
        if not any(argument.startswith("--backend") for argument in arguments):
            command.append("--backend=fake")
        path = os.pathsep.join([str(self.root), *filter(None, [os.environ.get("PYTHONPATH")])])
        return subprocess.Popen(
            [*self.begin, *command, *arguments],
            cwd=self.root,
            env={**os.environ, "PYTHONPATH": path, "COLUMNS": "200", **self.environment, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, **variables: str) -> Ran:
        """Run to the end."""
        return ended(self.start(*arguments, **variables))

    def interrupted(self, visits: int, *arguments: str, signal_number: int = signal.SIGKILL, **variables: str) -> Ran:
        """Send a signal to the whole process group once so many visits are on disk; the fake backend waits for it."""
        real = any(argument.startswith("--backend") for argument in arguments)
        before, held_before = len(self.rows("visit")), self.held()
        process = self.start(*arguments, **{"FAKE_HOLD_AFTER": str(visits)} | variables)
        if real:
            self.until(lambda: len(self.rows("visit")) >= before + visits, process)
        else:
            # what is on disk may not be in the process's memory yet
            self.until(lambda: self.held() > held_before, process)
        assert len(self.rows("visit")) >= before + visits
        os.killpg(process.pid, signal_number)
        return ended(process)

    def held(self) -> int:
        """Count how often the fake backend waited."""
        path = Path(self.environment["FAKE_EVENTS"])
        return path.read_text().split().count("held") if path.exists() else 0

    def until(self, happened: Callable[[], bool], process: subprocess.Popen[str] | None = None) -> None:
        """Wait, but not for ever."""
        end_s = time.monotonic() + PATIENCE_S
        while not happened():
            over = process is not None and process.poll() is not None
            if over or time.monotonic() > end_s:
                pytest.fail("it never happened: " + (process.communicate()[0] if over else "still waiting"))
            time.sleep(0.005)

    @property
    def storage(self) -> Path:
        return self.storage_folder or self.root / ".benchmarks"

    def journals(self) -> list[Path]:
        return sorted(self.storage.rglob("journal-*.jsonl"))

    def journal(self) -> Path:
        [path] = self.journals()
        return path

    def rows(self, kind: str) -> list:
        """Give the whole rows of one kind in all journals."""
        lines = [line for path in self.journals() for line in path.read_text().split("\n")[:-1] if line]
        return [row[kind] for row in map(json.loads, lines) if kind in row]

    def visits(self) -> dict[str, list[dict]]:
        """Give the visits of each cell in the one journal, in the order of the passes."""
        visits: dict[str, list[dict]] = {}
        for row in self.rows("visit"):
            visits.setdefault(row["fullname"], []).append(row)
        return visits

    def files(self) -> list[Path]:
        return sorted(self.storage.rglob("*.json"))

    def saved(self) -> dict:
        """Give the newest file."""
        return json.loads(self.files()[-1].read_text())

    def events(self) -> list[str]:
        return (self.root / "events").read_text().splitlines()

    def bench(self, source: str) -> None:
        """Replace the benchmark file."""
        (self.root / "bench/test_cells.py").write_text(source)

    def add_photo(self, scene: str, seed: int) -> None:
        """Append a tiny photo to the manifest."""
        folder = self.root / "fixtures/images"
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{scene}{seed}.png"
        Image.fromarray(np.random.default_rng(seed).integers(0, 255, (8, 12, 3), np.uint8)).save(folder / name)
        row = ROW.format(scene=scene, name=name) + "width = 12\nheight = 8\n"
        row += f'sha256 = "{hashlib.sha256((folder / name).read_bytes()).hexdigest()}"\n\n'
        with (folder / "manifest.toml").open("a") as file:
            file.write(row)


def ended(process: subprocess.Popen[str]) -> Ran:
    """Wait for a run; none outlives its test."""
    try:
        output, _ = process.communicate(timeout=PATIENCE_S)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    return Ran(process.returncode, output)


@pytest.fixture(scope="session")
def new_project(tmp_path_factory: pytest.TempPathFactory, project: Path) -> Callable[[], Project]:
    """Make a project of twelve cells (three scenes, four batch sizes) that take a fraction of a second together."""

    def make() -> Project:
        root = tmp_path_factory.mktemp("project")
        shutil.copytree(SOURCES, root, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        for name in ("conftest.py", "pytest.ini"):
            shutil.copy(project / name, root)
        fake_project = Project(root)
        for number, scene in enumerate(("street", "indoor", "pet")):
            fake_project.add_photo(scene, number)
        fake_project.environment = {
            "FAKE_EVENTS": str(root / "events"),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # others' plugins take longer than the run
            "PYTEST_ADDOPTS": "-p benchmark -p fakes -p no:cacheprovider "
            "--benchmark-min-rounds=3 --benchmark-max-time=0.01",
        }
        return fake_project

    return make


@pytest.fixture
def fake(new_project: Callable[[], Project]) -> Project:
    """Give a new project for one test."""
    return new_project()
