"""How quotes, their facts and the quarantine are read and written: a few set-based statements. For `quotes` alone."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection

from market.guard import Incoming, Standing
from market.models import CorporateAction

QUOTE_COLUMNS = "instrument_id, source, as_of, mark, bid, ask, implied_volatility"
GIVEN = "unnest(%s::bigint[], %s::text[], %s::timestamptz[], %s::numeric[], %s::numeric[], %s::numeric[], %s::numeric[]"


@dataclass
class Held:
    """A quote in quarantine; `pk` None: this batch brought it."""

    quote: Incoming
    reason: str
    previous_mark: Decimal | None
    pk: int | None = None


@dataclass(slots=True)
class Desk:
    """One instrument while its batch is sorted; `held` is its quarantine by source."""

    pk: int
    standing: Standing
    max_age_seconds: int
    held: dict[str, Held] | None = None


def lock(codes: Iterable[str]) -> dict[str, Desk]:
    """Lock these instruments, in order, until the transaction ends, and read what stands of each."""
    listed = sorted(code for code in codes if isinstance(code, str) and "\x00" not in code)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, code, kind, may_be_negative, jump_limit_rate, ended_at, max_age_seconds"
            " FROM market_instrument WHERE code = ANY(%s) ORDER BY id FOR NO KEY UPDATE",
            [listed],
        )
        locked = cursor.fetchall()
        codes_by_pk = {row[0]: row[1] for row in locked}
        keys = _array(map(str, codes_by_pk))
        # A statement of its own: it must see what was committed while we waited for the locks.
        cursor.execute(
            "SELECT instrument_id, source, as_of, mark FROM market_quote WHERE instrument_id = ANY(%s)", [keys]
        )
        latest = {pk: Incoming(codes_by_pk[pk], source, as_of, mark) for pk, source, as_of, mark in cursor.fetchall()}
        desks = {
            code: Desk(pk, Standing(kind, negative, limit, ended_at, latest.get(pk)), max_age_seconds)
            for pk, code, kind, negative, limit, ended_at, max_age_seconds in locked
        }
        cursor.execute(
            f"SELECT {QUOTE_COLUMNS}, reason, previous_mark, id FROM market_heldquote"  # noqa: S608
            " WHERE state = 'held' AND instrument_id = ANY(%s)",
            [keys],
        )
        for pk, *columns, reason, previous_mark, held_pk in cursor.fetchall():
            desk, quote = desks[codes_by_pk[pk]], Incoming(codes_by_pk[pk], *columns)
            desk.held = {**(desk.held or {}), quote.source: Held(quote, reason, previous_mark, held_pk)}
    if latest:
        _read_splits(desks, since=min(quote.as_of for quote in latest.values()))
    return desks


def _read_splits(desks: dict[str, Desk], *, since: datetime) -> None:
    """Splits that positions follow already: the guard measures a move against the price before, divided by them."""
    applied = CorporateAction.objects.filter(kind=CorporateAction.Kind.SPLIT, applied_at__isnull=False)
    columns = ("instrument__code", "effective_at", "new_per_old")
    for code, effective_at, ratio in applied.filter(effective_at__gt=since).values_list(*columns):
        if code in desks and ratio is not None:
            standing = desks[code].standing
            desks[code].standing = standing._replace(splits=(*standing.splits, (effective_at, ratio)))


def known_facts(rows: Sequence[tuple[int, Incoming]]) -> set[tuple[Any, ...]]:
    """Those of these instruments, instants and sources that are facts, as tuples of QUOTE_COLUMNS."""
    columns = _columns(rows)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {QUOTE_COLUMNS} FROM market_quotefact WHERE (instrument_id, as_of, source) IN"  # noqa: S608
            " (SELECT * FROM unnest(%s::bigint[], %s::timestamptz[], %s::text[]))",
            [columns[0], columns[2], columns[1]],
        )
        return set(cursor.fetchall())


def _columns(rows: Sequence[tuple[int, Incoming]]) -> list[str]:
    """The quotes as array literals: several times quicker than letting the driver adapt every element."""
    sources = {source: f'"{source}"' for source in {quote.source for _, quote in rows}}  # codes: nothing to escape
    instants = {as_of: as_of.isoformat() for as_of in {quote.as_of for _, quote in rows}}
    return [
        _array([str(pk) for pk, _ in rows]),
        _array([sources[quote.source] for _, quote in rows]),
        _array([instants[quote.as_of] for _, quote in rows]),
        *(
            _array(["NULL" if value is None else str(value) for value in column])
            for column in zip(*[quote[3:] for _, quote in rows], strict=True)
        ),
    ]


def _array(elements: Iterable[str]) -> str:
    return "{" + ",".join(elements) + "}"


def write_facts(rows: Sequence[tuple[int, Incoming]]) -> None:
    """Append the facts and move each current quote to its newest, never backwards."""
    if not rows:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH fact AS (INSERT INTO market_quotefact ({QUOTE_COLUMNS})"  # noqa: S608 - constants of this module
            f" SELECT {QUOTE_COLUMNS} FROM {GIVEN}) WITH ORDINALITY AS given ({QUOTE_COLUMNS}, place) ORDER BY place"
            f" RETURNING id, {QUOTE_COLUMNS})"
            f" INSERT INTO market_quote (fact_id, {QUOTE_COLUMNS})"
            f" SELECT DISTINCT ON (instrument_id) id, {QUOTE_COLUMNS} FROM fact"
            " ORDER BY instrument_id, as_of DESC, id DESC"
            " ON CONFLICT (instrument_id) DO UPDATE SET fact_id = excluded.fact_id, source = excluded.source,"
            " as_of = excluded.as_of, mark = excluded.mark, bid = excluded.bid, ask = excluded.ask,"
            " implied_volatility = excluded.implied_volatility WHERE excluded.as_of > market_quote.as_of",
            _columns(rows),
        )


def write_held(held: dict[tuple[int, str], Held]) -> None:
    if not held:
        return
    rows = [(pk, one.quote) for (pk, _), one in held.items()]
    more: list[list[Any]] = [[one.reason for one in held.values()], [one.previous_mark for one in held.values()]]
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO market_heldquote ({QUOTE_COLUMNS}, reason, previous_mark, state, decided_source,"  # noqa: S608
            f" decided_reason) SELECT *, 'held', '', '' FROM {GIVEN}, %s::text[], %s::numeric[])"
            " ON CONFLICT (instrument_id, source) WHERE state = 'held' DO UPDATE SET as_of = excluded.as_of,"
            " mark = excluded.mark, bid = excluded.bid, ask = excluded.ask,"
            " implied_volatility = excluded.implied_volatility, reason = excluded.reason,"
            " previous_mark = excluded.previous_mark",
            [*_columns(rows), *more],
        )


def write_decisions(decided: Sequence[tuple[Held, str, str]], at: datetime) -> None:
    """Close quotes in quarantine with the figures they had when their fate was decided."""
    if not decided:
        return
    rows = [(held.pk or 0, held.quote) for held, _, _ in decided]
    more = [[state for _, state, _ in decided], [source for _, _, source in decided]]
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE market_heldquote held SET state = given.state, decided_source = given.decided_source,"  # noqa: S608
            " decided_at = %s, as_of = given.as_of, mark = given.mark, bid = given.bid, ask = given.ask,"
            f" implied_volatility = given.implied_volatility FROM {GIVEN}, %s::text[], %s::text[]) AS given"
            " (id, source, as_of, mark, bid, ask, implied_volatility, state, decided_source)"
            " WHERE held.id = given.id AND held.state = 'held'",
            [at, *_columns(rows), *more],
        )
