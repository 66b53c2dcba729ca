"""Seals: every minute one keyed code over the events that no seal covers yet, and over the sweeps finished since.

Events are read by transaction horizon, never by "id greater than the last one": a transaction that was still running
when a seal was made commits its events under lower ids, and the next seal finds them (settled.md 6).
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection, transaction

from margin import history_keys
from margin.models import Seal
from verifier import verify

Work = Callable[[], Seal | None]
MOST_SWEEPS = 500
SETTLED = timedelta(hours=1)  # an incomplete sweep is sealed once no late shard can add to it

# From the horizon of the last seal of this system, all that no seal covers. Transactions of the system that a restored
# history comes from may have higher numbers than ours have reached: they were sealed when the restore was noticed.
UNSEALED = """
SELECT e.id, e.hash FROM margin_event e
WHERE e.transaction_id >= %(horizon)s
  AND (%(is_new)s OR e.transaction_id < pg_snapshot_xmax(pg_current_snapshot())::text::bigint)
  AND NOT EXISTS (SELECT FROM margin_seal s WHERE margin_ids(s.events) @> e.id)
ORDER BY e.id
"""
FINISHED = """
SELECT s.id FROM margin_sweep s
WHERE (s.state = 'complete' OR s.state = 'incomplete' AND s.finished_at < %s)
  AND NOT EXISTS (SELECT FROM margin_sweepdigest d WHERE d.sweep_id = s.id)
ORDER BY s.id LIMIT %s
"""


def seal(*, at: datetime) -> Seal | None:
    """Seal what is not sealed yet; None if nothing is, or if another process is at it.

    Raises history_keys.KeysMissing: without its key nothing is sealed, and the watchdog says so.
    """
    return _seal(at=at, next_key="")


def rotate(*, at: datetime) -> Seal | None:
    """Make a new key. The seal made now, with the old key, names it; the seals after it are made with it."""
    return _seal(at=at, next_key=history_keys.make())


def _seal(*, at: datetime, next_key: str) -> Seal | None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtext('margin.seals'))")
        if not cursor.fetchone()[0]:
            return None
        name, reached = system()
        newest = Seal.objects.first()
        events = _unsealed(name, newest)
        sweeps = _digests(at)
        if not events and not sweeps and not next_key:
            return None
        made = _made(newest, events, sweeps, sealed_at=max(at, newest.sealed_at) if newest else at, next_key=next_key)
        made.system, made.horizon = name, reached
        made.mac = verify.mac(history_keys.read(made.key_id), stated(made))
        made.save(force_insert=True)
        return made


def system() -> tuple[str, int]:
    """The name of the database system, and the oldest transaction still running in it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT system_identifier || '/' || (SELECT oid FROM pg_database WHERE datname = current_database()),"
            " pg_snapshot_xmin(pg_current_snapshot())::text::bigint FROM pg_control_system()"
        )
        name, reached = cursor.fetchone()
        return name, reached


def _unsealed(system: str, newest: Seal | None) -> list[tuple[int, str]]:
    """(id, hash) of the events that no seal covers, by id."""
    is_new = newest is None or newest.system != system
    horizon = 0 if newest is None or is_new else newest.horizon
    with connection.cursor() as cursor:
        cursor.execute(UNSEALED, {"horizon": horizon, "is_new": is_new})
        return cursor.fetchall()


def _digests(at: datetime) -> list[tuple[int, str]]:
    """Digest the sweeps that finished (the database does the sum); (id, digest), by id."""
    with connection.cursor() as cursor:
        cursor.execute(FINISHED, [at - SETTLED, MOST_SWEEPS])
        ids = [row[0] for row in cursor.fetchall()]
        if not ids:
            return []
        cursor.execute(
            "INSERT INTO margin_sweepdigest (sweep_id, digest) SELECT id, '' FROM unnest(%s) AS id ORDER BY id"
            " RETURNING sweep_id, digest",
            [ids],
        )
        found: list[tuple[int, str]] = sorted(cursor.fetchall())
    return found


def _made(
    newest: Seal | None,
    events: Sequence[tuple[int, str]],
    sweeps: Sequence[tuple[int, str]],
    *,
    sealed_at: datetime,
    next_key: str,
) -> Seal:
    digest = hashlib.sha256()
    for number, said in events:
        digest.update(verify.event_line(number, said))
    for number, said in sweeps:
        digest.update(verify.sweep_line(number, said))
    return Seal(
        number=newest.number + 1 if newest else 1,
        sealed_at=sealed_at,
        events=ranges(number for number, _ in events),
        sweeps=ranges(number for number, _ in sweeps),
        size=len(events),
        digest=digest.hexdigest(),
        key_id=newest.next_key or newest.key_id if newest else history_keys.first(),
        next_key=next_key,
        previous_mac=newest.mac if newest else "",
    )


def ranges(ids: Iterable[int]) -> str:
    """Ascending ids as PostgreSQL writes a multirange: {[1,61),[63,64)}."""
    found: list[list[int]] = []
    for number in ids:
        if found and found[-1][1] == number:
            found[-1][1] = number + 1
        else:
            found.append([number, number + 1])
    return "{" + ",".join(f"[{low},{high})" for low, high in found) + "}"


def stated(row: Seal) -> verify.Seal:
    """A seal as it is signed: instants in UTC."""
    columns: dict[str, Any] = {name: getattr(row, name) for name in verify.Seal._fields}
    return verify.Seal(**{**columns, "sealed_at": instant(row.sealed_at)})


def instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
