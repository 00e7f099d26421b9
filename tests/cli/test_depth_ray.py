"""`midas-bench depth --ray` without Ray: flags, and what is not imported."""

import subprocess
import sys

import pytest

from midas_bench.cli.main import main


@pytest.fixture
def without_ray(monkeypatch):
    monkeypatch.setattr("midas_bench.errors.importlib.util.find_spec", lambda name: None if name == "ray" else name)


@pytest.mark.usefixtures("without_ray")
def test_without_the_extra_one_line_names_it(capsys, tmp_path):
    assert main(["depth", str(tmp_path), "-o", str(tmp_path / "out"), "--ray"]) == 2
    reason = "needs ray, which is not installed; pip install 'midas-bench[fleet]'"
    assert capsys.readouterr() == ("", f"midas-bench: midas-bench depth --ray: {reason}\n")
    assert not (tmp_path / "out").exists()


def test_nothing_of_ray_is_imported_unless_it_is_asked_for():
    script = """
import sys
import midas_bench.cli.depth, midas_bench.fleet
print([name for name in sys.modules if name.partition(".")[0] in ("ray", "pyarrow", "fsspec")])
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


@pytest.mark.parametrize(
    ("photo", "output", "named"),
    [("s3://bucket/photos", "out", "s3://bucket/photos"), ("photos", "s3://bucket/out", "s3://bucket/out")],
)
def test_an_address_without_the_flag_is_one_line(capsys, photo, output, named):
    assert main(["depth", photo, "-o", output]) == 2
    reason = "is an address, which only --ray reads and writes; add --ray, or name a path"
    assert capsys.readouterr().err == f"midas-bench: {named}: {reason}\n"
