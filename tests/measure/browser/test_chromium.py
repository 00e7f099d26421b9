"""The browser's process, with a stand-in in its place."""

import sys
import time

import psutil
import pytest

from midas_bench.errors import UserError
from midas_bench.measure.browser import chromium
from midas_bench.measure.browser.chromium import Chromium
from midas_bench.processes import ProcessDiedError


@pytest.fixture
def browser(tmp_path):
    """Start a stand-in that runs a line of Python: `browser("sys.exit('no display')")`."""

    def started(line, **how):
        script = tmp_path / "browser.py"
        script.write_text(f"import subprocess, sys, time\n{line}\n")
        command = tmp_path / "chromium"
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" "$@"\n')
        command.chmod(0o755)
        profiles = tmp_path / "profiles"
        profiles.mkdir(exist_ok=True)
        return Chromium("http://127.0.0.1:1/", profiles=str(profiles), command=str(command), **how)

    return started


def wait_until(holds):
    end_s = time.monotonic() + 10
    while not holds() and time.monotonic() < end_s:
        time.sleep(0.02)
    assert holds()


def test_it_gets_the_page_a_profile_and_the_flags_and_no_way_to_debug_it(browser, tmp_path):
    log = tmp_path / "arguments"
    line = f"print(repr(sys.argv[1:]), file=open({str(log)!r}, 'w'), flush=True)\ntime.sleep(600)"
    with browser(line, js_flags=("--liftoff-only", "--other")):
        wait_until(lambda: log.exists() and log.read_text().endswith("\n"))
        arguments = eval(log.read_text())
    assert arguments[-1] == "http://127.0.0.1:1/"
    assert "--js-flags=--liftoff-only --other" in arguments
    assert any(argument.startswith(f"--user-data-dir={tmp_path}/profiles/") for argument in arguments)
    assert not any("debug" in argument for argument in arguments)


def test_its_processes_and_its_profile_end_with_it(browser, tmp_path):
    line = "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\ntime.sleep(600)"
    with browser(line) as running:
        wait_until(lambda: len(running._processes()) == 2)
        processes = running._processes()
        assert running.memory().pss_bytes > running.memory().uss_bytes > 0
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)
    assert list((tmp_path / "profiles").iterdir()) == []


def test_a_browser_that_ended_is_told_with_its_last_words(browser):
    with browser("sys.exit('no usable sandbox')") as running:
        running._process.wait()
        with pytest.raises(ProcessDiedError, match="the browser ended: exit code 1: no usable sandbox"):
            running.check()
        assert running.memory() is None


def test_a_flag_that_v8_does_not_know_is_no_silent_one(browser):
    with browser(
        "print('Error: unrecognized flag --no-liftoff', file=sys.stderr, flush=True)\ntime.sleep(600)"
    ) as running:
        wait_until(lambda: running._complaints())
        with pytest.raises(ProcessDiedError, match="the browser's V8 does not know the flag --no-liftoff"):
            running.check()


def test_its_version_is_what_it_says(tmp_path):
    command = tmp_path / "chromium"
    command.write_text("#!/bin/sh\necho 'Chromium 156.0.8078.108 built on Debian'\n")
    command.chmod(0o755)
    assert chromium.version(str(command)) == "Chromium 156.0.8078.108"


def test_no_browser_is_said_with_the_way_to_get_one(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"^the browser: needs Chromium, which is not installed; apt install chromium$"):
        chromium.find_chromium()
