"""How the cores of a cluster are shared out among processes."""

import pytest

from midas_bench.errors import UserError
from midas_bench.fleet.bulk_depth import MOST_CORES, PHOTOS_PER_CORE, CoreGroups, core_groups


@pytest.mark.parametrize(
    ("node_cpus", "threads", "cores", "count"),
    [
        ([2], 1, 2, 1),  # as one process without Ray
        ([1, 1, 1], 1, 1, 3),
        ([4, 2.5], 1, 2, 3),
        ([64], 1, MOST_CORES, 64 // MOST_CORES),
        ([7], 2, 6, 1),
        ([16, 1], 4, 8, 2),  # the small machine cannot serve four threads
        ([12], 12, 12, 1),
    ],
)
def test_cores_are_shared_out_in_groups_of_one_size(node_cpus, threads, cores, count):
    assert core_groups(node_cpus, threads) == CoreGroups(cores, count)


def test_more_threads_than_any_machine_has_is_one_line():
    with pytest.raises(
        UserError, match="--threads 8: no machine of the Ray cluster offers so many cores; choose fewer"
    ):
        core_groups([4, 2], 8)


@pytest.mark.parametrize(
    ("groups", "photos", "rows"),
    [
        (CoreGroups(1, 3), 60, 5),
        (CoreGroups(2, 1), 2000, 2 * PHOTOS_PER_CORE),
        (CoreGroups(8, 4), 3, 1),
        (CoreGroups(8, 4), 0, 1),
    ],
)
def test_all_processes_have_work_and_blocks_are_long_beside_their_end(groups, photos, rows):
    assert groups.block_rows(photos) == rows
