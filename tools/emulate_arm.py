"""Run the suite on an emulated ARM processor: `python tools/emulate_arm.py ROOT [--tests ...] [--backend ...]`.

It makes an arm64 Debian in the folder ROOT, unless it is there, and installs the wheels for ARM that the suite needs.
In it, it runs fast tests, and makes one photo's heat map with each backend. Depth and heat map are compared with those
that this machine makes of the same graph. It ends with 0 if all tests passed and all depth agreed, and else with 1.

PyTorch is left out: under emulation, exporting a graph takes longer than its time limit. This machine makes the graph.
Nothing is timed, for an emulator's times say nothing about a processor. QEMU is registered in a namespace of the
kernel's, so nothing stays mounted or registered, and no other program of this machine notices.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

PROJECT = Path(__file__).parents[1]
sys.path.insert(0, str(PROJECT))

from tests.arm_machines import PI_5  # noqa: E402 - the path comes first

from midas_bench.depth.artifacts import artifact  # noqa: E402
from midas_bench.depth.backends import registry  # noqa: E402
from midas_bench.depth.config import cache_folder  # noqa: E402
from midas_bench.depth.weights import seeded  # noqa: E402
from midas_bench.errors import UserError  # noqa: E402

PACKAGES = {
    "mmdebstrap": "mmdebstrap", "qemu-aarch64-static": "qemu-user-static", "unshare": "util-linux",
    "chroot": "coreutils", "uv": "uv (by pip)",
}  # fmt: skip
"""Which package of Debian brings each program."""
DEBIAN, PYTHON, WHEELS = "bookworm", "3.11", "aarch64-manylinux_2_36"
"""A release, its Python, and the wheels that its C library takes (glibc 2.36)."""
INSTALLED = "bash,ca-certificates,coreutils,dash,git,libgomp1,libstdc++6,procps,python3,sed,tzdata"
TESTERS = ("pytest>=8.4,<10", "pytest-benchmark>=5.3,<5.4", "hypothesis>=6.130,<7", "pytest-xdist>=3.6,<4")
OWN = ("-r", "pyproject.toml", "--extra", "openvino", "--extra", "mnn")
"""The suite's dependencies, and the extras that need no PyTorch."""
WITHOUT_TORCH = ("ncnn", "pnnx")
"""Both want PyTorch by their metadata or our extra, and convert an ONNX graph without it."""

PHOTO = "fixtures/images/china.jpg"
COLOUR_STEP = 12
"""One step of the colours: how far a heat map may be where depth differs by rounding (tests/depth/test_heatmap.py)."""

SETUP = r"""
mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
printf '%s' "$REGISTRATION" > /proc/sys/fs/binfmt_misc/register
for name in proc sys dev; do mount --rbind "/$name" "$ROOT/$name"; done
mount --bind "$SHARED/cpuinfo" "$ROOT/proc/cpuinfo"
mount --bind "$SHARED" "$ROOT/shared"
mount --bind "$PROJECT" "$ROOT/checkout"
mount -t tmpfs tmpfs "$ROOT/tmp"
exec chroot "$ROOT" /usr/bin/env -i -C /checkout PATH=/usr/bin:/bin HOME=/tmp QEMU_CPU="$QEMU_CPU" \
  PYTHONPATH=/checkout/src:/checkout/tools:/opt/site PYTHONPYCACHEPREFIX=/opt/compiled \
  MIDAS_BENCH_CACHE=/shared/cache "$@"
"""
"""Run by a shell in namespaces of its own, with which its mounts end."""
LEAST_KERNEL = (6, 7)
"""Since it, a namespace has a binfmt_misc of its own."""

MAGIC = bytes([*b"\x7fELF", 2, 1, 1, *[0] * 9, 2, 0, 0xB7, 0])
MASK = bytes([*[0xFF] * 7, 0, *[0xFF] * 8, 0xFE, *[0xFF] * 3])
"""The start of a program for aarch64, of any system, linked at one place or at any.

Sources: man 5 elf, and https://docs.kernel.org/admin-guide/binfmt-misc.html.
"""

HEATMAP = """
import sys
import numpy as np
from midas_bench.depth import artifacts
from midas_bench.depth.pipeline import DepthPipeline
# an emulated converter takes longer than any real one
artifacts.BUILD_TIMEOUT_S = 7200.0
backend, model, photo, target = sys.argv[1:]
with DepthPipeline.open(backend, model=model, threads=1) as pipeline:
    made = pipeline.run([open(photo, "rb").read()])
np.savez(target, heatmap=made.heatmaps[0], depth=made.depth)
"""


def say(text: str, start_s: float) -> None:
    """Print a line with the seconds since the start."""
    print(f"[{time.monotonic() - start_s:6.0f} s] {text}", flush=True)


def require_programs() -> None:
    """End with a line that names what is missing."""
    absent = {program: package for program, package in PACKAGES.items() if not shutil.which(program)}
    if absent:
        names = ", ".join(f"{program} (package {package})" for program, package in absent.items())
        sys.exit(f"emulate_arm: needs {names}; install with apt, then run it again")
    if "binfmt_misc" not in Path("/proc/filesystems").read_text() or _kernel() < LEAST_KERNEL:
        least = ".".join(map(str, LEAST_KERNEL))
        sys.exit(f"emulate_arm: needs Linux {least} with binfmt_misc, and this is {platform.release()}; run it there")
    if os.geteuid() != 0:
        sys.exit("emulate_arm: makes a root folder of another system, which needs root; run it with sudo")


def _kernel() -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"[0-9]+", platform.release())[:2])


def make_root(root: Path) -> None:
    """Unpack Debian for arm64, without running any of it, and install wheels for it with this machine's uv."""
    if not (root / "usr/bin/python3").exists():
        words = ["--variant=extract", "--arch=arm64", f"--include={INSTALLED}", DEBIAN]
        subprocess.run(["mmdebstrap", *words, str(root)], check=True)
    for name in ("proc", "sys", "dev", "tmp", "shared", "checkout", "opt"):
        (root / name).mkdir(exist_ok=True)
    install = [
        "uv", "pip", "install", "--quiet", "--no-sources", "--python-platform", WHEELS, "--python-version", PYTHON,
        "--target", str(root / "opt/site"),
    ]  # fmt: skip
    subprocess.run([*install, "--only-binary", ":all:", *TESTERS, *OWN], check=True, cwd=PROJECT)
    subprocess.run([*install, "--only-binary", ":all:", "--no-deps", *WITHOUT_TORCH], check=True, cwd=PROJECT)
    # its metadata; the sources are those of the checkout
    subprocess.run([*install, "--no-deps", "--reinstall-package", "midas-bench", "."], check=True, cwd=PROJECT)


def emulated(root: Path, shared: Path, processor: str, *command: str) -> int:
    """Run a command in the root, in the checkout; return its exit code."""
    magic, mask = ("".join(f"\\x{byte:02x}" for byte in part) for part in (MAGIC, MASK))
    variables = {
        "ROOT": str(root), "SHARED": str(shared), "PROJECT": str(PROJECT), "QEMU_CPU": processor,
        # F: the kernel opens QEMU now, so that the root need not hold it
        "REGISTRATION": f":arm:M::{magic}:{mask}:{shutil.which('qemu-aarch64-static')}:F",
    }  # fmt: skip
    own = ["unshare", "--map-root-user", "--mount", "bash", "-euc", SETUP, "emulated", *command]
    return subprocess.run(own, env=os.environ | variables).returncode


def compare(here: Path, there: Path) -> tuple[float, int]:
    """Return the largest differences: of depth as a share of its range, and of a heat map's colours in steps of 255."""
    with np.load(here) as ours, np.load(there) as arms:
        depth = float(np.abs(ours["depth"] - arms["depth"]).max() / np.ptp(ours["depth"]))
        return depth, int(np.abs(ours["heatmap"].astype(int) - arms["heatmap"]).max())


def heatmaps(root: Path, shared: Path, processor: str, backends: list[str], start_s: float) -> bool:
    """Make the photo's heat map with each backend here and there; return whether all agree."""
    graph = shared / "graph.onnx"
    shutil.copy(artifact("onnx", seeded(), cache_folder(os.environ)).path, graph)
    (shared / "heatmap.py").write_text(HEATMAP)
    agree = True
    for backend in backends:
        here, there = (shared / f"{backend}-{side}.npz" for side in ("here", "arm"))
        words = [str(shared / "heatmap.py"), backend, str(graph), PHOTO, str(here)]
        subprocess.run([sys.executable, *words], check=True, cwd=PROJECT)
        inside = ["/shared/heatmap.py", backend, "/shared/graph.onnx", PHOTO, f"/shared/{there.name}"]
        if emulated(root, shared, processor, "python3", *inside):
            say(f"{backend}: no heat map on ARM", start_s)
            agree = False
            continue
        depth, colours = compare(here, there)
        good = depth <= registry.MAX_RELATIVE_ERROR and colours <= COLOUR_STEP
        agree &= good
        told = (
            f"depth differs by {depth:.1e} of its range (bound {registry.MAX_RELATIVE_ERROR:g}), colours by {colours}"
        )
        say(f"{backend}: {told} (bound {COLOUR_STEP}): {'equal' if good else 'NOT EQUAL'}", start_s)
    return agree


def main() -> int:
    """Make the root, run the tests, compare the heat maps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="folder of the other system; made if it is not there, else reused")
    parser.add_argument("--tests", nargs="*", default=["tests/depth", "tests/results", "tests/report"])
    parser.add_argument("--backend", nargs="*", default=["onnx", "opencv", "ncnn"])
    parser.add_argument("--processor", default="cortex-a76", help="as QEMU names it (default: a Raspberry Pi 5's)")
    arguments = parser.parse_args()
    start_s = time.monotonic()
    require_programs()
    try:
        registry.select(arguments.backend, own_model=True)
    except UserError as error:
        sys.exit(f"emulate_arm: here, {error}")
    root = arguments.root.resolve()
    say(f"Debian and wheels for arm64 in {root}", start_s)
    make_root(root)
    with tempfile.TemporaryDirectory(prefix="emulate-arm-") as folder:
        shared = Path(folder)
        (shared / "cpuinfo").write_text(PI_5.cpuinfo)
        told = "import platform, sys; from midas_bench import cpu; print(platform.machine(), sys.version, *cpu.flags())"
        if emulated(root, shared, arguments.processor, "python3", "-c", told):
            return 1
        agree, failed = True, 0
        if arguments.backend:
            say(f"heat maps: {' '.join(arguments.backend)}", start_s)
            agree = heatmaps(root, shared, arguments.processor, arguments.backend, start_s)
        if arguments.tests:
            say(f"tests: {' '.join(arguments.tests)}", start_s)
            words = ["-m", "pytest", "-q", "-p", "without_torch", "-o", "cache_dir=/tmp/pytest", *arguments.tests]
            failed = emulated(root, shared, arguments.processor, "python3", *words)
        say(f"tests {'failed' if failed else 'passed'}, depth {'agrees' if agree else 'DIFFERS'}", start_s)
    return int(bool(failed) or not agree)


if __name__ == "__main__":
    sys.exit(main())
