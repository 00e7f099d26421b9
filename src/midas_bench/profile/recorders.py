"""What each runtime's own profiler tells of the operators that ran; `profile/worker.py` loads this by its path.

With the standard library alone, as that script: a library is patched by whoever imports it, and never imported here.
"""

from __future__ import annotations

import json
import os
import sys
import time
from bisect import bisect
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

MARKER = "midas-bench: one call"


class Occurrence(NamedTuple):
    """An operator that ran once.

    Attributes:
        key: equal for all occurrences of an operator.
        facts: what is known of the operator.
        start_s: on the clock of `time.perf_counter`.
        took_s: seconds.
        call: the number of the call it was in, where the runtime tells that; else None, and the clock has to tell.
    """

    key: object
    facts: dict[str, Any]
    start_s: float
    took_s: float
    call: int | None = None


class Recorder:
    """What is recorded of one library: `install` patches it, `around` is entered for each call."""

    library = ""

    def install(self, module: ModuleType) -> None:
        """Patch the library, which was just imported."""

    def around(self, call: int) -> AbstractContextManager[object]:
        """Return what the call of this number is made within."""
        del call
        return nullcontext()

    def occurrences(self) -> Iterator[Occurrence]:
        """End the recording and yield all of it."""
        return iter(())

    def about(self) -> dict[str, Any]:
        """Return further facts, for reading the occurrences."""
        return {}


class OnnxRuntimeRecorder(Recorder):
    """ONNX Runtime's profiling file: every session has one, and saves the graph that it really runs."""

    library = "onnxruntime"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sessions: list[Any] = []
        self._graphs: list[dict[str, str | None]] = []
        self._starts_s: dict[int, list[float]] = {}

    def install(self, module: ModuleType) -> None:
        """Have every session profiled, and note when each run began."""
        kind = module.InferenceSession
        make = kind.__init__

        def make_profiled(session: Any, path_or_bytes: Any, sess_options: Any = None, *rest: Any, **named: Any) -> None:
            number = len(self._sessions)
            options = sess_options or module.SessionOptions()
            options.enable_profiling = True
            options.profile_file_prefix = str(self._folder / f"onnxruntime-{number}")
            graph = self._folder / f"optimized-{number}.onnx"
            options.optimized_model_filepath = str(graph)
            # that the saved graph suits this machine alone is no matter here
            options.log_severity_level = max(3, options.log_severity_level)
            try:
                make(session, path_or_bytes, options, *rest, **named)
            # a graph may be too large to be saved, or hold what cannot be
            except Exception:
                options.optimized_model_filepath = ""
                make(session, path_or_bytes, options, *rest, **named)
            self._sessions.append(session)
            self._starts_s[id(session)] = []
            self._graphs.append({"source": self._kept(path_or_bytes, number), "optimized": str(graph)})

        kind.__init__ = make_profiled
        for name in ("run", "run_with_iobinding", "run_with_ort_values"):
            setattr(kind, name, self._noting(getattr(kind, name)))

    def _kept(self, model: Any, number: int) -> str:
        """Return the path of the graph that a session was given."""
        if isinstance(model, bytes):
            path = self._folder / f"source-{number}.onnx"
            path.write_bytes(model)
            return str(path)
        # a link to it may be gone by the time it is read
        return str(Path(os.fsdecode(model)).resolve())

    def _noting(self, run: Any) -> Any:
        def noted(session: Any, *given: Any, **named: Any) -> Any:
            self._starts_s.setdefault(id(session), []).append(time.perf_counter())
            return run(session, *given, **named)

        return noted

    def occurrences(self) -> Iterator[Occurrence]:
        """Read each session's file; a node belongs to the run during which it ran."""
        for number, session in enumerate(self._sessions):
            text = Path(session.end_profiling()).read_text(encoding="utf-8", errors="replace")
            events = [event for event in json.loads(text, strict=False) if event.get("ph") == "X"]
            runs = [event for event in events if event["cat"] == "Session" and event["name"] == "model_run"]
            runs.sort(key=lambda event: event["ts"])
            begun = sorted(self._starts_s[id(session)])
            # how far the session's clock is from ours, for each run
            starts_s = {run["ts"]: start_s - run["ts"] / 1e6 for run, start_s in zip(runs, begun, strict=False)}
            for event in events:
                if event["cat"] != "Node" or not event["name"].endswith("_kernel_time"):
                    continue
                # photos side by side are in runs that overlap, each of a thread
                own = [run["ts"] for run in runs if run["tid"] == event["tid"]] or [run["ts"] for run in runs]
                place = bisect(own, event["ts"])
                if place and own[place - 1] in starts_s:
                    facts = self._facts(event, number)
                    start_s = starts_s[own[place - 1]] + event["ts"] / 1e6
                    yield Occurrence((number, facts["name"], facts["index"]), facts, start_s, event["dur"] / 1e6)

    @staticmethod
    def _facts(event: dict[str, Any], number: int) -> dict[str, Any]:
        args = event["args"]
        given, returned = args.get("input_type_shape", []), args.get("output_type_shape", [])
        return {
            "name": event["name"][: -len("_kernel_time")],
            "kind": args.get("op_name", ""),
            "index": args.get("node_index", ""),
            "inputs": [shape for tensor in given for shape in tensor.values()],
            "outputs": [shape for tensor in returned for shape in tensor.values()],
            "types": [name for tensor in given for name in tensor],
            "graph": number,
        }

    def about(self) -> dict[str, Any]:
        """Return the paths of each session's graph, as it was given and as it is run."""
        return {"graphs": self._graphs}


class OpenVinoRecorder(Recorder):
    """OpenVINO's performance counters, read after each inference.

    A counter holds the mean over all inferences so far, in whole microseconds. So a single one is told by difference,
    and the n-th of them to n microseconds.
    """

    library = "openvino"

    def __init__(self) -> None:
        self._compiled: list[Any] = []
        self._sources: dict[str, Any] = {}
        self._inferences: list[tuple[float, float, int, list[tuple[str, str, str, float]]]] = []
        self._counts: Counter[int] = Counter()
        self._sums_s: dict[tuple[int, str], float] = {}

    def install(self, module: ModuleType) -> None:
        """Have every model compiled with counters, and read them after each inference."""
        compile_model, infer = module.Core.compile_model, module.InferRequest.infer
        create_infer_request = module.CompiledModel.create_infer_request

        def compile_counting(core: Any, model: Any, device_name: Any = None, config: Any = None, **named: Any) -> Any:
            compiled = compile_model(core, model, device_name, _of_one_stream(config or {}), **named)
            self._compiled.append(compiled)
            if hasattr(model, "get_ordered_ops"):
                self._sources.update((op.get_friendly_name(), _of_node(op)) for op in model.get_ordered_ops())
            return compiled

        def create_tagged(compiled: Any) -> Any:
            request = create_infer_request(compiled)
            request.midas_bench_model = id(compiled)
            return request

        def infer_noting(request: Any, *given: Any, **named: Any) -> Any:
            start_s = time.perf_counter()
            results = infer(request, *given, **named)
            end_s = time.perf_counter()
            shape = request.get_input_tensor(0).shape
            self._inferences.append((start_s, end_s, int(shape[0]) if len(shape) else 1, self._counted(request)))
            return results

        module.Core.compile_model = compile_counting
        module.CompiledModel.create_infer_request = create_tagged
        module.InferRequest.infer = infer_noting

    def _counted(self, request: Any) -> list[tuple[str, str, str, float]]:
        model = getattr(request, "midas_bench_model", 0)
        self._counts[model] += 1
        counted = []
        for info in request.profiling_info:
            if str(info.status).endswith("EXECUTED"):
                sum_s = info.real_time.total_seconds() * self._counts[model]
                took_s = max(0.0, sum_s - self._sums_s.get((model, info.node_name), 0.0))
                self._sums_s[model, info.node_name] = sum_s
                counted.append((info.node_name, info.node_type, info.exec_type, took_s))
        return counted

    def occurrences(self) -> Iterator[Occurrence]:
        """Lay the operators of an inference end to end: the counters tell how long, but not when."""
        nodes = {
            op.get_friendly_name(): _of_node(op)
            for compiled in self._compiled
            for op in compiled.get_runtime_model().get_ordered_ops()
        }
        for start_s, end_s, batch, counted in self._inferences:
            for name, kind, primitive, took_s in counted:
                node = nodes.get(name, {})
                facts = {
                    "name": name,
                    "kind": kind,
                    "inputs": node.get("inputs", []),
                    "outputs": node.get("outputs", []),
                    "types": [primitive],
                    "made_of": node.get("made_of", []),
                    "batch": batch,
                }
                # rounding must not move the last ones out of their call
                yield Occurrence((name, batch), facts, min(start_s, end_s), took_s)
                start_s += took_s

    def about(self) -> dict[str, Any]:
        """Return the operators of the models before they were compiled, by name."""
        return {"sources": self._sources}


def _of_one_stream(config: dict[str, Any]) -> dict[str, Any]:
    """Return the settings with counters, and one stream of as many threads: each stream has counters of its own."""
    streams = config.get("NUM_STREAMS", 1)
    config = {**config, "PERF_COUNT": True}
    if isinstance(streams, int) and streams > 1 and "INFERENCE_NUM_THREADS" in config:
        config |= {"NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": max(1, config["INFERENCE_NUM_THREADS"] // streams)}
    return config


def _of_node(op: Any) -> dict[str, Any]:
    """Return kind and shapes of a node of OpenVINO, -1 for a free size, and the names of what it was made of."""
    info = op.get_rt_info()
    made_of = str(info["originalLayersNames"].value) if "originalLayersNames" in info else ""
    return {
        "kind": op.get_type_name(),
        "inputs": [_sizes(op.input_value(n).get_partial_shape()) for n in range(op.get_input_size())],
        "outputs": [_sizes(op.get_output_partial_shape(n)) for n in range(op.get_output_size())],
        "made_of": [name for name in made_of.split(",") if name],
    }


def _sizes(shape: Any) -> list[int]:
    if shape.rank.is_dynamic:
        return []
    return [size.get_length() if size.is_static else -1 for size in shape]


class TorchRecorder(Recorder):
    """torch.profiler around each call: the outermost operators, whatever runs them."""

    library = "torch"

    def __init__(self) -> None:
        self._profiles: list[tuple[int, float, Any]] = []

    def around(self, call: int) -> AbstractContextManager[object]:
        """Profile a call if anything has imported torch."""
        torch = sys.modules.get("torch")
        return nullcontext() if torch is None else self._profiled(torch, call)

    def _profiled(self, torch: Any, call: int) -> AbstractContextManager[object]:
        stack = ExitStack()
        profile = stack.enter_context(
            torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], record_shapes=True)
        )
        self._profiles.append((call, time.perf_counter(), profile))
        stack.enter_context(torch.profiler.record_function(MARKER))
        return stack

    def occurrences(self) -> Iterator[Occurrence]:
        """Yield what has a namespace, such as aten::conv2d, or nothing within it; not what only holds others."""
        for call, call_start_s, profile in self._profiles:
            events = sorted(profile.events(), key=lambda event: event.time_range.start)
            marker_us = next((event.time_range.start for event in events if event.name == MARKER), 0.0)
            seen: Counter[str] = Counter()
            for event in _outermost([event for event in events if event.cpu_parent is None]):
                skipped = self._skipped(event)
                shapes = [shape for shape in (event.input_shapes or [])[skipped:] if shape]
                facts = {
                    "name": event.name,
                    "kind": event.name.rpartition("::")[2],
                    "inputs": shapes,
                    "outputs": [],
                    "types": [str(kind) for kind in event.input_dtypes or []][skipped:],
                    "concrete": [_plain(value) for value in event.concrete_inputs or []][skipped:],
                }
                same = f"{event.name} {shapes}"
                seen[same] += 1
                start_s = call_start_s + (event.time_range.start - marker_us) / 1e6
                took_s = event.time_range.elapsed_us() / 1e6
                yield Occurrence((same, seen[same]), facts, start_s, took_s, call)

    @staticmethod
    def _skipped(event: Any) -> int:
        """Return how many inputs at the start are not the operator's: TorchScript records its whole stack."""
        given = len(event.input_shapes or [])
        schemas = sys.modules["torch"]._C._jit_get_schemas_for_operator(event.name) if "::" in event.name else ()
        takes = {schema.overload_name: len(schema.arguments) for schema in schemas}
        return max(0, given - takes.get(getattr(event, "overload_name", ""), given))


def _outermost(events: Sequence[Any]) -> Iterator[Any]:
    for event in events:
        if event.name != MARKER and ("::" in event.name or not event.cpu_children):
            yield event
        else:
            yield from _outermost(sorted(event.cpu_children, key=lambda child: child.time_range.start))


def _plain(value: Any) -> Any:
    """Return numbers and lists of them as they are; None for anything else."""
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return value if isinstance(value, (bool, int, float)) else None


LIBRARIES = tuple(kind.library for kind in (OnnxRuntimeRecorder, OpenVinoRecorder, TorchRecorder))
"""Import names of the libraries whose operators are recorded."""


def recorders(folder: Path) -> list[Recorder]:
    """Return one of each; `folder` is for what the runtimes write."""
    return [OnnxRuntimeRecorder(folder), OpenVinoRecorder(), TorchRecorder()]
