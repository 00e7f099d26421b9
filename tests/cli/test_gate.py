"""The gate's subcommands, and the form that the command had before it had them."""

import json
import subprocess
import sys

import pytest

from midas_bench.cli import main as command
from midas_bench.cli.gate_flags import SUBCOMMANDS

SAVED = ("--baseline", "a.json", "b.json", "--run", "c.json", "--baseline", "d.json")


def parsed(*words):
    """Return what argparse makes of a command's words, but for what tells the two forms apart."""
    return {
        name: value
        for name, value in vars(command._parse(["gate", *words])).items()
        if name not in ("parser", "self_test")
    }


@pytest.mark.parametrize(
    ("subcommand", "old"),
    [
        ("run", ("--base", "main", "--head", "HEAD", "--cell", "onnx", "--cell", "decode", "--budget", "1h")),
        ("run", ("--seed", "1", "--base=main", "--merge-base", "--json", "a.json", "--inconclusive", "pass")),
        ("run", ("--base", "main", "--allow", "--startup", "30%", "--head", "")),
        ("run", ("--calls", "module:calls", "--head", "HEAD")),
        ("compare", (*SAVED, "--force", "--alpha", "2%", "--markdown", "a.md")),
        ("compare", ("--ru", "b.json", "--basel", "a.json", "--thr", "3%")),
        ("self-test", ("--self-test",)),
        ("self-test", ("--gates", "3", "--self", "-o", "out", "--resume")),
        ("self-test", ("--self-test", "--quick", "--blocks", "12", "--gates", "0")),
        ("self-test", ("--self-test", "--blocks-from", "a.json")),
        ("self-test", ("--blocks-fr", "a.json")),
        # a flag of another subcommand at its default meant what leaving it out means
        ("compare", (*SAVED, "--budget", "5min", "--weights", "auto")),
    ],
)
def test_the_form_without_a_subcommand_asks_the_same(subcommand, old):
    new = [word for word in old if word not in ("--self-test", "--self")]
    assert parsed(*old) == parsed(subcommand, *new)
    assert parsed(*old)["subcommand"] == subcommand


def test_both_forms_judge_saved_results_alike(changed, capsys, tmp_path):
    paths = [str(changed(lambda _: None, name)) for name in ("a.json", "b.json")]
    sides = ["--baseline", paths[0], "--run", paths[1]]
    results = []
    for form in ([], ["compare"]):
        code = command.main(["gate", *form, *sides, "--json", str(tmp_path / "gate.json")])
        results.append((code, capsys.readouterr(), json.loads((tmp_path / "gate.json").read_text())))
    assert results[0] == results[1]
    assert results[0][0] == 3


@pytest.mark.parametrize(
    ("words", "refused", "right"),
    [
        (("compare", "--base", "main"), "--base", "run"),
        (("compare", *SAVED, "--cell", "onnx"), "--cell", "run"),
        (("compare", *SAVED, "--quick"), "--quick", "self-test"),
        (("compare", *SAVED, "--budget", "1h"), "--budget", "run` or `midas-bench gate self-test"),
        (("run", "--base", "main", "--baseline", "a.json"), "--baseline", "compare"),
        (("run", "--base", "main", "--forc"), "--force", "compare"),
        (("run", "--base", "main", "--output", "folder"), "--output", "self-test"),
        (("run", "--self-test"), "--self-test", "self-test"),
        (("self-test", "--head", "HEAD"), "--head", "run"),
        (("self-test", "--json", "a.json"), "--json", "run` or `midas-bench gate compare"),
        (("--self-test", "--run", "a.json"), "--run", "compare"),
        ((*SAVED, "--merge-base"), "--merge-base", "run"),
    ],
)
def test_a_flag_of_another_subcommand_is_refused_in_one_line_that_names_the_right_one(capsys, words, refused, right):
    assert command.main(["gate", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith(f"midas-bench: {refused}: means nothing with `midas-bench gate ")
    assert err.endswith(f"; leave it out, or use `midas-bench gate {right}`\n")


@pytest.mark.parametrize("words", [(), ("--threshold", "3%"), ("--bas", "main")])
def test_gate_without_a_subcommand_says_in_one_line_what_to_add(capsys, words):
    assert command.main(["gate", *words]) == 2
    said = "midas-bench: gate: needs run, compare or self-test; begin with `midas-bench gate run --base main`\n"
    assert capsys.readouterr() == ("", said)


@pytest.mark.parametrize(
    ("words", "subcommand", "said"),
    [
        (("run", "--base", "main", "--nosuch"), "run", "unrecognized arguments: --nosuch"),
        (("--run", "a.json"), "compare", "the following arguments are required: --baseline"),
        (("compare", "--baseline", "a.json"), "compare", "the following arguments are required: --run"),
        (("judge",), "", "invalid choice: 'judge'"),
    ],
)
def test_bad_usage_shows_the_usage_of_the_subcommand(capsys, words, subcommand, said):
    with pytest.raises(SystemExit) as caught:
        command.main(["gate", *words])
    assert caught.value.code == 2
    err = capsys.readouterr().err
    assert err.startswith(f"usage: midas-bench gate {subcommand}".rstrip())
    assert said in err


def help_of(capsys, *words):
    with pytest.raises(SystemExit) as caught:
        command.main(["gate", *words])
    assert caught.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("words", [("--help",), ("-h",), ("--cell", "onnx", "--help")])
def test_help_shows_each_subcommand_with_an_example(capsys, words):
    text = help_of(capsys, *words)
    assert [name for name, (purpose, _) in SUBCOMMANDS.items() if purpose not in text] == []
    examples = [line.split()[2:] for line in text.splitlines() if line.startswith("  midas-bench gate ")]
    assert [parsed(*example)["subcommand"] for example in examples] == list(SUBCOMMANDS)


@pytest.mark.parametrize(
    ("words", "shown", "hidden"),
    [
        (("run",), ("--base REF", "--budget", "--json"), ("--baseline", "--run ", "--quick", "--self-test")),
        (("compare",), ("--baseline", "--run", "--force", "--json"), ("--base ", "--budget", "--quick")),
        (("self-test",), ("--gates", "--quick", "--budget"), ("--base", "--json", "--force", "[--self-test]")),
        (("--base", "main"), ("--base REF",), ("--baseline",)),
    ],
)
def test_help_of_a_subcommand_shows_only_its_own_flags(capsys, words, shown, hidden):
    text = help_of(capsys, *words, "--help")
    assert [flag for flag in shown if flag not in text] == []
    assert [flag for flag in hidden if flag in text] == []


def test_comparing_saved_results_imports_no_pytorch(changed):
    script = """
import sys
from midas_bench.cli.main import main
code = main(["gate", "compare", "--baseline", sys.argv[1], "--run", sys.argv[2]])
print(code, [name for name in ("torch", "torchvision", "onnxruntime", "scipy.stats") if name in sys.modules])
"""
    files = [changed(lambda _: None, name) for name in ("a.json", "b.json")]
    ran = subprocess.run([sys.executable, "-c", script, *files], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "3 []"
