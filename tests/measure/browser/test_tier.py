"""Whether a page's kernel proves that its code is optimised."""

import pytest

from midas_bench.measure.browser.tier import ReferenceKernels

APART = ReferenceKernels(baseline_s=0.004, optimised_s=0.0014)


@pytest.mark.parametrize("page_s", [0.0012, 0.0014, 0.00174])
def test_a_page_close_to_the_optimised_kernel_is_believed(page_s):
    assert APART.problem(page_s) is None


@pytest.mark.parametrize("page_s", [0.00176, 0.0025, 0.004, float("nan")])
def test_a_page_between_the_compilers_or_at_the_baseline_is_refused_in_one_line(page_s):
    said = APART.problem(page_s)
    assert said.startswith("the page does not run optimised code")
    assert "optimised code 1.40 ms, and baseline code 4.00 ms" in said
    assert "\n" not in said


def test_two_compilers_that_cannot_be_told_apart_prove_nothing():
    said = ReferenceKernels(baseline_s=0.002, optimised_s=0.0014).problem(0.0014)
    assert said == (
        "the tier cannot be told: the kernel takes 2.00 ms of baseline code and 1.40 ms of optimised code, less than "
        "1.5 times apart"
    )
