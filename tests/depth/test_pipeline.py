import io
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from tests.depth.brightness import Brightness

from midas_bench.depth import baseline_recipe, photo, preprocess
from midas_bench.depth.config import PipelineConfig, resolve
from midas_bench.depth.heatmap import INFERNO_RGB, palette_map
from midas_bench.depth.pipeline import DepthPipeline
from midas_bench.depth.stages import STAGES
from midas_bench.depth.weights import Weights
from midas_bench.errors import UserError


@pytest.fixture(params=["fast", "article"])
def pipeline(request):
    return DepthPipeline(resolve(PipelineConfig(weights="seeded", recipe=request.param)), Brightness())


def picture(height, width, bright):
    """Draw a dark picture with one bright part, soft at its edges."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[bright] = 255
    return pixels


def is_bright(heatmap, row, column):
    return int(heatmap[row, column].sum()) > 500


def test_the_heat_map_lies_over_the_photo(pipeline, encode):
    upright = picture(100, 400, np.s_[:30, 300:])
    [heatmap] = pipeline([encode(upright, "JPEG")])
    assert heatmap.shape == (100, 400, 3)
    assert heatmap.dtype == np.uint8
    assert is_bright(heatmap, 10, 380)
    assert not any(is_bright(heatmap, row, column) for row, column in ((10, 20), (90, 20), (90, 380)))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_a_photo_taken_sideways_gives_an_upright_heat_map(pipeline, encode, format):
    upright = picture(300, 120, np.s_[:80, 80:])
    [heatmap] = pipeline([encode(np.rot90(upright, 1), format, orientation=6)])
    assert heatmap.shape == (300, 120, 3)
    assert is_bright(heatmap, 20, 110)
    assert not any(is_bright(heatmap, row, column) for row, column in ((20, 10), (290, 10), (290, 110)))


def test_the_network_sees_red_in_the_first_channel(pipeline, encode):
    pipeline([encode(np.full((32, 32, 3), (255, 0, 0), np.uint8), "PNG")])
    [batch] = pipeline.backend.batches
    np.testing.assert_allclose(batch[0].mean(axis=(1, 2)), (2.248908, -2.035714, -1.804444), atol=2e-5)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_batch_of_differing_sizes_gives_a_map_of_each_size_in_order(pipeline, encode, count):
    sizes = [(40, 90), (300, 20), (256, 256), (1, 1)][:count]
    left_or_right = [np.s_[:, : width // 2] if n % 2 else np.s_[:, width // 2 :] for n, (_, width) in enumerate(sizes)]
    pictures = [picture(*size, bright) for size, bright in zip(sizes, left_or_right, strict=True)]
    prediction = pipeline.run([encode(pixels, "PNG") for pixels in pictures])
    assert [heatmap.shape for heatmap in prediction.heatmaps] == [(*size, 3) for size in sizes]
    assert prediction.depth.shape == (count, 256, 256)
    for n, heatmap in enumerate(prediction.heatmaps[:3]):
        left, right = heatmap[:, 0].astype(int).sum(), heatmap[:, -1].astype(int).sum()
        assert left > right if n % 2 else left < right


def test_the_stages_are_timed_one_by_one(pipeline, encode):
    start_s = time.perf_counter()
    prediction = pipeline.run([encode(picture(20, 20, np.s_[:5]), "PNG")])
    whole_s = time.perf_counter() - start_s
    assert tuple(prediction.stage_s) == STAGES == ("decode", "preprocess", "inference", "heatmap")
    assert all(seconds > 0 for seconds in prediction.stage_s.values())
    assert sum(prediction.stage_s.values()) <= whole_s


def test_the_public_name_imports_neither_a_runtime_before_it_is_used_nor_pytorch():
    program = """
import sys, midas_bench
assert "onnxruntime" not in sys.modules and "midas_bench.depth" not in sys.modules
from midas_bench import DepthPipeline
assert "torch" not in sys.modules
assert DepthPipeline.__module__ == "midas_bench.depth.pipeline"
assert not hasattr(midas_bench, "Pipeline")
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_heat_map_can_be_indices_of_the_palette(pipeline, encode):
    data = [encode(picture(*size, np.s_[:5]), "PNG") for size in ((20, 30), (300, 700))]
    rgb, palette = pipeline.run(data).heatmaps, pipeline.run(data, palette=True).heatmaps
    streamed = list(pipeline.map(data, palette=True))
    assert all(map(np.array_equal, streamed, palette))
    assert [indices.shape for indices in palette] == [(20, 30), (300, 700)]
    for colours, indices in zip(rgb, palette, strict=True):
        np.testing.assert_array_equal(INFERNO_RGB[:, 0][indices], colours)


def test_a_call_gives_the_heat_maps_of_a_run(pipeline, encode):
    data = [encode(picture(20, 30, np.s_[:5]), "PNG")]
    np.testing.assert_array_equal(pipeline(data)[0], pipeline.run(data).heatmaps[0])


def test_no_photo_is_an_error(pipeline):
    with pytest.raises(ValueError, match="at least one photo"):
        pipeline([])


def test_a_photo_that_is_none_is_the_users_error(pipeline, encode):
    with pytest.raises(UserError, match="is not a JPEG, PNG or WebP"):
        pipeline([encode(picture(8, 8, np.s_[:2]), "PNG"), b"GIF89a"])


PIXELS = np.random.default_rng(0).integers(0, 255, (30, 50, 3)).astype(np.uint8)


def test_photos_are_bytes_of_any_kind_paths_or_pixels(pipeline, encode, tmp_path):
    data = encode(PIXELS, "PNG")
    (tmp_path / "é.png").write_bytes(data)
    pixels = [PIXELS, np.asfortranarray(PIXELS), PIXELS[..., ::-1][..., ::-1], *PIXELS[None]]
    given = [data, bytearray(data), memoryview(data), tmp_path / "é.png", str(tmp_path / "é.png"), *pixels]
    kept = PIXELS.copy()
    first, *others = [*pipeline(given), *pipeline.map(given), *pipeline(PIXELS[None])]
    assert first.shape == (30, 50, 3)
    for other in others:
        np.testing.assert_array_equal(other, first)
    np.testing.assert_array_equal(PIXELS, kept)


@pytest.mark.parametrize(
    ("given", "what"),
    [
        (7, "int"),
        (None, "NoneType"),
        (PIXELS[..., 0], r"uint8 \(30, 50\)"),
        (PIXELS[..., :2], r"uint8 \(30, 50, 2\)"),
        (PIXELS[:0], r"uint8 \(0, 50, 3\)"),
        (PIXELS / 255, r"float64 \(30, 50, 3\)"),
    ],
)
def test_what_is_no_photo_is_a_type_error(pipeline, given, what):
    for call in (pipeline, lambda photos: list(pipeline.map(photos))):
        with pytest.raises(TypeError, match=f"a photo is JPEG, PNG or WebP bytes, a path, or uint8 .* this is {what}"):
            call([given])


def test_a_photo_without_its_list_is_a_type_error(pipeline, encode, tmp_path):
    for one in (encode(PIXELS, "PNG"), bytearray(1), "a.png", tmp_path / "a.png", PIXELS):
        for call in (pipeline, lambda photos: list(pipeline.map(photos))):
            with pytest.raises(TypeError, match=r"and this is one \w+: \[photo\]"):
                call(one)


def test_a_depth_that_is_no_number_is_an_error(pipeline, encode):
    pipeline.backend = lambda batch: np.full((len(batch), 256, 256), np.nan, np.float32)
    with pytest.raises(ValueError, match="NaN or infinity"):
        pipeline([encode(picture(8, 8, np.s_[:2]), "PNG")])


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("source", ["model", "file"])
def test_a_depth_that_is_no_number_is_the_fault_of_ones_own_model(encode, source, number):
    own = Weights(source, "0" * 64, "own é.onnx")
    pipeline = DepthPipeline(resolve(PipelineConfig(weights=own)), Brightness())
    pipeline.backend = lambda batch: np.full((len(batch), 256, 256), number, np.float32)
    data = [encode(PIXELS, "PNG")]
    calls = (
        lambda: pipeline(data),
        lambda: list(pipeline.map(data)),
        lambda: pipeline.infer(np.zeros((1, 3, 256, 256), np.float32)),
    )
    for call in calls:
        with pytest.raises(UserError, match=r"own é\.onnx: gives NaN or infinity in place of depth"):
            call()


def test_leaving_the_block_closes_the_backend(pipeline):
    with pipeline:
        assert pipeline.backend.closed == 0
    assert pipeline.backend.closed == 1


def test_an_unknown_field_is_an_error():
    with pytest.raises(TypeError, match="colour"):
        DepthPipeline.open("onnx", colour="viridis")


@pytest.mark.torch
def test_a_cold_cache_is_filled_without_importing_torch(cold_onnx, photos):
    for told in cold_onnx["processes"]:
        assert "onnxruntime" in told["modules"]
        assert not {"torch", "timm"} & set(told["modules"])
        assert told["shape"] == [photos["street"].height, photos["street"].width, 3]


@pytest.mark.parametrize("backend", ["eager", "onnx"])
def test_a_real_photo_becomes_a_heat_map_with_the_colours_ends(graphs, photos, backend):
    with DepthPipeline.open(backend, weights="seeded", cache_dir=str(graphs)) as pipeline:
        prediction = pipeline.run([photos["pet"].data])
    [heatmap] = prediction.heatmaps
    assert heatmap.shape == photo.decode(photos["pet"].data).shape
    colours = {tuple(colour) for colour in heatmap.reshape(-1, 3).tolist()}
    assert {(0, 0, 4), (252, 255, 164)} <= colours
    assert len(colours) > 200
    assert prediction.depth.dtype == np.float32


def test_both_recipes_see_the_same_depth(graphs, photos):
    depths = []
    for recipe in ("fast", "article"):
        with DepthPipeline.open("onnx", weights="seeded", recipe=recipe, cache_dir=str(graphs)) as pipeline:
            depths.append(pipeline.run([photos["street"].data]).depth.ravel())
    assert np.corrcoef(*depths)[0, 1] > 0.95  # they resize by different filters


@pytest.mark.parametrize("name", ["street_a.jpg", "raccoon.jpg", "street_large.jpg"])
def test_decoding_to_a_fraction_moves_the_depth_no_further_than_the_choice_of_a_filter(graphs, project, name):
    data = (project / "fixtures/images" / name).read_bytes()
    theirs = baseline_recipe.preprocess([baseline_recipe.decode(data)])
    with DepthPipeline.open("onnx", weights="seeded", cache_dir=str(graphs)) as pipeline:
        recipe = pipeline.recipe
        decoded = recipe.decode(data)
        assert decoded.pixels.shape[0] < decoded.height
        ours = recipe.preprocess([decoded])
        whole = preprocess.preprocess([photo.decode(data)])
        depth, depth_of_whole, depth_of_theirs = (pipeline.backend(batch)[0] for batch in (ours, whole, theirs))
    assert np.abs(ours - theirs).mean() < 0.06  # of a standard deviation: the bound that whole decoding keeps to
    for reference, least in ((depth_of_whole, 0.94), (depth_of_theirs, 0.94)):  # seen: 0.942 and 0.954 over ten photos
        assert np.corrcoef(depth.ravel(), reference.ravel())[0, 1] > least
    assert np.abs(depth - depth_of_whole).mean() < 0.05 * np.ptp(depth_of_whole)  # seen: 0.042


def test_photo_formats_agree(graphs, project):
    data = (project / "fixtures/images/chelsea.jpg").read_bytes()  # small enough to be decoded whole in any format
    lossless = io.BytesIO()
    Image.fromarray(photo.decode(data)).save(lossless, "PNG")
    with DepthPipeline.open("onnx", weights="seeded", cache_dir=str(graphs)) as pipeline:
        depth = pipeline.run([data, lossless.getvalue()]).depth
    np.testing.assert_allclose(depth[0], depth[1], atol=1e-5 * np.ptp(depth))


def test_the_heat_map_looks_like_that_of_depth_enlarged_before_it_is_coloured(graphs, photos):
    with DepthPipeline.open("onnx", weights="seeded", cache_dir=str(graphs)) as pipeline:
        prediction = pipeline.run([taken.data for taken in photos.values()])
    for seen, depth in zip(prediction.heatmaps, prediction.depth, strict=True):
        height, width, _ = seen.shape
        for colours in (seen, INFERNO_RGB[:, 0][palette_map(depth, width, height)]):
            difference = np.abs(colours.astype(int) - baseline_recipe.heatmap(depth, width, height))
            assert difference.mean() < 0.5  # of 255; seen over all photos: 0.34
            assert np.percentile(difference, 99.9) <= 6  # seen: 5


@pytest.mark.parametrize(("cores", "threads", "at_a_time"), [(1, 1, 1), (6, 2, 3), (3, 2, 1)])
def test_a_pipeline_can_have_a_part_of_the_cores(cores, threads, at_a_time):
    config = replace(resolve(PipelineConfig(weights="seeded", threads=1)), threads=threads)
    assert DepthPipeline(config, Brightness(), cores).max_concurrent == at_a_time
