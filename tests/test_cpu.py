import os

import psutil
import pytest

from midas_bench import cpu


@pytest.fixture
def machine(monkeypatch):
    def made_of(*, logical, physical, allowed, quota=None):
        monkeypatch.setattr(psutil, "cpu_count", lambda logical=True: machine_has[logical])
        machine_has = {True: logical, False: physical}
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(allowed)), raising=False)
        monkeypatch.setattr(cpu, "cgroup_cpu_quota", lambda: quota)

    return made_of


@pytest.mark.parametrize(
    ("allowed", "quota", "cores"),
    [(8, None, 8), (2, None, 2), (8, 4.0, 4), (8, 2.5, 3), (2, 16.0, 2), (8, 0.1, 1)],
)
def test_allowed_cores_are_the_affinity_bounded_by_the_quota(machine, allowed, quota, cores):
    machine(logical=8, physical=8, allowed=allowed, quota=quota)
    assert cpu.allowed_cores() == cores


@pytest.mark.parametrize(
    ("logical", "physical", "allowed", "threads"),
    [(8, 4, 8, 4), (8, 8, 8, 8), (8, 4, 2, 1), (8, 4, 1, 1), (2, 1, 2, 1), (4, None, 4, 4)],
)
def test_threads_default_to_the_physical_cores_that_are_allowed(machine, logical, physical, allowed, threads):
    machine(logical=logical, physical=physical, allowed=allowed)
    assert cpu.default_threads() == threads


def test_the_default_is_never_more_than_what_is_allowed_here():
    assert 1 <= cpu.default_threads() <= cpu.allowed_cores()


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(errors="surrogateescape"))


@pytest.mark.parametrize(("text", "cores"), [("150000 100000\n", 1.5), ("max 100000\n", None)])
def test_the_quota_of_cgroup_v2_is_read(tmp_path, text, cores):
    write(tmp_path / "cpu.max", text)
    assert cpu.cgroup_cpu_quota(tmp_path) == cores


@pytest.mark.parametrize(("text", "cores"), [("200000\n", 2.0), ("-1\n", None)])
def test_the_quota_of_cgroup_v1_is_read(tmp_path, text, cores):
    write(tmp_path / "cpu/cpu.cfs_quota_us", text)
    write(tmp_path / "cpu/cpu.cfs_period_us", "100000\n")
    assert cpu.cgroup_cpu_quota(tmp_path) == cores


V2 = "0::/user.slice/bench.service\n"
V1 = "4:memory:/user\n3:cpu,cpuacct:/user/bench\n0::/elsewhere\n"


@pytest.mark.parametrize(
    ("own", "files", "cores"),
    [
        (V2, {"user.slice/bench.service/cpu.max": "150000 100000"}, 1.5),
        (V2, {"user.slice/cpu.max": "50000 100000", "user.slice/bench.service/cpu.max": "150000 100000"}, 0.5),
        (V2, {"user.slice/cpu.max": "max 100000", "other.slice/cpu.max": "50000 100000"}, None),
        ("0::/../other.slice\n", {"cpu.max": "250000 100000", "other.slice/cpu.max": "50000 100000"}, 2.5),
        (V1, {"cpu/user/bench/cpu.cfs_quota_us": "50000", "cpu/user/bench/cpu.cfs_period_us": "100000"}, 0.5),
        (V1, {"cpu/user/cpu.cfs_quota_us": "50000", "cpu/user/cpu.cfs_period_us": "100000"}, 0.5),
        (V1, {"user/cpu.max": "50000 100000"}, None),
    ],
)
def test_the_least_quota_of_nested_cgroups_counts(tmp_path, own, files, cores):
    write(tmp_path / "own", own)
    for name, text in files.items():
        write(tmp_path / "cgroup" / name, text)
    assert cpu.cgroup_cpu_quota(tmp_path / "cgroup", tmp_path / "own") == cores


NO_LIMITS = (
    "", "\n", "0", "-1", "-100000", "max", "unlimited", "infinity", "inf", "nan", "1e400", "0x10", "1_000", "10 %",
    "5G", "\N{FULLWIDTH DIGIT ONE}", "1.5", "1\0", "9" * 5000, "\udcff",
)  # fmt: skip
"""What is no positive whole number, and so limits nothing."""


@pytest.mark.parametrize("text", NO_LIMITS, ids=lambda text: ascii(text)[:20])
def test_a_quota_or_a_period_that_is_no_positive_number_is_no_limit(tmp_path, text):
    for root, quota, period in ((tmp_path / "a", text, "100000"), (tmp_path / "b", "200000", text)):
        write(root / "v2/cpu.max", f"{quota} {period}\n")
        write(root / "v1/cpu/cpu.cfs_quota_us", quota)
        write(root / "v1/cpu/cpu.cfs_period_us", period)
        assert cpu.cgroup_cpu_quota(root / "v2", root / "none") is None
        assert cpu.cgroup_cpu_quota(root / "v1", root / "none") is None


@pytest.mark.parametrize("text", ["max", "100000", "100000 100000 100000", " ", "200000,100000"])
def test_a_cpu_max_of_other_than_two_numbers_is_no_limit(tmp_path, text):
    write(tmp_path / "cpu.max", text)
    assert cpu.cgroup_cpu_quota(tmp_path, tmp_path / "none") is None


@pytest.mark.parametrize("mount", ["cpu,cpuacct", "cpuacct,cpu", "cpu"])
def test_the_quota_of_cgroup_v1_is_read_however_its_controllers_are_mounted(tmp_path, mount):
    for folder in ("cpuset", mount, f"{mount}/below"):
        write(tmp_path / folder / "cpu.cfs_quota_us", {"cpuset": "1", mount: "-1"}.get(folder, "50000"))
        write(tmp_path / folder / "cpu.cfs_period_us", "100000")
    write(tmp_path / "own", "3:cpu,cpuacct:/below\n")
    assert cpu.cgroup_cpu_quota(tmp_path, tmp_path / "own") == 0.5


@pytest.mark.parametrize(
    "own", [b"", b"\xff\n", b"0::/caf\xe9.service\n", b"one\ntwo:three\n", b"0::/a\0b\n", b"::::\n"]
)
def test_a_cgroup_file_of_any_bytes_is_no_error(tmp_path, own):
    (tmp_path / "own").write_bytes(own)
    write(tmp_path / "cpu.max", "150000 100000")
    assert cpu.cgroup_cpu_quota(tmp_path, tmp_path / "own") == 1.5


def test_no_cgroup_means_no_quota(tmp_path):
    assert cpu.cgroup_cpu_quota(tmp_path) is None


X86 = "processor\t: 0\nflags\t\t: fpu sse avx2 avx512_vnni\nbugs\t\t: none\n\nprocessor\t: 1\nflags\t\t: fpu\n"


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        (X86, {"fpu", "sse", "avx2", "avx512_vnni"}),
        ("processor\t: 0\nFeatures\t: fp asimd bf16\n", {"fp", "asimd", "bf16"}),
        ("model name\t: a CPU\n", set()),
    ],
)
def test_the_flags_are_those_of_the_first_cpu(tmp_path, text, flags):
    (tmp_path / "cpuinfo").write_text(text)
    assert cpu.flags(tmp_path / "cpuinfo") == flags


def test_flags_are_read_beside_a_name_that_is_not_utf_8(tmp_path):
    (tmp_path / "cpuinfo").write_bytes(b"model name\t: Caf\xe9\nflags\t: avx2\n")
    assert cpu.flags(tmp_path / "cpuinfo") == {"avx2"}


def test_a_system_that_names_no_flags_has_none(tmp_path):
    assert cpu.flags(tmp_path / "nothing") == frozenset()
