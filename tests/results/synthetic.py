"""A made-up run with cells of every kind, in the form of pytest-benchmark's JSON; its figures were never measured."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SCENES = ("street", "indoor", "pet", "portrait")
FILES = {"street": "china.jpg", "indoor": "coffee.jpg", "pet": "chelsea.jpg", "portrait": "astronaut.jpg"}
NETWORK_S = {"eager": 0.088, "jit": 0.072, "onnx": 0.047}
STAGE_S = {
    "article": {"decode": 0.0042, "preprocess": 0.0065, "heatmap": 0.0009},
    "fast": {"decode": 0.0021, "preprocess": 0.0008, "heatmap": 0.0003},
}
FIDELITY = {
    backend: {
        "max_relative_error": 6 * error, "mean_relative_error": error, "rank_correlation": 1 - error,
        "flipped_pairs": error / 10,
    }
    for backend, error in {"eager": 0.0, "jit": 4e-7, "onnx": 5e-7}.items()
}  # fmt: skip
MIB = 1024 * 1024
WEIGHTS = {"source": "seeded", "sha256": "6a" * 32}
STUDENT = {
    "source": "model", "sha256": "5d" * 32, "file": "student.onnx",
    "interface": {
        "height": 252, "width": 336, "layout": "NCHW", "dtype": "float32", "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225], "scale": 255.0, "output": "", "meaning": "depth",
    },
}  # fmt: skip
"""A model of one's own, as results hold it."""
PHOTOS = Path(__file__).parents[2] / "fixtures/images"


class Maker:
    """Makes one run; `speed` multiplies all its times."""

    def __init__(self, seed: int = 0, speed: float = 1.0, scenes: tuple[str, ...] = SCENES, rounds: int = 12) -> None:
        self.generator = np.random.default_rng(seed)
        self.speed = speed
        self.scenes = scenes
        self.rounds = rounds
        self.benchmarks: list[dict[str, Any]] = []
        self.model = self.teacher = ""

    def add(self, fullname: str, typical_s: float, group: str = "", **info: Any) -> None:
        if self.model:
            if {"article", "eager"} & {info.get("recipe"), info.get("backend")}:
                return
            fullname = fullname.replace("[", f"[{self.model}-", 1).replace("-jit", "-openvino")
            info["model"] = self.model
            if "mean_relative_error" in info:
                follows = 1.0 if self.model == self.teacher else 0.93
                info |= {"teacher": self.teacher, "teacher_rank_correlation": follows, "teacher_pairs_kept": follows}
            info |= {"backend": "openvino"} if info.get("backend") == "jit" else {}
            info["depth_maps"] = [f"{self.model}-{name}" for name in info.get("depth_maps", ())]
        rounds = self.rounds if typical_s > 0.01 else self.rounds * 8
        tail = self.generator.exponential(0.035, rounds) * (1 + 6 * (self.generator.random(rounds) < 0.04))
        data = typical_s * self.speed * (1 + self.generator.normal(0, 0.012, rounds) + tail)
        median = float(np.median(data))
        info.setdefault("kind", "latency")
        info.setdefault("noise", {"noisy": False, "reasons": []})
        info.setdefault("weights", WEIGHTS)
        if info["kind"] in ("latency", "stage", "stream"):
            info["latency_s"] = {"p50": median, "p90": float(np.percentile(data, 90)), "p95": None, "p99": None}
        self.benchmarks.append(
            {
                "group": group,
                "name": fullname.split("::")[-1],
                "fullname": fullname,
                "params": {},
                "extra_info": info,
                "options": {"timer": "perf_counter"},
                "stats": stats(data),
            }
        )

    def photo(self, scene: str) -> dict[str, Any]:
        path = PHOTOS / FILES[scene]
        with Image.open(path) as image:
            width, height = image.size
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        return {"file": path.name, "width": width, "height": height, "bytes": len(data), "sha256": digest}

    def everything(self, depth_maps: bool = True) -> list[dict[str, Any]]:
        self.latency(depth_maps)
        self.stages()
        self.peers()
        self.threads()
        self.streams()
        self.memory()
        self.startup()
        self.ratios()
        self.effect_of_scenes()
        return self.benchmarks

    def models(self, speeds: dict[str, float], depth_maps: bool = True) -> list[dict[str, Any]]:
        """Make the cells of a comparison of models in two backends; `speeds` multiply the times of each."""
        self.teacher = next(iter(speeds))
        for self.model, self.speed in speeds.items():
            self.latency(depth_maps)
            self.stages()
            self.threads()
            self.streams()
            self.memory()
            self.startup()
        self.model = ""
        return self.benchmarks

    def latency(self, depth_maps: bool = True) -> None:
        around = {name: sum(times.values()) for name, times in STAGE_S.items()}
        for scene in self.scenes:
            self.add(
                f"bench/test_article.py::test_article[{scene}]", NETWORK_S["eager"] + around["article"],
                scene=scene, backend="eager", recipe="article", batch_size=1, threads=2, photos=[self.photo(scene)],
                depth_maps=[f"article-{scene}.png"] if depth_maps else [], load_s=0.6, first_inference_s=0.14,
            )  # fmt: skip
        for backend, network_s in NETWORK_S.items():
            for size in (1, 2, 3, 4):
                for scene in self.scenes:
                    gain = 1 - 0.02 * (size - 1) if backend == "onnx" else 1 + 0.01 * (size - 1)
                    self.add(
                        f"bench/test_pipeline.py::test_pipeline[{backend}-b{size}-{scene}]",
                        size * (network_s * gain + around["fast"]),
                        scene=scene, backend=backend, recipe="fast", batch_size=size, threads=2,
                        photos=[self.photo(scene)] * size, photos_repeated=size > 1, load_s=0.4, first_inference_s=0.1,
                        **FIDELITY[backend], depth_maps=[f"{backend}-{scene}.png"] if depth_maps else [],
                    )  # fmt: skip

    def stages(self) -> None:
        for recipe, times in STAGE_S.items():
            for stage, typical_s in times.items():
                for i, scene in enumerate(self.scenes):
                    self.add(
                        f"bench/test_stages.py::test_{stage}[{scene}-{recipe}]", typical_s * (1 - 0.15 * i),
                        kind="stage", stage=stage, scene=scene, recipe=recipe, batch_size=1, threads=2,
                    )  # fmt: skip
        for backend, network_s in NETWORK_S.items():
            self.add(
                f"bench/test_inference.py::test_inference[{backend}-b1]", network_s,
                kind="stage", stage="inference", backend=backend, recipe="fast", batch_size=1, threads=2,
                flop=9_000_000_000, peak_flop_per_s=2.5e11,
            )  # fmt: skip

    def peers(self) -> None:
        self.add(
            "bench/test_peers.py::test_benchmark_app[f32]", 7.0,
            kind="peer", peer="OpenVINO benchmark_app, f32", peer_median_s=0.046, batch_size=1, threads=2,
        )  # fmt: skip
        self.add(
            "bench/test_peers.py::test_backbone", 0.031,
            kind="peer", peer="timm backbone, eager", scene=self.scenes[0], batch_size=1, threads=2,
        )  # fmt: skip

    def threads(self) -> None:
        for backend, network_s in NETWORK_S.items():
            for count in (1, 2):
                self.add(
                    f"bench/test_threads.py::test_threads[{backend}-t{count}]", network_s * (1.75 if count == 1 else 1),
                    scene="street", backend=backend, recipe="fast", batch_size=1, threads=count,
                )  # fmt: skip

    def streams(self) -> None:
        for backend, network_s in NETWORK_S.items():
            self.add(
                f"bench/test_stream.py::test_stream[{backend}]", 24 * network_s * 0.9,
                kind="stream", backend=backend, recipe="fast", stream_photos=24, threads=1,
            )  # fmt: skip

    def memory(self) -> None:
        peaks = {"eager": 720, "jit": 760, "onnx": 290}
        cells = [("eager", 1, "article", scene) for scene in self.scenes]
        cells += [(backend, 4, "fast", "street") for backend in peaks] + [("onnx", 1, "fast", "street")]
        for backend, size, recipe, scene in cells:
            peak = (peaks[backend] + 28 * (size - 1) + float(self.generator.normal(0, 4))) * MIB
            t = np.arange(0, 2.4, 0.1)
            rss = peak * np.clip(0.12 + 0.5 * t, 0, 0.97)
            self.add(
                f"bench/test_memory.py::test_memory[{backend}-b{size}-{scene}-{recipe}]", 2.4,
                kind="memory", scene=scene, backend=backend, recipe=recipe, batch_size=size, threads=2,
                baseline_rss_bytes=int(peak * 0.45), loaded_rss_bytes=int(peak * 0.7), peak_rss_bytes=int(peak),
                rss_over_time={"t_s": [float(x) for x in t], "rss_bytes": [int(x) for x in rss]},
            )  # fmt: skip

    def startup(self) -> None:
        imports = {"eager": 1.9, "jit": 1.6, "onnx": 0.35}
        for backend, import_s in imports.items():
            for cache in ("warm", "empty") if backend != "eager" else ("warm",):
                n = 3 if cache == "warm" else 1
                typical = {"import": import_s, "load": 0.4, "first_inference": 0.15, "steady": NETWORK_S[backend]}
                self.add(
                    f"bench/test_startup.py::test_startup[{backend}-{cache}]", import_s + 0.55,
                    kind="startup", backend=backend, cache=cache,
                    startup_s={k: list(v * self.generator.normal(1, 0.05, n)) for k, v in typical.items()},
                    **({"build_s": [14.2 if backend == "onnx" else 1.4]} if cache == "empty" else {}),
                )  # fmt: skip

    def ratios(self, blocks: int = 8) -> None:
        ratios = {"jit/eager": 0.83, "onnx/eager": 0.54, "b4/b1 per photo onnx": 0.94, "article preprocess share": 0.11}
        for name, value in ratios.items():
            logs = [float(x) for x in self.generator.normal(math.log(value), 0.02, blocks)]
            self.add(
                f"bench/test_ratios.py::test_ratios[{name}]", 20.0,
                kind="ratio", ratio=name, numerator=name.split("/")[0], denominator=name.split("/")[-1],
                block_log_ratios=logs,
            )  # fmt: skip

    def effect_of_scenes(self) -> None:
        for stage, effect in (("inference", 0.002), ("decode", 0.12)):
            for i, scene in enumerate(self.scenes[1:]):
                logs = [float(x) for x in self.generator.normal(-effect * i, 0.006, 8)]
                self.add(
                    f"bench/test_scenes.py::test_scenes[{stage}-{scene}]", 10.0,
                    kind="scene", stage=stage, scene=scene, baseline_scene=self.scenes[0], block_log_ratios=logs,
                )  # fmt: skip


def stats(data: Any) -> dict[str, Any]:
    data = [float(value) for value in data]
    return {
        "min": min(data), "max": max(data), "mean": float(np.mean(data)), "stddev": float(np.std(data, ddof=1)),
        "rounds": len(data), "median": float(np.median(data)), "iqr": 0.0, "data": data, "iterations": 1,
    }  # fmt: skip


def content(benchmarks: list[dict[str, Any]], when: str = "2026-01-02T03:04:05+00:00", **ours: Any) -> dict[str, Any]:
    names = [benchmark["fullname"] for benchmark in benchmarks]
    return {
        "machine_info": {
            "node": "synthetic", "machine": "x86_64", "system": "Linux", "release": "6.0", "python_version": "3.11.7",
            "cpu": {"brand_raw": "Synthetic CPU 9000", "count": 4},
            "midas_bench": {
                "fingerprint": "f00dfeed", "cpu_model": "Synthetic CPU 9000", "isa": ["avx2", "avx512f", "avx512_vnni"],
                "physical_cores": 2, "allowed_cores": 2, "memory_bytes": 8 * 1024 * MIB, "virtualised": True,
                "versions": {"torch": "2.13.0", "onnxruntime": "1.24.0", "numpy": "2.4.0"},
            },
        },
        "commit_info": {"id": "0123456789abcdef", "branch": "main", "dirty": False},
        "benchmarks": benchmarks,
        "datetime": when,
        "version": "5.3.1",
        "midas_bench": {
            "schema": 1, "status": "complete", "planned": names, "finished": names, "failed": [], "skipped": [],
            "conditions": {"load_average": [0.2, 0.3, 0.4], "steal_fraction": 0.001}, "weights": WEIGHTS, **ours,
        },
    }  # fmt: skip


def save(path: Path, whole: dict[str, Any], depth_maps: bool = True) -> Path:
    """Write the JSON and, beside it, the depth maps its cells name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(whole))
    names = {name for b in whole["benchmarks"] for name in (b["extra_info"] or {}).get("depth_maps") or ()}
    if depth_maps and names:
        folder = path.with_suffix("")
        folder.mkdir(exist_ok=True)
        ramp = np.linspace(0, 255, 256)
        for i, name in enumerate(sorted(names)):
            depth = np.clip(ramp[:, None] * 0.8 + 40 * np.sin(ramp / 19)[None, :] + i % 3, 0, 255).astype(np.uint8)
            Image.fromarray(depth).save(folder / Path(name).name)
    return path


def run(path: Path, seed: int = 0, speed: float = 1.0, when: str = "2026-01-02T03:04:05+00:00", **ours: Any) -> Path:
    """Write a complete made-up run."""
    return save(path, content(Maker(seed, speed).everything(), when, **ours))
