"""A bare Chromium: no debugger, no driver, a profile of its own, and no way to any other machine.

An attached debugger keeps WebAssembly in the slow code of V8's baseline compiler. So nothing is attached: the page asks
for its work over HTTP. Source: V8's documentation, "WebAssembly compilation pipeline", section "Debugging".
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

import psutil

from midas_bench.errors import UserError
from midas_bench.measure.memory_sampler import SharedMemory, memory_of
from midas_bench.processes import ProcessDiedError, adopt_orphans, how_it_ended, last_words, tied, wait_for_ended

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--headless=new",
    "--disable-gpu",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-breakpad",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-sync",
    # the page is never the one that somebody looks at, and must run as if it were
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    # loopback alone: no name is looked up
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
UNKNOWN_FLAG = re.compile(r"unrecognized flag (\S+)")
END_TIMEOUT_S = 10.0
VERSION_TIMEOUT_S = 30.0


def find_chromium() -> str:
    """Return the path of the browser's command.

    Raises:
        UserError: there is none.
    """
    for name in NAMES:
        if path := shutil.which(name):
            return path
    raise UserError("the browser", "needs Chromium, which is not installed", "apt install chromium")


def version(command: str) -> str:
    """Return what the browser calls itself, such as `Chromium 156.0.8078.108`; nothing where it does not say.

    Raises:
        ProcessDiedError: it did not answer.
    """
    try:
        answered = subprocess.run(
            [command, "--version"], capture_output=True, text=True, timeout=VERSION_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise ProcessDiedError(f"{command} --version: no answer within {VERSION_TIMEOUT_S:.0f} s") from None
    match = re.search(r"\w+ [\d.]+", answered.stdout)
    return match[0] if match else ""


class Chromium:
    """A running browser with one page; it ends with this process, and takes its profile along.

    Args:
        address: of the page.
        js_flags: for V8, such as `--liftoff-only`.
        profiles: the folder to keep its profile in; None takes the system's for temporary files.
        command: the browser's path.
    """

    def __init__(
        self, address: str, js_flags: Sequence[str] = (), profiles: str | None = None, command: str | None = None
    ) -> None:
        command = command or find_chromium()
        self._profile = tempfile.mkdtemp(prefix="midas-bench-browser-", dir=profiles)
        self._errors = (Path(self._profile) / "stderr.txt").open("w+", encoding="utf-8", errors="replace")
        arguments = [*ARGUMENTS, f"--user-data-dir={self._profile}"]
        # root has no sandbox in Chromium, and starts without one or not at all
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            arguments.append("--no-sandbox")
        if js_flags:
            arguments.append(f"--js-flags={' '.join(js_flags)}")
        # its renderers are children of a helper that never waits for them
        adopt_orphans()
        self._process = subprocess.Popen(
            tied([command, *arguments, address]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
        )

    def check(self) -> None:
        """Do nothing while it runs as it was asked to.

        Raises:
            ProcessDiedError: it ended, or knows no such flag.
        """
        code = self._process.poll()
        complaints = self._complaints()
        if unknown := UNKNOWN_FLAG.search(complaints):
            raise ProcessDiedError(f"the browser's V8 does not know the flag {unknown[1]}")
        if code is not None:
            raise ProcessDiedError(f"the browser ended: {how_it_ended(code)}: {last_words(complaints)}")

    def memory(self) -> SharedMemory | None:
        """Return the memory of all its processes; None where the system does not tell shared pages apart."""
        return memory_of(self._processes())

    def _complaints(self) -> str:
        self._errors.flush()
        return (Path(self._profile) / "stderr.txt").read_text(encoding="utf-8", errors="replace")

    def _processes(self) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            browser = psutil.Process(self._process.pid)
            return [browser, *browser.children(recursive=True)]
        return []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # its children would end by themselves, those that are busy just then a little later
        processes = self._processes()
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()
        wait_for_ended((process.pid for process in processes[1:]), END_TIMEOUT_S)
        self._errors.close()
        _remove(Path(self._profile))


def _remove(folder: Path) -> None:
    """Remove a profile, which a process of the browser that is ending may still write to."""
    end_s = time.monotonic() + END_TIMEOUT_S
    while folder.exists() and time.monotonic() < end_s:
        shutil.rmtree(folder, ignore_errors=True)
