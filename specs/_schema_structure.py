"""cattrs, told how documents look: camelCase properties, ISO 8601 instants, converters of attributes."""

from __future__ import annotations

import re
from datetime import datetime
from functools import cache
from typing import Any, TypeVar

import attrs
import cattrs
from cattrs.gen import make_dict_structure_fn, override
from cattrs.strategies import configure_union_passthrough
from cattrs.v import format_exception

from .instants import parse_instant
from .schemas import StructureError

T = TypeVar("T")


def structured(cls: type[T], document: Any) -> T:
    """Return a document as an instance of `cls`; see `schemas.structure`."""
    try:
        return _converter().structure(document, cls)
    except Exception as error:
        faults = "; ".join(cattrs.transform_error(error, cls.__name__, _fault))
        raise StructureError(f"the document does not fit {cls.__name__}: {faults}") from error


def _fault(error: BaseException, type_: type | None) -> str:
    """Return what a converter said is wrong, which cattrs leaves out."""
    return str(error) if type(error) is ValueError else format_exception(error, type_)


@cache
def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(prefer_attrib_converters=True)
    converter.register_structure_hook(datetime, lambda value, _: parse_instant(value))
    converter.register_structure_hook_factory(attrs.has, lambda cls: _structure_function(converter, cls))
    configure_union_passthrough(str | int | float | bool | None, converter)
    return converter


def _structure_function(converter: cattrs.Converter, cls: type[Any]) -> Any:
    renamed = {field.name: override(rename=camel_case(field.name)) for field in attrs.fields(cls)}
    return make_dict_structure_fn(cls, converter, **renamed)  # type: ignore[arg-type]


def camel_case(name: str) -> str:
    """Return the name that a property has on the wire.

    >>> camel_case("max_run_time"), camel_case("sha256")
    ('maxRunTime', 'sha256')
    """
    return re.sub(r"(?<=[a-z0-9])_([a-z0-9])", lambda match: match[1].upper(), name)
