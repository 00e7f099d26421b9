"""What a container is like: a user without name and home, a read-only project, nowhere for temporary files."""

import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from midas_bench.cli import report
from midas_bench.cli.main import main
from midas_bench.depth.config import cache_folder
from midas_bench.errors import UserError

SMALL = Path(__file__).parents[1] / "results/data/small.json"


@pytest.fixture
def place(tmp_path, project):
    """Make a folder from which the project's photos can be read, and into which nothing can be written."""
    folder = tmp_path / "read only"
    folder.mkdir()
    (folder / "fixtures").symlink_to(project / "fixtures")
    folder.chmod(0o555)
    return folder


@pytest.fixture
def run(unknown_user, place):
    """Run Python as a user without name and home in that folder: `run("-m", "midas_bench.cli.main", "doctor")`."""

    def ran(*line, **variables):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **variables}
        command = [*unknown_user, sys.executable, *map(str, line)]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=place, env=environment)

    return ran


def assert_one_line(ran, *parts):
    last = ran.stderr.splitlines()[-1]
    assert (ran.returncode, last[:13]) == (2, "midas-bench: "), ran.stderr
    assert "Traceback" not in ran.stderr
    for part in parts:
        assert part in last


@pytest.mark.slow
@pytest.mark.parametrize("line", ["depth {photo} -o {out}/a.png", "serve --port 0", "tune", "accuracy"])
def test_without_a_home_the_variable_that_names_the_cache_is_named(run, project, tmp_path, line):
    photo = project / "fixtures/images/chelsea.jpg"
    words = [word.format(photo=photo, out=tmp_path) for word in line.split()]
    ran = run("-m", "midas_bench.cli.main", *words, "--weights", "seeded", MIDAS_BENCH_CACHE="")
    assert_one_line(ran, "has no place, for this user has no home folder; set MIDAS_BENCH_CACHE to a folder")


@pytest.mark.slow
@pytest.mark.parametrize("module", ["midas_bench.depth.network", "onnxruntime", "openvino", "matplotlib", "nncf"])
def test_every_library_is_imported_without_a_home(run, module):
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"needs {module}")
    ran = run("-c", f"import midas_bench, {module}")
    assert ran.returncode == 0, ran.stderr


@pytest.mark.slow
def test_a_heat_map_is_made_without_a_home_where_the_cache_is_named(run, project, graphs, tmp_path):
    photo, output = project / "fixtures/images/chelsea.jpg", tmp_path / "a.png"
    line = ("depth", photo, "-o", output, "--weights", "seeded")
    ran = run("-m", "midas_bench.cli.main", *line, MIDAS_BENCH_CACHE=str(graphs))
    assert ran.returncode == 0, ran.stderr
    assert output.is_file()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "flag"),
    [(f"report {SMALL}", "-o"), ("tune --weights seeded", "-o"), ("gate --self-test", "-o"),
     ("loadgen --weights seeded", "--logs"), ("loadgen --weights seeded --json a.json", "--json")],
)  # fmt: skip
def test_where_results_cannot_be_written_the_flag_is_named(run, line, flag):
    if line.startswith("loadgen"):
        pytest.importorskip("mlperf_loadgen")
    ran = run("-m", "midas_bench.cli.main", *line.split())
    assert_one_line(ran, "cannot be written (", f"or name another place with {flag}")


@pytest.mark.parametrize("name", [None, ""])
def test_a_home_that_is_no_folder_holds_no_cache(monkeypatch, name):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", os.devnull)
    environment = {} if name is None else {"MIDAS_BENCH_CACHE": name}
    with pytest.raises(UserError, match="the cache: has no place, for this user has no home folder; set MIDAS_BENCH"):
        cache_folder(environment)
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert cache_folder(environment) == Path("/elsewhere/midas-bench")
    assert cache_folder({"MIDAS_BENCH_CACHE": "/named"}) == Path("/named")


def test_without_a_folder_for_temporary_files_the_variable_is_named(monkeypatch, capsys):
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/dev/null/tmp", "/no/such/folder"])
    monkeypatch.setattr(report, "run", lambda _: tempfile.mkdtemp())
    assert main(["report"]) == 2
    assert (
        capsys.readouterr().err
        == "midas-bench: temporary files: no folder can be written; set TMPDIR to one that can\n"
    )
