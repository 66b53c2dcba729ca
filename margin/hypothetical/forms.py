"""Documents from strangers: JSON to frozen dataclasses, or a refusal with the path of what is wrong. Pure.

A dataclass says with `said` what each field is for and what it may hold; `read` enforces it and `schema` tells it as
JSON Schema, so that the two cannot differ.
"""

import json
from collections.abc import Mapping
from dataclasses import MISSING, field, fields, is_dataclass
from datetime import date
from decimal import Decimal
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from margin.engine import terms
from market import strict

T = TypeVar("T")
DEEPEST = 16
LONGEST_TEXT = 500
LONGEST_NUMBER = 40  # characters: exact arithmetic has room for products of these, not of thousands of digits
NUMBER = {"digits": 32, "places": 12}  # as wide as the columns of prices and quantities
PATTERN = r"^-?[0-9]{1,20}(\.[0-9]+)?$"


class Wrong(ValueError):
    """A document cannot be read: `path` says where (`instruments[3].strike`), `reason` what is wrong."""

    def __init__(self, path: str, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(f"{path}: {reason}" if path else reason)


def said(about: str, *, default: Any = MISSING, **limits: Any) -> Any:
    """A field of a document. Limits: `of` its choices, `day`, `positive`, `within`
    so much of 0, `code` of so many characters, `most` items."""
    metadata = {"about": about, **limits}
    if isinstance(default, dict | list):
        return field(default_factory=lambda: default, metadata=metadata)
    return field(default=default, metadata=metadata)


def loads(text: str) -> Any:
    """The value of a JSON text: no field twice, no NaN; fractions as Decimal, which `read` refuses. Raises Wrong."""
    try:
        return json.loads(text, object_pairs_hook=_once, parse_float=Decimal, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise Wrong("", f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except (RecursionError, ValueError) as error:
        raise Wrong("", error.reason if isinstance(error, Wrong) else f"is not JSON: {error}") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise Wrong("", f"the field {strict.shown(name)} is given twice in one object")
        found[name] = value
    return found


def _no_constant(literal: str) -> Any:
    raise Wrong("", f"{literal} is not JSON")


def read(kind: type[T], document: Any) -> T:
    """The dataclass that the JSON document is. Raises Wrong."""
    _check_size(document, "", 1)
    try:
        found = terms.read(kind, document)
    except ValueError as error:
        path, _, reason = str(error).partition(": ")
        raise Wrong("" if path == kind.__name__ else path, reason) from None
    _check(found, "")
    return found


def day(text: str, path: str) -> date:
    """The day that is written as 2026-06-03. Raises Wrong."""
    try:
        return strict.date(text, field=path)
    except strict.Refused as refusal:
        raise Wrong(path, refusal.problems[0].reason) from None


def _check_size(value: Any, path: str, depth: int) -> None:
    """What arithmetic or recursion could choke on, anywhere in the document, policies included."""
    if depth > DEEPEST:
        raise Wrong(path, f"is nested deeper than {DEEPEST} levels")
    if isinstance(value, dict):
        for key, inner in value.items():
            _check_size(inner, f"{path}.{key}" if path else str(key), depth + 1)
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            _check_size(inner, f"{path}[{place}]", depth + 1)
    elif isinstance(value, float | Decimal):
        raise Wrong(path, f'a number in quotes is expected, as "{value}"')
    elif isinstance(value, str):
        if len(value) > LONGEST_TEXT:
            raise Wrong(path, f"is longer than {LONGEST_TEXT} characters")
        if len(value) > LONGEST_NUMBER and value.strip("+-.0123456789eE_ ") == "":
            raise Wrong(path, f"is a number of more than {LONGEST_NUMBER} characters")
    elif isinstance(value, int) and abs(value) >= 10**20:
        raise Wrong(path, "has more than 20 digits")


def _check(value: Any, path: str, limits: Mapping[str, Any] = {}) -> None:
    """What the types alone do not say."""
    if value is None:
        return
    if is_dataclass(value):
        for each in fields(value):
            _check(getattr(value, each.name), f"{path}.{each.name}" if path else each.name, each.metadata)
    elif isinstance(value, tuple):
        if len(value) > limits.get("most", len(value)):
            raise Wrong(path, f"holds {len(value)} items; the most is {limits['most']}")
        for place, inner in enumerate(value):
            _check(inner, f"{path}[{place}]", limits)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            _check(inner, f"{path}.{key}", limits)
    else:
        _check_plain(value, path, limits)


def _check_plain(value: Any, path: str, limits: Mapping[str, Any]) -> None:
    try:
        if isinstance(value, Decimal):
            strict.exact(value, field=path, **NUMBER)
        if limits.get("code") and value:
            strict.code(value, field=path, length=limits["code"])
    except strict.Refused as refusal:
        raise Wrong(path, refusal.problems[0].reason) from None
    if "of" in limits and value not in limits["of"]:
        raise Wrong(path, f"{value!r} is not one of {', '.join(map(str, limits['of']))}")
    if limits.get("positive") and isinstance(value, Decimal | int) and value <= 0:
        raise Wrong(path, f"{value} is not more than 0")
    if "within" in limits and abs(value) > limits["within"]:
        raise Wrong(path, f"{value} is not from -{limits['within']} to {limits['within']}")
    if limits.get("day") and value:
        day(value, path)


# --- as JSON Schema -----------------------------------------------------------------------------------


def schema(kind: type[Any]) -> dict[str, Any]:
    """The JSON Schema of the documents that `read` takes."""
    hints = get_type_hints(kind)
    known = list(fields(kind))
    return {
        "type": "object",
        "description": (kind.__doc__ or "").strip(),
        "additionalProperties": False,
        "required": [f.name for f in known if f.default is MISSING and f.default_factory is MISSING],
        "properties": {f.name: _property(hints[f.name], f.metadata) for f in known},
    }


def _property(kind: Any, limits: Mapping[str, Any]) -> dict[str, Any]:
    return {**_type(kind, limits), **({"description": limits["about"]} if "about" in limits else {})}


def _type(kind: Any, limits: Mapping[str, Any]) -> dict[str, Any]:
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        return _or_null(_type(next(one for one in get_args(kind) if one is not type(None)), limits))
    if origin is tuple:
        many = {"maxItems": limits["most"]} if "most" in limits else {}
        inner = {name: limit for name, limit in limits.items() if name != "most"}
        return {"type": "array", "items": _type(get_args(kind)[0], inner), **many}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": _type(get_args(kind)[1], limits)}
    if is_dataclass(kind):
        return schema(kind)  # type: ignore[arg-type]
    return _plain_type(kind, limits)


def _plain_type(kind: Any, limits: Mapping[str, Any]) -> dict[str, Any]:
    if "of" in limits:
        return {"enum": list(limits["of"])}
    if limits.get("day"):
        return {"type": "string", "format": "date"}
    return dict(_PLAIN.get(kind, {}))


def _or_null(inner: dict[str, Any]) -> dict[str, Any]:
    """As OpenAPI 3.1 writes what may be null."""
    if "enum" in inner:
        return {"enum": [*inner["enum"], None]}
    kinds = inner.get("type", [])
    return {**inner, "type": [*([kinds] if isinstance(kinds, str) else kinds), "null"]} if kinds else inner


_PLAIN: dict[Any, dict[str, Any]] = {
    Decimal: {"type": ["string", "integer"], "pattern": PATTERN},
    str: {"type": "string"},
    int: {"type": "integer"},
    bool: {"type": "boolean"},
}
