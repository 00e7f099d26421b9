"""tools/prose.py counts the sentences that readers read."""

from __future__ import annotations

import pytest

LONG = " ".join(["word"] * 31) + "."
SHORT = "Three short words."


@pytest.fixture(scope="module")
def prose(tool):
    return tool("prose")


def test_prose_splits_sentences_at_their_ends_and_at_list_items(prose):
    paragraph, items = (
        "One sentence stands here. Another one\nstands there!",
        "- An item without an end\n- Its `code` counts.",
    )
    assert prose.sentences(f"{paragraph}\n\n{items}\n") == [
        "One sentence stands here.",
        "Another one stands there!",
        "An item without an end",
        "Its code counts.",
    ]


@pytest.mark.parametrize(
    "uncounted",
    [
        f"# {LONG}",
        f"```text\n{LONG}\n```",
        f"| head |\n| --- |\n| {LONG} |",
        f"![{LONG}](picture.png)",
        f"<!-- {LONG} -->",
        "Too short.",
    ],
)
def test_prose_leaves_out_what_is_no_sentence(prose, uncounted):
    assert prose.sentences(f"{uncounted}\n\n{SHORT}\n") == [SHORT]


def test_prose_refuses_a_page_with_too_many_long_sentences(prose):
    [line, sentence] = prose.problems(f"{LONG}\n\n" + f"{SHORT}\n\n" * 10)
    assert line == "1 of 11 sentences have over 30 words:"
    assert sentence.endswith(LONG)
    assert not prose.problems(f"{LONG}\n\n" + f"{SHORT}\n\n" * 40)


def test_prose_refuses_a_page_whose_mean_sentence_is_long(prose):
    sentence = " ".join(["word"] * 17) + "."
    assert prose.problems(sentence) == ["the mean sentence has 17.0 words, over 16"]


def test_prose_refuses_a_sentence_whose_subject_is_a_code_block(prose):
    [line] = prose.problems("```sh\nmidas-bench tune\n```\n\ntries each backend.\n")
    assert line == "a sentence goes on behind a code block: tries each backend."
    assert not prose.problems("```sh\nmidas-bench tune\n```\n\n`tune` tries each backend.\n")


def test_prose_command_fails_for_a_page_over_a_limit_and_names_it(prose, tmp_path, capsys):
    good, bad = tmp_path / "good.md", tmp_path / "bad.md"
    good.write_text(SHORT)
    bad.write_text(LONG)
    assert prose.main([str(good)]) == 0
    assert prose.main([str(good), str(bad)]) == 1
    assert "bad.md: 1 sentences, mean 31.0 words" in capsys.readouterr().out
