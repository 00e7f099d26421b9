"""From blocks of a page and a native process to their ratio."""

import math

import pytest

from midas_bench.measure.blocks import Block
from midas_bench.measure.browser.ratio import TIMED, UncertainTierError, groups, over_native
from midas_bench.measure.browser.tier import ReferenceKernels
from midas_bench.measure.worker_client import TimedCall
from midas_bench.results.kinds import cell_info

KERNELS = ReferenceKernels(baseline_s=4.0, optimised_s=1.5)
PAGE = {"pipeline": 8.0, "inference": 6.0, "pipeline/decode": 1.0, "pipeline/preprocess": 0.25, "kernel": 1.5}
PAGE |= {"pipeline/inference": 6.5, "pipeline/heatmap": 0.25}
NATIVE = {"pipeline": 2.0, "inference": 1.0, "decode": 0.5, "preprocess": 0.25, "heatmap": 0.125}


def block(slower=1.0, **page):
    seconds = {TimedCall("web-wasm", "photo", call): slower * s for call, s in (PAGE | page).items()}
    seconds |= {TimedCall("onnx", "photo", call): s for call, s in NATIVE.items()}
    return Block([seconds, seconds], {}, {})


@pytest.mark.parametrize(
    ("timed", "ratio"), [("pipeline", 4), ("decode", 2), ("preprocess", 1), ("inference", 6), ("heatmap", 2)]
)
def test_each_stage_of_the_page_is_set_against_the_native_one(timed, ratio):
    fields = over_native([block(), block(slower=1.1)], KERNELS, "web-wasm", "onnx", timed)
    assert fields["block_log_ratios"] == pytest.approx([math.log(ratio), math.log(1.1 * ratio)])
    assert fields["interval"]["blocks"] == 2
    native_s = NATIVE[timed]
    assert fields["native_rounds_s"] == [native_s] * 4
    assert fields["browser_rounds_s"] == pytest.approx([ratio * native_s * slower for slower in (1, 1, 1.1, 1.1)])
    assert fields["browser_median_s"] == pytest.approx(1.05 * ratio * native_s)
    assert fields["tier"] == {"page_s": pytest.approx(1.65), "baseline_s": 4.0, "optimised_s": 1.5}
    assert (
        cell_info({"kind": "browser-ratio", "browser_backend": "web-wasm"} | fields).to_extra_info().items()
        >= fields.items()
    )


def test_a_disturbed_round_of_the_kernel_proves_nothing_against_a_page():
    quiet, disturbed = (block(kernel=seconds).rounds[0] for seconds in (1.5, 4.0))
    fields = over_native([Block([disturbed, quiet, disturbed], {}, {})] * 2, KERNELS, "web-wasm", "onnx", "pipeline")
    assert fields["tier"]["page_s"] == 1.5


@pytest.mark.parametrize("timed", TIMED)
def test_one_page_of_baseline_code_spoils_all(timed):
    with pytest.raises(UncertainTierError, match=r"^the page does not run optimised code: its kernel takes 4.00 s"):
        over_native([block(), block(kernel=4.0), block()], KERNELS, "web-wasm", "onnx", timed)


def test_all_that_is_needed_is_timed():
    probes = [probe for group in groups("web-wasm", "onnx") for probe in group]
    assert {probe.call for probe in probes if probe.arm == "onnx"} == set(NATIVE)
    assert {probe.call for probe in probes if probe.arm == "web-wasm"} == {name for name in PAGE if "/" not in name}
    assert len(probes) == len(set(probes))
