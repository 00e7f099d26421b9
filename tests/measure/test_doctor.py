import json
import subprocess
import sys
from dataclasses import replace

import pytest

from midas_bench import allocator
from midas_bench.cli import doctor as command
from midas_bench.cli.main import main
from midas_bench.cores import Clock, CoreKind
from midas_bench.errors import UserError
from midas_bench.measure.doctor import BUSY_CORES_LIMIT, NEEDED_BYTES, SWAP_LIMIT_BYTES, UNSEEN, MachineFinding, examine
from midas_bench.measure.machine import Condition, MachineFacts
from midas_bench.measure.noise_probe import STEAL_LIMIT
from midas_bench.measure.raspberry_pi import BITS, Throttling

GOOD = MachineFacts(
    "abc", "A CPU", ("AVX2",), 4, 8, 8, None, 16 << 30, None, "performance", True, False, "Linux", {}, {}
)
QUIET = Condition((0.2, 0.2, 0.2), 0.05, 0.0, 12 << 30, 0, None)

FAST, SLOW = CoreKind("Cortex-A76", (4, 5, 6, 7), 2400, 1024), CoreKind("Cortex-A55", (0, 1, 2, 3), 1800, 530)
LOW_VOLTAGE, CAPPED = BITS[0], BITS[1]

FINDINGS = {
    "load": ({}, {"busy_cores": BUSY_CORES_LIMIT + 0.01}, f"other work uses 0.2 cores ({UNSEEN})"),
    "recent load": ({}, {"load_average": (1.1, 0.5, 0.5)}, "the load average is 1.1"),
    "steal": ({}, {"steal_fraction": STEAL_LIMIT + 0.01}, "the hypervisor takes 3% of a core"),
    "battery": ({}, {"on_battery": True}, "the machine runs on battery"),
    "governor": ({"governor": "powersave"}, {}, "the frequency governor is 'powersave'"),
    "memory": ({}, {"available_bytes": NEEDED_BYTES - 1}, "only 2.0 GiB of memory is available"),
    "memory limit": ({"memory_limit_bytes": 1 << 30}, {}, "only 1.0 GiB of memory is available"),
    "swap": ({}, {"swap_used_bytes": SWAP_LIMIT_BYTES + 1}, "0.1 GiB are swapped out"),
    "one core": ({"allowed_cores": 1}, {}, "this process may use one core"),
    "quota": ({"cpu_quota": 2.5}, {}, "a quota allows 2.5 of 8 cores"),
    "kinds of core": (
        {"core_kinds": (FAST, SLOW), "usable_kinds": (FAST, SLOW)},
        {},
        "this process may use cores of unequal kind: 4 Cortex-A76 (4-7, up to 2400 MHz); 4 Cortex-A55 (0-3, up to "
        "1800 MHz)",
    ),
    "throttled": (
        {},
        {"throttling": Throttling((LOW_VOLTAGE, CAPPED), (LOW_VOLTAGE, CAPPED))},
        "the board's firmware says that the supply's voltage is too low and that the clock is capped",
    ),
    "throttled before": (
        {},
        {"throttling": Throttling((), (CAPPED,))},
        "since the board was started, its firmware has said that the clock is capped",
    ),
    "capped clock": (
        {"core_kinds": (FAST,), "usable_kinds": (FAST,)},
        {"clock": Clock(1000, 1800, 2400, ("performance",))},
        "the clock is capped at 1800 of 2400 MHz",
    ),
}

EDGES = {
    "load": ({}, {"busy_cores": BUSY_CORES_LIMIT}),
    "recent load": ({}, {"load_average": (1.0, 5.0, 5.0)}),
    "steal": ({}, {"steal_fraction": STEAL_LIMIT}),
    "battery": ({}, {"on_battery": False}),
    "governor": ({"governor": None}, {}),
    "memory": ({}, {"available_bytes": NEEDED_BYTES}),
    "memory limit": ({"memory_limit_bytes": NEEDED_BYTES}, {}),
    "swap": ({}, {"swap_used_bytes": SWAP_LIMIT_BYTES}),
    "one core": ({"allowed_cores": 2}, {}),
    "quota": ({"cpu_quota": 8.0}, {}),
    "kinds of core": ({"core_kinds": (FAST, SLOW), "usable_kinds": (FAST,)}, {}),
    "throttled": ({}, {"throttling": Throttling((), ())}),
    "capped clock": ({"core_kinds": (FAST,)}, {"clock": Clock(1000, 2400, 2400, ("performance",))}),
    "clock that a user of x86 lowered": ({}, {"clock": Clock(1000, 1800, 2400, ("performance",))}),
}


def test_a_quiet_machine_has_no_findings():
    assert examine(GOOD, QUIET) == []


@pytest.mark.parametrize("what", FINDINGS)
def test_doctor_names_each_cause_alone(what):
    machine, now, cause = FINDINGS[what]
    [finding] = examine(replace(GOOD, **machine), replace(QUIET, **now))
    assert finding.what == cause
    assert finding.effect
    assert finding.remedy


@pytest.mark.parametrize("what", EDGES)
def test_doctor_finds_nothing_at_the_limits(what):
    machine, now = EDGES[what]
    assert examine(replace(GOOD, **machine), replace(QUIET, **now)) == []


def test_a_busy_process_of_any_name_is_one_line(odd_name):
    [busy] = examine(GOOD, replace(QUIET, busy_cores=1.6, hungry=((odd_name, 1.2),)))
    assert str(busy).encode().decode().isprintable()


def test_the_busiest_processes_are_named():
    now = replace(QUIET, busy_cores=1.6, hungry=(("chrome (PID 7)", 1.2), ("backup (PID 8)", 0.3)))
    [finding] = examine(GOOD, now)
    assert finding.what == "other work uses 1.6 cores (chrome (PID 7) 1.2, backup (PID 8) 0.3)"
    assert finding.remedy == "end these processes or wait for them"


def test_a_quota_below_one_core_still_advises_one_thread():
    [finding] = examine(replace(GOOD, cpu_quota=0.5), QUIET)
    assert "--threads 1 or fewer" in finding.remedy


def test_of_unequal_cores_the_fast_ones_are_advised():
    [finding] = examine(replace(GOOD, core_kinds=(FAST, SLOW), usable_kinds=(FAST, SLOW)), QUIET)
    assert finding.remedy.startswith("start with taskset -c 4-7,")


def test_a_finding_is_one_line_of_what_why_and_remedy():
    assert str(MachineFinding("it rains", "cables get wet", "go inside")) == "it rains: cables get wet; go inside"


@pytest.fixture
def scripted(monkeypatch):
    """Let the command see a crafted machine."""

    def see(machine=GOOD, now=QUIET):
        monkeypatch.setattr(command.machine, "inspect", lambda: machine)
        monkeypatch.setattr(command.machine, "condition", lambda: now)
        monkeypatch.setattr(command, "_builds", lambda: {"torch": "as built"})

    return see


def test_the_command_is_content_with_a_quiet_machine(scripted, capsys):
    scripted()
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert "The machine is quiet: nothing was found that would spoil a measurement." in printed
    assert "A CPU" in printed
    assert "torch: as built" in printed


def test_an_arm_board_its_kinds_of_core_and_its_clock_are_shown(scripted, capsys):
    facts = {"board": "Radxa ROCK 5B", "core_kinds": (FAST, SLOW), "usable_kinds": (FAST,)}
    now = {"clock": Clock(1000, 2400, 2400, ("schedutil", "performance"))}
    scripted(replace(GOOD, **facts), replace(QUIET, **now))
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "board         Radxa ROCK 5B" in lines
    assert "core kind     4 Cortex-A55 (0-3, up to 1800 MHz)" in lines
    assert "used          4 Cortex-A76 (4-7, up to 2400 MHz)" in lines
    assert "clock         1000 MHz now, 2400 of 2400 MHz allowed, schedutil, performance" in lines


def test_a_backend_that_cannot_run_is_named_once_with_the_reason(scripted, monkeypatch, capsys):
    scripted()
    absent = UserError("backend jit", "needs a part", "add it")
    monkeypatch.setattr(command.registry, "missing", lambda row: absent if row.name == "jit" else None)
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    [runs] = [line for line in lines if line.startswith("backends")]
    assert " eager, onnx, " in runs
    [missing] = [line for line in lines if line.endswith(" jit: needs a part; add it")]
    assert missing.startswith("not here")
    main(["doctor", "--json"])
    assert json.loads(capsys.readouterr().out)["backends"]["jit"] == "needs a part; add it"


def test_the_command_exits_with_1_if_something_will_spoil_a_measurement(scripted, capsys):
    scripted(now=replace(QUIET, on_battery=True))
    assert main(["doctor"]) == 1
    assert (
        "! the machine runs on battery: the clock rate changes with the charge; plug it in" in capsys.readouterr().out
    )


def test_the_commands_json_holds_all_of_it(scripted, capsys):
    scripted(now=replace(QUIET, on_battery=True))
    assert main(["doctor", "--json"]) == 1
    printed = json.loads(capsys.readouterr().out)
    assert printed["machine"] == json.loads(json.dumps(GOOD.to_json()))
    assert printed["condition"]["on_battery"] is True
    assert printed["builds"] == {"torch": "as built"}
    assert len(printed["findings"]) == 1
    assert printed["quiet"] is False
    assert printed["backends"]["eager"] is None


def test_advice_is_no_finding(scripted, monkeypatch, capsys):
    scripted()
    monkeypatch.setattr(allocator, "takes_effect", lambda: True)
    for name in allocator.OWN_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert "advice: the C library's allocator works by its defaults: " in printed
    assert "; start with GLIBC_TUNABLES=glibc.malloc.hugetlb=1" in printed
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=2")
    assert main(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["advice"] == []


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_the_command_runs_here(arguments):
    command_line = [sys.executable, "-m", "midas_bench.cli.main", "doctor", *arguments]
    ran = subprocess.run(command_line, capture_output=True, text=True)
    assert ran.returncode in (0, 1), ran.stderr
    assert ran.stderr == ""
    if arguments:
        printed = json.loads(ran.stdout)
        assert bool(printed["findings"]) == bool(ran.returncode)
        assert set(printed["builds"]) == {"torch", "onnxruntime", "opencv"}
    else:
        assert ("\n! " in ran.stdout) == bool(ran.returncode)
