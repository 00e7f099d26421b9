"""What the command refuses before it serves; serving itself is tested in tests/serve."""

import importlib.util
from urllib.parse import unquote

import numpy as np
import pytest

from midas_bench.cli.main import main
from midas_bench.errors import UserError


def refused(capsys, *line):
    code = main(["serve", "--weights", "seeded", "--port", "0", *line])
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    return err


def test_serve_without_its_extra_says_what_to_install(capsys, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "cheroot" else found(name))
    err = refused(capsys)
    assert "cheroot" in err
    assert "not installed; pip install 'midas-bench[web]'" in err


def test_help_of_serve_shows_its_own_default_of_threads(capsys):
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "threads for one photo, of the runtime and of OpenCV (default: 1)" in said
    assert "physical cores" not in said


def test_a_sample_of_any_name_has_an_address_and_a_place_on_the_page(tmp_path, encode, odd_name):
    for name in ("flask", "cheroot", "prometheus_client"):
        pytest.importorskip(name, reason="needs the extra [web]")
    from jinja2 import Environment

    from midas_bench.cli import serve
    from midas_bench.serve.page import Sample

    (tmp_path / "pet").mkdir()
    (tmp_path / f"pet/{odd_name}.jpg").write_bytes(encode(np.zeros((20, 50, 3), np.uint8), "JPEG"))
    [photo] = serve._samples(str(tmp_path))
    sample = Sample.of(photo)
    assert unquote(sample.url, errors="strict").endswith(photo.file)
    page = Environment(autoescape=True).from_string("{{ name }}").render(name=sample.name)
    assert page.encode().decode().isprintable()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["--port", "99999"], "--port 99999: is no port; give 1 to 65535"),
        (["--workers", "0"], "--workers 0: is out of range; give 1 to 64"),
        (["--queue", "-1"], "--queue -1: is out of range; give 1 to 256"),
        (["--batch", "0"], "--batch 0: is out of range; give 1 to 8"),
        (["--deadline", "nan"], "--deadline nan: is out of range; give a number above 0, up to 3600"),
        (["--max-upload", "0"], "--max-upload 0: is out of range; give a number above 0, up to 1024"),
        (["--workers", "100000"], "--workers 100000: is out of range"),
        (["--queue", "40000"], "--queue 40000: is out of range"),
        (["--batch", "1000"], "--batch 1000: is out of range"),
        (["--deadline", "1e300"], "--deadline 1e+300: is out of range"),
        (["--max-upload", "inf"], "--max-upload inf: is out of range"),
        (["--backend", "eager,jit"], "--backend eager,jit: names several"),
        (["--photos", "no/such/folder"], "no/such/folder: no such folder"),
    ],
)
def test_an_option_that_makes_no_sense_is_one_line_and_code_2(capsys, line, message):
    for name in ("flask", "cheroot", "prometheus_client"):
        pytest.importorskip(name, reason="needs the extra [web]")
    assert message in refused(capsys, *line)


def test_a_device_that_is_asked_for_and_cannot_be_had_is_bad_input(capsys, tmp_path, monkeypatch):
    for name in ("flask", "cheroot", "prometheus_client"):
        pytest.importorskip(name, reason="needs the extra [web]")
    from midas_bench.cli import serve
    from midas_bench.depth.config import PipelineConfig, resolve
    from midas_bench.depth.weights import Weights

    pipeline = resolve(PipelineConfig(weights=Weights("seeded", "0" * 64), cache_dir=str(tmp_path)))
    own = resolve(PipelineConfig(weights=Weights("file", "0" * 64), cache_dir=str(tmp_path)))
    with pytest.raises(UserError, match="midas-bench web-assets"):
        serve._device_files("yes", pipeline)
    assert serve._device_files(None, pipeline) is None
    assert capsys.readouterr().out.startswith("the page does not compute in browsers: ")
    # visitors can keep the file of a model, so an operator's own one is not handed out unasked
    monkeypatch.setattr(serve, "open_device_files", lambda *_: "files")
    choices = [serve._device_files(wish, of) for of in (pipeline, own) for wish in (None, "yes", "no")]
    assert choices == ["files", "files", None, None, "files", None]
