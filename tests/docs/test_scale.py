"""tools/scale.py against closed forms: what one resource alone allows, and what failures cost."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

PHOTOS = 400_000
ENDLESS = 1e30


@pytest.fixture(scope="module")
def scale(tool):
    return tool("scale")


@pytest.fixture
def work(scale):
    return scale.Work("a photo", core_s=0.04, photo_bytes=300_000, heatmap_bytes=80_000)


@pytest.fixture
def ideal(scale):
    """Give nodes that never fail, small blocks, and storage and network without limits."""
    return scale.Cluster(
        network_bytes_per_s=ENDLESS, storage_bytes_per_s=ENDLESS, gets_per_s=ENDLESS, puts_per_s=ENDLESS,
        failure_every_s=ENDLESS, block_photos=500,
    )  # fmt: skip


def rate(outcome):
    return outcome.photos / outcome.seconds


@pytest.mark.parametrize(
    ("bottleneck", "limit"),
    [
        ("cores", {}),
        ("network", {"network_bytes_per_s": 1e6}),
        ("storage, bytes", {"storage_bytes_per_s": 20e6}),
        ("storage, requests", {"gets_per_s": 90.0}),
        ("storage, requests", {"puts_per_s": 110.0}),
    ],
)
def test_a_single_bottleneck_gives_the_rate_of_its_closed_form(scale, work, ideal, bottleneck, limit):
    cluster = replace(ideal, **limit)
    allowed = scale.limits(work, cluster, 8)
    assert min(allowed, key=allowed.get) == bottleneck
    outcome = scale.simulate(work, cluster, 8, PHOTOS)
    # the first block must be read before it is computed, and at the end some nodes have nothing to do
    assert 0.97 * allowed[bottleneck] < rate(outcome) <= allowed[bottleneck] * (1 + 1e-9)
    assert (outcome.photos, outcome.repeated, outcome.failures) == (PHOTOS, 0, 0)


def test_closed_forms_are_the_ones_that_a_hand_computes(scale, work, ideal):
    cluster = replace(ideal, network_bytes_per_s=1e6, storage_bytes_per_s=20e6, gets_per_s=90.0, puts_per_s=110.0)
    assert scale.limits(work, cluster, 8) == {
        "cores": pytest.approx(8 * 2 / 0.04),
        "network": pytest.approx(8 * 1e6 / 300_000),
        "storage, bytes": pytest.approx(20e6 / 300_000),
        "storage, requests": 90.0,
    }


def test_a_node_that_computes_while_storage_reads_for_it_is_as_fast_as_the_slower_of_both(scale, work, ideal):
    even = replace(ideal, storage_bytes_per_s=300_000 / 0.02, blocks_ahead=3)
    alone = rate(scale.simulate(work, ideal, 1, PHOTOS))
    assert rate(scale.simulate(work, even, 1, PHOTOS)) == pytest.approx(alone, rel=0.01)
    one_by_one = replace(even, blocks_ahead=1)
    # 10 s each to read and to compute a block, and less to write it
    expected = alone * 10 / (10 + 10 + 10 * 80_000 / 300_000)
    assert rate(scale.simulate(work, one_by_one, 1, PHOTOS)) == pytest.approx(expected, rel=0.01)


def test_failures_cost_the_time_of_restarts_and_of_lost_blocks(scale, work, ideal):
    failing = replace(ideal, failure_every_s=300.0, restart_s=100.0)
    outcome = scale.simulate(work, failing, 8, PHOTOS)
    assert outcome.photos == PHOTOS
    assert 0 < outcome.repeated <= outcome.failures * failing.block_photos * failing.blocks_ahead
    # a node works for 300 s of each 400 s, and then loses half a block of 10 s on average, or more
    expected = scale.limits(work, failing, 8)["cores"] * 300 / 400 * (1 - 5 / 300)
    assert rate(outcome) == pytest.approx(expected, rel=0.08)


def test_blocks_of_a_node_that_failed_are_done_by_others_at_the_end(scale, work, ideal):
    rare = replace(ideal, failure_every_s=40.0, restart_s=1e6)
    outcome = scale.simulate(work, rare, 50, 50 * 500)
    assert outcome.failures > 0
    assert outcome.photos == 25_000
    assert outcome.seconds < rare.restart_s


def test_the_same_seed_gives_the_same_table(scale, work):
    first, second = (scale.simulate(work, scale.ASSUMED, 10, 10_000_000, seed=3) for _ in range(2))
    assert first == second
    assert first != scale.simulate(work, scale.ASSUMED, 10, 10_000_000, seed=4)


def test_more_nodes_past_the_limit_of_storage_cost_more_and_save_no_time(scale, work, ideal):
    cluster = replace(ideal, storage_bytes_per_s=300_000 * 200)
    few, many = (scale.simulate(work, cluster, nodes, PHOTOS) for nodes in (8, 16))
    assert many.seconds == pytest.approx(few.seconds, rel=0.02)
    prices = [scale.machines_price(came_to, cluster, n) for came_to, n in ((few, 8), (many, 16))]
    assert prices[1] / prices[0] == pytest.approx(2, rel=0.02)


def test_price_is_that_of_all_nodes_until_the_last_photo(scale):
    outcome = scale.Outcome(photos=1, seconds=7200.0, repeated=0, failures=0)
    assert scale.machines_price(outcome, replace(scale.ASSUMED, price_per_hour=0.5), 3) == 3.0


def test_measured_inputs_stand_in_the_results(scale, project):
    text = " ".join((project / "docs/results.md").read_text(encoding="utf-8").split())
    assert [words for words in scale.MEASURED if words not in text] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--nodes", "1", "x"], "argument --nodes: invalid int value: 'x'"),
        (["--photos", "0"], "all numbers must be above zero"),
        (["--nodes", "1", "-1"], "all numbers must be above zero"),
        (["--price-per-hour", "nan"], "all numbers must be above zero"),
        (["--storage-gb-per-s", "inf"], "all numbers must be above zero"),
    ],
)
def test_scale_command_refuses_what_is_no_number_above_zero(scale, monkeypatch, capsys, arguments, said):
    monkeypatch.setattr("sys.argv", ["scale.py", *arguments])
    with pytest.raises(SystemExit) as end:
        scale.main()
    assert end.value.code == 2
    assert said in capsys.readouterr().err


def test_scale_command_prints_the_tables_for_the_given_cluster(scale, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["scale.py", "--nodes", "2", "3", "--photos", "100000", "--price-per-hour", "1"])
    scale.main()
    out = capsys.readouterr().out
    assert re.findall(r"\| 1280x853, `onnx` \| (\d) \|", out) == ["2", "3"]
    assert "| price of a node | $1 per hour |" in out
