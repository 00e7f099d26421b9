import io
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from midas_bench.cli import main as command
from midas_bench.errors import UserError


@pytest.fixture
def module(monkeypatch):
    """Stand in for a command's module."""

    class Module:
        result = 0

        @staticmethod
        def add_arguments(parser):
            parser.add_argument("word")

        @classmethod
        def run(cls, arguments):
            if isinstance(cls.result, BaseException):
                raise cls.result
            sys.stdout.write(arguments.word + "\n")
            return cls.result

    monkeypatch.setitem(command.COMMANDS, "odd", "do something odd")
    monkeypatch.setitem(sys.modules, "midas_bench.cli.odd", Module)
    return Module


@pytest.mark.parametrize("code", [0, 1, 3])
def test_a_commands_result_is_the_exit_code(module, capsys, code):
    module.result = code
    assert command.main(["odd", "hello"]) == code
    assert capsys.readouterr() == ("hello\n", "")


def test_a_users_error_is_one_line_and_code_2(module, capsys):
    module.result = UserError("pet.jpg", "is empty", "replace it")
    assert command.main(["odd", "hello"]) == 2
    assert capsys.readouterr() == ("", "midas-bench: pet.jpg: is empty; replace it\n")


@pytest.mark.usefixtures("module")
def test_a_command_shows_its_own_usage_where_a_flag_is_unknown(capsys):
    with pytest.raises(SystemExit) as caught:
        command.main(["odd", "hello", "--nosuch"])
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("usage: midas-bench odd")
    assert "unrecognized arguments: --nosuch" in said


@pytest.mark.slow
@pytest.mark.parametrize(("redirected", "code", "said"), [(">&-", 0, ""), ("> /dev/full", 2, "cannot be written")])
@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
def test_an_output_that_is_closed_or_full_is_no_traceback(redirected, code, said):
    line = (
        f'"{sys.executable}" -m midas_bench.cli.main report "{Path(__file__).parents[1]}/results/data/small.json" -o '
    )
    with tempfile.TemporaryDirectory() as folder:
        ran = subprocess.run(f'{line} "{folder}/out" {redirected}', shell=True, stderr=subprocess.PIPE, text=True)
    assert ran.returncode == code, ran.stderr
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr


def test_ctrl_c_is_one_line_and_code_130(module, capsys):
    module.result = KeyboardInterrupt()
    assert command.main(["odd", "hello"]) == 130
    assert capsys.readouterr() == ("", "midas-bench: interrupted\n")


def test_ctrl_c_while_a_command_is_imported_is_one_line_too(module, capsys, monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "add_arguments", interrupted)
    assert command.main(["odd", "hello"]) == 130
    assert capsys.readouterr() == ("", "midas-bench: interrupted\n")


@pytest.mark.usefixtures("module")
def test_a_file_name_that_is_not_unicode_is_printed_escaped(monkeypatch):
    stdout = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="strict")
    monkeypatch.setattr(sys, "stdout", stdout)
    assert command.main(["odd", "caf\udce9"]) == 0
    assert stdout.buffer.getvalue() == b"caf\\udce9\n"


@pytest.mark.parametrize("line", [[], ["no-such-command"], ["--no-such-flag"], ["depth"], ["depth", "a.jpg"]])
def test_bad_usage_is_code_2_and_says_how_it_is_meant(capsys, line):
    with pytest.raises(SystemExit) as caught:
        command.main(line)
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("usage: midas-bench")
    assert "Traceback" not in err


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as caught:
        command.main(["--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    assert all(name in out for name in command.COMMANDS)


def test_help_imports_no_command():
    script = """
import sys
from midas_bench.cli.main import main
try:
    main(["--help"])
finally:
    print([name for name in sys.modules if name.startswith(("midas_bench.cli.", "cv2", "pandas"))])
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "['midas_bench.cli.main']"


def test_the_version_is_told(capsys):
    with pytest.raises(SystemExit):
        command.main(["--version"])
    assert re.fullmatch(r"midas-bench \d+\.\d+\S*\n", capsys.readouterr().out)


def test_a_reader_that_goes_away_is_no_error():
    script = """
import sys
from midas_bench.cli import main as command
class Talkative:
    add_arguments = staticmethod(lambda parser: None)
    run = staticmethod(lambda arguments: print("x" * 1_000_000) or 0)
command.COMMANDS["talk"] = "talk"
sys.modules["midas_bench.cli.talk"] = Talkative
sys.exit(command.main(["talk"]))
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as talker:
        talker.stdout.close()
        assert talker.stderr.read() == b""
    assert talker.returncode == 0
