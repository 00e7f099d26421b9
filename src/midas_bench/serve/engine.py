"""A bounded queue for a fixed number of workers, which share one pipeline."""

from __future__ import annotations

import contextlib
import math
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from midas_bench.cpu import allowed_cores
from midas_bench.depth.photo import FORMATS, HEAD_BYTES, PhotoError, check, format_of
from midas_bench.depth.pipeline import DepthPipeline
from midas_bench.depth.recipe import DecodedPhoto
from midas_bench.errors import UserError
from midas_bench.serve.problems import RefusedError, busy, of_photo
from midas_bench.serve.representations import Representation
from midas_bench.serve.serve_config import ServeConfig

STAGES = ("queue", "decode", "preprocess", "inference", "heatmap", "encode")
"""`queue` is all waiting: for a worker, for an inference slot, and for the other photos of a batch."""

STARTING_RETRY_S = 5


@dataclass(frozen=True)
class DepthResult:
    """An answer, and where its time went.

    Attributes:
        body: encoded.
        width: of the photo, in pixels.
        height: of the photo, in pixels.
        stage_s: seconds in each of `STAGES`; in a batch, those of a shared stage are the whole batch's.
    """

    body: bytes
    width: int
    height: int
    stage_s: dict[str, float]


@dataclass(frozen=True, eq=False)
class Job:
    """An accepted photo.

    Attributes:
        photo: encoded.
        answer: the representation to encode.
        arrived_s: when the last byte of its request was here, on the clock of `time.perf_counter`.
        expires_s: its deadline, on the same clock.
        done: its result, or the error that it ended with.
    """

    photo: bytes
    answer: Representation
    arrived_s: float
    expires_s: float = math.inf
    done: Future[DepthResult] = field(default_factory=Future)


class Engine:
    """Takes photos from any number of threads, and works on a fixed number at a time."""

    def __init__(self, config: ServeConfig, open_pipeline: Callable[[], DepthPipeline] | None = None) -> None:
        """Prepare; nothing is loaded before `start`. `open_pipeline` opens the pipeline, by default the real one."""
        self.config = config
        self._open_pipeline = open_pipeline or (lambda: DepthPipeline.open(config=config.pipeline))
        # unbounded, so that `put` never blocks: `check` applies the limit
        self._queue: queue.Queue[Job | None] = queue.Queue()
        self._threads: list[threading.Thread] = []
        self._pipeline: DepthPipeline | None = None
        # held while a photo enters the queue: none may enter behind the sentinels that end the workers
        self._state_lock = threading.Lock()
        self._busy = 0
        self._busy_lock = threading.Lock()
        self._last_work_s = 0.0
        self.workers = config.workers or max(2, allowed_cores() // (config.pipeline.threads or 1))
        self.state = "starting"

    @property
    def ready(self) -> bool:
        """Whether the model is loaded and warm, and the server is not stopping."""
        return self.state == "ready"

    @property
    def queue_length(self) -> int:
        """Accepted photos that wait for a worker."""
        return self._queue.qsize()

    @property
    def in_work(self) -> int:
        """Photos that workers have."""
        return self._busy

    def start(self) -> None:
        """Load the model, warm it with one call, and start the workers.

        Raises:
            UserError: the backend, the weights or the cache cannot be used.
        """
        pipeline = self._open_pipeline()
        _, blank = cv2.imencode(".png", np.zeros((2, 2, 3), np.uint8))
        pipeline.run([blank.tobytes()] * self.config.batch)
        self._pipeline = pipeline
        for number in range(self.workers):
            worker = threading.Thread(
                target=self._run_worker, args=(pipeline,), name=f"midas-bench-{number}", daemon=True
            )
            self._threads.append(worker)
            worker.start()
        with self._state_lock:
            if self.state == "starting":
                self.state = "ready"

    def __call__(self, photo: bytes, answer: Representation) -> DepthResult:
        """Return the answer for one photo; waits for it until its deadline, and no longer.

        Args:
            photo: encoded.
            answer: the representation to encode.

        Raises:
            RefusedError: the photo is not usable, or there is no room or no time for it.
            UserError: the model gives no depth for it.
        """
        arrived_s = time.perf_counter()
        try:
            # Only the first bytes are looked at here. All else takes time that the file decides, so a worker does it.
            if format_of(photo[:HEAD_BYTES]) not in FORMATS:
                check(photo)
            return self._wait(self._submit(Job(photo, answer, arrived_s, arrived_s + self.config.deadline_s)))
        except PhotoError as error:
            raise RefusedError(of_photo(error)) from error

    def _wait(self, job: Job) -> DepthResult:
        try:
            wait([job.done], max(0.0, job.expires_s - time.perf_counter()))
            if job.done.done():
                return job.done.result()
            if job.done.cancel():
                self._drop(job)
                raise self._deadline_error("no worker was free for the photo")
            raise self._deadline_error("the photo is not finished", ", or scale the photo down")
        finally:
            # an error holds this frame, which holds the job, which holds the error: a cycle that keeps the photo
            del job

    def _deadline_error(self, reason: str, alternative: str = "") -> RefusedError:
        detail = f"{reason} within {self.config.deadline_s:g} s of its arrival"
        return RefusedError(busy("deadline", detail, self.retry_after_s(), alternative))

    def _drop(self, job: Job) -> None:
        """Remove a photo that nobody waits for from the queue, so that another can take its place."""
        # the job is absent where a worker has just taken it
        with self._queue.mutex, contextlib.suppress(ValueError):
            self._queue.queue.remove(job)

    def check(self) -> None:
        """Check, before a photo is read, whether it would be accepted now; that may change until it is read.

        Raises:
            RefusedError: it would not.
        """
        if self.state == "starting":
            raise RefusedError(busy("starting", "the model is being loaded", STARTING_RETRY_S))
        if self.state == "closed":
            raise RefusedError(busy("draining", "the server is stopping", STARTING_RETRY_S))
        if self._queue.qsize() >= self.config.queue_size:
            detail = f"{self.config.queue_size} photos wait already"
            raise RefusedError(busy("queue-full", detail, self.retry_after_s()))

    def _submit(self, job: Job) -> Job:
        # workers only take photos out, so a free place stays free while the lock is held
        with self._state_lock:
            self.check()
            self._queue.put(job)
        return job

    def retry_after_s(self) -> int:
        """Return the seconds after which there may be room again: from the last batch's time, at most the deadline."""
        expected_s = self.config.queue_size * self._last_work_s / self.workers
        return max(1, math.ceil(min(expected_s, self.config.deadline_s)))

    def drain(self) -> None:
        """Report from now on that the server is not ready; photos that still arrive are accepted."""
        with self._state_lock:
            self.state = "draining" if self.state != "closed" else "closed"

    def close(self, patience_s: float | None = None) -> bool:
        """Refuse what comes in, finish what was accepted, and free the model.

        Args:
            patience_s: how long to wait for the workers; by default the deadline of photos.

        Returns:
            whether the model is free: a worker inside a decoder or the network cannot be ended, and keeps the model.
        """
        with self._state_lock:
            self.state = "closed"
        for _ in self._threads:
            self._queue.put(None)
        until_s = time.perf_counter() + (self.config.deadline_s if patience_s is None else patience_s)
        for worker in self._threads:
            worker.join(max(0.0, until_s - time.perf_counter()))
        if any(worker.is_alive() for worker in self._threads):
            return False
        self._threads.clear()
        if self._pipeline is not None:
            self._pipeline.close()
        return True

    def _run_worker(self, pipeline: DepthPipeline) -> None:
        while True:
            jobs, last = self._next_jobs()
            if jobs:
                self._add_busy(len(jobs))
                begun_s = time.perf_counter()
                try:
                    _process_jobs(pipeline, jobs, self.config.max_pixels)
                # an error of the network fails all jobs of the batch; the worker goes on
                except Exception as error:
                    for job in jobs:
                        if not job.done.done():
                            job.done.set_exception(error)
                finally:
                    self._add_busy(-len(jobs))
                    self._last_work_s = time.perf_counter() - begun_s
            if last:
                return

    def _add_busy(self, change: int) -> None:
        with self._busy_lock:
            self._busy += change

    def _next_jobs(self) -> tuple[list[Job], bool]:
        """Wait for photos, at most `batch`; and tell whether they are the last."""
        jobs: list[Job] = []
        until_s = math.inf
        while len(jobs) < self.config.batch:
            try:
                left_s = None if until_s == math.inf else max(0.0, until_s - time.perf_counter())
                job = self._queue.get(timeout=left_s)
            except queue.Empty:
                break
            if job is None:
                return jobs, True
            if job.done.set_running_or_notify_cancel():
                jobs.append(job)
                until_s = min(until_s, time.perf_counter() + self.config.batch_wait_s)
        return jobs, False


def _process_jobs(pipeline: DepthPipeline, jobs: list[Job], max_pixels: int) -> None:
    """Run jobs through the stages; a damaged photo fails alone, and one that nobody waits for is dropped."""
    clock = time.perf_counter
    pictures: list[tuple[Job, DecodedPhoto, float]] = []
    for job in jobs:
        begun_s = clock()
        try:
            picture = pipeline.recipe.decode(check(job.photo, max_pixels=max_pixels))
        except Exception as error:
            _fail_job(job, error)
            continue
        pictures.append((job, picture, clock() - begun_s))
    # a decoder may take longer than the deadline: then no client waits for the rest
    pictures = [(job, picture, decode_s) for job, picture, decode_s in pictures if clock() < job.expires_s]
    if not pictures:
        return
    results = _infer_each(pipeline, [picture for _, picture, _ in pictures])
    for (depth_map, shared_s), (job, picture, decode_s) in zip(results, pictures, strict=True):
        try:
            begun_s = clock()
            if isinstance(depth_map, UserError):
                raise depth_map
            drawn = job.answer.draw(depth_map, picture.width, picture.height)
            drawn_s = clock()
            body = job.answer.encode(drawn)
        # an encoder's limits concern this photo alone
        except Exception as error:
            _fail_job(job, error)
            continue
        ended_s = clock()
        worked_s = {
            "decode": decode_s,
            **shared_s,
            "heatmap": drawn_s - begun_s,
            "encode": ended_s - drawn_s,
        }
        stage_s = {"queue": ended_s - job.arrived_s - sum(worked_s.values()), **worked_s}
        job.done.set_result(DepthResult(body, picture.width, picture.height, stage_s))


def _fail_job(job: Job, error: Exception) -> None:
    """Give an error to the job's client.

    Errors that users cause are frequent, and lose their frames: those hold the photo, in a cycle. A cycle would keep
    the photo in memory until Python next collects garbage. Other errors keep their frames for the log.
    """
    if isinstance(error, UserError):
        error.__cause__ = error.__context__ = None
        error = error.with_traceback(None)
    job.done.set_exception(error)


def _infer_each(
    pipeline: DepthPipeline, pictures: Sequence[DecodedPhoto]
) -> list[tuple[NDArray[np.float32] | UserError, dict[str, float]]]:
    """Return each photo's depth and the seconds of the stages that the batch shares.

    A photo for which the model gives no depth fails alone.
    """
    batch = pipeline.staged(decoded=pictures)
    try:
        batch.timed("preprocess", "inference")
    except UserError as error:
        if len(pictures) == 1:
            return [(error, {})]
        return [result for picture in pictures for result in _infer_each(pipeline, [picture])]
    return [(depth, batch.stage_s) for depth in batch.depth]
