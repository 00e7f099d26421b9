"""The machine in a file -> its kind, and facts for showing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from midas_bench.results.json_fields import Fields, clean
from midas_bench.results.runs import UNKNOWN, RecordedMachine
from midas_bench.results.units import gib, percent

BRAND_KEYS = ("brand_raw", "brand")
"""What py-cpuinfo calls the name of a CPU: since its version 6, and before."""

TRADEMARK = re.compile(r"\((?:r|tm|c)\)|[®™©]", re.IGNORECASE)
PLACEHOLDER = re.compile(
    r"unknown|none|null|n/?a|not (?:available|specified)|unspecified|generic|cpu|processor|\W*"
    r"|genuineintel|authenticamd",
    re.IGNORECASE,
)
ARCHITECTURE = re.compile(
    r"(?:x86|amd|i[3-6]86|ia|intel|arm(?:v\d+\w*)?|aarch|ppc|powerpc|s390x?|risc-?v|mips|loongarch|sparc)"
    r"[-_ ]?(?:32|64)?(?:le|el)?(?:[- ]compatible)?(?: processor)?(?: rev \d+)?(?: \(\w+\))?",
    re.IGNORECASE,
)
"""Such as `x86_64`, or the `ARMv7 Processor rev 4 (v7l)` that the kernel says of many CPUs."""
NOT_NAMES = ("machine", "processor", "arch", "arch_string", "arch_string_raw", "raw_arch_string", "vendor_id",
             "vendor_id_raw", "hardware", "hardware_raw")  # fmt: skip
"""Facts that machines with different CPUs share: Raspberry Pis of three generations name one and the same hardware."""


def machine_from(info: Fields) -> RecordedMachine:
    """Describe the machine: our own facts where the file has them, else pytest-benchmark's.

    Its kind is unknown where no CPU is named: such machines may be anything, and are never of one kind.
    """
    cpu = info.section("cpu") or info
    ours = info.section("midas_bench")
    others = [section.plain(key) for section in (info, cpu) for key in NOT_NAMES]
    brand = next((cpu.plain(key) for key in BRAND_KEYS if cpu_name(cpu.plain(key), others)), None)
    hardware = (_text(cpu.plain(key)) for key in ("hardware_raw", "hardware") if key in cpu)
    facts = display_facts({
        "CPU": brand,
        "hardware": next((text for text in hardware if not PLACEHOLDER.fullmatch(text)), None),
        "logical CPUs": cpu.plain("count"),
        "architecture": info.plain("machine"),
        "system": _joined(info.plain("system"), info.plain("release")),
        "Python": _joined(info.plain("python_implementation"), info.plain("python_version")),
    })  # fmt: skip
    if ours is None:
        name = cpu_name(brand, others)
        parts = (name, cpu.plain("count"), info.plain("machine"))
        return RecordedMachine(" / ".join(str(part) for part in parts if part is not None) if name else UNKNOWN, facts)
    own = display_facts({key: ours.plain(key) for key in ours if key not in ("fingerprint", "versions")})
    name = cpu_name(ours.plain("cpu_model") if "cpu_model" in ours else brand, others)
    kind = ours.text("fingerprint") or ""
    is_known = name and not PLACEHOLDER.fullmatch(kind)
    return RecordedMachine(kind if is_known else UNKNOWN, {**facts, **own}, _rows(ours.plain("versions"), _version))


def cpu_name(text: object, others: Iterable[object] = ()) -> str | None:
    """Return the name of a CPU without trademark signs and with single spaces; None where it names none.

    Args:
        text: what a file gives as its name.
        others: what the file says of architecture, vendor and the like, which is no name of a CPU.
    """
    if not isinstance(text, str):
        return None
    name = _bare(text)
    same = {_bare(other) for other in others if isinstance(other, str)}
    if name in same or PLACEHOLDER.fullmatch(name) or ARCHITECTURE.fullmatch(name):
        return None
    return name


def _bare(text: str) -> str:
    spaced = re.sub(r"\s*@\s*", " @ ", TRADEMARK.sub("", text))
    # a kind is written with " / " between its parts
    return " ".join(re.sub(r"\s*/\s*", "/", spaced).split())


def _joined(*parts: object) -> str | None:
    return " ".join(str(part) for part in parts if part) or None


def display_facts(values: object) -> dict[str, str]:
    """Return the names and values of a JSON object as people read them, without what is null.

    Names that look alike share a row, so that none is lost.
    """
    return _rows(values, _named)


def _rows(values: object, row: Callable[[str, object], tuple[str, str]]) -> dict[str, str]:
    rows: dict[str, str] = {}
    for name, value in _given(values):
        label, text = row(name, value)
        rows[label] = f"{rows[label]}; {text}" if label in rows else text
    return rows


def _given(values: object) -> list[tuple[str, object]]:
    if not isinstance(values, Mapping):
        return []
    return [(str(name), value) for name, value in values.items() if value not in (None, [], {})]


def _named(name: str, value: object) -> tuple[str, str]:
    if isinstance(value, (int, float)):
        for unit, write in (("_bytes", gib), ("_fraction", percent)):
            if name.endswith(unit):
                return clean(name.removesuffix(unit).replace("_", " ")), write(value)
    return clean(name.replace("_", " ")), _text(value)


def _version(name: str, value: object) -> tuple[str, str]:
    return clean(name), _text(value)


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{clean(str(key))}: {_text(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return clean(f"{value:.4g}" if isinstance(value, float) else str(value))
