"""Profile calls of worker processes from outside: of one, or of several whose rounds take turns."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from midas_bench.errors import UserError
from midas_bench.measure.blocks import SETTLE_S, WARM_UP_CALLS
from midas_bench.measure.worker_client import CALL_TIMEOUT_S, TimedCall, Worker, WorkerSpec
from midas_bench.profile.describe import describe
from midas_bench.profile.operators import Profile, read_profile
from midas_bench.profile.worker import FOLDER_VARIABLE


class ProfilingWorker(Worker):
    """The parent's end of a process that runs `profile/worker.py`."""

    script = Path(__file__).with_name("worker.py")

    def round(self, probe: TimedCall) -> None:
        """Make one call that counts as a round.

        Raises:
            UserError: the call raised one.
            WorkerDiedError: the worker ended, or did not answer in time and was killed.
        """
        self._ask({"pipeline": probe.pipeline, "call": probe.call, "keep": True}, CALL_TIMEOUT_S)

    def rows(self) -> dict[str, Any]:
        """End the profile and return what `worker.py` reports.

        Raises:
            WorkerDiedError: as `round`.
        """
        return self._ask({"rows": True}, CALL_TIMEOUT_S)

    def _receive(self, timeout_s: float) -> dict[str, Any]:
        reply = super()._receive(timeout_s)
        if "error" in reply:
            raise UserError(*reply["error"])
        return reply


@dataclass
class _Arm:
    """The processes of one worker's specification.

    Attributes:
        probe: what is called.
        photos: of one call.
        profiling: the process with a profiler.
        plain: one without, or None.
        plain_s: seconds of its calls.
    """

    probe: TimedCall
    photos: int
    profiling: ProfilingWorker
    plain: Worker | None
    plain_s: list[float] = field(default_factory=list)

    def warm_up(self) -> None:
        for worker in filter(None, (self.profiling, self.plain)):
            for _ in range(WARM_UP_CALLS):
                worker.call(self.probe)

    def round(self, settle_s: float) -> None:
        """Call each process twice: the first call finds the caches as the other process left them."""
        time.sleep(settle_s)
        self.profiling.call(self.probe)
        self.profiling.round(self.probe)
        if self.plain:
            time.sleep(settle_s)
            self.plain.call(self.probe)
            self.plain_s.append(self.plain.call(self.probe))

    def profile(self) -> Profile:
        rows = self.profiling.rows()
        return read_profile(rows, describe(rows), self.plain_s, self.photos)


def profile(spec: WorkerSpec, pipeline: str, call: str, rounds: int) -> Profile:
    """Profile one call of a pipeline, in a process of its own.

    Raises:
        UserError: the pipeline cannot be opened or called, for a reason that the user can change.
        ProcessDiedError: the process ended otherwise, or did not answer in time.
    """
    [profiled] = profile_in_turns([spec], pipeline, call, rounds)
    return profiled


def profile_in_turns(
    specs: Sequence[WorkerSpec],
    pipeline: str,
    call: str,
    rounds: int,
    *,
    core: int | None = None,
    plain: bool = False,
    progress: Callable[[int], object] = lambda _: None,
) -> list[Profile]:
    """Profile the same call of several workers, whose rounds take turns so that all meet the machine as it is.

    Args:
        specs: each a process of its own.
        pipeline: its name, among those of each worker.
        call: the name of its call, such as `inference`.
        rounds: how often each is called.
        core: that all processes share; None leaves them all cores.
        plain: whether each call is also timed in a process without a profiler.
        progress: hears after each round how many there were.

    Raises:
        UserError, ProcessDiedError: as `profile`.
    """
    with tempfile.TemporaryDirectory(prefix="midas-bench-") as folder, ExitStack() as stack:
        arms = [
            _started(stack, spec, TimedCall(spec.name, pipeline, call), Path(folder, str(number)), core, plain)
            for number, spec in enumerate(specs)
        ]
        for arm in arms:
            arm.warm_up()
        for number in range(rounds):
            for arm in arms if number % 2 == 0 else reversed(arms):
                # threads of a session spin for a while; on a shared core there is one thread, and none spins
                arm.round(SETTLE_S if core is None else 0.0)
            progress(number + 1)
        return [arm.profile() for arm in arms]


def _started(stack: ExitStack, spec: WorkerSpec, probe: TimedCall, folder: Path, core: int | None, plain: bool) -> _Arm:
    folder.mkdir()
    spec = replace(spec, pipelines={probe.pipeline: spec.pipelines[probe.pipeline]})
    environment = {**(spec.environment or {}), FOLDER_VARIABLE: str(folder)}
    profiling = stack.enter_context(ProfilingWorker(replace(spec, environment=environment), core))
    profiling.open()
    plain_worker = stack.enter_context(Worker(spec, core)) if plain else None
    if plain_worker:
        plain_worker.open()
    photos = len(spec.pipelines[probe.pipeline].get("photos", ())) or 1
    return _Arm(probe, photos, profiling, plain_worker)
