"""Which kind of machine a file comes from: of old and new versions, ours and others'."""

import json
from itertools import product

import pytest

from midas_bench.gate.saved_gate import UNKNOWN_MACHINE, SavedQuestion, gate_saved
from midas_bench.gate.thresholds import Thresholds
from midas_bench.report.comparison import comparison_section
from midas_bench.report.photo_strip import Album
from midas_bench.report.select_runs import choose
from midas_bench.results.compare import ComparedRuns, compare, software_differences
from midas_bench.results.run_files import read
from midas_bench.results.runs import UNKNOWN, of_one_kind

XEON, CELERON = "Intel(R) Xeon(R) CPU E5-2670 v3 @ 2.30GHz", "Intel(R) Celeron(R) J4105 CPU @ 1.50GHz"


@pytest.fixture
def saved(changed):
    """Save the small run with another `machine_info`; each file has rounds of its own."""
    numbers = iter(range(100))

    def save(machine_info):
        number = next(numbers)

        def change(content):
            content["machine_info"] = machine_info
            for benchmark in content["benchmarks"]:
                benchmark["stats"]["data"] = [value * (1 + 1e-4 * number) for value in benchmark["stats"]["data"]]

        return changed(change, f"{number:04}.json")

    return save


def of_old_versions(brand):
    return {"cpu": {"vendor_id": "unknown", "hardware": "unknown", "brand": brand}, "machine": "x86_64"}


def of_versions_between(brand):
    return {"cpu": {"brand": brand, "count": 4, "arch": "X86_64", "raw_arch_string": "x86_64"}, "machine": "x86_64"}


def of_new_versions(brand):
    return {"cpu": {"brand_raw": brand, "count": 4, "arch_string_raw": "x86_64"}, "machine": "x86_64"}


def of_both_keys(brand):
    return {"cpu": {"brand_raw": "", "brand": brand, "count": 4}, "machine": "x86_64"}


def without_a_section(brand):
    return {"brand_raw": brand, "count": 4, "machine": "x86_64"}


def of_ours(brand):
    return {"midas_bench": {"fingerprint": f"{hash(brand):x}", "cpu_model": brand}}


FORMS = (of_old_versions, of_versions_between, of_new_versions, of_both_keys, without_a_section, of_ours)


@pytest.mark.parametrize("form", FORMS)
def test_a_cpu_is_told_from_another_whatever_version_names_it(saved, form):
    xeon, again, celeron = (read(saved(form(brand))) for brand in (XEON, XEON, CELERON))
    assert xeon.machine.kind == again.machine.kind != celeron.machine.kind
    assert of_one_kind([xeon, again])
    assert not of_one_kind([xeon, celeron])


@pytest.mark.parametrize(("old", "new"), list(product(FORMS[1:4], FORMS[1:4])))
def test_a_cpu_is_the_same_in_files_of_old_and_new_versions(saved, old, new):
    assert of_one_kind([read(saved(old(XEON))), read(saved(new(XEON)))])


@pytest.mark.parametrize("spelling", [
    "Intel Xeon CPU E5-2670 v3 @ 2.30GHz", "  Intel(R)  Xeon(R)\tCPU  E5-2670 v3   @ 2.30GHz ",
    "Intel\N{REGISTERED SIGN} Xeon\N{REGISTERED SIGN} CPU E5-2670 v3 @ 2.30GHz",
    "Intel(r) Xeon(tm) CPU E5-2670 v3 @2.30GHz",
    "Intel (R) Xeon (R) CPU E5-2670 v3 @  2.30GHz",
    "Intel\N{TRADE MARK SIGN} Xeon\N{NO-BREAK SPACE}CPU E5-2670 v3@2.30GHz",
])  # fmt: skip
def test_spaces_and_trademark_signs_make_no_other_cpu(saved, spelling):
    assert of_one_kind([read(saved(of_new_versions(name))) for name in (XEON, spelling)])


def test_slashes_in_cpu_names_do_not_merge_two_kinds(saved):
    """A name with a slash and a count must not read like another name with another count."""
    one = {"cpu": {"brand_raw": "CPU X / 4"}, "machine": "x86_64"}
    other = {"cpu": {"brand_raw": "CPU X", "count": 4}, "machine": "x86_64"}
    assert not of_one_kind([read(saved(one)), read(saved(other))])


NAMELESS = {
    "nothing": None,
    "empty": {},
    "no cpu": {"machine": "x86_64", "system": "Linux", "node": "build-7"},
    "null cpu": {"machine": "x86_64", "cpu": None},
    "empty cpu": {"machine": "x86_64", "cpu": {}},
    "only a count": {"machine": "x86_64", "cpu": {"count": 8, "arch": "X86_64"}},
    "empty name": of_new_versions(""),
    "blank name": of_new_versions(" \t "),
    "null name": of_new_versions(None),
    "no text": of_new_versions(["Xeon"]),
    "unknown": of_new_versions("Unknown"),
    "old unknown": of_old_versions("unknown"),
    "a dash": of_versions_between("-"),
    "only signs": of_new_versions("(R) (TM)"),
    "the architecture": of_new_versions("x86_64"),
    "another architecture": {"cpu": {"brand_raw": "aarch64", "count": 4}, "machine": "arm64"},
    "the maker": {"cpu": {"brand_raw": "HygonGenuine", "vendor_id_raw": "HygonGenuine"}, "machine": "x86_64"},
    "a maker alone": of_new_versions("GenuineIntel"),
    "a Raspberry Pi": {"cpu": {"hardware_raw": "BCM2835", "arch": "ARM_7", "count": 4}, "machine": "armv7l"},
    "an old Raspberry Pi": {"cpu": {"hardware": "BCM2835", "vendor_id": "ARM", "count": 4}, "machine": "armv7l"},
    "a kernel's word for many": {"cpu": {"brand_raw": "ARMv7 Processor rev 4 (v7l)", "count": 4}, "machine": "armv7l"},
    "an older kernel's": {"cpu": {"brand": "ARMv6-compatible processor rev 7 (v6l)"}, "machine": "armv6l"},
    "Windows's processor": {"machine": "AMD64", "processor": "Intel64 Family 6 Model 94", "cpu": {"count": 4}},
    "that processor as our name": {
        "processor": "Intel64 Family 6 Model 94",
        "midas_bench": {"fingerprint": "abc", "cpu_model": "Intel64 Family 6 Model 94"},
    },
    "ours unknown": of_ours("unknown"),
    "ours the architecture": of_ours("aarch64"),
    "ours nameless": {"midas_bench": {"fingerprint": "abc"}},
    "no fingerprint": {"midas_bench": {"cpu_model": XEON}},
    "fingerprint unknown": {"midas_bench": {"cpu_model": XEON, "fingerprint": "unknown"}},
    "fingerprint empty": {"midas_bench": {"cpu_model": XEON, "fingerprint": " "}},
}


@pytest.mark.parametrize("name", NAMELESS)
def test_a_machine_whose_cpu_nobody_names_is_unknown_invalid_and_loud(saved, name):
    before, after = ([saved(NAMELESS[name]) for _ in range(3)] for _ in range(2))
    runs = [read(path) for path in (*before, *after)]
    assert {run.machine.kind for run in runs} == {UNKNOWN}
    assert not of_one_kind(runs)
    question = SavedQuestion(before, after, Thresholds(0.05, 0.05, 0.2), 0.01)
    result = gate_saved(question)
    assert result.exit_code == 3
    assert {j.reason for j in result.judgements} == {UNKNOWN_MACHINE}
    assert any(note.startswith("UNKNOWN MACHINE: kind: unknown and unknown") for note in result.notes)
    data = choose([before[0], after[0]], [], Album())
    [warning] = comparison_section(data).warnings
    assert warning.startswith("UNKNOWN MACHINE: 0000.json, 0003.json: no CPU is named")
    assert [run.path for run in data.history] == [after[0]]
    assert any("names no CPU" in remark for remark in data.remarks)


def test_a_named_machine_beside_a_nameless_one_is_invalid(saved):
    named, nameless = [saved(of_new_versions(XEON)) for _ in range(3)], [saved({}) for _ in range(3)]
    for sides in ((named, nameless), (nameless, named)):
        result = gate_saved(SavedQuestion(*sides, Thresholds(0.05, 0.05, 0.2), 0.01))
        assert result.exit_code == 3
        assert {j.reason for j in result.judgements} == {UNKNOWN_MACHINE}


def test_runs_without_a_cpu_name_have_no_history(saved):
    paths = [saved({}), saved(of_new_versions(XEON)), saved(of_new_versions(XEON)), saved({})]
    data = choose([paths[-1]], [], Album())
    assert [run.path for run in data.history] == [paths[-1]]
    assert data.remarks == ("No history: 0003.json names no CPU, so no other run is known to be of its machine.",)
    data = choose([paths[2]], [], Album())
    assert [run.path for run in data.history] == paths[1:3]
    assert data.remarks == ()
    data = choose(paths, ["one"] * 4, Album())
    assert len(data.history) == 1


def test_another_python_is_told_and_no_other_machine(saved):
    def python(implementation, version):
        return of_new_versions(XEON) | {"python_implementation": implementation, "python_version": version}

    cpython, pypy = ([saved(python(name, "3.11.7")) for _ in range(3)] for name in ("CPython", "PyPy"))
    sides = [ComparedRuns(label, tuple(map(read, paths))) for label, paths in (("old", cpython), ("new", pypy))]
    assert compare(*sides).machine_differences == {}
    assert software_differences(*sides) == {"Python": ("CPython 3.11.7", "PyPy 3.11.7")}
    result = gate_saved(SavedQuestion(cpython, pypy, Thresholds(0.05, 0.05, 0.2), 0.01))
    assert "DIFFERENT SOFTWARE: Python: CPython 3.11.7 and PyPy 3.11.7" in result.notes
    assert UNKNOWN_MACHINE not in {j.reason for j in result.judgements}
    [warning] = comparison_section(choose([cpython[0], pypy[0]], [], Album())).warnings
    assert (
        warning == "DIFFERENT SOFTWARE: 0000 and 0003 ran with other versions: Python: CPython 3.11.7 and PyPy 3.11.7."
    )


def test_facts_that_look_alike_are_all_shown_and_none_overrides_the_kind(saved):
    ours = of_ours(XEON)
    ours["midas_bench"] |= {"kind": "mine", "cpu_quota": 1, "cpu quota": 2, "versions": {"a\x00": "1", "a\x01": "2"}}
    other = json.loads(json.dumps(ours))
    other["midas_bench"]["fingerprint"] = "another"
    one, two = (read(saved(info)) for info in (ours, other))
    assert one.machine.facts["cpu quota"] == "1; 2"
    assert list(one.machine.versions.values()) == ["1; 2"]
    old, new = compare(ComparedRuns("old", (one,)), ComparedRuns("new", (two,))).machine_differences["kind"]
    assert one.machine.kind in old
    assert two.machine.kind in new
