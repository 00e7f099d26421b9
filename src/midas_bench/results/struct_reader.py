"""A record's type decides how its values are read out of JSON, and which error an odd one gives."""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar

from msgspec import Struct, inspect

from midas_bench.results.json_fields import Fields
from midas_bench.results.record import ImpossibleError

Record = TypeVar("Record", bound=Struct)


@cache
def keys_of(record: type[Struct]) -> tuple[inspect.Field, ...]:
    """Return the fields of a record, with their types and their names in JSON."""
    info = inspect.type_info(record)
    assert isinstance(info, inspect.StructType)
    return info.fields


def value_type(kind: inspect.Type) -> inspect.Type | None:
    """Return the type of a field's value without null and units, or None where no report reads the field."""
    match kind:
        case inspect.Metadata(extra={"unread": True}):
            return None
        case inspect.Metadata(type=inner) | inspect.UnionType(types=(inner, *_)):
            return value_type(inner)
    return kind


def read(fields: Fields, record: type[Record], required: bool = False) -> Record | None:
    """Read a record out of an object; unknown keys are passed over, and null is the same as absent.

    Returns None where it lacks what such a record must have.

    Raises:
        UserError: a value is of the wrong type or contradicts another, or `required` values are missing.
    """
    values: dict[str, Any] = {}
    lacking = None
    for key in keys_of(record):
        # most keys are absent from most cells, and a long history has many of them
        value = _value(fields, key.encode_name, key.type) if key.encode_name in fields else None
        if value is not None:
            values[key.name] = value
        elif key.required:
            lacking = lacking or key
    if lacking and required:
        raise fields.wrong(lacking.encode_name, None, f"a number of {_unit(lacking.type)}")
    if lacking:
        return None
    try:
        return record(**values)
    except ImpossibleError as error:
        raise fields.wrong(*error.args) from None


def _unit(kind: inspect.Type) -> str:
    extra = kind.extra if isinstance(kind, inspect.Metadata) else None
    return str((extra or {}).get("unit", ""))


def _value(fields: Fields, name: str, kind: inspect.Type, unit: str = "") -> Any:
    match kind:
        case inspect.Metadata(extra={"unread": True}):
            return None
        case inspect.Metadata(type=inner):
            return _value(fields, name, inner, _unit(kind))
        case inspect.UnionType(types=(inner, *_)):
            return _value(fields, name, inner)
        case inspect.FloatType(ge=least):
            return fields.number(name, unit, signed=least is None)
        case inspect.IntType():
            return fields.whole(name)
        case inspect.StrType():
            return fields.text(name)
        case inspect.BoolType():
            return fields.flag(name)
        case inspect.StructType(cls=record):
            section = fields.section(name)
            return None if section is None else read(section, record)
        case inspect.DictType(value_type=inner):
            section = fields.section(name)
            return None if section is None else {key: _value(section, key, inner) for key in section if key in section}
        case inspect.VarTupleType(item_type=inspect.StructType(cls=record)):
            return tuple(read(section, record, required=True) for section in fields.sections(name))
        case inspect.VarTupleType(item_type=inspect.StrType()):
            return fields.texts(name)
        case inspect.VarTupleType(item_type=inner):
            return tuple(fields.numbers(name, signed=getattr(value_type(inner), "ge", 0) is None))
    raise AssertionError(f"no way to read {name} is known")
