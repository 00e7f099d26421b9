"""What stands on disk when a run has ended, however it ended."""

import json

import pytest

pytestmark = pytest.mark.slow  # each test is a run of pytest, or several

SCRIPTED = {"FAKE_CLOCK": "yes"}
TWO = ["--benchmark-timer=scripted.now", "-k", "b1 and (street or indoor)"]
BREAKS = """

import pytest

@pytest.fixture(scope="session", autouse=True)
def broken(pytestconfig):
    class Broken:
        def pytest_benchmark_group_stats(self):
            raise LookupError("no such group")
    pytestconfig.pluginmanager.register(Broken())
"""


def left(fake):
    """Name what stands in the storage beside the saved files and the folders of their depth maps."""
    saved = {path.with_suffix("") for path in fake.files()}
    inside = [path for path in fake.storage.rglob("*") if path.is_file() and path.parent not in saved]
    return [path.name for path in inside if path.suffix != ".json" and path.name != ".saving.lock"]


def assert_settled(fake, files):
    assert len(fake.files()) == files
    assert left(fake) == []
    assert all(list(path.with_suffix("").glob("*.png")) for path in fake.files())


def test_a_regression_fails_the_run_and_everything_is_saved_all_the_same(fake):
    fake.environment |= SCRIPTED
    assert fake.run(*TWO, FAKE_CALLS_S="[0.004]").code == 0
    ran = fake.run(*TWO, "--benchmark-compare", "--benchmark-compare-fail=min:50%", FAKE_CALLS_S="[0.4]")
    assert ran.code == 1, ran.output
    assert "Performance has regressed" in ran
    assert "quiet: no cell was disturbed" in ran  # our summary
    assert_settled(fake, 2)


def test_what_is_raised_after_saving_loses_nothing(fake):
    fake.bench((fake.root / "bench/test_cells.py").read_text() + BREAKS)
    ran = fake.run("-k", "b1-street")
    assert "no such group" in ran
    assert_settled(fake, 1)


def test_forced_to_resume_a_part_the_rest_of_the_journal_is_kept(fake):
    fake.interrupted(5)
    others = [name for name in fake.visits() if "-b1-" not in name]
    assert 0 < len(others) < 5
    ran = fake.run("--resume=force", "-k", "b1")
    assert ran.code == 0, ran.output
    assert len(fake.saved()["benchmarks"]) == 3
    assert f"is kept: it holds {len(others)} more cells" in ran
    assert {name for name in fake.visits() if "-b1-" not in name} == set(others)
    assert fake.run("--resume").code == 0
    assert len(fake.saved()["benchmarks"]) == 12
    assert fake.journals() == []


def test_a_json_file_of_any_name_has_its_depth_maps_beside_it(fake):
    assert fake.run("-k", "b1-street", "--benchmark-json=out").code == 0
    assert len(json.loads((fake.root / "out").read_text())["benchmarks"]) == 1
    assert list((fake.root / "out-maps").glob("*.png"))


def test_a_file_that_cannot_be_written_at_the_end_is_named_and_the_cells_stay(fake):
    source = (fake.root / "bench/test_cells.py").read_text()
    fake.bench(source + "\n    from pathlib import Path\n    Path('out.json').mkdir(exist_ok=True)\n")
    ran = fake.run("-k", "b1-street", "--benchmark-json=out.json")
    assert ran.code == pytest.ExitCode.INTERNAL_ERROR, ran.output
    [line] = [line for line in ran.output.splitlines() if line.startswith("ERROR: ")]
    assert line.startswith("ERROR: out.json: cannot be written (Is a directory)")
    assert "MIDAS_BENCH_CACHE" not in line
    assert [len(visits) for visits in fake.visits().values()] == [2]
    (fake.root / "out.json").rmdir()
    fake.bench(source)
    assert fake.run("-k", "b1-street", "--benchmark-json=out.json", "--resume=force").code == 0
    assert len(json.loads((fake.root / "out.json").read_text())["benchmarks"]) == 1


def test_resume_without_an_interrupted_run_is_reported(fake):
    ran = fake.run("--resume", "-k", "b1-street")
    assert ran.code == 0, ran.output
    assert "--resume: no interrupted run can be resumed; this run starts from the beginning" in ran


@pytest.fixture
def frozen(fake, unknown_user, read_only):
    """Give a project that its user cannot write to; pytest's cache is on, as it is by default."""
    fake.begin = unknown_user
    events = fake.root.with_name(f"{fake.root.name}-events")
    options = fake.environment["PYTEST_ADDOPTS"].replace("-p no:cacheprovider ", "")
    fake.environment |= {"FAKE_EVENTS": str(events), "PYTEST_ADDOPTS": options}
    read_only(fake.root)
    return fake


@pytest.mark.parametrize("name", ["elsewhere", "caf\udce9"])
@pytest.mark.parametrize("resumed", [False, True], ids=["at once", "resumed"])
@pytest.mark.parametrize("flag", ["--benchmark-storage={}", "--benchmark-json={}/out.json"])
def test_a_read_only_project_is_measured_where_its_results_have_another_place(frozen, tmp_path, flag, name, resumed):
    folder = tmp_path / name
    folder.mkdir()
    line = [flag.format(folder), "-k", "b1"]
    # the fixture's command saves in the storage, unless `saves` is False
    frozen.saves = "storage" in flag
    if resumed:
        frozen.storage_folder = folder
        frozen.interrupted(1, *line)
    ran = frozen.run(*line, *(["--resume"] if resumed else []))
    assert ran.code == 0, ran.output
    assert "Traceback" not in ran
    [saved] = folder.rglob("*.json")
    assert len(json.loads(saved.read_text())["benchmarks"]) == 3
    assert list(saved.with_suffix("").glob("*.png"))
    assert list(folder.rglob("journal-*")) == []


@pytest.mark.parametrize(
    "flags", [[], ["--benchmark-autosave"], ["--benchmark-autosave", "--benchmark-json={}/a.json"]]
)
def test_in_a_read_only_project_the_flag_that_names_another_place_is_named(frozen, tmp_path, flags):
    frozen.saves = False
    ran = frozen.run("-k", "b1", *(flag.format(tmp_path) for flag in flags))
    assert ran.code == pytest.ExitCode.USAGE_ERROR
    [line] = [line for line in ran.output.splitlines() if line.startswith("ERROR: ")]
    assert "cannot be written (Permission denied); free some space, or name another place with --benchmark-stor" in line
    assert "INTERNALERROR" not in ran
