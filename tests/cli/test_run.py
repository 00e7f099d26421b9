"""`midas-bench run`: pytest's arguments, and an installed wheel in a folder that is no checkout."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from midas_bench.bundle import MANIFEST, suite_folder, suite_photos
from midas_bench.cli.main import main
from midas_bench.cli.run import pytest_arguments
from midas_bench.depth import weights
from midas_bench.depth.artifacts import artifact


@pytest.fixture
def suite(tmp_path):
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench/test_pipeline.py").touch()
    return tmp_path


def passed_on(given, suite):
    """Return the arguments behind those that `run` gives of its own."""
    arguments = pytest_arguments(given, suite, suite / "here")
    assert arguments[:5] == [
        f"--rootdir={suite}", "-c", str(suite / "pytest.ini"), "-o", f"cache_dir={suite / 'here/.pytest_cache'}",
    ]  # fmt: skip
    return arguments[5:]


def test_all_benchmarks_run_where_no_file_is_named(suite):
    assert passed_on(["--quick", "-k", "onnx"], suite) == [str(suite / "bench"), "--quick", "-k", "onnx"]


@pytest.mark.parametrize("name", ["test_pipeline.py", "bench/test_pipeline.py"])
@pytest.mark.parametrize("test", ["", "::test_pipeline[onnx-b1-pet]"])
def test_a_benchmark_file_is_named_from_anywhere(suite, name, test):
    assert passed_on(["-v", name + test], suite) == ["-v", str(suite / "bench/test_pipeline.py") + test]


def test_an_expression_is_no_file(suite):
    assert passed_on(["-k", "test_pipeline.py"], suite) == [str(suite / "bench"), "-k", "test_pipeline.py"]


def test_a_file_that_the_suite_lacks_is_left_to_pytest(suite):
    assert passed_on(["test_other.py"], suite) == [str(suite / "bench"), "test_other.py"]


def test_run_passes_unknown_flags_to_pytest(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    given = []
    monkeypatch.setattr(pytest, "main", lambda arguments: given.extend(arguments) or 5)
    assert main(["run", "--", "--quick", "-m", "extended", "--help"]) == 5
    assert given[-4:] == ["--quick", "-m", "extended", "--help"]
    assert str(suite_folder() / "bench") in given


def test_run_explains_itself_and_where_pytests_flags_are(capsys):
    with pytest.raises(SystemExit) as end:
        main(["run", "--help"])
    assert end.value.code == 0
    assert "midas-bench run -- --help" in " ".join(capsys.readouterr().out.split())


def test_run_without_pytest_names_the_extra(monkeypatch, capsys):
    monkeypatch.setattr("midas_bench.errors.importlib.util.find_spec", lambda name: None if "_" in name else name)
    assert main(["run"]) == 2
    reason = "needs pytest_benchmark, which is not installed; pip install 'midas-bench[test]'"
    assert capsys.readouterr().err == f"midas-bench: midas-bench run: {reason}\n"


def test_photos_of_the_current_folder_come_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert suite_photos() == suite_folder() / MANIFEST
    (tmp_path / MANIFEST).parent.mkdir(parents=True)
    (tmp_path / MANIFEST).touch()
    assert suite_photos().resolve() == tmp_path / MANIFEST
    assert suite_photos(tmp_path / "elsewhere") == suite_folder() / MANIFEST


OF_TORCH = ("torch", "functorch", "timm")
OWN = ("midas_bench", "_midas_bench")


@pytest.fixture(scope="module")
def installed(tmp_path_factory, project):
    """Install a wheel in a new environment that has this one's libraries but PyTorch, beside an empty folder."""
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", folder, project], check=True, cwd=folder)
    [wheel] = folder.glob("*.whl")
    environment = folder / "environment"
    venv.create(environment, with_pip=False)
    python = environment / "bin/python"
    libraries = Path(sysconfig.get_path("purelib", vars={"base": str(environment)}))
    subprocess.run([*pip, "--python", python, "install", "--no-deps", wheel], check=True)
    whole = folder / "torch"
    whole.mkdir()
    for library in Path(sysconfig.get_path("purelib")).iterdir():
        target = (whole if library.name.startswith(OF_TORCH) else libraries) / library.name
        # a .pth file could lead back to what is left out, and a checkout's package comes from the wheel
        if library.suffix != ".pth" and not library.name.startswith(OWN) and not target.exists():
            target.symlink_to(library)
    elsewhere = folder / "elsewhere é"
    elsewhere.mkdir()

    def midas_bench(*arguments, torch=False, code=0, **variables):
        if torch:
            variables["PYTHONPATH"] = str(whole)
        command = [python, "-m", "midas_bench.cli.main", *map(str, arguments)]
        ran = subprocess.run(
            command, cwd=elsewhere, env={**os.environ, **variables}, capture_output=True, text=True, check=False
        )
        assert code in (None, ran.returncode), ran.stdout + ran.stderr
        return ran.stdout + ran.stderr

    midas_bench.folder = elsewhere
    midas_bench.python, midas_bench.torch = python, whole
    return midas_bench


@pytest.mark.slow
def test_the_python_that_tune_prints_runs_without_a_checkout(installed, graphs, photos):
    flags = ["--backend=onnx", "--threads=1", "--weights=seeded", "--budget=30s", "--output=tuned"]
    installed("tune", *flags, torch=True, MIDAS_BENCH_CACHE=str(graphs))
    answers = json.loads((installed.folder / "tuned/tuning.json").read_text())["answers"]
    shutil.copy(photos["pet"].path, installed.folder / "photo.jpg")
    variables = {"PYTHONPATH": str(installed.torch), "MIDAS_BENCH_CACHE": str(graphs)}
    how = {"cwd": installed.folder, "env": os.environ | variables, "capture_output": True}
    assert "latency" in answers
    for answer in answers.values():
        ran = subprocess.run([installed.python, "-c", "\n".join(answer["python"])], check=False, **how)
        assert (ran.returncode, ran.stderr) == (0, b"")


@pytest.mark.slow
def test_an_installed_wheel_measures_in_any_folder(installed, graphs):
    chosen = ["test_pipeline.py", "-k", "onnx and b1", "--quick", "--weights=seeded", "--benchmark-autosave"]
    chosen.append("--budget=1s")
    # other tests leave files there too
    before = set(installed.folder.iterdir())
    assert "1 passed" in installed("run", *chosen, torch=True, MIDAS_BENCH_CACHE=str(graphs))
    [saved] = installed.folder.glob(".benchmarks/*/*.json")
    assert json.loads(saved.read_text())["benchmarks"][0]["fullname"].startswith("bench/test_pipeline.py::")
    assert {path.name for path in set(installed.folder.iterdir()) - before} == {".benchmarks", ".pytest_cache"}


@pytest.mark.slow
def test_without_pytorch_an_onnx_file_runs_and_results_are_read(installed, graphs, photos, project):
    model = artifact("onnx", weights.seeded(), graphs).path
    heatmap = ["depth", photos["pet"].path, "-o", "pet.png"]
    installed(*heatmap, "--model", model)
    assert (installed.folder / "pet.png").is_file()
    assert "report.html" in installed("report", project / "tests/results/data/small.json")
    assert "onnxruntime" in installed("doctor", "--json", code=None)
    for line in ([*heatmap, "--weights=seeded"], ["run", "--quick", "--weights=seeded"]):
        printed = installed(*line, code=None, MIDAS_BENCH_CACHE=str(installed.folder / "cache"))
        assert "pip install 'midas-bench[torch]', or name an ONNX file with --model" in printed
        assert "Traceback" not in printed
