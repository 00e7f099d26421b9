"""The page that docs/browser.md shows, as written there, on the server that it names."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from midas_bench.depth.artifacts import artifact
from midas_bench.depth.heatmap import INFERNO_RGB
from midas_bench.depth.interface import MIDAS
from midas_bench.depth.pipeline import DepthPipeline
from midas_bench.depth.weights import seeded
from midas_bench.web import assets
from midas_bench.web.device_files import DeviceFiles

pytestmark = pytest.mark.browser

PATIENCE_MS = 60_000
PIXELS = """() => {
    const canvas = document.getElementById("heatmap");
    return Array.from(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data);
}"""


@pytest.fixture
def site(project, graphs, web_assets, tmp_path):
    """Make the site, and serve it; gives its address."""
    folder = tmp_path / "my sité"
    graph = artifact("onnx", seeded(), Path(graphs))
    DeviceFiles({"fp32": graph.path}, MIDAS, assets.require(web_assets), 64_000_000).export(folder / "device")
    [page] = re.findall(r"```html\n(.*?)```", (project / "docs/browser.md").read_text(), re.DOTALL)
    (folder / "index.html").write_text(page)
    command = [sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory", folder, "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield re.search(r"http://[^ ]*/", server.stdout.readline())[0]
    finally:
        server.terminate()
        server.communicate()


def test_a_page_of_ones_own_shows_a_photos_depth(site, new_page, photo, graphs):
    page = new_page()
    page.goto(site)
    status = page.get_by_role("status")
    status.filter(has_text="Ready; threads: 1").wait_for(timeout=PATIENCE_MS)
    page.get_by_label("Photo").set_input_files({"name": "china.jpg", "mimeType": "image/jpeg", "buffer": photo})
    status.filter(has_text=re.compile(r"Inference: \d+ ms")).wait_for(timeout=PATIENCE_MS)
    with DepthPipeline.open("onnx", weights="seeded", threads=1, cache_dir=str(graphs)) as pipeline:
        [indices] = pipeline.run([photo], palette=True).heatmaps
    theirs = INFERNO_RGB[:, 0].astype(int)[indices]
    ours = np.array(page.evaluate(PIXELS)).reshape(*indices.shape, 4)[..., :3]
    assert (np.abs(ours - theirs).max(axis=2) <= 2).mean() >= 0.999
    page.get_by_label("Photo").set_input_files({"name": "x.jpg", "mimeType": "image/jpeg", "buffer": b"no photo"})
    status.filter(has_text="The photo cannot be decoded").wait_for(timeout=PATIENCE_MS)
    assert [asked for asked in page.requested if not asked.startswith(site)] == []
