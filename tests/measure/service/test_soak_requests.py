import io
from collections import Counter

import pytest
from PIL import Image

from midas_bench.depth.photo import PhotoError, inspect
from midas_bench.measure.service.client import ABORTED
from midas_bench.measure.service.soak_requests import OUTCOMES, draw_messages, messages
from midas_bench.serve.serve_config import ServeConfig

STATUS = {"empty": "400", "truncated": "400", "foreign": "415", "huge": "422"}


@pytest.fixture(scope="module")
def jpegs(encode):
    return [encode(Image.new("RGB", (640, 400 + number)), "JPEG") for number in range(2)]


@pytest.fixture(scope="module")
def by_name(jpegs):
    return messages(jpegs)


def body(message):
    return b"".join(message.parts)


@pytest.mark.parametrize("name", OUTCOMES)
def test_each_soak_request_holds_a_photo_that_deserves_its_outcome(by_name, name):
    for message in by_name[name]:
        assert message.name == name
        if message.aborts:
            assert OUTCOMES[name] == ABORTED
            with pytest.raises(PhotoError):
                inspect(body(message))
        elif OUTCOMES[name] == "413":
            assert int(message.headers["Content-Length"]) > ServeConfig().max_upload_bytes > len(body(message))
        elif OUTCOMES[name] == "200":
            assert inspect(body(message)).width <= 640
        else:
            with pytest.raises(PhotoError) as refused:
                inspect(body(message))
            assert STATUS[refused.value.kind] == OUTCOMES[name]


def test_soak_requests_cover_all_outcomes_formats_and_media_types(by_name):
    assert set(by_name) == set(OUTCOMES)
    small = by_name["small photo"]
    assert {Image.open(io.BytesIO(body(message))).format for message in small} == {"JPEG", "PNG", "WEBP"}
    assert len({(message.parts, message.headers["Accept"]) for message in small}) == len(small) == 2 * 3 * 4


def test_the_decompression_bomb_is_under_200_bytes(by_name):
    [bomb] = by_name["bomb"]
    assert len(body(bomb)) < 200


def test_the_seed_draws_the_same_messages_again(jpegs):
    def drawn(seed):
        return [message.parts for message in draw_messages(jpegs, 300, seed)]

    assert drawn(1) == drawn(1) != drawn(2)
    names = Counter(message.name for message in draw_messages(jpegs, 3000, 1))
    assert set(names) == set(OUTCOMES)
    assert sum(names.values()) == 3000
