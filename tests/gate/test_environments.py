from __future__ import annotations

import errno
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import venv
import zipfile
from pathlib import Path

import packaging
import psutil
import pytest
from filelock import FileLock
from packaging.requirements import Requirement

from midas_bench.errors import UserError
from midas_bench.gate import environments, installers, requirements
from midas_bench.gate.environments import Environment, as_installed, differences, environment, look_at
from midas_bench.gate.requirements import own_requirements, parse

CHILD = """
import sys
from pathlib import Path
from midas_bench.gate import environments, installers, requirements
environments.NEEDED = ("tiny",)
requirements.own_requirements = lambda *_: []
if sys.argv[2] == "pip":
    installers._uv = lambda: None
if sys.argv[3:]:
    installers.resolve = lambda *_: sys.argv[3:]
environments.environment("tiny==1.*", Path(sys.argv[1]), lambda sentence: print(sentence, flush=True))
"""
SOON_S = 60


def write_wheel(folder: Path, name: str, version: str, *requires: str) -> None:
    info = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {need}\n" for need in requires)
    files = {
        f"{name}.py": f"__version__ = '{version}'\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in (*files, f"{info}/RECORD"))
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)


@pytest.fixture
def wheels(tmp_path, monkeypatch):
    """Give a folder of wheels beside which there is no index, and let an environment need nothing else."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for version in ("1.0", "1.1", "2.0"):
        write_wheel(folder, "tiny", version)
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    (tmp_path / "uv.toml").write_text("no-index = true\n")
    monkeypatch.setenv("UV_CONFIG_FILE", str(tmp_path / "uv.toml"))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv(installers.LINKS_VARIABLE, str(folder))
    monkeypatch.setattr(environments, "NEEDED", ("tiny",))
    monkeypatch.setattr(requirements, "own_requirements", lambda *_: [])
    return folder


@pytest.fixture(params=["pip", pytest.param("uv", marks=pytest.mark.slow)])
def installer(request, monkeypatch):
    """Run a test with pip, and in CI with uv too, which the README's command does not install."""
    if request.param == "pip":
        monkeypatch.setattr(installers, "_uv", lambda: None)
    elif installers._uv() is None:
        pytest.skip("needs uv")
    return request.param


@pytest.fixture
def said():
    return []


class SilentIndex:
    """A package index that takes connections and never answers, so that an installer waits for it."""

    def __init__(self, server):
        self.server = server
        self.server.settimeout(SOON_S)

    def kill(self, start):
        """Start a process with this index, kill it once its installer waits, and see that this ends too."""
        index = f"http://127.0.0.1:{self.server.getsockname()[1]}/simple"
        waits = {"PIP_INDEX_URL": index, "PIP_NO_INDEX": "0", "PIP_TIMEOUT": "900"}
        waits |= {"UV_DEFAULT_INDEX": index, "UV_HTTP_TIMEOUT": "900", "UV_NO_CONFIG": "1"}
        kept = {name: value for name, value in os.environ.items() if name not in ("UV_CONFIG_FILE", "PIP_FIND_LINKS")}
        child = start(kept | waits)
        connection, _ = self.server.accept()
        with connection:
            installing = psutil.Process(child.pid).children(recursive=True)
            assert installing
            child.send_signal(signal.SIGKILL)
            child.wait()
            assert psutil.wait_procs(installing, SOON_S)[1] == []


@pytest.fixture
def silent_index():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield SilentIndex(server)


def records(cache):
    return sorted(path.name for path in (cache / "environments").glob("*.json"))


def folders(cache):
    return sorted(path.name for path in (cache / "environments").iterdir() if path.is_dir())


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("onnxruntime==1.24.*", ["onnxruntime==1.24.*"]),
        ("onnxruntime>=1.24,<1.26", ["onnxruntime<1.26,>=1.24"]),
        ("onnxruntime >= 1.24, < 1.26", ["onnxruntime<1.26,>=1.24"]),
        ("onnxruntime>=1.24 <1.26", ["onnxruntime<1.26,>=1.24"]),
        ("onnxruntime==1.24.* numpy<2.3", ["onnxruntime==1.24.*", "numpy<2.3"]),
        ("onnxruntime==1.24.*,numpy<2.3", ["onnxruntime==1.24.*", "numpy<2.3"]),
        (" onnxruntime>=1.24,<1.26, numpy!=2.2\n", ["onnxruntime<1.26,>=1.24", "numpy!=2.2"]),
        ("opencv-python-headless~=5.0 a.b_c", ["opencv-python-headless~=5.0", "a.b_c"]),
        ("midas[web, int8]==1.0", ["midas[int8,web]==1.0"]),
        ("torch==2.13.0+cpu", ["torch==2.13.0+cpu"]),
        ("x==1!2.0", ["x==1!2.0"]),
    ],
)
def test_requirements_are_read_as_users_type_them(spec, expected):
    assert [str(requirement) for requirement in parse(spec)] == expected


@pytest.mark.parametrize(
    ("spec", "rest"),
    [
        ("onnxruntime=1.24", "=1.24"),
        ("onnxruntime 1.24", "1.24"),
        ("onnxruntime@1.24", "@1.24"),
        ("numpy<2.3 onnxruntime==one.two.", "onnxruntime==one.two."),
        ("numpy<", "<"),
        ("==1.24", "==1.24"),
        (f"{'longer-than-a-file-name-can-be ' * 10}=1", "=1"),
    ],
)
def test_what_is_no_requirement_is_named_with_how_to_write_one(spec, rest, tmp_path):
    with pytest.raises(UserError) as error:
        environment(spec, tmp_path, print)
    assert str(error.value) == (
        f"{spec}: is no requirement from `{rest}` on; "
        "write packages as onnxruntime==1.24.*, or name a requirements file or an environment"
    )


def test_differences_name_what_changed_came_and_went():
    base = Environment("base", "python", {"numpy": "2.2", "old": "1", "onnxruntime": "1.24.3", "same": "1"}, "")
    head = Environment("head", "python", {"new": "3", "numpy": "2.2", "onnxruntime": "1.26.0", "same": "1"}, "")
    assert differences(base, head) == ["new 3 added", "old 1 removed", "onnxruntime 1.24.3 -> 1.26.0"]
    assert differences(base, base) == []


@pytest.mark.usefixtures("wheels", "installer")
def test_an_environment_is_made_once_and_holds_what_was_asked_for(tmp_path, said):
    base = environment("tiny==1.*", tmp_path, said.append)
    assert base.versions == {"python": base.versions["python"], "tiny": "1.1"}
    imported = subprocess.run(
        [base.python, "-c", "import tiny; print(tiny.__version__)"], capture_output=True, text=True
    )
    assert imported.stdout == "1.1\n"
    assert said[1:] == ["making an environment with tiny==1.*: 1 packages, once"]

    said.clear()
    written = {path: path.stat().st_mtime_ns for path in Path(base.python).parents[1].rglob("*")}
    again = environment("tiny<2", tmp_path, said.append)
    assert (again.python, again.digest, again.label) == (base.python, base.digest, "tiny<2")
    assert said == ["looking up tiny<2"]
    assert {path: path.stat().st_mtime_ns for path in Path(base.python).parents[1].rglob("*")} == written

    head = environment("tiny==2.0", tmp_path, said.append)
    assert differences(base, head) == ["tiny 1.1 -> 2.0"]
    assert len(head.python) == len(base.python)
    assert base.digest != head.digest
    assert len(records(tmp_path)) == len(folders(tmp_path)) == 2


@pytest.mark.slow
@pytest.mark.usefixtures("installer")
def test_only_what_is_named_and_what_that_forces_differs(wheels, tmp_path, said):
    here = packaging.__version__
    for version in (here, "999.0"):
        write_wheel(wheels, "packaging", version)
    write_wheel(wheels, "tiny", "3.0", "packaging")
    write_wheel(wheels, "tiny", "4.0", "packaging>=999")
    assert environment("tiny==3.0", tmp_path, said.append).versions["packaging"] == here
    assert environment("tiny==4.0", tmp_path, said.append).versions["packaging"] == "999.0"


@pytest.mark.slow
@pytest.mark.usefixtures("installer")
def test_a_requirements_file_is_completed_by_what_midas_bench_needs(wheels, tmp_path, said, monkeypatch):
    write_wheel(wheels, "other", "1.0")
    asked = []
    monkeypatch.setattr(requirements, "own_requirements", lambda _, named: asked.append(set(named)) or ["tiny<2"])
    file = tmp_path / "with blank.txt"
    file.write_text('# those of the project\nOther==1.0  # pinned\n\nnever==1; python_version < "3"\n')
    made = environment(str(file), tmp_path, said.append)
    assert made.versions == {"other": "1.0", "python": made.versions["python"], "tiny": "1.1"}
    assert asked == [{"other"}]
    project = tmp_path / "pyproject.toml"
    project.write_text(
        '[project]\nname = "p"\ndependencies = ["tiny==2.0"]\noptional-dependencies.web = ["other", "p[x]"]\n'
    )
    monkeypatch.setattr(requirements, "own_requirements", lambda _, named: asked.append(set(named)) or [])
    assert environment(str(project), tmp_path, said.append).versions["tiny"] == "2.0"
    assert environment(str(project), tmp_path, said.append, extras={"web"}).versions["other"] == "1.0"
    assert asked[1:] == [{"tiny"}, {"tiny", "other"}]


@pytest.mark.slow
@pytest.mark.usefixtures("installer")
def test_what_is_installed_here_can_be_made_anew(wheels, tmp_path, said, monkeypatch):
    write_wheel(wheels, "packaging", packaging.__version__)
    monkeypatch.setattr(requirements, "own_requirements", lambda *_: ["packaging", "tiny"])
    made = as_installed(tmp_path, said.append)
    assert made.label == "as installed here"
    assert made.versions["packaging"] == packaging.__version__


def test_own_requirements_leave_pytorch_and_what_is_named_to_others():
    def names(extras=(), named=()):
        return {Requirement(line).name for line in own_requirements(extras, named)}

    assert {"onnxruntime", "numpy", "simplejpeg"} <= names()
    assert not {"torch", "timm", "openvino", "midas-bench"} & names()
    assert names() - names(named={"numpy"}) == {"numpy"}
    assert {"torch", "torchvision", "timm"} <= names({"torch"})
    assert names({"int8"}) - names() == {"nncf", "openvino"}


def test_what_depth_imports_to_run_onnx_is_what_an_environment_must_have():
    script = (
        "import json, sys; import midas_bench.depth.calls, midas_bench.depth.backends.onnx_runtime; "
        "print(json.dumps([[name, getattr(module, '__file__', None) or ''] for name, module in sys.modules.items()]))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    imported = {name for name, file in json.loads(ran.stdout) if "site-packages" in file and "." not in name}
    assert set(environments.NEEDED) <= imported


@pytest.mark.slow
@pytest.mark.usefixtures("wheels", "installer")
def test_the_cache_serves_where_no_index_is_reached(tmp_path, said, monkeypatch):
    made = environment("tiny==1.*", tmp_path, said.append)
    monkeypatch.setenv("PIP_NO_INDEX", "")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.delenv("UV_CONFIG_FILE")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.delenv(installers.LINKS_VARIABLE)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "another"))
    again = environment("tiny==1.*", tmp_path, said.append)
    assert again == made
    assert said[-1] == "a package index was not reached: tiny==1.* is taken from the cache"
    with pytest.raises(
        UserError, match=r"tiny==1.0: cannot be looked up: a package index was not reached; check the netw"
    ):
        environment("tiny==1.0", tmp_path, said.append)


@pytest.mark.slow
@pytest.mark.usefixtures("wheels", "installer")
def test_a_damaged_environment_is_made_anew_and_an_unused_one_removed(tmp_path, said):
    first = environment("tiny==1.0", tmp_path, said.append)
    Path(first.python).parents[1].joinpath(f"lib/python3.{sys.version_info.minor}/site-packages/tiny.py").unlink()
    second = environment("tiny==1.0", tmp_path, said.append)
    assert second.python != first.python
    assert second.versions == first.versions
    month_ago_s = time.time() - 31 * 24 * 3600
    [record] = records(tmp_path)
    os.utime(tmp_path / "environments" / record, (month_ago_s, month_ago_s))
    other = environment("tiny==2.0", tmp_path, said.append)
    assert folders(tmp_path) == [Path(other.python).parents[1].name]
    assert len(records(tmp_path)) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
@pytest.mark.usefixtures("wheels")
def test_a_build_that_is_killed_leaves_nothing_that_is_taken_as_whole(installer, silent_index, tmp_path, said):
    command = [sys.executable, "-c", CHILD, str(tmp_path), installer, "tiny==1.1"]
    silent_index.kill(lambda environ: subprocess.Popen(command, env=environ))
    assert records(tmp_path) == []
    [torn] = folders(tmp_path)
    made = environment("tiny==1.*", tmp_path, said.append)
    assert made.versions["tiny"] == "1.1"
    assert folders(tmp_path) == [Path(made.python).parents[1].name] != [torn]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
def test_a_gate_that_is_killed_while_it_looks_up_an_environment_leaves_nothing_to_the_next(
    repository, checkpoint, silent_index, tmp_path
):
    command = [sys.executable, "-m", "midas_bench.cli.main", "gate", "run", "--weights", str(checkpoint)]
    own = {"MIDAS_BENCH_CACHE": str(tmp_path / "cache")}
    killed = [*command, "--head-env", "onnxruntime==1.24.*"]
    silent_index.kill(lambda environ: subprocess.Popen(killed, cwd=repository.folder, env=environ | own))
    [torn] = folders(tmp_path / "cache")
    assert torn.startswith("resolving-")
    before = repository.state()
    ended = subprocess.run(
        [*command, "--base", "main"], cwd=repository.folder, env={**os.environ, **own}, capture_output=True, text=True
    )
    assert ended.returncode == 0
    assert "SAME CODE" in ended.stdout
    assert folders(tmp_path / "cache") == []
    assert [path.name for path in (tmp_path / "cache/gate").iterdir()] == ["running.lock"]
    assert repository.state() == before


@pytest.mark.slow
@pytest.mark.usefixtures("wheels")
def test_of_two_builds_at_once_the_second_waits_and_makes_nothing(installer, tmp_path):
    (tmp_path / "environments").mkdir()
    command = [sys.executable, "-c", CHILD, str(tmp_path), installer]
    with FileLock(tmp_path / "environments/lock"):
        children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        waiting = [[child.stdout.readline(), child.stdout.readline()] for child in children]
    later = [child.communicate()[0] for child in children]
    assert [child.returncode for child in children] == [0, 0]
    assert {sentence for [_, sentence] in waiting} == {"waiting for another process, which makes an environment\n"}
    assert sorted(later) == ["", "making an environment with tiny==1.*: 1 packages, once\n"]
    assert len(records(tmp_path)) == len(folders(tmp_path)) == 1


@pytest.mark.usefixtures("installer")
def test_versions_that_do_not_exist_or_go_together_are_one_line(wheels, tmp_path, said):
    write_wheel(wheels, "left", "1.0", "tiny<2")
    write_wheel(wheels, "right", "1.0", "tiny>=2")
    for spec, reason in (
        ("tiny==9.9", r"tiny==9\.9"),
        ("nothing", "nothing"),
        ("left right", r"left.*tiny.*right|right.*tiny.*left"),
        ("tiny==1.0 right", "tiny"),
    ):
        with pytest.raises(UserError, match=rf"^{spec}: cannot be installed \(.*({reason})") as error:
            environment(spec, tmp_path, said.append)
        assert len(str(error.value)) < 450
        assert "name versions that exist for this Python and go together" in str(error.value)
    assert folders(tmp_path) == records(tmp_path) == []


@pytest.mark.parametrize(
    ("versions", "reason"),
    [("1.0, 1.1", "cannot be installed .*the newest are 1.0, 1.1"), ("none", "a package index was not reached")],
)
def test_silence_of_an_index_is_the_reason_only_if_no_other_answers(versions, reason):
    said = (
        "WARNING: Retrying after connection broken by 'NewConnectionError': /simple/tiny/\n"
        f"ERROR: Could not find a version that satisfies the requirement tiny==9 (from versions: {versions})\n"
    )
    assert re.search(reason, str(installers.refusal("tiny==9", said)))


@pytest.mark.parametrize("uv", [None, "/bin/uv"])
def test_pytorch_comes_from_its_own_index_or_from_given_wheels(uv, monkeypatch, tmp_path):
    commands = []
    monkeypatch.setattr(installers, "_uv", lambda: uv)
    monkeypatch.setattr(installers, "_run", lambda _, command: commands.append(" ".join(command)))
    monkeypatch.setattr(installers, "installed", lambda: {"torch": "2.13.0+cpu"})
    for torch, links in ((False, ""), (True, ""), (True, "/wheels")):
        monkeypatch.setenv(installers.LINKS_VARIABLE, links)
        installers.install(requirements.Wanted("x", (), torch=torch), [], tmp_path, tmp_path / "bin/python")
    source = "--torch-backend cpu" if uv else f"--extra-index-url {installers.TORCH_CPU_INDEX}"
    assert [source in command for command in commands] == [False, True, False]
    if uv:
        assert "--find-links /wheels" in commands[2]


@pytest.mark.usefixtures("wheels")
def test_a_failed_installation_leaves_nothing(tmp_path, said, monkeypatch):
    def full(wanted, *_):
        raise installers.refusal(wanted.label, "ERROR: Could not install: [Errno 28] No space left on device")

    monkeypatch.setattr(installers, "resolve", lambda *_: ["tiny==1.0"])
    monkeypatch.setattr(installers, "install", full)
    with pytest.raises(UserError, match=r"tiny: cannot be installed \(No space left on device\); free some space"):
        environment("tiny", tmp_path, said.append)
    assert folders(tmp_path) == records(tmp_path) == []


@pytest.mark.usefixtures("wheels")
def test_a_cache_that_cannot_be_written_is_one_line(tmp_path, said, monkeypatch):
    monkeypatch.setattr(installers, "resolve", lambda *_: ["tiny==1.0"])
    (tmp_path / "environments").write_text("")
    with pytest.raises(UserError, match=r"environments: cannot be written .*set MIDAS_BENCH_CACHE"):
        environment("tiny", tmp_path, said.append)


@pytest.mark.usefixtures("wheels")
def test_a_disk_that_is_full_while_versions_are_looked_up_is_one_line(tmp_path, said, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(installers.tempfile, "TemporaryDirectory", full)
    with pytest.raises(UserError, match=r"environments: cannot be written \(No space left on device\)"):
        environment("tiny", tmp_path, said.append)


def test_an_environment_of_the_users_is_taken_as_it_is(wheels, tmp_path, said):
    venv.create(tmp_path / "own", symlinks=True)
    python = tmp_path / "own/bin/python"
    with pytest.raises(UserError, match=r"own: cannot import tiny \(ModuleNotFoundError: .*install what is missing"):
        environment(str(tmp_path / "own"), tmp_path, said.append)
    [packages] = (tmp_path / "own/lib").glob("python3.*/site-packages")
    with zipfile.ZipFile(wheels / "tiny-1.0-py3-none-any.whl") as wheel:
        wheel.extractall(packages)
    for spec in (str(tmp_path / "own"), str(python)):
        taken = environment(spec, tmp_path, said.append)
        assert (taken.label, taken.python, taken.versions["tiny"]) == (spec, str(python), "1.0")
    assert said == []
    assert not (tmp_path / "environments").exists()


def test_a_path_that_is_no_environment_is_one_line(tmp_path, said):
    (tmp_path / "empty").mkdir()
    (tmp_path / "pyproject.toml").write_text("[tool.x]\n")
    (tmp_path / "itself.txt").write_text("Midas_Bench[torch]\n")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    for name, reason in (
        ("empty", "is no environment: it has no bin/python; name an environment's folder, or write a version"),
        ("missing.txt", "is no file here; check its path"),
        ("itself.txt", "names midas-bench itself, which runs from its source; leave it out"),
        ("pyproject.toml", r"holds no requirements \('project'\); name a requirements file"),
        ("binary.txt", "holds no requirements .*; name a requirements file"),
    ):
        with pytest.raises(UserError, match=f"{name}: {reason}"):
            environment(str(tmp_path / name), tmp_path, said.append)
    with pytest.raises(UserError, match="the environment: has an empty name; check the variable"):
        environment(" ", tmp_path, said.append)


@pytest.mark.skipif(sys.platform == "win32", reason="needs scripts with an interpreter of their own")
@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("#!/bin/sh\necho broken >&2; exit 3\n", r"does not answer as Python does \(exit code 3: broken\)"),
        ("#!/bin/sh\necho 7\n", r"does not answer as Python does \(exit code 0: it printed nothing\)"),
        ("#!/nothing/here\n", r"does not start \(No such file or directory\)"),
        (
            '#!/bin/sh\necho \'{"python": "3.9.2", "found": [], "missing": {}}\'\n',
            "runs Python 3.9.2, and midas-bench needs .*; make it with another Python",
        ),
    ],
)
def test_an_interpreter_that_cannot_serve_is_one_line(script, reason, tmp_path):
    python = tmp_path / "python"
    python.write_text(script)
    python.chmod(0o755)
    with pytest.raises(UserError, match=f"python: {reason}"):
        environment(str(python), tmp_path, print)


def test_this_interpreter_is_looked_at_without_its_surroundings(monkeypatch, tmp_path):
    (tmp_path / "numpy.py").write_text("raise ImportError('of the current folder')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = look_at("here", Path(sys.executable))
    assert found.versions["onnxruntime"]
    assert list(found.versions) == sorted(found.versions)
    assert not {"midas-bench", "pip", "uv"} & found.versions.keys()


@pytest.mark.slow
@pytest.mark.parametrize("minor", [24, 26])
def test_another_version_of_onnx_runtime_is_installed_and_runs(minor, tmp_path, said):
    try:
        made = environment(f"onnxruntime==1.{minor}.*", tmp_path, said.append)
    except installers.NoNetworkError as error:
        pytest.skip(str(error))
    printed = subprocess.run(
        [made.python, "-c", "import onnxruntime; print(onnxruntime.__version__)"], capture_output=True, text=True
    )
    assert printed.stdout.strip() == made.versions["onnxruntime"]
    assert made.versions["onnxruntime"].startswith(f"1.{minor}.")
    assert "torch" not in made.versions
    assert made.versions["numpy"] == installers.installed()["numpy"]
