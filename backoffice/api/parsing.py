"""Reads a JSON body, or says why it is none: bounded, UTF-8, no double keys, no NaN, nothing unstorable."""

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import IO, Any

from rest_framework import exceptions, status
from rest_framework.parsers import BaseParser

MAX_BYTES = 5 * 1024 * 1024
MAX_DEPTH = 16
MAX_DIGITS = 64
# A string, closed or not: possessive, so that no body makes it look twice.
STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\Z)', re.DOTALL)
NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
ONE_KIND = bytes.maketrans(b"{}", b"[]")
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class NotStrictJson(exceptions.ParseError):
    default_code = "not_strict_json"


class TooLarge(exceptions.APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"
    default_detail = f"The body is larger than {MAX_BYTES} bytes; send it in several batches."


class StrictJSONParser(BaseParser):
    """`application/json` in UTF-8. Numbers with a fraction come as Decimal; amounts are text (docs/api.md)."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        charset = re.search(r'charset="?([^";\s]+)', media_type or "", re.IGNORECASE)
        if charset and charset[1].lower() not in ("utf-8", "utf8"):
            raise exceptions.UnsupportedMediaType(str(media_type), "Send application/json in UTF-8.")
        return read(stream.read(MAX_BYTES + 1))


def read(body: bytes) -> Any:
    """The value that the body is. Raises NotStrictJson or TooLarge."""
    if len(body) > MAX_BYTES:
        raise TooLarge
    if is_too_deep(body):
        raise NotStrictJson(f"The body is nested deeper than {MAX_DEPTH} levels.")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NotStrictJson(f"The body is not UTF-8 at byte {error.start + 1}.") from None
    try:
        found = json.loads(
            text, object_pairs_hook=_once, parse_constant=_no_constant, parse_float=_fraction, parse_int=_whole
        )
    except json.JSONDecodeError as error:
        raise NotStrictJson(
            f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        ) from None
    if "\\u" in text or "\x00" in text:
        _check_texts(found)
    return found


def is_too_deep(body: bytes) -> bool:
    """Whether brackets nest deeper than MAX_DEPTH, found without recursion, so that no depth can harm us."""
    brackets = STRING.sub(b"", body).translate(ONE_KIND, NO_BRACKETS)
    for _ in range(MAX_DEPTH):
        brackets = brackets.replace(b"[]", b"")  # takes the innermost level away
    return b"[]" in brackets or brackets.count(b"[") > MAX_DEPTH


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise NotStrictJson(f"The field {double[:40]!a} is given twice in one object.")
    return found


def _no_constant(literal: str) -> Any:
    raise NotStrictJson(f"{literal} is not JSON.")


def _fraction(literal: str) -> Decimal:
    _check_length(literal)
    return Decimal(literal)


def _whole(literal: str) -> int:
    _check_length(literal)
    return int(literal)


def _check_length(literal: str) -> None:
    if len(literal) > MAX_DIGITS:
        raise NotStrictJson(f"The number {literal[:20]}… has more than {MAX_DIGITS} characters.")


def _check_texts(value: Any) -> None:
    if isinstance(value, str):
        if odd := UNSTORABLE.search(value):
            raise NotStrictJson(f"A text holds the character U+{ord(odd[0]):04X}, which cannot be kept.")
    elif isinstance(value, dict):
        for name, inner in value.items():
            _check_texts(name)
            _check_texts(inner)
    elif isinstance(value, list):
        for inner in value:
            _check_texts(inner)
