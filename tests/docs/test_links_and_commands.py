"""Links of the documentation lead somewhere, and its commands are ones that the programs take."""

from __future__ import annotations

import ast
import importlib
import re
import runpy
import tomllib
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote

import pytest

from midas_bench.cli import main
from midas_bench.cli.run import pytest_arguments
from midas_bench.errors import UserError

PROJECT = Path(__file__).parents[2]
PAGES = [PROJECT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(
    PROJECT.glob("docs/*.md")
)
NAMES = [page.relative_to(PROJECT).as_posix() for page in PAGES]
read = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("pages.py"))))

README_WORDS, README_LINES = 950, 150
OTHER_PROGRAMS = {".", "git", "lint-imports", "mypy", "pre-commit", "ruff", ".ci/run"}
DATED = {"README.md", "CHANGELOG.md", "docs/results.md", "docs/gate-measurements.md"}
FILE_NAME = re.compile(r"(?:src|bench|tests|tools|docs|fixtures|\.ci|\.github|reports/sample)/[\w./-]*\w")
each_page = pytest.mark.parametrize("page", PAGES, ids=NAMES)


@pytest.fixture(scope="module")
def pyproject():
    return tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@each_page
def test_links_of_a_page_lead_to_files_and_headings(page):
    broken = []
    for _, target in read.links(page):
        path, _, anchor = unquote(target).partition("#")
        if "://" in target:
            continue
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in read.anchors(file)):
            broken.append(target)
    assert broken == []


@each_page
def test_links_to_code_name_what_is_defined_there(page):
    linked = [(text, target) for text, target in read.links(page) if target.endswith(".py")]
    assert [text for text, target in linked if text not in defined((page.parent / target).resolve())] == []


def defined(module: Path) -> set[str]:
    """Return the names that a module defines, and those of its classes as Class.name."""
    names = set()

    def add(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names.update(prefix + target.id for target in targets if isinstance(target, ast.Name))
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                names.add(prefix + node.name)
                if isinstance(node, ast.ClassDef):
                    add(node.body, f"{prefix}{node.name}.")

    add(ast.parse(module.read_text(encoding="utf-8")).body, "")
    return names


@each_page
def test_files_that_a_page_names_exist(page):
    code = [token.content for token in read.tokens(page) if token.type == "code_inline"]
    named = [name for text in code for name in FILE_NAME.findall(text)]
    assert [name for name in named if not (PROJECT / name).exists()] == []


@each_page
def test_commands_of_a_page_parse(page, pyproject, pytestconfig):
    for words in read.commands(page):
        check(words, pyproject, pytestconfig)


def check(words, pyproject, pytestconfig):
    """Parse a command with the program's own parser."""
    program, *arguments = words
    if program == "midas-bench":
        check_own(arguments, pytestconfig)
    elif program == "pytest":
        check_pytest(arguments, pytestconfig)
    elif program in ("pip", "uv"):
        check_install(arguments, pyproject)
    elif program == "curl":
        check_request(arguments)
    elif program in ("python", "python3"):
        assert arguments[0] == "-m" or (PROJECT / arguments[0]).is_file(), words
    else:
        assert program in OTHER_PROGRAMS, words


def check_own(arguments, pytestconfig):
    if len(arguments) == 1:
        assert arguments[0] in main.COMMANDS, arguments
        return
    try:
        parsed = main._parse(arguments)
    except SystemExit:
        pytest.fail(f"midas-bench {' '.join(arguments)}: see standard error")
    if parsed.command == "run":
        check_pytest(pytest_arguments(parsed.pytest_arguments, PROJECT, PROJECT), pytestconfig)


def check_pytest(arguments, pytestconfig):
    options, unknown = pytestconfig._parser.parse_known_and_unknown_args(arguments)
    assert not unknown, arguments
    paths = [Path(path) for path in options.file_or_dir]
    assert [path for path in paths if not (PROJECT / path).exists()] == [], arguments
    markers = {line.partition(":")[0].partition("(")[0] for line in pytestconfig.getini("markers")}
    assert set(re.findall(r"\w+", options.markexpr)) - {"and", "or", "not"} <= markers, arguments


def check_install(arguments, pyproject):
    extras = [name for word in arguments for found in re.findall(r"\[([\w,]+)\]", word) for name in found.split(",")]
    extras += [word for flag, word in pairwise(arguments) if flag == "--extra"]
    assert set(extras) <= pyproject["optional-dependencies"].keys(), arguments
    pinned = [word for word in arguments if "==" in word]
    assert set(pinned) <= set(pyproject["optional-dependencies"]["torch"]), arguments


def check_request(arguments):
    files = [word.partition("@")[2] for word in arguments if "@" in word]
    assert [name for name in files if not (PROJECT / name).is_file()] == [], arguments
    [path] = [word.partition(":8000")[2] for word in arguments if word.startswith("http://127.0.0.1:8000")]
    application = (PROJECT / "src/midas_bench/serve/app.py").read_text(encoding="utf-8")
    assert f'("{path}")\n    def ' in application, arguments


@pytest.mark.parametrize(
    "line",
    [
        "midas-bench tnue",
        "midas-bench tune --bugdet 3min",
        "midas-bench depth fixtures/images/china.jpg",
        "midas-bench doctor && midas-bench gate --base main --gates 3",
        "pytest bench/ --quik",
        "pytest bench/test_nothing.py",
        "pytest bench/ -m extendde",
        'pip install -e ".[tset]"',
        "pip install torch==1.0",
        "uv sync --extra tset",
        "curl -F photo=@nothing.jpg http://127.0.0.1:8000/api/depth",
        "curl http://127.0.0.1:8000/api/nothing",
        "python tools/nothing.py",
        "unknown-program --flag",
    ],
)
def test_commands_that_no_program_takes_are_refused(line, pyproject, pytestconfig):
    with pytest.raises((AssertionError, UserError, pytest.fail.Exception)):
        for words in read.split_line(line):
            check(words, pyproject, pytestconfig)


def test_commands_are_read_from_blocks_and_sentences(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("Run `midas-bench tune --exact`, or `tune`.\n\n```sh\ncd x && A=1 pytest -k 'a b' | cat\n```\n")
    expected = [["cd", "x"], ["pytest", "-k", "a b"], ["cat"], ["midas-bench", "tune", "--exact"]]
    assert list(read.commands(page)) == expected


def test_anchors_are_those_of_github(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# The API\n\n## Keys of `extra_info`\n\n## Machine A: AMD\n\n## Twice\n\n## Twice\n")
    assert read.anchors(page) == {"the-api", "keys-of-extra_info", "machine-a-amd", "twice", "twice-1"}


@each_page
def test_python_of_a_page_compiles_and_imports_what_exists(page):
    for block in read.code_blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom):
                module = importlib.import_module(str(node.module))
                assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


@each_page
def test_dated_figures_are_on_the_pages_for_them(page):
    name = page.relative_to(PROJECT).as_posix()
    assert name in DATED or not re.search(r"\b20\d\d-\d\d-\d\d\b", page.read_text(encoding="utf-8"))


def test_readme_is_short():
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    assert len(text.split()) <= README_WORDS
    assert len(text.splitlines()) <= README_LINES


def test_readme_sets_up_and_runs_in_one_line_each_in_its_first_screen():
    first_screen = (PROJECT / "README.md").read_text(encoding="utf-8").splitlines()[:25]
    lines = [line for line in first_screen if line.startswith("python3 -m venv ")]
    assert [line.rpartition(" && ")[2] for line in lines] == ["pytest bench/ --benchmark-autosave", "pytest -n auto"]
    assert all("--extra-index-url https://download.pytorch.org/whl/cpu" in line for line in lines)


def test_readme_names_every_command():
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    assert [name for name in main.COMMANDS if f"| `midas-bench {name}` |" not in text] == []


def test_index_names_every_page():
    linked = {target for _, target in read.links(PROJECT / "docs/README.md")}
    assert {page.name for page in PROJECT.glob("docs/*.md")} - {"README.md"} <= linked


def test_page_on_running_names_every_benchmark_file():
    text = (PROJECT / "docs/running.md").read_text(encoding="utf-8")
    assert [path.name for path in PROJECT.glob("bench/*.py") if f"| `{path.name}` |" not in text] == []


def test_pages_keep_the_limits_of_their_sentences(tool):
    prose = tool("prose")
    assert {page.name: found for page in prose.pages() if (found := prose.problems(page.read_text("utf-8")))} == {}


def test_issue_form_asks_for_what_the_doctor_prints():
    assert "midas-bench doctor --json" in (PROJECT / ".github/ISSUE_TEMPLATE/problem.yml").read_text(encoding="utf-8")
