"""Which of V8's compilers made the code that a page runs: told by a known kernel, timed in three browsers.

V8 starts with Liftoff, which compiles fast, and replaces the code of hot functions by that of TurboFan, which runs
fast. Two browsers that have one of them alone say how long the kernel takes with each. A page that is not close to the
fast one has times that nobody should publish. Source: V8's documentation, "WebAssembly compilation pipeline".
"""

from __future__ import annotations

from dataclasses import dataclass

from midas_bench.measure.browser.open_page import open_page
from midas_bench.results import units

LIFTOFF, TURBOFAN = ("--liftoff-only",), ("--no-liftoff",)
"""Flags of V8 that leave it one compiler for WebAssembly."""
MOST_OVER_OPTIMISED = 1.25
LEAST_APART = 1.5
CALLS = 4


@dataclass(frozen=True)
class ReferenceKernels:
    """Seconds of the kernel where one compiler alone made its code.

    Attributes:
        baseline_s: by Liftoff.
        optimised_s: by TurboFan.
    """

    baseline_s: float
    optimised_s: float

    def problem(self, page_s: float) -> str | None:
        """Say why a page's seconds for the kernel do not prove that it runs optimised code, or None where they do."""
        if not self.baseline_s >= LEAST_APART * self.optimised_s:
            return (
                f"the tier cannot be told: the kernel takes {units.seconds(self.baseline_s)} of baseline code and "
                f"{units.seconds(self.optimised_s)} of optimised code, less than {LEAST_APART:g} times apart"
            )
        if not page_s <= MOST_OVER_OPTIMISED * self.optimised_s:
            return (
                f"the page does not run optimised code: its kernel takes {units.seconds(page_s)}, optimised code "
                f"{units.seconds(self.optimised_s)}, and baseline code {units.seconds(self.baseline_s)}"
            )
        return None


def reference_kernels(profiles: str | None = None) -> ReferenceKernels:
    """Time the kernel in two browsers that have one compiler each.

    Args:
        profiles: the folder for their profiles.

    Raises:
        UserError: there is no browser.
        ProcessDiedError: one does not know its flag, ended or did not answer.
    """
    seconds = []
    for flags in (LIFTOFF, TURBOFAN):
        with open_page(js_flags=flags, profiles=profiles) as page:
            # the least, for other work can only add to it
            seconds.append(min(page.kernel().timed_elsewhere_s for _ in range(CALLS)))
    return ReferenceKernels(*seconds)
