"""Published margin parameters: whole documents under a name, append-only facts, in force from a day.

An exchange's risk arrays, a venue's tiers, collateral ratios, weights of a model: JSON whose numbers are text, so that
they stay exact. The terms of a policy name the set they go by; what a document means, its methodology says.
"""

import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from typing import Any

from django.db import connection, transaction

from market import strict
from market.models import ParameterSet

LARGEST_BYTES = 32 * 1024 * 1024
SLUG = re.compile(r"[A-Za-z0-9_-]{1,48}")
SOURCE_LENGTH = 32
IN_FORCE = """
SELECT DISTINCT ON (name) name, digest FROM market_parameterset
WHERE name = ANY (%(names)s) AND effective_on <= %(on)s
  AND (%(known_at)s::timestamptz IS NULL OR recorded_at <= %(known_at)s)
ORDER BY name, effective_on DESC, id DESC
"""


@dataclass(frozen=True)
class Recorded:
    """The stored set, and whether it is new."""

    stored: ParameterSet
    is_new: bool


@transaction.atomic
def record(name: str, document: Mapping[str, Any], *, kind: str, effective_on: date, source: str) -> Recorded:
    """Append a document. What the newest row of that name and day says already changes nothing; anything else is a
    correction: a later row, which counts from now on. Raises strict.Refused naming the field."""
    _check(name, document, kind=kind, source=source)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('market.parameters'))")
    digest = digest_of(document)
    newest = ParameterSet.objects.filter(name=name, effective_on=effective_on).order_by("-id").first()
    if newest is not None and (newest.digest, newest.kind) == (digest, kind):
        return Recorded(newest, is_new=False)
    stored = ParameterSet.objects.create(
        name=name, kind=kind, effective_on=effective_on, document=document, digest=digest, source=source
    )
    return Recorded(stored, is_new=True)


def load(content: bytes, *, name: str, kind: str, effective_on: date, source: str) -> Recorded:
    """Record the JSON document of a file. Raises strict.Refused: floats, double keys and anything but an object."""
    if len(content) > LARGEST_BYTES:
        raise strict.refuse("file", f"is larger than {LARGEST_BYTES // 2**20} MiB")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise strict.refuse("file", "is not UTF-8") from None
    return record(name, strict.json_object(text, field="file"), kind=kind, effective_on=effective_on, source=source)


def in_force(names: Collection[str], *, on: date, known_at: datetime | None = None) -> dict[str, str]:
    """Name → digest of the document in force on a day, as recorded until `known_at` (None: until now). A name without
    a document is left out: who needs it refuses, with the reason."""
    if not names:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(IN_FORCE, {"names": sorted(names), "on": on, "known_at": known_at})
        return dict(cursor.fetchall())


def documents(digests: Mapping[str, str]) -> dict[str, Mapping[str, Any]]:
    """Name → document, by digests. LookupError if one was never recorded."""
    return {name: _document(digest) for name, digest in digests.items()}


@lru_cache(maxsize=8)
def _document(digest: str) -> Mapping[str, Any]:
    """Kept, since what a digest names never changes and every shard of a sweep reads the same ones."""
    row = ParameterSet.objects.filter(digest=digest).first()
    if row is None:
        raise LookupError(f"no parameters with the digest {digest} were recorded")
    found: Mapping[str, Any] = row.document
    return found


def digest_of(document: Mapping[str, Any]) -> str:
    """sha256 over the document as JSON with sorted keys: the same content has the same digest, however written."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _check(name: str, document: Mapping[str, Any], *, kind: str, source: str) -> None:
    if not isinstance(name, str) or not SLUG.fullmatch(name):
        raise strict.refuse(
            "name", f"{strict.shown(str(name))} is not a name; use letters, digits, _ and -, at most 48"
        )
    strict.choice(kind, field="kind", of=ParameterSet.Kind.values)
    strict.code(source, field="source", length=SOURCE_LENGTH)
    if not isinstance(document, dict) or not document:
        raise strict.refuse("document", "is not an object with anything in it")
    for place in _floats(document, "document"):
        raise strict.refuse("document", f"{place} is a float; write it as text to stay exact")


def _floats(value: Any, place: str) -> Iterator[str]:
    """Where floats stand."""
    if isinstance(value, float):
        yield place
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _floats(inner, f"{place}.{key}")
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from _floats(inner, f"{place}[{number}]")
