MARKED = """
import pytest

def odd(batch_size, scene, **_):
    return batch_size % 2 == 1

def small(batch_size, **_):
    return batch_size < 3

@pytest.mark.makes_sense.with_args(odd)
@pytest.mark.by_default.with_args(small)
def test_marked(cell, batch_size, scene):
    cell.time("group", lambda: None)

@pytest.mark.not_quick
def test_long(cell):
    cell.time("group", lambda: None)
"""


def ids(ran):
    lines = [line.strip() for line in ran.output.splitlines()]
    return [line.removeprefix("<Function ").removesuffix(">") for line in lines if line.startswith("<Function ")]


def test_ids_read_as_sentences_and_run_by_backend_then_batch_size_then_scene(fake):
    ran = fake.run("--collect-only", "--backend=fake,other")
    assert ids(ran) == [
        f"test_cells[{backend}-b{size}-{scene}]"
        for backend in ("fake", "other")
        for size in (1, 2, 3, 4)
        for scene in ("street", "indoor", "pet")
    ]


TWO_MODELS = ("--model=runs/teacher.onnx", "--model=student.onnx")
WITHOUT_A_NETWORK = """
def test_decode(cell, scene):
    cell.time("group", lambda: None)
"""


def test_a_model_of_ones_own_changes_no_id(fake):
    assert ids(fake.run("--collect-only", "--model=one.onnx")) == ids(fake.run("--collect-only"))


def test_several_models_stand_before_the_backend_in_ids(fake):
    ran = fake.run("--collect-only", "--backend=fake,other", *TWO_MODELS)
    expected = [
        f"test_cells[{model}-{backend}-b{size}-{scene}]"
        for model in ("teacher", "student")
        for backend in ("fake", "other")
        for size in (1, 2, 3, 4)
        for scene in ("street", "indoor", "pet")
    ]
    # pytest goes from the last backend of a model on to the same of the next, which sets less up
    assert sorted(ids(ran)) == sorted(expected)
    chosen = ids(fake.run("--collect-only", "--backend=fake,other", *TWO_MODELS, "-k", "student and b1 and fake"))
    assert chosen == [f"test_cells[student-fake-b1-{scene}]" for scene in ("street", "indoor", "pet")]


def test_a_cell_that_asks_for_no_network_is_not_repeated_per_model(fake):
    fake.bench(WITHOUT_A_NETWORK)
    assert ids(fake.run("--collect-only", *TWO_MODELS)) == [f"test_decode[{s}]" for s in ("street", "indoor", "pet")]


def test_a_model_that_is_named_twice_is_one(fake):
    twice = fake.run("--collect-only", "--model=one.onnx", "--model=one.onnx")
    assert ids(twice) == ids(fake.run("--collect-only"))


def test_cells_are_left_out_or_kept_for_an_extended_run_by_their_conditions(fake):
    fake.bench(MARKED)
    default = [f"test_marked[b1-{scene}]" for scene in ("street", "indoor", "pet")]
    assert ids(fake.run("--collect-only")) == [*default, "test_long"]
    extended = ids(fake.run("--collect-only", "-m", "extended"))
    assert extended == [name.replace("b1", "b3") for name in default]


def test_a_quick_run_takes_one_scene_the_ends_of_the_batch_sizes_and_leaves_long_cells_out(fake):
    fake.bench(MARKED.replace("% 2 == 1", "> 0").replace("< 3", "< 9"))
    assert ids(fake.run("--collect-only", "--quick")) == ["test_marked[b1-street]", "test_marked[b4-street]"]


def test_a_damaged_photo_is_a_usage_error_said_once(fake):
    (fake.root / "fixtures/images/pet2.png").write_bytes(b"GIF89a")
    ran = fake.run()
    assert ran.code == 4
    assert ran.output.count("pet2.png") == 1
    assert fake.journals() == []
