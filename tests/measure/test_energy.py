"""RAPL's counters in a made-up /sys/class/powercap: what is read, what wraps, and what gives no energy at all."""

import pytest

from midas_bench.measure.energy import joules, packages, read_uj

RANGE_UJ = 262_143_328_850


@pytest.fixture
def powercap(tmp_path):
    """Add a zone: `powercap("intel-rapl:0", "package-0", 5)`."""

    def zone(folder, name, energy_uj, range_uj=RANGE_UJ):
        place = tmp_path / folder
        place.mkdir(exist_ok=True)
        for file, content in (("name", name), ("energy_uj", energy_uj), ("max_energy_range_uj", range_uj)):
            if content is not None:
                (place / file).write_text(f"{content}\n")
        return tmp_path

    return zone


def test_packages_are_read_and_neither_their_parts_nor_the_platform(powercap):
    powercap("intel-rapl:0", "package-0", 100)
    powercap("intel-rapl:0:0", "core", 40)
    powercap("intel-rapl:1", "package-1", 0)
    root = powercap("intel-rapl:2", "psys", 900)
    found = packages(root)
    assert [package.energy_uj.parent.name for package in found] == ["intel-rapl:0", "intel-rapl:1"]
    assert read_uj(found) == (100, 0)


def test_energy_is_the_sum_of_what_the_counters_went_on(powercap):
    powercap("intel-rapl:0", "package-0", 1)
    found = packages(powercap("intel-rapl:1", "package-1", 2))
    assert joules(found, (1_000_000, 2_000_000), (4_000_000, 2_500_000)) == pytest.approx(3.5)


def test_a_counter_that_started_again_counts_on(powercap):
    found = packages(powercap("intel-rapl:0", "package-0", 1))
    assert joules(found, (RANGE_UJ - 1_000_000,), (500_000,)) == pytest.approx(1.5)


def test_without_counters_there_is_no_energy(tmp_path):
    assert packages(tmp_path / "no such folder") == ()
    assert read_uj(()) is None
    assert joules((), None, None) is None


@pytest.mark.parametrize("content", [None, "", "unknown", "-5", "٣"])
@pytest.mark.parametrize("file", ["energy_uj", "max_energy_range_uj"])
def test_one_counter_that_cannot_be_read_leaves_no_energy(powercap, file, content):
    powercap("intel-rapl:0", "package-0", 100)
    broken = {"energy_uj": 1, "range_uj": RANGE_UJ} | {file.replace("max_energy_", ""): content}
    root = powercap("intel-rapl:1", "package-1", broken["energy_uj"], broken["range_uj"])
    assert packages(root) == ()


def test_a_counter_that_vanishes_between_two_readings_leaves_no_energy(powercap):
    found = packages(powercap("intel-rapl:0", "package-0", 100))
    before = read_uj(found)
    found[0].energy_uj.unlink()
    assert joules(found, before, read_uj(found)) is None
