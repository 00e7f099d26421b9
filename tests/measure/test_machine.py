import json
import re
from dataclasses import asdict

import psutil
import pytest
from tests.arm_machines import GRAVITON_3, PI_4, PI_5, RK3588

from midas_bench import cores, cpu
from midas_bench.measure import machine
from midas_bench.measure.machine import Condition, cgroup_memory_limit, condition, inspect
from midas_bench.results.json_fields import Fields
from midas_bench.results.machine_fields import machine_from

GIB = 1 << 30


@pytest.fixture
def tree(tmp_path):
    """Make a tree of small files: `tree({"cpu.max": "max 100000"})`."""

    def write_tree(files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write_tree


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({"memory.max": "2147483648\n"}, 2 * GIB),
        ({"memory.max": "max\n"}, None),
        ({"memory/memory.limit_in_bytes": "1073741824\n"}, GIB),
        ({"memory/memory.limit_in_bytes": "9223372036854771712\n"}, None),
        ({}, None),
    ],
)
def test_a_cgroups_memory_limit_is_read_in_either_version(tree, files, limit):
    assert cgroup_memory_limit(tree(files)) == limit


NO_LIMITS = ("", "0", "-1", "unlimited", "max\n", "none", "1e9", "4G", "nan", "9" * 5000)


@pytest.mark.parametrize("text", NO_LIMITS, ids=lambda text: ascii(text)[:20])
def test_a_memory_limit_that_is_no_positive_number_is_no_limit(tree, text):
    root = tree({"memory.max": text, "memory/memory.limit_in_bytes": text})
    assert cgroup_memory_limit(root, root / "none") is None
    assert cgroup_memory_limit(tree({"memory/memory.limit_in_bytes": "3000"}), root / "none") == 3000


def test_the_least_memory_limit_of_nested_cgroups_counts(tree):
    own = "0::/user.slice/bench.service\n"
    sizes = {"memory.max": "max", "user.slice/memory.max": "3000", "user.slice/bench.service/memory.max": "5000"}
    root = tree(sizes | {"own": own})
    assert cgroup_memory_limit(root, root / "own") == 3000


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "50000\n"}, None),
        ({}, None),
    ],
)
def test_a_cgroups_cpu_quota_is_read_in_either_version(tree, files, cores):
    assert cpu.cgroup_cpu_quota(tree(files)) == cores


@pytest.mark.parametrize(
    ("files", "governor", "turbo"),
    [
        ({}, None, None),
        ({"cpu0/cpufreq/scaling_governor": "powersave\n", "intel_pstate/no_turbo": "1\n"}, "powersave", False),
        ({"cpu0/cpufreq/scaling_governor": "performance\n", "intel_pstate/no_turbo": "0\n"}, "performance", True),
        ({"cpufreq/boost": "1\n"}, None, True),
        ({"cpufreq/boost": "0\n"}, None, False),
        ({"cpu0/cpufreq/scaling_governor": "\n", "cpufreq/boost": ""}, None, None),
        ({"intel_pstate/no_turbo": "<unknown>", "cpufreq/boost": "1\n"}, None, True),
    ],
)
def test_governor_and_turbo_are_given_where_they_can_be_seen(tree, monkeypatch, files, governor, turbo):
    monkeypatch.setattr(machine, "SYS_CPU", tree(files))
    found = inspect()
    assert (found.governor, found.turbo) == (governor, turbo)


@pytest.fixture
def pretend(monkeypatch):
    """Pretend another machine, and return its facts: `pretend(brand="B", cores=8)`."""

    def inspected(brand="A CPU", flags=("avx2",), cores=4, memory=16 * GIB, versions=None, architecture="x86_64"):
        monkeypatch.setattr(machine.cpuinfo, "get_cpu_info", lambda: {"brand_raw": brand, "flags": list(flags)})
        monkeypatch.setattr(machine.psutil, "cpu_count", lambda logical=True: cores if logical else cores // 2)
        monkeypatch.setattr(machine, "allowed_cores", lambda: cores)
        monkeypatch.setattr(machine, "cgroup_cpu_quota", lambda: None)
        monkeypatch.setattr(machine, "cgroup_memory_limit", lambda: None)
        monkeypatch.setattr(machine.platform, "machine", lambda: architecture)
        memory_info = psutil.virtual_memory()._replace(total=memory)
        monkeypatch.setattr(machine.psutil, "virtual_memory", lambda: memory_info)
        monkeypatch.setattr(machine, "library_versions", lambda names: dict.fromkeys(names, versions or "1.0"))
        return inspect()

    return inspected


def test_machines_of_a_kind_have_the_same_fingerprint_whatever_is_installed(pretend, monkeypatch):
    first = pretend(versions="1.0")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    second = pretend(versions="2.0", memory=16 * GIB - 12345 * 4096)
    assert second.fingerprint == first.fingerprint
    assert len(first.fingerprint) == 12
    int(first.fingerprint, 16)
    assert second.versions != first.versions
    assert second.environment["OMP_NUM_THREADS"] == "3"


@pytest.mark.parametrize(
    "other",
    [
        {"brand": "B CPU"},
        {"flags": ("avx2", "avx512f")},
        {"cores": 8},
        {"memory": 32 * GIB},
        {"architecture": "aarch64"},
    ],
    ids=lambda other: next(iter(other)),
)
def test_machines_of_another_kind_have_another(pretend, other):
    assert pretend(**other).fingerprint != pretend().fingerprint


@pytest.fixture
def arm(pretend, monkeypatch, tmp_path):
    """Inspect an ARM machine by its files, with the cores that a process may use."""

    def inspected(described, usable=range(8)):
        root = described.write(tmp_path)
        monkeypatch.setattr(machine, "arm_kinds", lambda: cores.arm_kinds(root))
        monkeypatch.setattr(machine, "board", lambda: cores.board(root))
        monkeypatch.setattr(machine, "usable_cores", lambda: frozenset(usable))
        return pretend(brand="", flags=described.flags.split(), cores=len(described.cores), architecture="aarch64")

    return inspected


@pytest.mark.parametrize(
    ("described", "name", "isa"),
    [
        (PI_4, "Cortex-A72", ("NEON",)),
        (PI_5, "Cortex-A76", ("NEON", "NEON FP16", "NEON dot product")),
        (RK3588, "Cortex-A76 + Cortex-A55", ("NEON", "NEON FP16", "NEON dot product")),
        (
            GRAVITON_3,
            "Neoverse-V1",
            ("NEON", "NEON FP16", "NEON dot product", "int8 matrix multiply", "NEON BF16", "SVE"),
        ),
    ],
    ids=["Pi 4", "Pi 5", "RK3588", "Graviton 3"],
)
def test_an_arm_machine_is_named_by_its_cores(arm, described, name, isa, tmp_path):
    facts = arm(described)
    assert (facts.cpu_model, facts.isa, facts.board) == (name, isa, described.board)
    told = json.loads(json.dumps(facts.to_json()))
    recorded = machine_from(Fields(tmp_path, "machine_info", {"midas_bench": told}))
    assert recorded.kind == facts.fingerprint
    assert name.split()[0] in recorded.facts["core kinds"]


def test_a_run_on_other_cores_of_a_board_is_of_another_kind(arm):
    everywhere, fast = arm(RK3588), arm(RK3588, range(4, 8))
    assert everywhere.fingerprint != fast.fingerprint
    assert [kind.name for kind in everywhere.usable_kinds] == ["Cortex-A76", "Cortex-A55"]
    assert [kind.name for kind in fast.usable_kinds] == ["Cortex-A76"]


def test_instruction_sets_have_names_that_people_know(pretend):
    assert pretend(flags=("sse", "avx2", "avx512_vnni", "avx512vnni", "amx_tile")).isa == (
        "AVX2",
        "AVX-512 VNNI",
        "AMX",
    )
    assert pretend(flags=("asimd", "bf16"), architecture="aarch64").isa == ("NEON", "NEON BF16")


@pytest.mark.parametrize(
    ("flags", "architecture", "virtualised"),
    [
        (("avx2", "hypervisor"), "x86_64", True),
        (("avx2",), "x86_64", False),
        ((), "x86_64", None),
        (("asimd",), "aarch64", None),
    ],
)
def test_a_hypervisor_is_seen_where_the_processor_tells(pretend, flags, architecture, virtualised):
    assert pretend(flags=flags, architecture=architecture).virtualised is virtualised


def test_this_machine_can_be_described_twice_the_same_and_in_json():
    first, second = inspect(), inspect()
    assert first == second
    told = json.loads(json.dumps(first.to_json()))
    assert told["fingerprint"] == first.fingerprint
    assert 1 <= first.allowed_cores <= first.logical_cores
    assert first.versions["numpy"]


def test_the_present_condition_has_plausible_figures():
    now = condition(look_s=0.2)
    assert isinstance(now, Condition)
    json.dumps(now.to_json())
    assert 0 <= now.busy_cores <= psutil.cpu_count()
    assert -0.01 <= now.steal_fraction <= 1
    assert 0 < now.available_bytes <= psutil.virtual_memory().total
    assert len(asdict(now)["load_average"]) == 3
    assert len(now.hungry) <= 3
    assert all(re.fullmatch(r".+ \(PID \d+\)", name) for name, _ in now.hungry)


def test_a_process_that_ends_meanwhile_counts_for_nothing():
    class Gone:
        def cpu_percent(self):
            raise psutil.NoSuchProcess(1)

    assert machine._cpu_percent(Gone()) == 0.0
