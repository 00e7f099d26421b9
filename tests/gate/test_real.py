"""The gate on the real package: real photos, network, runtime, and commits that change it for the worse."""

import json
import subprocess

import pytest

from midas_bench.cli.main import main

pytestmark = [pytest.mark.slow, pytest.mark.alone]

ONE_LINE = "        pixels = DECODERS[photo.info.format](photo, factor)\n"
COLOURS = "cv2.COLORMAP_INFERNO"
DOOR = "@contextmanager\n"


@pytest.fixture
def clone(project, tmp_path):
    """Clone the project, what is not committed yet included."""
    folder = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", project, folder], check=True)
    subprocess.run(["cp", "-r", project / "src", project / "pyproject.toml", folder], check=True)
    for setting in ("user.name", "user.email"):
        subprocess.run(["git", "-C", folder, "config", setting, "test@localhost"], check=True)
    subprocess.run(["git", "-C", folder, "commit", "--quiet", "--all", "--allow-empty", "--message=base"], check=True)
    return folder


def change(clone, module, old, new):
    path = clone / "src/midas_bench/depth" / module
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


# the base's graph is that of the project
@pytest.mark.usefixtures("graphs", "first_look_after_8_blocks")
def test_gate_locates_injected_regressions_in_the_real_package(clone, monkeypatch, tmp_path, capsys):
    change(clone, "photo.py", ONE_LINE, ONE_LINE * 2)
    change(clone, "heatmap.py", COLOURS, "cv2.COLORMAP_JET")
    change(clone, "calls.py", DOOR, f"HELD = b'x' * (400 * 2**20)\n\n\n{DOOR}")
    monkeypatch.chdir(clone)
    output = tmp_path / "gate.json"
    names = ("decode", "preprocess", "inference")
    # limits that let what is equal settle at the first look; what is worse is worse by far more
    limits = ["--threshold", "25%", "--startup-threshold", "90%", "--budget", "10min"]
    cells = [word for name in names for word in ("--cell", name)]
    flags = ["--base", "HEAD", "--weights", "seeded", "--json", str(output), "--seed", "1"]
    code = main(["gate", *flags, *limits, *cells])
    said = capsys.readouterr()
    assert code == 1, said
    document = json.loads(output.read_text())
    found = {figure["figure"]["name"]: figure["verdict"] for figure in document["figures"]}
    assert found["decode[onnx-b1-street]"] == "regressed"
    assert found["inference[onnx-b1-street]"] != "regressed"
    assert found["preprocess[onnx-b1-street]"] != "regressed"
    assert found["peak memory [onnx]"] == "regressed"
    [output] = document["outputs"]
    assert output["changed"]
