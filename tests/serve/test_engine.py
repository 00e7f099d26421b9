from __future__ import annotations

import gc
import itertools
import threading
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from midas_bench.depth.photo import MAX_PIXELS, PhotoError

pytest.importorskip("flask", reason="needs the extra [web]")
pytestmark = pytest.mark.slow

from midas_bench.depth.pipeline import DepthPipeline  # noqa: E402
from midas_bench.serve import engine as engine_module  # noqa: E402
from midas_bench.serve.engine import STAGES, Engine, Job, _process_jobs  # noqa: E402
from midas_bench.serve.problems import RefusedError  # noqa: E402
from midas_bench.serve.representations import JPEG, PNG, Representation  # noqa: E402

WAIT_S = 60.0


@pytest.fixture
def engine(configured, opened):
    """Start engines; all are closed again."""
    started = []

    def start(**fields):
        made = Engine(configured(**fields), opened)
        made.start()
        started.append(made)
        return made

    yield start
    for one in started:
        one.close()


def test_an_answer_tells_size_and_stages(engine, photo):
    done = engine()(photo, PNG)
    assert (done.width, done.height) == (640, 427)
    assert set(done.stage_s) == set(STAGES)
    assert all(seconds >= 0 for seconds in done.stage_s.values())
    assert done.body.startswith(b"\x89PNG")


def test_beyond_the_queue_photos_are_refused_at_once_and_the_accepted_ones_answered(
    engine, network, callers, photo, until
):
    one = engine(workers=1, queue_size=2)
    network.hold()
    accepted = [callers.submit(one, photo, JPEG)]
    network.wait_entered()
    accepted += [callers.submit(one, photo, JPEG) for _ in range(2)]
    until(lambda: one.queue_length == 2)
    assert one.in_work == 1
    with pytest.raises(RefusedError) as caught:
        one(photo, JPEG)
    problem = caught.value.problem
    assert (problem.status, problem.reason) == (503, "queue-full")
    assert int(problem.headers["Retry-After"]) >= 1
    network.gate.set()
    assert all(future.result().body for future in accepted)
    assert network.batches == [1, 1, 1]
    until(lambda: one.in_work == 0)


@pytest.fixture(autouse=True)
def sources(monkeypatch):
    """Keep the bytes that a checked photo came from, so that stages behind the check can tell photos apart."""
    whole = engine_module.check

    def check(data, **how):
        checked = whole(data, **how)
        object.__setattr__(checked, "source", data)
        return checked

    monkeypatch.setattr(engine_module, "check", check)


@pytest.fixture
def stuck(configured, network, resolved, monkeypatch):
    """Start an engine of two workers, in which the photo `slow` stays in a stage until the network's gate opens."""
    engines = []

    def start(stage: str, slow: bytes, **fields) -> tuple[Engine, Representation]:
        def held(call):
            def hold(*given, **named):
                if getattr(given[0], "source", given[0]) is slow or stage in ("network", "draw", "encode"):
                    network.entered.release()
                    assert network.gate.wait(WAIT_S)
                return call(*given, **named)

            return hold

        pipeline, answer = DepthPipeline(resolved, network), JPEG
        if stage == "check":
            monkeypatch.setattr(engine_module, "check", held(engine_module.check))
        elif stage == "decode":
            pipeline.recipe = replace(pipeline.recipe, decode=held(pipeline.recipe.decode))
        elif stage in ("draw", "encode"):
            answer = replace(JPEG, **{stage: held(getattr(JPEG, stage))})
        one = Engine(configured(workers=2, **fields), lambda: pipeline)
        one.start()
        engines.append(one)
        network.hold()
        return one, answer

    yield start
    network.gate.set()
    assert all(one.close() for one in engines)


@pytest.mark.parametrize("stage", ["check", "decode", "network", "draw", "encode"])
def test_a_photo_that_stays_in_a_stage_is_refused_at_its_deadline_and_closing_leaves_it(stuck, network, photo, stage):
    slow = bytes(bytearray(photo))
    one, answer = stuck(stage, slow, deadline_s=0.2)
    with pytest.raises(RefusedError) as caught:
        one(slow, answer)
    problem = caught.value.problem
    assert (problem.status, problem.reason) == (503, "deadline")
    assert "not finished within 0.2 s" in problem.detail
    assert int(problem.headers["Retry-After"]) >= 1
    network.wait_entered()
    assert not one.close(0.1), "the worker is still inside"
    assert not network.closed, "and uses the model"
    network.gate.set()
    assert one.close()
    assert network.closed


@pytest.mark.parametrize("stage", ["check", "decode"])
def test_beside_a_stuck_photo_others_are_answered_and_it_is_not_worked_on_further(
    stuck, network, photo, stage, callers, until
):
    slow = bytes(bytearray(photo))
    one, _ = stuck(stage, slow, deadline_s=WAIT_S)
    patient, one.config = one.config, replace(one.config, deadline_s=0.1)
    refused = callers.submit(one, slow, JPEG)
    network.wait_entered()
    one.config = patient
    with pytest.raises(RefusedError):
        refused.result(WAIT_S)
    open_gate, network.gate = network.gate, threading.Event()
    network.gate.set()
    assert one(photo, JPEG).body
    open_gate.set()
    until(lambda: one.in_work == 0)
    assert network.batches == [1], "that of the photo with a visitor"


def test_photos_are_checked_by_workers_so_no_more_at_a_time_than_there_are(stuck, network, photo, callers, until):
    slow = bytes(bytearray(photo))
    one, _ = stuck("check", slow, queue_size=8)
    accepted = [callers.submit(one, slow, JPEG) for _ in range(8)]
    until(lambda: one.in_work == 2 and one.queue_length == 6)
    network.gate.set()
    assert all(future.result(WAIT_S).body for future in accepted)


class Upload(bytes):
    """Bytes that count how many of them are held."""

    held = 0

    def __new__(cls, data):
        cls.held += 1
        return super().__new__(cls, data)

    def __del__(self):
        Upload.held -= 1


@pytest.fixture
def without_cycles():
    """Let nothing but the end of references free memory."""
    gc.collect()
    gc.disable()
    Upload.held = 0
    yield
    gc.enable()


def refused(engine, data) -> str:
    try:  # `pytest.raises` would keep the error, and by it the photo
        engine(Upload(data), JPEG)
    except RefusedError as error:
        return error.problem.reason
    raise AssertionError("it was not refused")


@pytest.mark.usefixtures("without_cycles")
@pytest.mark.parametrize("kind", ["empty", "foreign", "truncated", "damaged", "huge"])
def test_memory_of_a_refused_photo_is_freed_at_once(engine, encode, photo, kind, until):
    png = encode(np.random.default_rng(3).integers(0, 255, (64, 64, 3), np.uint8), "PNG")
    bodies = {
        "empty": b"",
        "foreign": b"GIF89a" + photo,
        "truncated": photo[:9000],
        "damaged": png[:3000] + bytes([png[3000] ^ 1]) + png[3001:],
        "huge": encode(np.zeros((1100, 1000, 3), np.uint8), "PNG"),
    }
    one = engine(max_pixels=1_000_000)
    assert [refused(one, bodies[kind]) for _ in range(5)] == [kind] * 5
    until(lambda: one.in_work == 0)
    until(lambda: Upload.held <= one.workers)  # each may hold its last one until the next comes


@pytest.mark.usefixtures("without_cycles")
def test_of_photos_past_their_deadline_no_more_are_held_than_workers_have(stuck, network, photo, until):
    one, _ = stuck("network", photo, deadline_s=0.05)
    assert {refused(one, photo) for _ in range(8)} == {"deadline"}
    until(lambda: Upload.held == 2 == one.workers)
    network.gate.set()
    until(lambda: one.in_work == 0)


@pytest.fixture
def in_a_batch(network, callers, photo, until):
    """Send photos that share a batch with a sound one behind them; check that the sound one is answered."""

    def send(one, data, answer=JPEG):
        network.hold()
        held = callers.submit(one, photo, JPEG)
        network.wait_entered()
        sent = callers.submit(one, data, answer)
        until(lambda: one.queue_length == 1)
        sound = callers.submit(one, photo, JPEG)
        until(lambda: one.queue_length == 2)
        network.gate.set()
        assert held.result().body == sound.result().body
        return sent

    return send


def test_an_error_that_no_decoder_should_raise_fails_the_photo_alone(engine, in_a_batch, photo):
    def decode(checked):
        if checked.source is odd:
            raise IndexError("a foreign parser stumbled")
        return whole(checked)

    one = engine(workers=1, batch=2)
    odd = bytes(bytearray(photo))
    recipe = one._pipeline.recipe
    whole, one._pipeline.recipe = recipe.decode, replace(recipe, decode=decode)
    broken = in_a_batch(one, odd)
    with pytest.raises(IndexError):
        broken.result()


def test_a_photo_that_waits_too_long_is_refused_and_never_worked_on(engine, network, callers, photo):
    one = engine(workers=1)
    network.hold()
    in_work = callers.submit(one, photo, JPEG)
    network.wait_entered()
    patient, one.config = one.config, replace(one.config, deadline_s=0.1)
    with pytest.raises(RefusedError) as caught:
        one(photo, JPEG)
    one.config = patient
    assert (caught.value.problem.status, caught.value.problem.reason) == (503, "deadline")
    assert "no worker was free" in caught.value.problem.detail
    network.gate.set()
    assert in_work.result().body
    assert one(photo, JPEG).body
    assert network.batches == [1, 1]


def test_photos_that_waited_too_long_leave_their_places_to_others(engine, network, callers, photo, until):
    one = engine(workers=1, queue_size=2)
    network.hold()
    accepted = [callers.submit(one, photo, JPEG)]
    network.wait_entered()
    patient, one.config = one.config, replace(one.config, deadline_s=0.05)
    for _ in range(4):
        with pytest.raises(RefusedError) as caught:
            one(photo, JPEG)
        assert caught.value.problem.reason == "deadline"
        assert one.queue_length == 0
    one.config = patient
    accepted += [callers.submit(one, photo, JPEG) for _ in range(2)]
    until(lambda: one.queue_length == 2)
    network.gate.set()
    assert all(future.result().body for future in accepted)
    assert network.batches == [1, 1, 1]


def test_the_stages_of_each_photo_of_a_batch_are_all_of_its_time(opened, photo, monkeypatch):
    ticks = itertools.count()
    monkeypatch.setattr("midas_bench.serve.engine.time", SimpleNamespace(perf_counter=lambda: float(next(ticks))))
    pipeline = opened()
    jobs = [Job(photo, JPEG, arrived_s=-10.0), Job(photo, JPEG, arrived_s=-20.0)]
    ends_s = []
    for job in jobs:
        job.done.add_done_callback(lambda _: ends_s.append(float(next(ticks)) - 1))
    _process_jobs(pipeline, jobs, MAX_PIXELS)
    for job, ended_s in zip(jobs, ends_s, strict=True):
        stage_s = job.done.result().stage_s
        assert tuple(stage_s) == STAGES
        assert sum(stage_s.values()) == ended_s - job.arrived_s


def test_photos_that_wait_are_taken_together_up_to_the_batch(engine, network, callers, photo, until):
    one = engine(workers=1, batch=4)
    network.hold()
    accepted = [callers.submit(one, photo, JPEG)]
    network.wait_entered()
    accepted += [callers.submit(one, photo, JPEG) for _ in range(6)]
    until(lambda: one.queue_length == 6)
    network.gate.set()
    assert len({future.result().body for future in accepted}) == 1
    assert network.batches == [1, 4, 2]


def test_a_damaged_photo_fails_alone_in_its_batch(configured, opened, in_a_batch, photo):
    pipeline = opened()

    def decode(checked):
        if getattr(checked, "source", checked) == damaged:
            raise PhotoError("damaged", "photo", "is damaged", "replace it")
        return whole(checked)

    whole, damaged = pipeline.recipe.decode, photo + b"damaged"
    pipeline.recipe = replace(pipeline.recipe, decode=decode)
    one = Engine(configured(workers=1, batch=4), lambda: pipeline)
    one.start()
    broken = in_a_batch(one, damaged)
    with pytest.raises(RefusedError) as caught:
        broken.result()
    assert (caught.value.problem.status, caught.value.problem.reason) == (400, "damaged")
    one.close()


def test_an_answer_that_cannot_be_encoded_fails_alone_in_its_batch(engine, in_a_batch, photo):
    def broken(_pixels):
        raise OverflowError("too wide")

    wide = in_a_batch(engine(workers=1, batch=2), photo, replace(JPEG, encode=broken))
    with pytest.raises(OverflowError):
        wide.result()


def test_after_an_error_of_the_network_the_worker_lives_on(engine, network, photo, until):
    one = engine(workers=1)
    network.fails = RuntimeError("no memory")
    with pytest.raises(RuntimeError, match="no memory"):
        one(photo, JPEG)
    network.fails = None
    assert one(photo, JPEG).body
    until(lambda: one.in_work == 0)


@pytest.mark.parametrize(("body", "status", "reason"), [(b"", 400, "empty"), (b"GIF89a", 415, "foreign")])
def test_an_empty_or_foreign_file_is_refused_without_a_worker(engine, network, callers, photo, body, status, reason):
    one = engine(workers=1)
    network.hold()
    held = callers.submit(one, photo, JPEG)
    network.wait_entered()
    with pytest.raises(RefusedError) as caught:
        one(body, JPEG)
    assert (caught.value.problem.status, caught.value.problem.reason) == (status, reason)
    network.gate.set()
    assert held.result().body


def test_too_many_pixels_are_refused_without_the_network(engine, network, photo):
    one = engine(max_pixels=1000)
    network.hold()
    with pytest.raises(RefusedError) as caught:
        one(photo, JPEG)
    assert (caught.value.problem.status, caught.value.problem.reason) == (422, "huge")
    assert network.batches == []
    network.gate.set()


def test_a_closing_engine_refuses_new_photos_and_finishes_accepted_ones(
    configured, opened, network, callers, photo, until
):
    one = Engine(configured(workers=1), opened)
    one.start()
    network.hold()
    accepted = [callers.submit(one, photo, JPEG)]
    network.wait_entered()
    accepted += [callers.submit(one, photo, JPEG) for _ in range(3)]
    until(lambda: one.queue_length == 3)
    closing = callers.submit(one.close)
    until(lambda: one.state == "closed")
    with pytest.raises(RefusedError) as caught:
        one(photo, JPEG)
    assert caught.value.problem.reason == "draining"
    assert not network.closed
    network.gate.set()
    closing.result()
    assert all(future.result().body for future in accepted)  # its thread may wake later than this one
    assert network.closed


def test_before_the_model_is_loaded_photos_are_refused(configured, opened, photo):
    one = Engine(configured(), opened)
    assert not one.ready
    with pytest.raises(RefusedError) as caught:
        one(photo, JPEG)
    assert (caught.value.problem.status, caught.value.problem.reason) == (503, "starting")


def test_a_draining_engine_is_not_ready_but_still_answers(engine, photo):
    one = engine()
    assert one.ready
    one.drain()
    assert not one.ready
    assert one(photo, JPEG).body


def test_no_more_calls_of_the_network_at_a_time_than_the_cores_have_room_for(
    configured, resolved, network, photo, callers
):
    pipeline = DepthPipeline(resolved, network)
    pipeline.inference_slots = threading.BoundedSemaphore(1)
    one = Engine(configured(workers=4), lambda: pipeline)
    one.start()
    accepted = [callers.submit(one, photo, JPEG) for _ in range(16)]
    assert all(future.result().body for future in accepted)
    assert network.most_at_a_time == 1
    one.close()
