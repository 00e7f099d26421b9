"""What tools/reference.py writes is in the pages, and says all that the records hold."""

from __future__ import annotations

import pytest

from midas_bench.depth.backends.registry import REGISTRY

PARTS = (
    "extra_info", "claims", "sizes", "gate-self-test", "answers-self-test", "scale-needs", "scale-assumptions",
    "scale-fleet", "scale-prices",
)  # fmt: skip


@pytest.fixture(scope="module")
def reference(tool):
    return tool("reference")


def test_reference_has_a_test_for_each_part(reference):
    assert set(PARTS) == set(reference.PARTS)


@pytest.mark.parametrize("name", PARTS)
def test_page_is_what_the_reference_script_writes(reference, project, name):
    page, write = reference.PARTS[name]
    text = (project / page).read_text(encoding="utf-8")
    assert text == reference.replaced(text, name, write()), "run `python tools/reference.py`"


def test_reference_refuses_a_page_without_the_part(reference):
    with pytest.raises(ValueError, match="no part extra_info"):
        reference.replaced("# A page\n", "extra_info", "")


def test_backends_page_names_every_backend(project):
    text = (project / "docs/backends.md").read_text(encoding="utf-8")
    assert [name for name in REGISTRY if f"| `{name}` |" not in text] == []
