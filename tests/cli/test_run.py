"""`midas-bench run`: pytest's arguments, and an installed wheel in a folder that is no checkout."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from midas_bench.bundle import MANIFEST, suite_folder, suite_photos
from midas_bench.cli.main import main
from midas_bench.cli.run import pytest_arguments


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
    monkeypatch.setattr("midas_bench.cli.run.importlib.util.find_spec", lambda name: None if "_" in name else name)
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


@pytest.fixture(scope="module")
def installed(tmp_path_factory, project):
    """Install a wheel, in a new environment that sees this one's libraries, and give it with an empty folder."""
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", folder, project], check=True, cwd=folder)
    [wheel] = folder.glob("*.whl")
    environment = folder / "environment"
    venv.create(environment, with_pip=False)
    python = environment / "bin/python"
    libraries = Path(sysconfig.get_path("purelib", vars={"base": str(environment)}))
    subprocess.run([*pip, "--python", python, "install", "--no-deps", wheel], check=True)
    (libraries / "others.pth").write_text(sysconfig.get_path("purelib"))
    elsewhere = folder / "elsewhere é"
    elsewhere.mkdir()
    return python, elsewhere


@pytest.mark.slow
def test_an_installed_wheel_measures_in_any_folder(installed, graphs):
    python, folder = installed

    def midas_bench(*arguments):
        environment = {**os.environ, "MIDAS_BENCH_CACHE": str(graphs)}
        command = [python, "-m", "midas_bench.cli.main", *arguments]
        ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    place = subprocess.run(
        [python, "-c", "import midas_bench; print(midas_bench.__file__)"], cwd=folder, capture_output=True, text=True
    )
    assert place.stdout.startswith(str(python.parents[1]))
    chosen = ["test_pipeline.py", "-k", "onnx and b1", "--quick", "--weights=seeded", "--benchmark-autosave"]
    assert "1 passed" in midas_bench("run", *chosen)
    [saved] = folder.glob(".benchmarks/*/*.json")
    assert json.loads(saved.read_text())["benchmarks"][0]["fullname"].startswith("bench/test_pipeline.py::")
    assert "report.html" in midas_bench("report")
    assert {path.name for path in folder.iterdir()} == {".benchmarks", ".pytest_cache", "reports"}
