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
from typing import Any, NamedTuple

from django.db import connection, transaction

from market import strict
from market.models import ParameterSet

LARGEST_BYTES = 32 * 1024 * 1024
SLUG = re.compile(r"[A-Za-z0-9_-]{1,48}")
SOURCE_LENGTH = 32
IN_FORCE = """
SELECT DISTINCT ON (name) name, digest, effective_on, document::text FROM market_parameterset
WHERE name = ANY (%(names)s) AND effective_on <= %(on)s
  AND (%(known_at)s::timestamptz IS NULL OR recorded_at <= %(known_at)s)
ORDER BY name, effective_on DESC, id DESC
"""


class InForce(NamedTuple):
    """The document that counts for a name."""

    digest: str
    effective_on: date
    document: Mapping[str, Any]


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


def in_force(names: Collection[str], *, on: date, known_at: datetime | None = None) -> dict[str, InForce]:
    """The documents in force on a day by name, as recorded until `known_at` (None: until now). A name without one is
    left out: who needs it refuses, with the reason."""
    if not names:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(IN_FORCE, {"names": sorted(names), "on": on, "known_at": known_at})
        return {name: InForce(digest, day, json.loads(text)) for name, digest, day, text in cursor.fetchall()}


def by_digest(digests: Mapping[str, str]) -> dict[str, Mapping[str, Any]]:
    """The documents with these digests, by name: what a past sweep went by. LookupError if one is not there."""
    rows = ParameterSet.objects.filter(name__in=digests, digest__in=digests.values())
    found = {(row.name, row.digest): row.document for row in rows}
    missing = sorted(name for name, digest in digests.items() if (name, digest) not in found)
    if missing:
        raise LookupError(f"no parameters {missing[0]} with the digest {digests[missing[0]]}")
    return {name: found[name, digest] for name, digest in digests.items()}


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
