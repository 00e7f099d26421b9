import pytest

from midas_bench.cpu import allowed_cores

two_cores = pytest.mark.skipif(allowed_cores() < 2, reason="needs two cores")

EVERY_COUNT = """
import pytest

@pytest.mark.every_thread_count
def test_threads(cell, opened, one_photo, threads):
    cell.check(lambda: opened.pipeline.run(one_photo.data).depth, one_photo)
    cell.time("threads", opened.pipeline, one_photo.data)
"""


@two_cores
def test_several_counts_stand_in_the_ids_and_each_is_used(fake):
    assert fake.run("--threads=1,2", "-k", "street and b1").code == 0
    rows = fake.saved()["benchmarks"]
    assert [row["param"] for row in rows] == ["fake-t1-b1-street", "fake-t2-b1-street"]
    for count, row in enumerate(rows, start=1):
        assert row["extra_info"]["threads"] == count
        assert row["extra_info"]["threads_reported"] == {"fake": count, "opencv": count}
    # each is opened once, though its cell is visited twice
    assert sorted(event for event in fake.events() if event.startswith("open")) == ["open 1", "open 2"]
    assert [len(row["extra_info"]["rounds_by_pass"]) for row in rows] == [2, 2]


@pytest.mark.slow
def test_one_count_stands_in_no_id(fake):
    assert fake.run("--threads=1", "-k", "street and b1").code == 0
    [row] = fake.saved()["benchmarks"]
    assert row["param"] == "fake-b1-street"
    assert row["extra_info"]["threads"] == 1


@two_cores
def test_a_benchmark_of_threads_covers_each_count_up_to_the_allowed_cores(fake):
    fake.bench(EVERY_COUNT)
    assert fake.run().code == 0
    rows = fake.saved()["benchmarks"]
    assert [row["param"] for row in rows] == [f"fake-t{count}" for count in range(1, allowed_cores() + 1)]


def test_a_library_that_does_not_use_what_it_was_asked_for_fails_the_cell(fake):
    ran = fake.run("--threads=1", "-k", "street and b1", FAKE_THREADS="7")
    assert ran.code == pytest.ExitCode.TESTS_FAILED
    assert "asked for 1 threads, but the libraries report {'fake': 7, 'opencv': 1}" in ran
    assert fake.files() == []


@pytest.mark.parametrize("count", ["4096", "two"])
def test_a_count_that_cannot_be_had_is_a_usage_error(fake, count):
    ran = fake.run(f"--threads={count}")
    assert ran.code == pytest.ExitCode.USAGE_ERROR
    assert f"--threads {count}: " in ran
