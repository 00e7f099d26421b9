from __future__ import annotations

import json
from pathlib import Path

import pytest

from midas_bench.results.json_fields import Fields
from midas_bench.results.kinds import KINDS, Memory, Ratio, cell_info
from midas_bench.results.record import CellInfo
from midas_bench.results.run_files import read
from midas_bench.results.runs import of_type
from midas_bench.results.struct_reader import keys_of
from midas_bench.results.struct_reader import read as read_struct

SAVED = Path(__file__).parents[1] / "report/data"


def read_as(kind, **info):
    return read_struct(Fields(Path("a.json"), "extra_info", info), kind)


def test_cell_is_written_with_its_kind_and_without_what_is_unknown():
    info = cell_info({"kind": "memory", "peak_rss_bytes": 5 << 20, "backend": None, "photos_repeated": False})
    assert info.to_extra_info() == {"kind": "memory", "photos_repeated": False, "peak_rss_bytes": 5 << 20}


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"kind": "memory"}, "peak_rss_bytes"), ({"kind": "latency", "peak_rss_bytes": 1}, "peak_rss_bytes")],
)
def test_cell_that_lacks_its_figure_or_has_another_kinds_is_not_written(fields, message):
    with pytest.raises(TypeError, match=message):
        cell_info(fields)


def test_saved_cell_of_each_kind_is_read_as_what_is_written_again():
    content = json.loads((SAVED / "every-kind.json").read_text(encoding="utf-8"))
    kinds = set()
    for record, saved in zip(read(SAVED / "every-kind.json").records, content["benchmarks"], strict=True):
        assert type(record.info) is KINDS[record.kind]
        assert json.loads(json.dumps(cell_info(saved["extra_info"]).to_extra_info())) == {
            name: value for name, value in saved["extra_info"].items() if value not in (None, [], {})
        }
        kinds.add(record.kind)
    assert kinds == set(KINDS)


def test_cell_without_what_its_kind_is_about_keeps_its_kind_and_is_no_such_record():
    records = [r for r in read(SAVED / "earlier.json").records if r.name.endswith("[nothing of its own]")]
    bare = {r.kind for r in records if type(r.info) is CellInfo}
    assert bare == {"memory", "startup", "ratio", "scene", "peer", "load", "stream"}
    assert of_type(records, Memory) == of_type(records, Ratio) == []
    assert {r.info.scene for r in records} == {"street"}


def test_each_key_of_each_kind_can_be_read_out_of_an_empty_object():
    for kind in KINDS.values():
        required = [key.name for key in keys_of(kind) if key.required]
        assert (read_as(kind) is None) == bool(required)


def test_key_that_no_report_reads_does_no_harm():
    assert read_as(CellInfo, compile_s="long", input_shape={}) == CellInfo()
