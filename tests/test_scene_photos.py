import hashlib
import json
import re

import numpy as np
import pytest

from midas_bench import scene_photos
from midas_bench.errors import UserError


@pytest.fixture
def jpeg(encode):
    return encode(np.full((20, 30, 3), 128, np.uint8), "JPEG")


@pytest.fixture
def manifest(tmp_path, jpeg):
    """Write a manifest of one photo with some of its row changed, or left out with None."""

    def written(**changes):
        row = {
            "scene": "pet",
            "file": "cat.jpg",
            "source": "drawn",
            "author": "Zoë",
            "licence": "CC0-1.0",
            "width": 30,
            "height": 20,
            "sha256": hashlib.sha256(jpeg).hexdigest(),
        } | changes
        lines = [f"{name} = {json.dumps(value)}" for name, value in row.items() if value is not None]
        (tmp_path / "cat.jpg").write_bytes(jpeg)
        path = tmp_path / "manifest.toml"
        path.write_text("[[photo]]\n" + "\n".join(lines) + "\n", encoding="utf-8")
        return path

    return written


def test_the_projects_manifest_has_a_photo_of_each_scene_in_order(project):
    found = scene_photos.from_manifest(project / "fixtures/images/manifest.toml")
    assert tuple(found) == scene_photos.SCENES == ("street", "indoor", "pet", "portrait")


def test_a_row_becomes_a_photo_with_its_bytes(manifest, jpeg, tmp_path):
    [photo] = scene_photos.from_manifest(manifest())["pet"]
    assert (photo.scene, photo.file, photo.width, photo.height) == ("pet", "cat.jpg", 30, 20)
    assert photo.data == jpeg
    assert photo.sha256 == hashlib.sha256(jpeg).hexdigest()
    assert photo.path == (tmp_path / "cat.jpg").resolve()


def test_a_photo_knows_its_author_its_licence_and_what_it_shows(manifest, tmp_path, jpeg):
    [photo] = scene_photos.from_manifest(manifest(alt="a cat"))["pet"]
    assert (photo.author, photo.licence, photo.alt) == ("Zoë", "CC0-1.0", "a cat")
    [inconclusive] = scene_photos.from_manifest(manifest())["pet"]
    assert inconclusive.alt == "a photo of the kind pet"
    (tmp_path / "own/street").mkdir(parents=True)
    (tmp_path / "own/street/a.jpg").write_bytes(jpeg)
    [own] = scene_photos.from_folder(tmp_path / "own")["street"]
    assert (own.author, own.licence, own.alt) == ("", "", "a photo of the kind street")


def test_columns_beyond_the_required_are_welcome(manifest):
    [photo] = scene_photos.from_manifest(manifest(depth="depth/cat.png", depth_scale=0.001))["pet"]
    assert photo.depth_scale == 0.001
    [photo] = scene_photos.from_manifest(manifest(depth="depth/cat.png", depth_scale=1))["pet"]
    assert photo.depth_scale == 1.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sha256": "0" * 64}, r"cat\.jpg: has SHA-256 \w{8}\.\.\. where manifest\.toml says 0{8}\.\.\.; restore"),
        ({"width": 31}, r"cat\.jpg: is 30x20 where manifest\.toml says 31x20; correct the row"),
        ({"width": 20, "height": 30}, "is 30x20 where manifest.toml says 20x30"),
        ({"licence": None, "author": None}, r"manifest\.toml, photo 1: lacks author, licence; complete the row"),
        ({"scene": "beach"}, "unknown scene 'beach'; choose from street, indoor, pet, portrait"),
        ({"scene": ["pet"]}, "photo 1: has a file or scene that is no text; correct the row"),
        ({"file": 7}, "photo 1: has a file or scene that is no text; correct the row"),
        ({"depth": "d.png"}, r"cat\.jpg: has depth without a depth_scale; add it to the row"),
        ({"depth": 5, "depth_scale": 1.0}, r"cat\.jpg: has a depth that is no file's name; correct the row"),
        ({"depth": "d.png", "depth_scale": -0.1}, r"cat\.jpg: has depth_scale -0\.1, which is no positive number"),
        ({"depth": "d.png", "depth_scale": True}, "has depth_scale True, which is no positive number"),
        ({"depth": "d.png", "depth_scale": "1"}, "has depth_scale '1', which is no positive number"),
        ({"file": "dog.jpg"}, r"dog\.jpg: cannot be read \(No such file or directory\); restore it or remove it"),
        ({"file": "."}, r"cannot be read \(Is a directory\)"),
    ],
)
def test_a_row_that_does_not_fit_is_named(manifest, changes, message):
    with pytest.raises(UserError, match=message):
        scene_photos.from_manifest(manifest(**changes))


@pytest.mark.parametrize("scale", ["nan", "inf", "-inf", "0", "0.0"])
def test_a_scale_that_is_no_positive_number_is_named(manifest, scale):
    path = manifest(depth="d.png")
    path.write_text(f"{path.read_text()}depth_scale = {scale}\n")
    with pytest.raises(UserError, match="which is no positive number; correct the row"):
        scene_photos.from_manifest(path)


def test_depth_that_is_sky_alone_is_named(manifest, tmp_path, encode):
    (tmp_path / "sky.png").write_bytes(encode(np.zeros((10, 15), np.uint16), "PNG"))
    [photo] = scene_photos.from_manifest(manifest(depth="sky.png", depth_scale=0.1))["pet"]
    with pytest.raises(UserError, match=r"sky\.png: holds nothing but sky \(all zero\); restore it"):
        photo.true_inverse_depth()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"photo = [", "is not TOML"),
        (b"# nothing", r"has no \[\[photo\]\] row"),
        (b"photo = []", r"has no \[\[photo\]\] row"),
        (b"[photo]\nscene = 'pet'", r"has no \[\[photo\]\] row"),
        (b"photo = [1]", r"has no \[\[photo\]\] row"),
        (b"\xff\xfe", r"has no \[\[photo\]\] row"),
        (b"\xff\xfe\x00", "is not TOML"),
        (b"\xff", "is not TOML"),
    ],
)
def test_a_manifest_without_rows_is_an_error(tmp_path, content, message):
    path = tmp_path / "manifest.toml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        scene_photos.from_manifest(path)


def test_a_manifest_is_read_in_every_encoding_of_unicode(manifest, encoded_text):
    path = manifest()
    path.write_bytes(encoded_text(path.read_text(encoding="utf-8").replace("\n", "\r\n")))
    assert scene_photos.from_manifest(path)["pet"][0].author == "Zoë"


def test_a_missing_manifest_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"manifest\.toml: cannot be read \(No such file or directory\); restore it"):
        scene_photos.from_manifest(tmp_path / "manifest.toml")


def add(folder, scene, name, data):
    (folder / scene).mkdir(parents=True, exist_ok=True)
    (folder / scene / name).write_bytes(data)


def test_a_folder_of_ones_own_is_read_scene_by_scene(tmp_path, jpeg, encode):
    folder = tmp_path / "Ma photothèque, été"
    sideways = encode(np.zeros((20, 30, 3), np.uint8), "PNG", orientation=6)
    add(folder, "portrait", "b é.JPG", jpeg)
    add(folder, "portrait", "a.png", sideways)
    add(folder, "street", "c.webp", encode(np.zeros((8, 9, 3), np.uint8), "WEBP"))
    add(folder, "street", "._c.webp", b"not looked at")
    add(folder, ".hidden", "x.jpg", b"not looked at")
    found = scene_photos.from_folder(folder)
    assert list(found) == ["street", "portrait"]
    assert [(p.file, p.width, p.height) for p in found["portrait"]] == [("a.png", 20, 30), ("b é.JPG", 30, 20)]
    assert found["street"][0].scene == "street"


def test_a_folder_of_ones_own_may_hold_files_of_any_name(tmp_path, jpeg, odd_name):
    add(tmp_path / odd_name, "pet", f"{odd_name}.jpg", jpeg)
    [photo] = scene_photos.from_folder(tmp_path / odd_name)["pet"]
    assert photo.file == f"{odd_name}.jpg"
    assert photo.path.read_bytes() == jpeg


def test_true_depth_is_read_from_a_folder_of_any_name(manifest, tmp_path, encode, odd_name):
    manifest(depth="d.png", depth_scale=0.5)
    (tmp_path / "d.png").write_bytes(encode(np.full((10, 15), 4, np.uint16), "PNG"))
    place = tmp_path / odd_name
    place.mkdir()
    for name in ("manifest.toml", "cat.jpg", "d.png"):
        (tmp_path / name).rename(place / name)
    [photo] = scene_photos.from_manifest(place / "manifest.toml")["pet"]
    assert (photo.true_inverse_depth() == 2).all()
    (place / "d.png").write_bytes(b"")
    with pytest.raises(UserError, match="is missing or not a 16-bit grey PNG"):
        photo.true_inverse_depth()


@pytest.mark.parametrize(
    ("scene", "name", "content", "message"),
    [
        ("beach", "a.jpg", b"", "beach: is for an unknown scene 'beach'; choose from street"),
        (
            "pet",
            ".txt",
            b"",
            "holds no photos; put photos into it, or one folder per scene: street, indoor, pet, portr",
        ),
        ("pet", "a.txt", b"", r"holds no photos \(left out: 1 video or other: pet/a\.txt\); put photos into it"),
        ("pet", "a.jpg", b"GIF89a", r"holds no photos \(left out: 1 GIF: pet/a\.jpg\)"),
        ("DCIM", "a.txt", b"", r"holds no photos \(left out: 1 folder: DCIM\)"),
        ("pet", "a.jpg", b"", r"holds no photos \(left out: 1 damaged \(is empty \(0 bytes\)\): pet/a\.jpg\)"),
        (
            "pet",
            "a.jpg",
            b"<html>",
            r"1 damaged \(is not a JPEG, PNG or WebP \(first bytes 3c 68 74 6d\)\): pet/a\.jpg",
        ),
        (".", "a.jfif", b"", r"1 damaged \(is empty \(0 bytes\)\): a\.jfif"),
    ],
)
def test_an_unusable_folder_is_the_users_error(tmp_path, scene, name, content, message):
    add(tmp_path, scene, name, content)
    with pytest.raises(UserError, match=message):
        scene_photos.from_folder(tmp_path)


@pytest.mark.parametrize("quality", [{}, {"progressive": True}])
def test_a_photo_of_ones_own_whose_rows_are_missing_is_left_out_with_a_word(tmp_path, encode, quality):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    whole = encode(noise, "JPEG", **quality)
    add(tmp_path, "pet", "a.jpg", whole[: len(whole) // 2] + b"\xff\xd9")
    add(tmp_path, "pet", "b.jpg", whole)
    lines = []
    assert [photo.file for photo in scene_photos.from_folder(tmp_path, lines.append)["pet"]] == ["b.jpg"]
    [line] = lines
    assert line.startswith("left out: 1 damaged (is damaged and cannot be decoded (libjpeg: ")
    assert line.endswith(": pet/a.jpg")


def test_a_folder_of_photos_alone_is_one_scene(tmp_path, jpeg):
    for name in ("a.jpg", "b.jpg"):
        add(tmp_path, ".", name, jpeg)
    add(tmp_path, "notes", "a.txt", b"")
    lines = []
    scenes = scene_photos.from_folder(tmp_path, lines.append)
    assert {scene: [photo.file for photo in photos] for scene, photos in scenes.items()} == {"own": ["a.jpg", "b.jpg"]}
    assert lines == ["left out: 1 folder: notes"]


def test_photos_that_no_batch_takes_are_named():
    scenes = {"pet": [photo(f"{number}.jpg") for number in range(5)], "own": [photo("a.jpg")]}
    text = "pet: 5 photos, the first 4 are timed (not 4.jpg); own: 1 photo"
    assert scene_photos.timed_text(scenes, 4) == text


@pytest.mark.parametrize("name", ["a", "a.jfif", "a.JPE", "a.mpo", "a.heic", "a.png", "a.txt", "IMG 1", "-rf"])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_photos_of_a_folder_are_told_by_their_first_bytes(tmp_path, encode, name, format):
    add(tmp_path, "pet", name, encode(np.zeros((20, 30, 3), np.uint8), format))
    lines = []
    [photo] = scene_photos.from_folder(tmp_path, lines.append)["pet"]
    assert (photo.file, photo.width, photo.height, lines) == (name, 30, 20, [])


def test_what_a_scene_holds_beside_photos_is_counted_and_named_in_one_line(tmp_path, jpeg, left_out_files):
    add(tmp_path, "pet", "a.jpg", jpeg)
    line = left_out_files(tmp_path / "pet", "pet/")
    lines = []
    photos = scene_photos.from_folder(tmp_path, lines.append)
    assert [photo.file for photo in photos["pet"]] == ["a.jpg"]
    assert lines == [line]


LITTER = ("@eaDir", "__MACOSX", ".thumbnails", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found")


@pytest.mark.parametrize("name", LITTER)
def test_folders_that_systems_leave_are_no_scenes_and_need_no_mention(tmp_path, jpeg, name):
    add(tmp_path, "pet", "a.jpg", jpeg)
    add(tmp_path, name, "a.jpg", jpeg)
    add(tmp_path / "pet", name, "a.jpg", jpeg)
    lines = []
    photos = scene_photos.from_folder(tmp_path, lines.append)
    assert [(scene, len(photos[scene])) for scene in photos] == [("pet", 1)]
    assert lines == []


def test_folders_without_photos_and_photos_in_no_folder_are_named(tmp_path, jpeg):
    add(tmp_path, "pet", "a.jpg", jpeg)
    add(tmp_path, ".", "loose.jpg", jpeg)
    add(tmp_path, "raw", "a.dng", b"II*\0")
    add(tmp_path, "DCIM/100APPLE", "a.jpg", jpeg)
    (tmp_path / "street").mkdir()
    lines = []
    assert list(scene_photos.from_folder(tmp_path, lines.append)) == ["pet"]
    assert lines == ["left out: 2 folders, 1 outside of the scenes' folders: DCIM, raw, loose.jpg"]
    add(tmp_path, "raw", "b.txt", jpeg)
    with pytest.raises(
        UserError, match="raw: is for an unknown scene 'raw'; choose from street, indoor, pet, portrait"
    ):
        scene_photos.from_folder(tmp_path, lines.append)


def test_of_many_files_that_are_left_out_the_first_are_named():
    others = [scene_photos.LeftOut(f"{number:03}\n.heic", "HEIC") for number in range(300)]
    line = scene_photos.left_out_line(others)
    assert line.startswith("left out: 300 HEIC: 000\\n.heic, 001\\n.heic, ")
    assert line.endswith("009\\n.heic and 290 more")


@pytest.mark.parametrize("exists", [True, False])
def test_a_folder_that_is_none_or_empty_is_the_users_error(tmp_path, exists):
    folder = tmp_path / "photos"
    if exists:
        folder.mkdir()
    with pytest.raises(UserError, match=re.escape(f"{folder}: {'holds no photos' if exists else 'no such folder'};")):
        scene_photos.from_folder(folder)


def photo(name):
    return scene_photos.Photo("pet", name, name.encode(), 1, 1, name, scene_photos.Path(name))


def test_a_batch_takes_different_photos_while_there_are_any():
    batch = scene_photos.batch([photo("a"), photo("b"), photo("c")], 2)
    assert batch.data == [b"a", b"b"]
    assert not batch.repeated


def test_a_batch_larger_than_the_scene_repeats_and_says_so():
    batch = scene_photos.batch([photo("a"), photo("b")], 3)
    assert batch.data == [b"a", b"b", b"a"]
    assert batch.repeated


@pytest.mark.parametrize("size", [0, -1])
def test_a_batch_of_none_is_the_users_error(size):
    with pytest.raises(UserError, match=f"batch size {size}: a batch needs at least one photo; choose 1 or more"):
        scene_photos.batch([photo("a")], size)
