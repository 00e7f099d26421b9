"""The documentation as tests read it: links, anchors and commands of each page."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

COMMAND_END = re.compile(r"&&|\|\||[;|]")
ASSIGNMENT = re.compile(r"\w+=")


def tokens(page: Path) -> Iterator[Token]:
    """Yield blocks and, behind each, what is inside of it."""
    for token in MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8")):
        yield token
        yield from token.children or ()


def links(page: Path) -> Iterator[tuple[str, str]]:
    """Yield text and target of each link and picture."""
    target, text = "", ""
    for token in tokens(page):
        if token.type == "image":
            yield token.content, str(token.attrs["src"])
        elif token.type == "link_open":
            target, text = str(token.attrs["href"]), ""
        elif token.type == "link_close":
            yield text, target
        else:
            text += token.content


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    slugs: list[str] = []
    blocks = list(tokens(page))
    for heading, inline in pairwise(blocks):
        if heading.type == "heading_open":
            text = "".join(child.content for child in inline.children or ())
            slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            slugs.append(f"{slug}-{slugs.count(slug)}" if slug in slugs else slug)
    return set(slugs)


def code_blocks(page: Path, language: str) -> Iterator[str]:
    """Yield the content of each code block of a language."""
    yield from (token.content for token in tokens(page) if token.type == "fence" and token.info == language)


def commands(page: Path) -> Iterator[list[str]]:
    """Yield each command of the page's shell blocks as words, and those in a sentence that have more than one word."""
    lines = [line for block in code_blocks(page, "sh") for line in block.splitlines()]
    inline = [token.content for token in tokens(page) if token.type == "code_inline" and " " in token.content]
    shown = [text for text in inline if text.startswith(("midas-bench ", "pytest ", "pip ", "uv ", "python tools/"))]
    for line in (*lines, *shown):
        yield from split_line(line)


def split_line(line: str) -> Iterator[list[str]]:
    """Yield the commands of a line, without variables that are set before them."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, ";"]:
        if COMMAND_END.fullmatch(word):
            while words and ASSIGNMENT.match(words[0]):
                words.pop(0)
            if words:
                yield words
            words = []
        else:
            words.append(word)
