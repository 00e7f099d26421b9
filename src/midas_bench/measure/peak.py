"""The machine's peak: the highest rate at which a matrix product runs here, by precision.

The best of several sizes and, for float32, of two libraries, on the threads that a run uses. Without PyTorch, NumPy
measures float32 alone. It is what arithmetic alone allows: a network that never waited for memory would take its
operations over this rate.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack, suppress

import numpy as np
from threadpoolctl import threadpool_limits

SIZES = (256, 512, 1024, 2048)
PATIENCE_S = 0.15
"""The time for each product of each size after its first call; at least two calls are made in any case."""
LEAST_CALLS = 2
SLOW_S = 0.25
"""A product that takes longer is not tried in larger sizes: without instructions for it, 2048 takes half a minute."""


def peak_flop_per_s(
    threads: int, precisions: Collection[str], sizes: Sequence[int] = SIZES, patience_s: float = PATIENCE_S
) -> dict[str, float]:
    """Return operations per second by precision (f32, bf16, fp16, int8); a product and its sum count as two.

    A precision whose product the libraries cannot do here is left out. Meant for a process of its own: it sets torch's
    threads and NumPy's.
    """
    best: dict[str, float] = {}
    slow: set[int] = set()
    with ExitStack() as limits:
        if has_torch():
            import torch

            torch.set_num_threads(threads)
            limits.enter_context(torch.inference_mode())
        limits.enter_context(threadpool_limits(threads))
        for size in sizes:
            for number, (precision, product) in enumerate(_products(size)):
                if precision in precisions and number not in slow:
                    with suppress(RuntimeError):
                        shortest_s = _shortest_s(product, patience_s)
                        best[precision] = max(2 * size**3 / shortest_s, best.get(precision, 0.0))
                        if shortest_s > SLOW_S:
                            slow.add(number)
    return best


def has_torch() -> bool:
    """Tell whether PyTorch is installed, without importing it."""
    return importlib.util.find_spec("torch") is not None


def _products(size: int) -> list[tuple[str, Callable[[], object]]]:
    generator = np.random.default_rng(size)
    left, right = generator.random((2, size, size), np.float32)
    own: list[tuple[str, Callable[[], object]]] = [("f32", lambda: left @ right)]  # OpenBLAS
    if not has_torch():
        return own
    import torch

    left_torch, right_torch = torch.from_numpy(left), torch.from_numpy(right)
    left_bf16, right_bf16 = left_torch.bfloat16(), right_torch.bfloat16()
    left_fp16, right_fp16 = left_torch.half(), right_torch.half()
    left_int8, right_int8 = (torch.from_numpy(generator.integers(-127, 128, (size, size), np.int8)) for _ in range(2))
    return [
        *own,
        ("f32", lambda: left_torch @ right_torch),  # MKL, or on ARM OpenBLAS
        ("bf16", lambda: left_bf16 @ right_bf16),
        ("fp16", lambda: left_fp16 @ right_fp16),
        ("int8", lambda: torch._int_mm(left_int8, right_int8)),
    ]


def _shortest_s(call: Callable[[], object], patience_s: float) -> float:
    call()
    shortest_s = float("inf")
    calls, end_s = 0, time.perf_counter() + patience_s
    while calls < LEAST_CALLS or time.perf_counter() < end_s:
        start_s = time.perf_counter()
        call()
        shortest_s = min(shortest_s, time.perf_counter() - start_s)
        calls += 1
    return shortest_s
