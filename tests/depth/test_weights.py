import errno
import hashlib
import http.server
import os
import shutil
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from midas_bench.depth import weights
from midas_bench.depth.weights import Release, Weights, resolve
from midas_bench.errors import UserError

BODY = b"not really a checkpoint" * 40_000
SHA256 = hashlib.sha256(BODY).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        body, claimed_bytes = self.server.body, len(self.server.body)
        if self.path == "/missing.pt":
            self.send_error(404)
            return
        if self.path == "/elsewhere.pt":
            self.send_response(302)
            self.send_header("Location", "/weights.pt")
            self.end_headers()
            return
        if self.path in ("/truncated.pt", "/stalled.pt"):
            body = body[: len(body) // 2]
        self.send_response(200)
        if self.path != "/unsized.pt":
            self.send_header("Content-Length", str(claimed_bytes))
        self.end_headers()
        self.wfile.write(body)
        if self.path == "/stalled.pt":
            self.server.over.wait(30)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        listening.daemon_threads = False  # waited for at the end: none outlives its test and says so in the next one
        listening.body, listening.asked, listening.over = BODY, [], threading.Event()
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield listening
        listening.over.set()
        listening.shutdown()
        thread.join()


@pytest.fixture
def release(server):
    def at(path="weights.pt", sha256=SHA256[:8]):
        return Release(f"http://127.0.0.1:{server.server_port}/{path}", sha256)

    return at


def test_the_official_checkpoint_is_downloaded_once(tmp_path, release, server, files_in):
    found = resolve("official", tmp_path, release())
    assert found == Weights("official", SHA256, str(release().cached(tmp_path)))
    assert resolve("auto", tmp_path, release()) == resolve("official", tmp_path, release()) == found
    assert files_in(tmp_path) == [f"weights/midas_v21_small-{SHA256[:8]}.pt"]
    assert release().cached(tmp_path).read_bytes() == BODY
    assert server.asked == ["/weights.pt"]


@pytest.mark.parametrize("path", ["elsewhere.pt", "unsized.pt"])
def test_redirections_and_unknown_lengths_are_followed(tmp_path, release, path):
    assert resolve("official", tmp_path, release(path)).sha256 == SHA256


def test_auto_downloads_as_well(tmp_path, release):
    assert resolve("auto", tmp_path, release()).source == "official"


def test_a_downloaded_checkpoint_is_the_network_that_was_saved(tmp_path, release, server, checkpoint):
    from midas_bench.depth.network import load_network

    server.body = checkpoint.read_bytes()
    found = resolve("official", tmp_path, release(sha256=hashlib.sha256(server.body).hexdigest()))
    expected = load_network(Weights("file", "0" * 64, str(checkpoint))).state_dict()
    loaded = load_network(found).state_dict()
    assert all(tensor.equal(loaded[name]) for name, tensor in expected.items())


def refused(name, tmp_path, release, message, files_in):
    with pytest.raises(UserError, match=message) as caught:
        resolve(name, tmp_path, release)
    assert "\n" not in str(caught.value)
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("name", ["official", "auto"])
def test_a_wrong_hash_is_refused_and_nothing_kept(tmp_path, release, files_in, name):
    message = rf"weights\.pt: sent a file with SHA-256 {SHA256[:8]}\.\.\. where 00000000\.\.\. is expected; nothing was"
    refused(name, tmp_path, release(sha256="0" * 64), message, files_in)


@pytest.mark.parametrize("name", ["official", "auto"])
def test_a_truncated_download_is_refused_and_nothing_kept(tmp_path, release, files_in, name):
    message = f"sent {len(BODY) // 2} of {len(BODY)} bytes; try again; nothing was kept"
    refused(name, tmp_path, release("truncated.pt"), message, files_in)


def test_a_download_that_stalls_is_given_up_and_nothing_kept(tmp_path, release, files_in, monkeypatch):
    monkeypatch.setattr(weights, "READ_TIMEOUT_S", 2.0)  # connecting and the header come within it too
    message = r"stalled\.pt: the download stopped after \d+ bytes \(.*timed out\); try again"
    refused("official", tmp_path, release("stalled.pt"), message, files_in)


@pytest.fixture
def silent():
    """Give the address of a server that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/weights.pt"


@pytest.fixture
def closed():
    """Give an address where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    return f"http://127.0.0.1:{port}/weights.pt"


@pytest.fixture
def mute_name_server(monkeypatch):
    """Make looking up a name take for ever, which no socket's time-out covers."""
    over = threading.Event()

    def asks_for_ever(*_, **__):
        over.wait(30)
        raise OSError("the test is over")

    monkeypatch.setattr(socket, "getaddrinfo", asks_for_ever)
    yield "http://weights.invalid/weights.pt"
    over.set()


@pytest.fixture(params=["missing", "silent", "closed", "mute_name_server", "unknown name"])
def unreachable(request, monkeypatch):
    monkeypatch.setattr(weights, "CONNECT_TIMEOUT_S", 0.3)
    if request.param == "missing":
        return request.getfixturevalue("release")("missing.pt")
    if request.param == "unknown name":
        return Release("http://weights.invalid/weights.pt")
    return Release(request.getfixturevalue(request.param))


def test_auto_falls_back_to_seeded_weights(tmp_path, unreachable, files_in):
    assert resolve("auto", tmp_path, unreachable) == weights.seeded()
    assert files_in(tmp_path) == []


def test_official_fails_where_it_cannot_be_had(tmp_path, unreachable, files_in):
    message = "the official weights cannot be fetched .*; check the network, set MIDAS_BENCH_WEIGHTS_URL to a mirror"
    refused("official", tmp_path, unreachable, message, files_in)


def test_the_servers_refusal_is_quoted(tmp_path, release):
    with pytest.raises(UserError, match="the server answered 404 Not Found"):
        resolve("official", tmp_path, release("missing.pt"))


@pytest.mark.parametrize("url", ["weights.pt", "", "no-such-scheme://host/weights.pt", "http://[::1/weights.pt"])
def test_an_address_that_is_none_is_the_users_error(tmp_path, url):
    with pytest.raises(UserError, match=r"is not an address that can be fetched|cannot be fetched"):
        resolve("official", tmp_path, Release(url))


def test_a_mirror_may_be_a_file(tmp_path):
    mirror = tmp_path / "mirror é.pt"
    mirror.write_bytes(BODY)
    assert resolve("official", tmp_path / "cache", Release(mirror.as_uri(), SHA256[:8])).sha256 == SHA256


def test_a_damaged_file_in_the_cache_is_set_aside(tmp_path, release, server, files_in):
    path = release().cached(tmp_path)
    path.parent.mkdir()
    path.write_bytes(BODY[:-1])
    with pytest.raises(UserError, match=rf"and was moved to {path.stem}\.damaged; run again to download it afresh"):
        resolve("auto", tmp_path, release())
    assert files_in(tmp_path) == [f"weights/{path.stem}.damaged"]
    assert server.asked == []
    assert resolve("auto", tmp_path, release()).sha256 == SHA256


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("replace", r"has SHA-256 \w{8}\.\.\. where .* is expected, and cannot be moved aside \(Permission denied\)"),
        ("open", r"cannot be read \(Permission denied\); check its permissions"),
    ],
)
def test_a_damaged_file_that_cannot_be_read_or_moved_is_named(tmp_path, release, monkeypatch, method, message):
    path = release().cached(tmp_path)
    path.parent.mkdir()
    path.write_bytes(BODY[:-1])

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, method, refuse)
    with pytest.raises(UserError, match=message):
        resolve("auto", tmp_path, release())


def test_what_a_killed_download_left_is_removed(tmp_path, release, files_in):
    path = release().cached(tmp_path)
    path.parent.mkdir()
    (path.parent / f".{path.name}.abcdefgh.tmp").write_bytes(BODY[:99])
    resolve("official", tmp_path, release())
    assert files_in(tmp_path) == [f"weights/{path.name}"]


def test_what_another_process_fetched_meanwhile_is_taken(tmp_path, release, monkeypatch):
    path = release().cached(tmp_path)

    @contextmanager
    def others_turn(_):
        path.parent.mkdir()
        path.write_bytes(BODY)
        yield

    monkeypatch.setattr(weights, "locked", others_turn)
    monkeypatch.setattr(weights, "_download", lambda *_: pytest.fail("it was fetched again"))
    assert resolve("official", tmp_path, release()).sha256 == SHA256


def test_an_unwritable_cache_is_the_users_error(tmp_path, release):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot be written \(.*\); free some space, choose another folder, or set"):
        resolve("auto", tmp_path / "file" / "cache", release())


def test_no_progress_is_drawn_where_nobody_watches(tmp_path, release, capfd):
    resolve("official", tmp_path, release())
    assert capfd.readouterr() == ("", "")


def test_progress_is_drawn_on_stderr_for_a_terminal(tmp_path, release, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    resolve("official", tmp_path, release())
    out, err = capsys.readouterr()
    assert "MiDaS_small weights" in err
    assert out == ""


@pytest.mark.parametrize("name", ["seeded", "auto"])
def test_seeded_weights_are_no_file(tmp_path, closed, name):
    assert resolve(name, tmp_path, Release(closed)) == Weights("seeded", weights.seeded().sha256, None)


@pytest.mark.torch
def test_seeded_weights_are_identified_without_torch():
    script = """
import sys
from midas_bench.depth import weights
print(weights.seeded().sha256, "torch" in sys.modules)
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == [weights.seeded().sha256, "False"]


@pytest.mark.parametrize("what", ["SEED", "torch", "timm"])
def test_other_seeds_and_versions_are_other_weights(monkeypatch, what):
    before = weights.seeded().sha256
    if what == "SEED":
        monkeypatch.setattr(weights, "SEED", weights.SEED + 1)
    else:
        real = weights.version
        monkeypatch.setattr(weights, "version", lambda name: "99.0" if name == what else real(name))
    assert weights.seeded().sha256 != before


def test_the_build_of_torch_makes_no_other_weights(monkeypatch):
    monkeypatch.setattr(weights, "version", {"torch": "2.13.0+cpu", "timm": "1"}.get)
    cpu = weights.seeded()
    monkeypatch.setattr(weights, "version", {"torch": "2.13.0", "timm": "1"}.get)
    assert weights.seeded() == cpu


def test_a_file_is_named_by_its_bytes(tmp_path, monkeypatch):
    (tmp_path / "my é weights.pt").write_bytes(BODY)
    monkeypatch.chdir(tmp_path)
    assert resolve("my é weights.pt", tmp_path) == Weights("file", SHA256, str(tmp_path / "my é weights.pt"))


def test_a_file_with_the_official_bytes_is_official(tmp_path, monkeypatch):
    (tmp_path / "weights.pt").write_bytes(BODY)
    monkeypatch.setattr(weights, "OFFICIAL_SHA256", SHA256[:8])
    assert resolve(str(tmp_path / "weights.pt"), tmp_path).source == "official"


@pytest.mark.parametrize("name", ["nosuchfile", "", ".", "~nobody-of-this-name/w.pt", "x" * 5000, "a\0b"])
def test_a_file_that_is_none_is_the_users_error(tmp_path, name):
    with pytest.raises(UserError, match=r"no such weights file|cannot be read"):
        resolve(name, tmp_path)


def test_the_environment_names_a_mirror():
    environment = {"MIDAS_BENCH_WEIGHTS_URL": "http://mirror/w.pt", "MIDAS_BENCH_WEIGHTS_SHA256": " ABCDEF0123 "}
    assert Release.from_environment(environment) == Release("http://mirror/w.pt", "abcdef0123")
    assert Release.from_environment({}) == Release(weights.OFFICIAL_URL, "70d6b9c8")


@pytest.mark.parametrize("sha256", ["", "70d6b9c", "not hexadecimal", "0" * 65])
def test_a_hash_that_is_none_is_the_users_error(sha256):
    with pytest.raises(UserError, match=r"WEIGHTS_SHA256=.*is not 8 to 64 hexadecimal digits; correct or unset"):
        Release.from_environment({"MIDAS_BENCH_WEIGHTS_SHA256": sha256})


def test_resolved_weights_survive_json():
    for found in (weights.seeded(), Weights("file", SHA256, "/a é.pt")):
        assert Weights(**found.to_json()) == found


def test_a_full_disk_while_downloading_is_named_and_leaves_nothing(tmp_path, release, files_in, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    refused("official", tmp_path, release(), "No space left on device", files_in)
    shutil.rmtree(tmp_path / "weights")
