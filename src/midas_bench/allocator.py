"""The settings of the C library's allocator: in processes that this suite starts, and in the one that times cells.

Eager mode allocates and frees tens of megabytes per call. With glibc's defaults each such block is mapped afresh, and
the kernel clears and maps every page of it again: thousands of page faults per call. How many depends on what the
process has done before, for glibc's thresholds rise with what is freed.
"""

from __future__ import annotations

import ctypes
import platform
import sys
from collections.abc import Mapping

SETTINGS = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
"""Ask for transparent huge pages, of which one fault brings 2 MiB: https://sourceware.org/glibc/manual (tunables)."""

MALLOPT = {"M_MMAP_MAX": (-4, 0), "M_TRIM_THRESHOLD": (-1, 2**31 - 1), "M_TOP_PAD": (-2, 64 << 20)}
"""Number and value of each parameter of mallopt(3): map nothing apart, give nothing back, grow by 64 MiB at a time."""

OWN_VARIABLES = ("GLIBC_TUNABLES", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_", "LD_PRELOAD")
"""By these the user has chosen already: then nothing is added."""


def settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables to add to a child's environment: none off glibc, or where the user has chosen."""
    if not takes_effect() or any(name in environment for name in OWN_VARIABLES):
        return {}
    return dict(SETTINGS)


def keep_memory(environment: Mapping[str, str]) -> bool:
    """Tell this process's allocator to keep what is freed, so that no call's time depends on the calls before it.

    Huge pages can only be asked for when a process starts. Return False, and do nothing, off glibc or where the user
    has chosen.
    """
    if not settings(environment):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all(mallopt(number, value) for number, value in MALLOPT.values())


def takes_effect() -> bool:
    """Tell whether the C library is one that reads them."""
    return sys.platform == "linux" and platform.libc_ver()[0] == "glibc"
