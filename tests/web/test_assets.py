"""What runs in a browser is fetched by npm, checked and kept; a script stands in for npm."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import tarfile

import pytest

from midas_bench.cli import main as command
from midas_bench.errors import UserError
from midas_bench.files import CACHE_VARIABLE
from midas_bench.web import assets, npm_packages
from midas_bench.web.npm_packages import NpmPackage, PackageFile

NPM = """#!/bin/sh
echo "$@" >> "$TOLD"
case $2 in
@*) cp "$TARBALLS/scoped.tgz" . ;;
*) cp "$TARBALLS/plain.tgz" . ;;
esac
"""
CONTENTS = {"dist/run.mjs": b"export {};", "dist/run.wasm": b"\0asm" * 1000, "decode.wasm": b"\0asm decode"}


def tarball(**files):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def package(name, data, *paths):
    files = tuple(PackageFile(path, len(CONTENTS[path]), hashlib.sha256(CONTENTS[path]).hexdigest()) for path in paths)
    return NpmPackage(name, "1.0.0", assets.integrity_of(data), len(data), files, "MIT", f"{name} is by somebody.")


@pytest.fixture
def tarballs(tmp_path, monkeypatch):
    """Put two small packages in the place of the pinned ones; give the folder of their tarballs."""
    folder = tmp_path / "tarballs"
    folder.mkdir()
    plain = tarball(**{"package.json": b"{}", **{name: CONTENTS[name] for name in ("dist/run.mjs", "dist/run.wasm")}})
    scoped = tarball(**{"index.js": b"", "decode.wasm": CONTENTS["decode.wasm"]})
    for name, data in (("plain", plain), ("scoped", scoped)):
        (folder / f"{name}.tgz").write_bytes(data)
    packages = (package("plain", plain, "dist/run.mjs", "dist/run.wasm"), package("@a/scoped", scoped, "decode.wasm"))
    for module in (assets, npm_packages):
        monkeypatch.setattr(module, "PACKAGES", packages)
        monkeypatch.setattr(module, "FILES", tuple(file for one in packages for file in one.files))
    return folder


@pytest.fixture
def npm(tmp_path, tarballs, monkeypatch):
    """Put a script in the place of npm: `npm(text)` writes another; `npm.told` has a line for each call."""
    script, told = tmp_path / "bin/npm", tmp_path / "told"
    script.parent.mkdir()
    # neither the environment's npm nor one beside this Python
    monkeypatch.setattr(sys, "executable", str(script.with_name("python")))
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}/usr/bin{os.pathsep}/bin")
    monkeypatch.setenv("TARBALLS", str(tarballs))
    monkeypatch.setenv("TOLD", str(told))

    def written(text):
        script.write_text(text)
        script.chmod(0o755)

    written(NPM)
    written.told = told
    return written


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def failure(call, *arguments):
    with pytest.raises(UserError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_only_the_files_that_are_used_are_kept_with_their_licences(npm, cache):
    progress = []
    folder = assets.fetch(cache, progress.append)
    assert folder == assets.require(cache)
    names = {"run.mjs", "run.wasm", "decode.wasm"}
    assert {path.name for path in folder.iterdir()} == names | {"licences.txt"}
    assert {path: (folder / path.rpartition("/")[2]).read_bytes() for path in CONTENTS} == CONTENTS
    assert "plain@1.0.0: MIT\nplain is by somebody." in (folder / "licences.txt").read_text()
    assert [line.split()[:2] for line in npm.told.read_text().splitlines()] == [
        ["pack", "plain@1.0.0"],
        ["pack", "@a/scoped@1.0.0"],
    ]
    assert [line.split(":")[0] for line in progress] == [
        "fetching plain@1.0.0 by npm",
        "fetching @a/scoped@1.0.0 by npm",
    ]


def test_what_is_there_is_not_fetched_again(npm, cache):
    assets.fetch(cache)
    npm("#!/bin/sh\nexit 1\n")
    progress = []
    assert assets.fetch(cache, progress.append) == assets.require(cache)
    assert progress == ["nothing to fetch: all files are there, and sound"]


@pytest.mark.usefixtures("npm")
def test_a_damaged_or_missing_file_is_named_and_fetched_anew(cache):
    folder = assets.fetch(cache)
    (folder / "run.wasm").write_bytes(b"\0asm" * 999 + b"\0bsm")
    assert "run.wasm: is damaged: it has another hash" in failure(assets.require, cache)
    (folder / "run.wasm").unlink()
    assert "run.wasm: cannot be read (No such file" in failure(assets.require, cache)
    (folder / "of another program").touch()
    assets.fetch(cache)
    assert assets.require(cache) == folder
    assert not (folder / "of another program").exists()


@pytest.mark.usefixtures("tarballs")
def test_before_they_are_fetched_the_command_is_named(cache):
    said = failure(assets.require, cache)
    assert said == "the files that run in a browser: are not there yet; fetch them once: midas-bench web-assets"


@pytest.mark.usefixtures("npm")
def test_another_tarball_than_the_pinned_one_is_not_kept(cache, tarballs, files_in):
    (tarballs / "scoped.tgz").write_bytes(tarball(**{"decode.wasm": b"something else"}))
    said = failure(assets.fetch, cache)
    assert said.startswith("@a/scoped@1.0.0: has the hash sha512-")
    assert files_in(cache) == []


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ('echo \'{"error": {"code": "E", "summary": "no such host"}}\'; exit 1', "(no such host)"),
        ("printf '\\nnpm ERR! code E404\\nnpm ERR! more\\n' >&2; exit 1", "(npm ERR! code E404)"),
        ("exit 1", "(it says nothing)"),
        ("exit 0", "(it says nothing)"),
        ("kill -9 $$", "(it says nothing)"),
    ],
)
def test_what_npm_complains_of_is_one_line(npm, cache, script, reason, files_in):
    npm(f"#!/bin/sh\n{script}\n")
    said = failure(assets.fetch, cache)
    assert said.startswith(f"plain@1.0.0: npm cannot fetch it {reason}; check the network")
    assert files_in(cache) == []


def test_an_npm_that_does_not_end_is_given_up(npm, cache, monkeypatch):
    monkeypatch.setattr(assets, "NPM_TIMEOUT_S", 0.05)
    npm("#!/bin/sh\nexec sleep 60\n")
    assert "did not finish" in failure(assets.fetch, cache)


@pytest.mark.usefixtures("tarballs")
def test_without_npm_three_ways_to_get_on_are_named(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    said = failure(assets.fetch, cache)
    assert said.startswith("npm: is not installed; ")
    assert all(way in said for way in ("apt install npm", "midas-bench[browser]", "--from"))


def test_npm_of_a_user_without_a_home_keeps_its_own_cache_in_a_temporary_folder(npm, cache, monkeypatch):
    monkeypatch.setenv("HOME", os.devnull)
    assets.fetch(cache)
    assert all("--cache=" in line for line in npm.told.read_text().splitlines())


@pytest.mark.usefixtures("npm")
def test_a_full_disk_leaves_nothing(cache, files_in, monkeypatch):
    write_whole = assets.write_whole

    def full(path, content):
        if path.name == "run.wasm":
            raise UserError(path, "cannot be written (No space left on device)", "free some space")
        write_whole(path, content)

    monkeypatch.setattr(assets, "write_whole", full)
    assert "No space left" in failure(assets.fetch, cache)
    assert files_in(cache) == []


def test_a_cache_that_cannot_be_written_is_said_before_anything_is_fetched(npm, cache):
    cache.mkdir()
    (cache / "web-assets").write_text("a file where a folder should be")
    assert "cannot be written" in failure(assets.fetch, cache)
    assert not npm.told.exists()


def test_tarballs_from_elsewhere_are_told_apart_by_their_hash(tarballs, cache, tmp_path, capsys):
    for name, number in (("plain", 1), ("scoped", 2)):
        (tarballs / f"{name}.tgz").rename(tmp_path / f"{number}.tgz")
    assert command.main(["web-assets", "--from", str(tmp_path / "1.tgz"), str(tmp_path / "2.tgz")]) == 0
    folder = assets.require(cache)
    assert capsys.readouterr().out.startswith(f"{folder}: 3 files, 0.00402 MB; licences.txt there")


def test_a_folder_of_tarballs_may_hold_others(tarballs, cache):
    (tarballs / "other.tgz").write_bytes(b"of another project")
    assert assets.take(cache, [tarballs]) == assets.require(cache)


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["plain.tgz"], "@a/scoped@1.0.0: is not among the tarballs of --from; download it with npm pack"),
        (["plain.tgz", "other.tgz"], "other.tgz: is neither plain@1.0.0 nor @a/scoped@1.0.0, by its hash"),
        (["none.tgz"], "none.tgz: cannot be read (No such file or directory)"),
        (["."], "plain@1.0.0: is not among the tarballs of --from"),
    ],
)
def test_tarballs_that_are_missing_or_foreign_are_bad_input(names, reason, tarballs, cache, capsys, files_in):
    (tarballs / "other.tgz").write_bytes(tarball(**{"decode.wasm": b"something else"}))
    folder = tarballs if names != ["."] else cache.parent
    assert command.main(["web-assets", "--from", *(str(folder / name) for name in names)]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert reason in told.err
    assert told.err.count("\n") == 1
    assert files_in(cache) == []


def test_every_file_has_a_name_of_its_own_and_every_package_a_part_in_the_folders_name():
    assert len({file.name for file in npm_packages.FILES}) == len(npm_packages.FILES)
    assert all(package.version in assets.VERSION for package in npm_packages.PACKAGES)
    assert all(package.integrity.startswith("sha512-") for package in npm_packages.PACKAGES)
    assert all(package.wanted in npm_packages.licences() for package in npm_packages.PACKAGES)


@pytest.mark.slow
def test_npm_brings_what_is_pinned(web_assets):
    folder = assets.require(web_assets)
    sizes = {file.name: file.size_bytes for file in npm_packages.FILES}
    assert {name: (folder / name).stat().st_size for name in sizes} == sizes

    assert (folder / assets.LICENCES).read_text() == npm_packages.licences()


@pytest.mark.slow
def test_a_site_of_ones_own_is_written_whole(web_assets, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv(CACHE_VARIABLE, str(web_assets))
    site = tmp_path / "my sité" / "device"
    assert command.main(["web-assets", "--site", str(site), "--weights", "seeded"]) == 0
    said = capsys.readouterr().out
    assert "timing only" in said
    assert f"{site}: " in said
    settings = json.loads((site / "settings.json").read_text())
    assert [model["name"] for model in settings["models"]] == ["fp32", "int8"]
    assert all((site / model["file"]).stat().st_size == model["bytes"] for model in settings["models"])


@pytest.mark.parametrize("flags", [("--weights", "seeded"), ("--model", "own.onnx"), ("--size", "192x256")])
def test_flags_of_the_network_want_a_site(flags, capsys):
    assert command.main(["web-assets", *flags]) == 2
    assert "add --site FOLDER" in capsys.readouterr().err


def test_a_site_that_cannot_be_written_is_one_line_before_anything_is_fetched(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert command.main(["web-assets", "--site", str(tmp_path / "file"), "--weights", "seeded"]) == 2
    assert "cannot be written" in capsys.readouterr().err.splitlines()[-1]
