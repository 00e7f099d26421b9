"""A shared copy names no host, no user and no folder, wherever in a file they stand; and keeps every figure."""

import copy
import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midas_bench.report.photo_strip import Album
from midas_bench.report.select_runs import choose
from midas_bench.report.write import write
from midas_bench.results.recommendations import three_lines
from midas_bench.results.run_files import read, run_from
from midas_bench.results.shared_copy import Names, file_name, is_removable, own_words, shared_copy

DATA = Path(__file__).parents[1] / "report/data"
HOST, USER = "build-07.corp.example", "annelise"
HERE = Names(frozenset({"workshop9"}), frozenset({"grzegorz"}), frozenset({"Acme Optics"}))
"""Names of the machine and the user that make the copy, and one that the user adds."""
PLANTED = (
    "/home/annelise/quarterly-plans/x.jpg",
    "/home/annelise",
    "/Users/Annelise/holiday pics/quarterly-plans/x.jpg",
    "/data/holiday pics/quarterly-plans/x.jpg: no such file",
    r"C:\Users\Annelise\quarterly-plans\x.onnx",
    r"C:\\Users\\Annelise\\quarterly-plans\\x.onnx",
    r"\\fileserver3\quarterly-plans\x.onnx",
    "//fileserver3/quarterly-plans/x.onnx",
    "~annelise/quarterly-plans/x",
    "~/quarterly-plans/x",
    "../quarterly-plans/x",
    "file:///srv/quarterly-plans/x",
    "https://git.corp.example:8443/quarterly-plans/x?user=annelise",
    "annelise@build-07.corp.example:/srv/quarterly-plans/x",
    "LD_PRELOAD=/opt/quarterly-plans/a.so:/opt/quarterly-plans/b.so",
    "/home/annelise/quarterly-plans/.venv/bin/python3.11",
    "PYTHONPATH=src:/home/annelise/quarterly-plans/lib",
    "--photos=/mnt/quarterly-plans/x",
    "annelise",
    "Annelise",
    "annelise2",
    "build-07",
    "BUILD-07.corp.example",
    "workshop9",
    "Grzegorz",
    "job of grzegorz on workshop9 for acme optics",
)
SECRETS = ("annelise", "build-07", "corp.example", "workshop9", "grzegorz", "acme optics", "quarterly-plans",
           "holiday pics", "fileserver3")  # fmt: skip
AROUND = ("{}", "{} ", " {}", "({})", "'{}'", '"{}"', "x={}", "died: {}", "a, {}; b", "[{}]", "a {} b", "a\n{}")
WITH_HOME = "an earlier run in /home/annelise/x"
"""What tells a file's reader that annelise is a user."""


def leaks(text):
    return [secret for secret in SECRETS if secret in text.casefold()]


def given_away(content):
    """Let a document give its host and its user away, as real ones do."""
    document = copy.deepcopy(content)
    document.setdefault("machine_info", {})["node"] = HOST
    document["machine_info"]["prefix"] = WITH_HOME
    return document


def saved(name):
    return json.loads((DATA / f"{name}.json").read_text())


def planted_everywhere(value, planted):
    """Put a text behind each text of a document, its keys included."""
    if isinstance(value, dict):
        return {f"{key} {planted}": planted_everywhere(item, planted) for key, item in value.items()}
    if isinstance(value, list):
        return [planted_everywhere(item, planted) for item in value]
    return f"{value} {planted}" if isinstance(value, str) else value


def planted_in_values(value, planted, around):
    if isinstance(value, dict):
        return {key: planted_in_values(item, planted, around) for key, item in value.items()}
    if isinstance(value, list):
        return [planted_in_values(item, planted, around) for item in value]
    return around.format(planted) if isinstance(value, str) else value


def as_text(content):
    return json.dumps(shared_copy(content, HERE).content, ensure_ascii=False)


@pytest.mark.parametrize("planted", PLANTED)
@pytest.mark.parametrize("name", ["every-kind", "earlier", "plain"])
def test_nothing_planted_behind_any_text_is_left(name, planted):
    content = given_away(saved(name))
    assert leaks(json.dumps(planted_everywhere(content, planted)))
    document = planted_everywhere(content, planted)
    # keys are what names are told by
    document["node"], document["prefix"] = HOST, WITH_HOME
    assert leaks(as_text(document)) == []


@pytest.mark.parametrize("planted", PLANTED)
@pytest.mark.parametrize("around", AROUND)
def test_nothing_planted_in_place_of_any_text_is_left(planted, around):
    content = planted_in_values(saved("plain"), planted, around)
    content["node"], content["prefix"] = HOST, WITH_HOME
    assert leaks(as_text(content)) == []


ANY_TEXT = st.text(max_size=12)
PLANTED_TEXT = st.builds(
    lambda before, around, planted, after: f"{before} {around.format(planted)} {after}",
    ANY_TEXT, st.sampled_from(AROUND), st.sampled_from(PLANTED), ANY_TEXT,
)  # fmt: skip
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | ANY_TEXT | PLANTED_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT | PLANTED_TEXT, inner, max_size=4),
    max_leaves=12,
)


def numbers(value):
    if isinstance(value, dict):
        return [number for item in value.values() for number in numbers(item)]
    if isinstance(value, list):
        return [number for item in value for number in numbers(item)]
    return [value] if isinstance(value, int | float) else []


@settings(deadline=None, max_examples=150)
@given(DOCUMENTS)
def test_any_document_loses_what_was_planted_and_keeps_its_numbers(document):
    whole = {"node": HOST, "prefix": WITH_HOME, "rest": document}
    copied = shared_copy(whole, HERE)
    assert leaks(json.dumps(copied.content, ensure_ascii=False)) == []
    if copied.left_out == ("node",):
        assert numbers(copied.content) == numbers(whole)


@settings(deadline=None, max_examples=50)
@given(st.text(min_size=1, max_size=8), st.text(min_size=1, max_size=8))
def test_a_run_goes_on_reading_whatever_its_host_and_user_are_called(host, user):
    content = saved("every-kind")
    content["machine_info"]["node"] = host
    content["machine_info"]["user"] = user
    copied = run_from(shared_copy(content, Names()).content, Path("copy.json"))
    original = run_from(content, Path("copy.json"))
    assert [record.times for record in copied.records] == [record.times for record in original.records]
    assert [record.kind for record in copied.records] == [record.kind for record in original.records]
    assert len(three_lines(copied.records)) == len(three_lines(original.records))


@pytest.mark.parametrize("word", sorted(word for word in own_words() if word.isalpha() and len(word) > 3)[::9])
def test_a_host_of_a_word_that_every_file_holds_changes_no_figure(word):
    content = saved("every-kind")
    before = run_from(copy.deepcopy(content), Path("copy.json"))
    content["machine_info"]["node"] = word
    after = run_from(shared_copy(content, Names()).content, Path("copy.json"))
    assert three_lines(after.records) == three_lines(before.records)


def test_a_report_of_the_copy_is_that_of_the_original(tmp_path):
    content = given_away(saved("every-kind"))
    # of the folder of LoadGen's logs, the last part stays
    original = json.loads(json.dumps(content).replace("reports/loadgen/x", "x"))
    written = []
    for folder, document in (("a", original), ("b", shared_copy(content, HERE).content)):
        (tmp_path / folder).mkdir()
        path = tmp_path / folder / "run.json"
        path.write_text(json.dumps(document))
        write(choose([path], [], Album()), tmp_path / folder / "out")
        out = tmp_path / folder / "out"
        written.append({f.relative_to(out): f.read_bytes() for f in sorted(out.rglob("*")) if f.is_file()})
    assert len(written[0]) > 10
    assert written[0] == written[1]


def test_a_report_of_the_copy_lacks_nothing_but_the_words():
    content = given_away(saved("every-kind"))
    noise = content["benchmarks"][0]["extra_info"]["noise"]
    noise |= {"noisy": True, "reasons": ["annelise's backup, /home/annelise/quarterly-plans/nightly.sh, took a core"]}
    copied = shared_copy(content, HERE).content
    [reason] = copied["benchmarks"][0]["extra_info"]["noise"]["reasons"]
    assert reason == "[user]'s backup, nightly.sh, took a core"


def test_project_branch_and_node_are_left_out_and_the_commit_stays():
    content = given_away(saved("every-kind"))
    content["commit_info"] |= {"project": "secret", "branch": "annelise/faster", "author_time": "2026-01-01"}
    copied = shared_copy(content, HERE)
    assert copied.content["commit_info"] == {"id": "0123456789abcdef", "dirty": False, "author_time": "2026-01-01"}
    assert copied.left_out == ("branch", "node", "project")


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("jit/eager", "jit/eager"),
        ("b4/b1 per photo onnx", "b4/b1 per photo onnx"),
        ("20 images/s", "20 images/s"),
        ("AMD EPYC / 2 / x86_64", "AMD EPYC / 2 / x86_64"),
        ("Intel(R) Xeon(R) Processor @ 2.50GHz", "Intel(R) Xeon(R) Processor @ 2.50GHz"),
        ("Intel(R) Xeon(R) CPU@2.50GHz", "Intel(R) Xeon(R) CPU@2.50GHz"),
        ("bench/test_x.py::test_x[onnx-b1-street]", "bench/test_x.py::test_x[onnx-b1-street]"),
        ("../x/bench/test_ratios.py::test_ratios[jit/eager]", "test_ratios.py::test_ratios[jit/eager]"),
        ("5.0.0.93", "5.0.0.93"),
        ("GCC 12.2.0", "GCC 12.2.0"),
        ("server at 10.0.0.7", "server at [host]"),
        ("test_x[/tmp/a/m.onnx]", "test_x[m.onnx]"),
    ],
)
def test_a_path_loses_its_folders_and_a_quotient_is_no_path(text, bare):
    assert shared_copy([text], Names()).content == [bare]


def test_a_file_keeps_its_last_name_alone_also_of_a_relative_path():
    content = {"photos": [{"file": "Bilder/Katze/pet.jpg"}, {"file": r"Bilder\pet.jpg"}, {"file": "pet.jpg"}]}
    assert shared_copy(content, Names()).content == {"photos": [{"file": "pet.jpg"}] * 3}


def test_models_that_were_compared_are_numbered_and_answers_stay(synthetic, tmp_path):
    cells = synthetic.Maker().models({"acme_lens_v3": 1.0, "plans.student": 0.5, "warm": 0.8})
    planned = ["bench/test_pipeline.py::test_pipeline[acme_lens_v3-onnx-b1-pet]"]
    models = {name: {"source": "model"} for name in ("acme_lens_v3", "plans.student", "warm")}
    content = json.loads(json.dumps(synthetic.content(cells, models=models, planned=planned)))
    shared = shared_copy(content, Names()).content
    text = json.dumps(shared)
    assert "acme" not in text.casefold()
    assert "student" not in text.casefold()
    # a word of the suite gives nobody away
    assert list(shared["midas_bench"]["models"]) == ["model-1", "model-2", "warm"]
    assert shared["midas_bench"]["planned"] == ["bench/test_pipeline.py::test_pipeline[model-1-onnx-b1-pet]"]
    before, after = (run_from(one, tmp_path / "run.json").records for one in (content, shared))
    named = [
        line.replace("plans.student", "model-2").replace("acme_lens_v3", "model-1") for line in three_lines(before)
    ]
    assert named == three_lines(after)
    assert "model-2 on onnx" in named[0]


def test_texts_that_differed_still_differ():
    content = ["/a/x/m.onnx", "/a/y/m.onnx", "m.onnx", "/a/x/m.onnx", {"/a/k": 1, "/b/k": 2, "k": 3}]
    copied = shared_copy(content, Names()).content
    assert copied == ["m.onnx (2)", "m.onnx (3)", "m.onnx", "m.onnx (2)", {"k (2)": 1, "k (3)": 2, "k": 3}]


def test_short_names_are_taken_out_where_they_stand_alone():
    names = Names(frozenset({"vm"}), frozenset({"mark", "n"}))
    texts = ["vm", "vmmcall", "on vm-2", "mark", "benchmark", "mark_2", "n = 3"]
    copied = shared_copy(texts, names).content
    assert copied == ["[host]", "vmmcall", "on [host]-2", "[user]", "benchmark", "[user]_2", "n = 3"]


@pytest.mark.parametrize("written_as", ["Zoë", "ZOË", "Zoe\N{COMBINING DIAERESIS}", r"Zo\xeb", "Zo%C3%AB", "Zoe%CC%88"])
def test_a_name_is_found_however_it_is_written(written_as):
    [copied] = shared_copy([f"test[{written_as}]"], Names(users=frozenset({"Zoë"}))).content
    assert copied == "test[[user]]"


@pytest.mark.parametrize("word", ["onnx", "Pipeline", "x", "7", "", "root", "batch_size"])
def test_words_of_every_run_cannot_be_taken_out(word):
    assert not is_removable(word)


def test_the_files_own_name_loses_names_too():
    content = {"node": HOST}
    assert file_name("build-07 of grzegorz", content, HERE) == "[host] of [user]"


def test_names_come_from_the_file_too(tmp_path):
    path = tmp_path / "run.json"
    path.write_text(json.dumps(given_away(saved("every-kind"))))
    assert read(path).records
    text = as_text(json.loads(path.read_text()))
    assert not re.search("annelise|build-07", text)


@pytest.mark.parametrize("word", ["steps", "least_s", "moved", "floor", "peer-ratio", "own_median_s"])
def test_a_host_of_the_name_of_a_steps_key_takes_no_key_away(word):
    assert word in own_words()
