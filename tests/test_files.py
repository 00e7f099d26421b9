import errno
import hashlib
import json
import os
import stat
import subprocess
import sys

import pytest

from midas_bench import files
from midas_bench.errors import UserError


def test_a_written_file_appears_whole(tmp_path, files_in):
    with files.written_atomically(tmp_path / "new folder" / "große.bin") as temporary:
        temporary.write_bytes(b"all of it")
        assert files_in(tmp_path) != ["new folder/große.bin"]
    assert files_in(tmp_path) == ["new folder/große.bin"]
    assert (tmp_path / "new folder/große.bin").read_bytes() == b"all of it"


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing_else(tmp_path, files_in):
    path = tmp_path / "kept"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), files.written_atomically(path) as temporary:
        temporary.write_text("half of the n")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert files_in(tmp_path) == ["kept"]


def test_ctrl_c_leaves_nothing_half_written(tmp_path, files_in):
    with pytest.raises(KeyboardInterrupt), files.written_atomically(tmp_path / "new") as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert files_in(tmp_path) == []


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path, files_in, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    named = pytest.raises(UserError, match=r"No space left on device.*free some space")
    with named, files.written_atomically(tmp_path / "new") as temporary:
        temporary.write_text("too much")
    assert files_in(tmp_path) == []


def test_a_device_or_a_pipe_is_not_replaced_by_a_file(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(UserError, match=r"pipe: cannot be written \(it is a device or a pipe\)"):
        files.write_whole(pipe, b"text")
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert list(tmp_path.iterdir()) == [pipe]


@pytest.mark.parametrize("write", ["atomically", "lock", "line"])
def test_a_folder_that_cannot_be_made_is_the_users_error(tmp_path, write):
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "below"
    with pytest.raises(UserError, match=r"file/below: cannot be written \(Not a directory|File exists"):
        if write == "atomically":
            with files.written_atomically(path):
                pass
        elif write == "lock":
            with files.locked(path):
                pass
        else:
            files.append_json_line(path, {})


def test_a_file_is_as_public_as_the_users_umask_allows(tmp_path):
    before = os.umask(0o027)
    try:
        with files.written_atomically(tmp_path / "file") as temporary:
            temporary.write_text("")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


def test_a_lock_keeps_another_process_out_and_lets_it_in_afterwards(tmp_path):
    script = f"""
from pathlib import Path
from midas_bench.files import locked
with locked(Path({str(tmp_path / "lock")!r}), timeout_s=0.2):
    print("in")
"""
    command = [sys.executable, "-c", script]
    with files.locked(tmp_path / "lock"):
        refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "still held by another process" in refused.stderr.splitlines()[-1]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "in\n"


def test_a_lock_is_released_when_the_block_fails(tmp_path):
    with pytest.raises(ZeroDivisionError), files.locked(tmp_path / "lock"):
        raise ZeroDivisionError
    with files.locked(tmp_path / "lock", timeout_s=0):
        pass


def test_lines_are_appended_one_by_one(tmp_path):
    path = tmp_path / "folder" / "journal"
    rows = [{"scene": "street"}, {"author": "Zoë"}]
    for row in rows:
        files.append_json_line(path, row)
    assert [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] == rows


def test_a_row_may_hold_any_name(tmp_path, odd_name):
    path = tmp_path / odd_name
    files.append_json_line(path, {"file": odd_name})
    assert files.read_json_lines(path) == [{"file": odd_name}]
    assert path.read_bytes().isascii()


def test_a_file_of_any_name_is_written_and_hashed(tmp_path, odd_name):
    path = tmp_path / f"{odd_name}.py"
    files.write_whole(path, b"all of it")
    assert path.read_bytes() == b"all of it"
    first = files.sources_sha256(tmp_path)
    path.rename(tmp_path / "other.py")
    assert files.sources_sha256(tmp_path) != first


def test_text_is_read_in_every_encoding_of_unicode(encoded_text):
    assert files.as_utf8(encoded_text('{"a": "Zoë 🐱"}\r\n')).decode() == '{"a": "Zoë 🐱"}\r\n'
    assert files.as_utf8(encoded_text("")) == b""


def test_a_journal_in_another_encoding_is_read_and_goes_on_in_utf_8(tmp_path, encoded_text):
    path = tmp_path / "journal"
    path.write_bytes(encoded_text('{"file": "Zoë"}\r\n{"torn'))
    assert files.read_json_lines(path) == [{"file": "Zoë"}]
    files.cut_torn_line(path)
    files.append_json_line(path, {"file": "next"})
    assert files.read_json_lines(path) == [{"file": "Zoë"}, {"file": "next"}]


@pytest.mark.parametrize("use", [files.read_json_lines, files.cut_torn_line])
def test_a_journal_of_damaged_utf_16_is_named_and_left_alone(tmp_path, use):
    path = tmp_path / "journal"
    path.write_bytes("{}\n".encode("utf-16")[:-1])
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"journal: is damaged \(truncated data\); remove it and run again"):
        use(path)
    assert path.read_bytes() == before


def test_the_hash_is_that_of_the_bytes(tmp_path):
    data = bytes(range(256)) * 5000
    (tmp_path / "file").write_bytes(data)
    assert files.sha256_of(tmp_path / "file") == hashlib.sha256(data).hexdigest()


def test_a_home_is_expanded_and_an_unknown_one_left_alone(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert files.expanded("~/cache") == tmp_path / "cache"
    assert str(files.expanded("~nobody-of-this-name/cache")) == "~nobody-of-this-name/cache"
