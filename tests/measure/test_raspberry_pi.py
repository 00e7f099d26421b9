import subprocess

import pytest

from midas_bench.measure import raspberry_pi
from midas_bench.measure.raspberry_pi import Throttling, parse, throttling

LOW, CAPPED, THROTTLED, SOFT = raspberry_pi.BITS.values()


@pytest.mark.parametrize(
    ("answer", "now", "since_start"),
    [
        ("throttled=0x0\n", (), ()),
        ("throttled=0x50005\n", (LOW, THROTTLED), (LOW, THROTTLED)),
        ("throttled=0xe0008\n", (SOFT,), (CAPPED, THROTTLED, SOFT)),
        ("throttled=0x20002", (CAPPED,), (CAPPED,)),
    ],
)
def test_the_bits_are_read(answer, now, since_start):
    assert parse(answer) == Throttling(now, since_start)


@pytest.mark.parametrize("answer", ["", "VCHI initialization failed\n", "throttled=0", "throttled=0xzz", "temp=48.3'C"])
def test_another_answer_says_nothing(answer):
    assert parse(answer) is None


def program(folder, text):
    path = folder / raspberry_pi.PROGRAM
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_the_program_is_asked_where_it_is_installed(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert throttling() is None
    program(tmp_path, '[ "$1" = get_throttled ] && echo throttled=0x10000')
    assert throttling() == Throttling((), (LOW,))
    program(tmp_path, "exit 255")
    assert throttling() is None


def test_a_program_that_hangs_is_given_up(tmp_path, monkeypatch):
    def hang(*_, **__):
        raise subprocess.TimeoutExpired("vcgencmd", raspberry_pi.TIMEOUT_S)

    monkeypatch.setenv("PATH", str(tmp_path))
    program(tmp_path, "exit 0")
    monkeypatch.setattr(subprocess, "run", hang)
    assert throttling() is None
