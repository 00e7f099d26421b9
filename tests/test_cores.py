from dataclasses import replace

import pytest
from tests.arm_machines import GRAVITON_3, PI_4, PI_5, RK3588, ArmMachine, Core

from midas_bench import cpu
from midas_bench.cores import CoreKind, allowed_kinds, arm_kinds, board, clock, core_list, usable_cores

X86 = "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC\nflags\t\t: fpu sse avx2\n"


@pytest.mark.parametrize(
    ("machine", "name", "mhz"),
    [(PI_4, "Cortex-A72", 1800), (PI_5, "Cortex-A76", 2400), (GRAVITON_3, "Neoverse-V1", None)],
)
def test_equal_cores_are_one_kind_by_the_designs_name(tmp_path, machine, name, mhz):
    assert arm_kinds(machine.write(tmp_path)) == (CoreKind(name, (0, 1, 2, 3), mhz),)


def test_fast_and_slow_cores_are_two_kinds_the_fast_ones_first(tmp_path):
    fast, slow = arm_kinds(RK3588.write(tmp_path))
    assert fast == CoreKind("Cortex-A76", (4, 5, 6, 7), 2400, 1024)
    assert slow == CoreKind("Cortex-A55", (0, 1, 2, 3), 1800, 530)
    assert str(fast) == "4 Cortex-A76 (4-7, up to 2400 MHz)"


def test_one_design_at_two_clock_rates_is_two_kinds(tmp_path):
    machine = ArmMachine("asimd", (Core("0xd0b", 1_800_000), Core("0xd0b", 2_600_000)))
    assert [kind.cores for kind in arm_kinds(machine.write(tmp_path))] == [(1,), (0,)]


def test_a_design_without_a_name_keeps_its_numbers(tmp_path):
    [kind] = arm_kinds(ArmMachine("asimd", (Core("0xfff"),)).write(tmp_path))
    assert kind.name == "ARM core 0x41/0xfff"


@pytest.mark.parametrize("text", ["", "processor\t: 0\n", X86, "processor : x\nCPU part : 0xd0b\n"])
def test_what_gives_no_arm_numbers_has_no_kinds(tmp_path, text):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(text)
    assert arm_kinds(tmp_path) == ()


def test_no_cpuinfo_no_kinds_no_board_no_clock(tmp_path):
    assert (arm_kinds(tmp_path), board(tmp_path), clock((0,), tmp_path)) == ((), None, None)


def test_a_board_is_named_without_the_null_byte(tmp_path):
    assert board(PI_5.write(tmp_path)) == "Raspberry Pi 5 Model B Rev 1.0"


def test_of_the_kinds_only_cores_that_may_be_used_count(tmp_path):
    kinds = arm_kinds(RK3588.write(tmp_path))
    assert [kind.cores for kind in allowed_kinds(kinds, {4, 5})] == [(4, 5)]
    assert [kind.cores for kind in allowed_kinds(kinds, {3, 7})] == [(7,), (3,)]


def test_the_clock_is_that_of_the_slowest_core(tmp_path):
    cores = tuple(replace(core, limit_khz=2_000_000 if core.max_khz == 2_400_000 else None) for core in RK3588.cores)
    seen = clock(range(8), replace(RK3588, cores=cores).write(tmp_path))
    assert (seen.now_mhz, seen.limit_mhz, seen.max_mhz, seen.governors) == (1200, 2000, 2400, ("schedutil",))
    assert seen.is_capped
    assert not clock((0, 1), tmp_path).is_capped


def test_cores_are_listed_as_taskset_takes_them():
    assert core_list((7, 0, 1, 2, 5)) == "0-2,5,7"
    assert core_list(()) == ""


def test_flags_are_the_kernels_names(tmp_path):
    assert {"asimd", "asimddp"} <= cpu.flags(PI_5.write(tmp_path) / "proc/cpuinfo")


def test_this_process_may_use_a_core():
    assert usable_cores()
