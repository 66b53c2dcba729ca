"""Single values: one text to one exact value, or Refused naming the field."""

import datetime as dt
import json
import re
import unicodedata
from collections.abc import Sequence
from decimal import Context, Decimal, Inexact
from typing import Any

from market.strict.problems import Refused, refuse, shown

MAX_JSON_DEPTH = 8
FIRST_YEAR, LAST_YEAR = 1900, 2200

NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,2})?")
WHOLE = re.compile(r"-?(?:0|[1-9][0-9]*)")
DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
DATE = re.compile(DAY)
INSTANT = re.compile(DAY + r"T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:Z|[+-][0-9]{2}:[0-9]{2})")
NAIVE_INSTANT = re.compile(DAY + r"[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?")
CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:/+^&#=-]*(?<! )")
# Wide enough for every column we have; a result that would need rounding raises instead.
EXACT = Context(prec=200, traps=[Inexact])


def decimal(text: str, *, field: str, digits: int, places: int) -> Decimal:
    """A finite number written in ASCII digits that fits numeric(digits, places) exactly; -0 is 0."""
    if len(text) > 64 or not NUMBER.fullmatch(text):
        raise refuse(field, f"{shown(text)} is not a plain number; write it like -1234.5")
    return exact(Decimal(text), field=field, digits=digits, places=places)


def exact(value: Decimal, *, field: str, digits: int, places: int) -> Decimal:
    """The value itself if it is finite and fits numeric(digits, places) without rounding; refused otherwise."""
    if not isinstance(value, Decimal):
        raise refuse(field, f"{shown(repr(value))} is no Decimal; floats are not exact")
    _, figures, exponent = value.as_tuple()
    if isinstance(exponent, int) and -places <= exponent <= 0 and value and len(figures) + exponent <= digits - places:
        return value  # what nearly every value is
    if not value.is_finite():
        raise refuse(field, f"{value} is not a finite number")
    if not value:
        return Decimal(0)
    if value.adjusted() >= digits - places:
        raise refuse(field, f"{value} has more than {digits - places} digits before the point")
    if isinstance(exponent, int) and exponent < -places:
        value = value.normalize(EXACT)
        if int(value.as_tuple().exponent) < -places:
            raise refuse(field, f"{value} has more than {places} decimals; it would have to be rounded")
    elif isinstance(exponent, int) and exponent > 0:
        value = value.quantize(Decimal(1), context=EXACT)
    return value


def integer(text: str, *, field: str, lowest: int, highest: int) -> int:
    if len(text) > 20 or not WHOLE.fullmatch(text):
        raise refuse(field, f"{shown(text)} is not a whole number")
    if not lowest <= int(text) <= highest:
        raise refuse(field, f"{text} is not between {lowest} and {highest}")
    return int(text)


def instant(text: str, *, field: str) -> dt.datetime:
    """An instant with its offset from UTC, such as 2026-11-20T15:30:00Z; returned in UTC."""
    if not INSTANT.fullmatch(text):
        if NAIVE_INSTANT.fullmatch(text):
            raise refuse(field, f"{shown(text)} names no time zone; write 2026-11-20T15:30:00Z or …-05:00")
        raise refuse(field, f"{shown(text)} is not an instant; write 2026-11-20T15:30:00Z")
    try:
        found = dt.datetime.fromisoformat(text).astimezone(dt.UTC)
    except (ValueError, OverflowError):
        raise refuse(field, f"{shown(text)} does not exist") from None
    if not FIRST_YEAR <= found.year <= LAST_YEAR:
        raise refuse(field, f"{shown(text)} is not between {FIRST_YEAR} and {LAST_YEAR}")
    return found


def date(text: str, *, field: str) -> dt.date:
    if not DATE.fullmatch(text):
        raise refuse(field, f"{shown(text)} is not a day; write 2026-11-20")
    try:
        found = dt.date.fromisoformat(text)
    except ValueError:
        raise refuse(field, f"{shown(text)} does not exist") from None
    if not FIRST_YEAR <= found.year <= LAST_YEAR:
        raise refuse(field, f"{shown(text)} is not between {FIRST_YEAR} and {LAST_YEAR}")
    return found


def boolean(text: str, *, field: str) -> bool:
    if text not in ("true", "false"):
        raise refuse(field, f"{shown(text)} is neither true nor false")
    return text == "true"


def choice(text: str, *, field: str, of: Sequence[str]) -> str:
    if text not in of:
        raise refuse(field, f"{shown(text)} is not one of {', '.join(of)}")
    return text


def code(text: str, *, field: str, length: int) -> str:
    """A code or symbol: ASCII letters, digits and . _ : / + ^ & # = - with single inner blanks allowed."""
    if len(text) > length:
        raise refuse(field, f"{shown(text)} is longer than {length} characters")
    if not CODE.fullmatch(text):
        raise refuse(field, f"{shown(text)} is not a code; use letters, digits and . _ : / + ^ & # = -")
    return text


def words(text: str, *, field: str, length: int) -> str:
    """Printable text of any script, no control or invisible characters, no blank at either end."""
    if len(text) > length:
        raise refuse(field, f"{shown(text)} is longer than {length} characters")
    if text != text.strip():
        raise refuse(field, f"{shown(text)} begins or ends with a blank")
    odd = next((c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")), None)
    if odd is not None:
        raise refuse(field, f"{shown(text)} holds the unprintable character U+{ord(odd):04X}")
    return text


def json_object(text: str, *, field: str) -> dict[str, Any]:
    """A JSON object of texts, whole numbers, booleans, lists and objects; no floats, no double keys, not deep."""

    def no_float(literal: str) -> Any:
        raise refuse(field, f"{literal} must be written as text to stay exact")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) != len(pairs):
            raise refuse(field, "the same key is given twice")
        return dict(pairs)

    depth = 0
    for character in text:
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(character, 0)
        if depth > MAX_JSON_DEPTH:
            raise refuse(field, f"is nested deeper than {MAX_JSON_DEPTH}")
    try:
        found = json.loads(text, parse_float=no_float, parse_constant=no_float, object_pairs_hook=once)
    except Refused:
        raise
    except (ValueError, RecursionError):
        raise refuse(field, f"{shown(text)} is not JSON") from None
    if not isinstance(found, dict):
        raise refuse(field, f"{shown(text)} is not a JSON object")
    # PostgreSQL stores neither U+0000 nor half a surrogate pair.
    if re.search(r"\\u0000|[\ud800-\udfff]", json.dumps(found, ensure_ascii=False)):
        raise refuse(field, "holds a character that cannot be stored")
    return found
