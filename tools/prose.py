"""Count the words of each sentence in the documentation: `python tools/prose.py [FILE.md ...]`.

Without arguments it reads README.md, CONTRIBUTING.md and docs/. Exit 1 where a page is over a limit of CONTRIBUTING.md.
Headings, tables, images and code blocks do not count. A paragraph or list item ends a sentence. A sentence that a code
block began is a fault too.

No library does this. textstat gives the mean of plain text but no share of long sentences, and names none. proselint
looks for phrases and counts nothing. vale limits one sentence but knows no mean, and its package downloads a program
from GitHub on first use.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

PROJECT = Path(__file__).parent.parent
MOST_MEAN_WORDS = 16
LONG_WORDS = 30
MOST_LONG_SHARE = 0.03
FEWEST_WORDS = 3
"""Shorter ones are labels: they would lower the mean and say nothing."""
SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
UNCOUNTED = ("heading", "table")


def pages() -> list[Path]:
    """Return the pages that the limits hold for."""
    return [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *sorted((PROJECT / "docs").glob("*.md"))]


def paragraphs(text: str) -> Iterator[str]:
    """Yield the plain text of each paragraph and list item of a Markdown page."""
    uncounted = 0
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        if token.type.removesuffix("_open").removesuffix("_close") in UNCOUNTED:
            uncounted += token.nesting
        elif token.type == "inline" and not uncounted:
            yield plain(token.children or ())


def plain(tokens: Sequence[Token]) -> str:
    """Return the words of inline Markdown, code included and pictures left out."""
    return "".join(" " if token.type == "softbreak" else token.content for token in tokens if token.type != "image")


def sentences(text: str) -> list[str]:
    """Return the sentences of a Markdown page that have `FEWEST_WORDS` or more."""
    every = (sentence for paragraph in paragraphs(text) for sentence in SENTENCE_END.split(paragraph.strip()))
    return [sentence for sentence in every if word_count(sentence) >= FEWEST_WORDS]


def word_count(sentence: str) -> int:
    """Return how many words, separated by blanks, a sentence has."""
    return len(sentence.split())


def problems(text: str) -> list[str]:
    """Return the limits that a page does not keep, a line each, with the sentences behind them."""
    every = sentences(text)
    mean = sum(map(word_count, every)) / max(1, len(every))
    too_long = [sentence for sentence in every if word_count(sentence) > LONG_WORDS]
    lines = [f"the mean sentence has {mean:.1f} words, over {MOST_MEAN_WORDS}"] * (mean > MOST_MEAN_WORDS)
    if len(too_long) > MOST_LONG_SHARE * len(every):
        lines.append(f"{len(too_long)} of {len(every)} sentences have over {LONG_WORDS} words:")
        lines += [f"  {word_count(sentence)} words: {sentence}" for sentence in too_long]
    lines += [f"a sentence goes on behind a code block: {start}" for start in continuations(text)]
    return lines


def continuations(text: str) -> Iterator[str]:
    """Yield the paragraphs whose first word shows that a code block is their subject."""
    tokens = MarkdownIt("commonmark").parse(text)
    for block, _, inline in zip(tokens, tokens[1:], tokens[2:], strict=False):
        [first, *_] = inline.children or [inline]
        if block.type == "fence" and first.type == "text" and first.content[:1].islower():
            yield inline.content


def summary(text: str) -> str:
    """Return a page's figures in one line."""
    counts = [word_count(sentence) for sentence in sentences(text)]
    mean = sum(counts) / len(counts) if counts else 0.0
    long_share = sum(words > LONG_WORDS for words in counts) / max(1, len(counts))
    longest = max(counts, default=0)
    return f"{len(counts)} sentences, mean {mean:.1f} words, longest {longest}, {long_share:.0%} over {LONG_WORDS}"


def main(names: Sequence[str]) -> int:
    """Print each page's figures and what is over a limit; return 1 if anything is."""
    failed = False
    for path in [Path(name) for name in names] or pages():
        text = path.read_text(encoding="utf-8")
        name = path.relative_to(PROJECT) if path.is_relative_to(PROJECT) else path
        print(f"{name}: {summary(text)}")
        for line in problems(text):
            print(f"  {line}")
            failed = True
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
