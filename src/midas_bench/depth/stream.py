"""Work on a stream of things in threads: in order, bounded, and lazily."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def ordered_map(
    work: Callable[[T], R], things: Iterable[T], workers: int, ahead: int
) -> Generator[Future[R], None, None]:
    """Yield one finished future a thing, in the order of the things.

    At most `ahead` things are taken from the input before their turn, whatever its length; it is read in the caller's
    thread, so it may be any generator. Abandoning the iterator drops what was not begun and waits for what was.

    Args:
        work: called in a thread; what it raises is kept in its future.
        things: taken one by one, as the results are.
        workers: threads.
        ahead: things under way or waiting, the one whose result is next included.

    Raises:
        ValueError: `workers` or `ahead` is below 1.
        Exception: what `things` itself raises, after the results of the things before it.
    """
    if ahead < 1:
        raise ValueError(f"ahead is {ahead}, and nothing would ever be taken")
    waiting: deque[Future[R]] = deque()
    failure: Exception | None = None
    source = iter(things)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="midas-bench-stream")
    try:
        more = True
        while more or waiting:
            while more and len(waiting) < ahead:
                try:
                    thing = next(source)
                except StopIteration:
                    more = False
                # the results of what came before it are sound
                except Exception as error:
                    failure, more = error, False
                else:
                    waiting.append(pool.submit(work, thing))
            if waiting:
                first = waiting.popleft()
                first.exception()  # waits
                yield first
        if failure is not None:
            raise failure
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
