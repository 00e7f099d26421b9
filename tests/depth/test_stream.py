import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from midas_bench.depth.config import PipelineConfig, resolve
from midas_bench.depth.pipeline import DepthPipeline
from midas_bench.depth.stream import ordered_map
from midas_bench.errors import UserError

PATIENCE_S = 20.0


def streaming_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("midas-bench-stream")]


@pytest.fixture(autouse=True)
def no_thread_stays():
    yield
    assert streaming_threads() == []


def results(*given):
    return [future.result() for future in ordered_map(*given)]


@pytest.mark.parametrize(("workers", "ahead"), [(1, 1), (1, 5), (3, 1), (3, 4), (4, 100)])
def test_results_come_in_the_order_of_the_things(workers, ahead):
    assert results(lambda n: n * n, range(50), workers, ahead) == [n * n for n in range(50)]


def test_a_thing_that_takes_long_is_waited_for_while_others_are_worked_on():
    second_done = threading.Event()

    def work(n):
        if n == 0:
            assert second_done.wait(PATIENCE_S), "the second was not begun beside the first"
        if n == 1:
            second_done.set()
        return n

    assert results(work, range(4), 2, 2) == [0, 1, 2, 3]


@pytest.mark.parametrize("ahead", [1, 3])
def test_the_input_is_taken_no_further_than_ahead(ahead):
    taken = []

    def endless():
        for n in itertools.count():
            taken.append(n)
            yield n

    stream = ordered_map(lambda n: n, endless(), 2, ahead)
    assert taken == []
    for n in range(10):
        assert next(stream).result() == n
        assert len(taken) <= n + ahead
    stream.close()


def test_the_input_is_read_in_the_callers_thread():
    readers = set()

    def things():
        for n in range(5):
            readers.add(threading.current_thread())
            yield n

    results(lambda n: n, things(), 3, 3)
    assert readers == {threading.current_thread()}


def test_what_work_raises_stays_in_its_place():
    stream = ordered_map(lambda n: 1 // n, [1, 0, 1], 2, 3)
    assert [type(future.exception()) for future in stream] == [type(None), ZeroDivisionError, type(None)]


def test_what_the_input_raises_comes_after_the_results_before_it():
    def things():
        yield 1
        yield 2
        raise OSError("the camera is gone")

    stream = ordered_map(lambda n: n, things(), 2, 8)
    assert [next(stream).result(), next(stream).result()] == [1, 2]
    with pytest.raises(OSError, match="the camera is gone"):
        next(stream)


def test_abandoning_it_drops_what_was_not_begun_and_waits_for_what_was(monkeypatch):
    begun, finished = [], []
    go = threading.Event()

    def work(n):
        begun.append(n)
        assert n == 0 or go.wait(PATIENCE_S)
        finished.append(n)
        return n

    shutdown = ThreadPoolExecutor.shutdown

    def in_steps(pool, wait, cancel_futures):
        """Drop first; then release the one worker, which the second thing holds; then wait."""
        shutdown(pool, wait=False, cancel_futures=cancel_futures)
        go.set()
        shutdown(pool, wait=wait)

    monkeypatch.setattr(ThreadPoolExecutor, "shutdown", in_steps)
    stream = ordered_map(work, itertools.count(), 1, 6)
    assert next(stream).result() == 0
    stream.close()
    assert begun == finished
    assert begun in ([0], [0, 1])


@pytest.mark.parametrize(("workers", "ahead"), [(0, 1), (1, 0), (1, -1)])
def test_a_stream_that_could_take_nothing_is_an_error(workers, ahead):
    with pytest.raises(ValueError, match=r"ahead is|max_workers"):
        results(lambda n: n, [1], workers, ahead)


def test_nothing_in_nothing_out():
    assert results(lambda n: n, [], 2, 3) == []


class Brightness:
    """A backend whose depth is the brightness of what it is given, and that counts who is inside at once."""

    def __init__(self, threads):
        self.threads = threads
        self.inside = self.most_inside = 0
        self.lock = threading.Lock()

    def __call__(self, batch):
        with self.lock:
            self.inside += 1
            self.most_inside = max(self.most_inside, self.inside)
        depth = batch.mean(axis=1)
        with self.lock:
            self.inside -= 1
        return depth

    def close(self):
        pass


@pytest.fixture
def pipeline():
    return DepthPipeline(resolve(PipelineConfig(weights="seeded", threads=1)), Brightness(1))


@pytest.fixture
def pictures(encode):
    """Give photos of which no two have one size."""
    return [encode(np.full((30 + n, 60, 3), n, np.uint8), "PNG") for n in range(12)]


def test_a_stream_gives_the_heat_map_of_each_photo_in_its_place(pipeline, pictures):
    streamed = list(pipeline.map(iter(pictures)))
    for one, data in zip(streamed, pictures, strict=True):
        np.testing.assert_array_equal(one, pipeline([data])[0])


def test_paths_are_read_and_named_in_errors(pipeline, pictures, tmp_path):
    good, bad, missing = (tmp_path / name for name in ("good.png", "bad.png", "missing.png"))
    good.write_bytes(pictures[0])
    bad.write_bytes(b"GIF89a")
    heatmap, *errors = pipeline.map([good, bad, missing], errors="return")
    np.testing.assert_array_equal(heatmap, pipeline([pictures[0]])[0])
    assert [str(error).split(";")[0] for error in errors] == [
        f"{bad}: is not a JPEG, PNG or WebP (first bytes 47 49 46 38)",
        f"{missing}: cannot be read (No such file or directory)",
    ]


def test_a_bad_photo_ends_the_stream_at_its_place_unless_errors_are_returned(pipeline, pictures):
    photos = [pictures[0], b"", pictures[2]]
    stream = pipeline.map(photos)
    assert next(stream).shape == (30, 60, 3)
    with pytest.raises(UserError, match="is empty"):
        next(stream)
    assert list(stream) == []
    first, error, third = pipeline.map(photos, errors="return")
    assert isinstance(error, UserError)
    assert (first.shape, third.shape) == ((30, 60, 3), (32, 60, 3))


def test_a_broken_network_is_not_the_photos_fault(pipeline, pictures):
    pipeline.backend = lambda batch: np.full((len(batch), 256, 256), np.nan, np.float32)
    with pytest.raises(ValueError, match="NaN or infinity"):
        list(pipeline.map(pictures, errors="return"))


def test_leaving_a_stream_early_ends_its_threads(pipeline, pictures):
    stream = pipeline.map(itertools.cycle(pictures))
    next(stream)
    assert streaming_threads()
    stream.close()
    assert streaming_threads() == []


def test_memory_is_bounded_by_what_is_ahead(pipeline, pictures):
    taken = 0

    def counted():
        nonlocal taken
        for data in itertools.cycle(pictures):
            taken += 1
            yield data

    stream = pipeline.map(counted(), ahead=3)
    for n in range(20):
        next(stream)
        assert taken <= n + 3
    stream.close()


def test_a_runtime_with_all_cores_is_given_one_photo_at_a_time(pictures, monkeypatch):
    monkeypatch.setattr("midas_bench.cpu.allowed_cores", lambda: 1)
    pipeline = DepthPipeline(resolve(PipelineConfig(weights="seeded", threads=1)), Brightness(1))
    list(pipeline.map(pictures * 4, ahead=8))
    assert pipeline.backend.most_inside == 1


def test_a_runtime_with_one_of_several_cores_is_called_from_several_threads(pictures, monkeypatch):
    monkeypatch.setattr("midas_bench.cpu.allowed_cores", lambda: 2)
    both_inside = threading.Barrier(2, timeout=PATIENCE_S)

    class Meets(Brightness):
        def __call__(self, batch):
            both_inside.wait()
            return super().__call__(batch)

    pipeline = DepthPipeline(resolve(PipelineConfig(weights="seeded", threads=1)), Meets(1))
    assert len(list(pipeline.map(pictures[:4]))) == 4
