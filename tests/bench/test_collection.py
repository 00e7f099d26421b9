"""The cells that a run would measure: every benchmark file is imported, and nothing is timed."""

import re
import subprocess
import sys
from itertools import pairwise

import pytest
from tests.bench.conftest import CLEAN


@pytest.fixture(scope="module")
def collect(project):
    """Return a function that lists the ids of the cells that flags choose."""

    def ids(*flags):
        command = [sys.executable, "-m", "pytest", "bench", *CLEAN, "--collect-only", "-q", *flags]
        ran = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True)
        return [line for line in ran.stdout.splitlines() if "::" in line]

    return ids


@pytest.fixture(scope="module")
def collected(collect):
    """List the ids of all cells of a default run."""
    return collect()


def test_the_matrix_has_48_cells_whose_ids_read_as_sentences(collected):
    ids = [name.removeprefix("bench/test_pipeline.py::") for name in collected if "test_pipeline.py" in name]
    assert "test_pipeline[onnx-b4-street]" in ids
    assert sorted(ids) == sorted(
        f"test_pipeline[{backend}-b{size}-{scene}]"
        for backend in ("eager", "jit", "onnx")
        for size in (1, 2, 3, 4)
        for scene in ("street", "indoor", "pet", "portrait")
    )
    assert len(ids) == 48


def test_one_model_has_the_ids_of_the_network_that_it_replaces(collect, collected):
    assert collect("--model=own.onnx", "--backend=eager,jit,onnx") == collected


def test_with_several_models_what_has_no_model_of_the_users_is_measured_once(collect, collected):
    several = collect("--model=a.onnx", "--model=b.onnx", "--backend=eager,jit,onnx")
    plain = [re.sub(r"\[[ab]-", "[", name) for name in several]
    of_the_articles_recipe = {name for name in collected if "article" in name and "test_stages.py" in name}
    assert set(plain) == set(collected) - of_the_articles_recipe
    once = {name.partition("::")[0] for name in plain if plain.count(name) == 1}
    assert once == {f"bench/test_{name}.py" for name in ("article", "large_photo", "peers", "scenes")}
    assert {name.partition("[")[0] for name in plain if plain.count(name) == 1 and "large" in name} == {
        "bench/test_large_photo.py::test_large_photo_article"
    }


def test_cells_of_one_backend_stand_together(collected):
    backends = [re.search(r"\[(\w+)", name)[1] for name in collected if "test_pipeline.py" in name]
    assert sum(one != other for one, other in pairwise(backends)) == 2


def test_every_benchmark_is_collected_and_says_its_question(collect, project):
    files = set(project.glob("bench/test_*.py"))
    all_of_them = collect("-m", "extended or not extended")
    assert {project / name.partition("::")[0] for name in all_of_them} == files
    assert all(path.read_text(encoding="utf-8").startswith('"""') for path in files)
