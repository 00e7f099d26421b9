"""`--backend fast`: what a first look keeps is measured, also after an interruption."""

import json


def backends(path):
    return {row["params"]["backend"] for row in json.loads(path.read_text())["benchmarks"]}


def test_the_backends_of_a_first_look_are_measured_beside_those_that_are_named(fake):
    ran = fake.run("--backend=fast", FAKE_LOOK="fake")
    assert ran.code == 0
    assert "left out: backend slow: 9 s per photo in a first look" in ran
    assert backends(fake.files()[-1]) == {"fake"}
    fake.run("--backend=other,fast", FAKE_LOOK="fake")
    assert backends(fake.files()[-1]) == {"fake", "other"}


def test_a_resumed_run_goes_on_with_the_backends_that_it_began_with(fake):
    fake.interrupted(5, "--backend=fake")
    ran = fake.run("--resume", "--backend=fast", FAKE_LOOK="other")
    assert ran.code == 0
    assert "look" not in fake.events()
    assert backends(fake.files()[-1]) == {"fake"}


def test_with_nothing_to_resume_there_is_a_first_look(fake):
    ran = fake.run("--resume", "--backend=fast", FAKE_LOOK="other")
    assert ran.code == 0
    assert backends(fake.files()[-1]) == {"other"}
