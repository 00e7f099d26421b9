"""The server behind a proxy that strips a path: whatever the page names is there."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import pytest

pytest.importorskip("flask", reason="needs the extra [web]")
pytestmark = pytest.mark.slow

PREFIXES = ["", "/depth", "/a/b/c", "/with%20space"]


class Links(HTMLParser):
    """What a page names, by the kind of use."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: set[str] = set()
        self.posted: set[str] = set()
        self.feed(text)

    def handle_starttag(self, _tag, attrs):
        for name, value in attrs:
            if name in ("href", "src", "data-url") and not value.startswith(("#", "data:", "blob:")):
                self.fetched.add(value)
            if name in ("action", "formaction"):
                self.posted.add(value)


@pytest.fixture(scope="module", params=PREFIXES)
def page_url(request, serving, below_path, graphs, samples):
    from midas_bench.depth.config import PipelineConfig
    from midas_bench.serve.serve_config import ServeConfig

    pipeline = PipelineConfig("onnx", threads=1, weights="seeded", cache_dir=str(graphs))
    with serving(ServeConfig(pipeline, samples=samples)) as server, below_path(server.url, request.param) as url:
        yield url


@pytest.fixture
def follow(ask, page_url):
    """Ask for a link as a browser would, from the page or from another base."""

    def followed(link, base=page_url, method="GET", **request):
        whole = urlsplit(urljoin(base, link))
        path = whole.path + (f"?{whole.query}" if whole.query else "")
        return ask(f"{whole.scheme}://{whole.netloc}", method, path, **request)

    return followed


def page_after(follow, form, photo, kind):
    fields = {"empty": None, "result": {"photo": photo}, "problem": {"photo": b"no photo"}}[kind]
    reply = follow("", method="POST", **form(**fields)) if fields else follow("")
    assert reply.headers["content-type"].startswith("text/html")
    return Links(reply.body.decode())


@pytest.mark.parametrize("kind", ["empty", "result", "problem"])
def test_every_link_of_the_page_leads_somewhere(follow, form, photo, samples, kind):
    links = page_after(follow, form, photo, kind)
    assert len(links.fetched) >= 3 + 2 * len(samples), "style, script, description; each sample whole and small"
    assert {link: follow(link).status for link in links.fetched} == dict.fromkeys(links.fetched, 200)
    assert links.posted
    for action in links.posted:
        for fields in ({"photo": photo}, {"sample": samples[0].file}):
            assert follow(action, method="POST", **form(**fields)).status == 200


def test_what_style_and_script_ask_for_is_there(follow, page_url, form, photo):
    links = page_after(follow, form, photo, "empty")
    script, style = (next(link for link in links.fetched if link.endswith(end)) for end in (".js", ".css"))
    calls = re.findall(r"""fetch\(["'`]([^"'`]+)""", follow(script).body.decode())
    assert calls
    for call in calls:  # a script's addresses count from the page that it runs in
        assert follow(call, method="POST", **form(photo=photo)).status == 200
    for name in re.findall(r"""url\(["']?([^"')]+)""", follow(style).body.decode()):
        assert name.startswith("data:") or follow(name, urljoin(page_url, style)).status == 200


def test_the_description_names_the_server_where_it_is(follow, page_url, photo):
    described = json.loads(follow("openapi.json").body)
    for server in described["servers"]:
        base = urljoin(urljoin(page_url, "openapi.json"), server["url"])
        assert base == page_url
        for path, methods in described["paths"].items():
            if "get" in methods and "{" not in path:
                assert follow(path.removeprefix("/"), base).status == 200
        assert follow("api/depth", base, "POST", body=photo).status == 200


@pytest.mark.parametrize("path", ["api//depth", "//api////depth"])
def test_double_slashes_need_no_redirect(follow, page_url, photo, path):
    reply = follow(page_url + path, method="POST", body=photo)
    assert reply.status == 200
    assert "location" not in reply.headers


@pytest.mark.parametrize("path", ["api/depth/", "api", "static/", "samples", "healthz/", "x"])
def test_no_refusal_sends_a_client_out_of_the_prefix(follow, path):
    reply = follow(path)
    assert reply.status in (404, 405)
    assert "location" not in reply.headers
    assert not re.search(r"(^|\s)/", json.loads(reply.body)["next_step"])
