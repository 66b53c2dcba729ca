"""The only writer of quotes: takes a batch, asks the guard, writes facts, current quotes and the quarantine.

Set-based: a handful of statements for thousands of quotes. Instruments are locked in order, so recorders of the same
instrument take turns and the newest `as_of` stays (never call `record` twice in one transaction for different batches).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from django.db import connection, transaction

from market import calendars, guard, strict
from market.guard import Incoming, Outcome, Standing
from market.models import CorporateAction, HeldQuote, Instrument, Quote
from market.strict import Problem

LARGEST_BATCH = 20_000
REASON_LENGTH = 200


class CannotDecide(Exception):
    """The quote in quarantine cannot be decided so; the message says what to do."""


@dataclass(frozen=True)
class Recorded:
    """What became of a batch; rows count from 1. Repeats of a quote we hold, or have in quarantine, change nothing.

    `released` counts the quotes in quarantine that this batch confirmed.
    """

    accepted: int = 0
    repeated: int = 0
    released: int = 0
    held: tuple[Problem, ...] = ()
    refused: tuple[Problem, ...] = ()


@dataclass
class Held:
    """A quote in quarantine; `pk` None: this batch brought it."""

    quote: Incoming
    reason: str
    previous_mark: Decimal | None
    pk: int | None = None


@dataclass
class Desk:
    """One instrument while its batch is sorted."""

    pk: int
    standing: Standing
    max_age: timedelta
    held: dict[str, Held] = field(default_factory=dict)


@dataclass
class Sorted:
    """What a batch will write."""

    facts: list[tuple[int, Incoming]] = field(default_factory=list)
    held: dict[tuple[int, str], Held] = field(default_factory=dict)
    decided: list[tuple[Held, str, str]] = field(default_factory=list)  # with the new state and the deciding source
    accepted: int = 0
    repeated: int = 0
    released: int = 0
    quarantined: list[Problem] = field(default_factory=list)
    refused: list[Problem] = field(default_factory=list)


@transaction.atomic
def record(batch: Sequence[Incoming], *, at: datetime) -> Recorded:
    """Judge the batch in its order and write what is accepted or held, in one transaction.

    `at` is now. Nothing is raised for a bad quote: it is listed in `refused` with row, field and reason; raise there if
    your batch is all or nothing. Raises ValueError for more than 20,000 quotes.
    """
    if len(batch) > LARGEST_BATCH:
        raise ValueError(f"{len(batch)} quotes are more than {LARGEST_BATCH} at once; send smaller batches")
    desks = _lock({quote.instrument for quote in batch})
    found = Sorted()
    for row, quote in enumerate(batch, 1):
        desk = desks.get(quote.instrument)
        if desk is None:
            reason = f"{strict.shown(str(quote.instrument))} is not an instrument of ours; load it first"
            found.refused.append(Problem(row, "instrument", reason))
        else:
            _sort(row, quote, desk, found, at)
    _write_facts(found.facts)
    _write_decisions(found.decided, at)
    _write_held(found.held)
    return Recorded(
        accepted=found.accepted,
        repeated=found.repeated,
        released=found.released,
        held=tuple(found.quarantined),
        refused=tuple(found.refused),
    )


def _sort(row: int, quote: Incoming, desk: Desk, found: Sorted, at: datetime) -> None:
    """Put one quote where the guard says, and let it confirm or end what other sources have in quarantine."""
    verdict = guard.judge(quote, desk.standing, at=at)
    if verdict.outcome is Outcome.REFUSE:
        found.refused.append(Problem(row, verdict.field, verdict.reason))
    elif verdict.outcome is Outcome.REPEAT:
        found.repeated += 1
    elif verdict.outcome is Outcome.ACCEPT:
        own = desk.held.get(verdict.quote.source)
        if own is not None and own.quote.as_of <= verdict.quote.as_of:
            _decide(desk, own, HeldQuote.State.REJECTED, verdict.quote.source, found)
        _accept(desk, verdict.quote, found)
    else:
        agreeing = [] if verdict.split_suspected else _agreeing(desk, verdict.quote)
        for other in agreeing:
            _decide(desk, other, HeldQuote.State.CONFIRMED, verdict.quote.source, found)
            found.facts.append((desk.pk, other.quote))
            found.released += 1
        if agreeing:
            _accept(desk, verdict.quote, found)
        else:
            _hold(row, desk, verdict, found)


def _accept(desk: Desk, quote: Incoming, found: Sorted) -> None:
    found.facts.append((desk.pk, quote))
    found.accepted += 1
    desk.standing = desk.standing._replace(latest=quote)


def _agreeing(desk: Desk, quote: Incoming) -> list[Held]:
    """What other sources have in quarantine that says the same at about the same time."""
    assert quote.mark is not None  # noqa: S101 - the guard has filled it
    return [
        held
        for source, held in list(desk.held.items())
        if source != quote.source
        and held.quote.mark is not None
        and guard.agree(held.quote.mark, quote.mark)
        and abs(held.quote.as_of - quote.as_of) <= desk.max_age
    ]


def _decide(desk: Desk, held: Held, state: str, source: str, found: Sorted) -> None:
    """End a quote's quarantine; one that this very batch brought is simply not written."""
    del desk.held[held.quote.source]
    found.held.pop((desk.pk, held.quote.source), None)
    if held.pk is not None:
        found.decided.append((held, state, source))


def _hold(row: int, desk: Desk, verdict: guard.Verdict, found: Sorted) -> None:
    """Quarantine: one row per instrument and source, which follows the source's newest quote."""
    quote, own = verdict.quote, desk.held.get(verdict.quote.source)
    if own is not None and quote == own.quote:
        found.repeated += 1
        return
    if own is not None and quote.as_of <= own.quote.as_of:
        reason = f"is not newer than the quote in quarantine as of {own.quote.as_of:%Y-%m-%d %H:%M:%S} UTC"
        found.refused.append(Problem(row, "as_of", reason))
        return
    previous = desk.standing.latest.mark if desk.standing.latest else None
    held = Held(quote, verdict.reason[:REASON_LENGTH], previous, pk=own.pk if own else None)
    desk.held[quote.source] = found.held[desk.pk, quote.source] = held
    found.quarantined.append(Problem(row, verdict.field, verdict.reason))


# --- people -------------------------------------------------------------------------------------------------


@transaction.atomic
def confirm(held: HeldQuote, *, at: datetime, person: Any) -> Quote:
    """A person says the move is real: the quote becomes current, with whatever else in quarantine agrees with it.

    `held` carries the figures the person saw. Raises CannotDecide if they moved on, somebody decided already, a newer
    quote was accepted since, or the person's role does not confirm quotes.
    """
    desk, current = _open(held, person)
    if current.quote.mark is None or not guard.agree(current.quote.mark, held.mark):
        raise CannotDecide(
            f"quote {held.pk} in quarantine moved on from {held.mark} to {current.quote.mark}; look again"
        )
    latest = desk.standing.latest
    if latest is not None and latest.as_of >= current.quote.as_of:
        raise CannotDecide(
            f"a newer quote, as of {latest.as_of:%Y-%m-%d %H:%M:%S} UTC, was accepted since; reject this one"
        )
    agreeing = sorted([current, *_agreeing(desk, current.quote)], key=lambda other: other.quote.as_of)
    _write_facts([(desk.pk, other.quote) for other in agreeing])
    _close([other.pk for other in agreeing if other.pk], HeldQuote.State.CONFIRMED, at, person, "")
    held.refresh_from_db()
    return Quote.objects.get(pk=desk.pk)


@transaction.atomic
def reject(held: HeldQuote, *, at: datetime, person: Any, reason: str) -> None:
    """A person says the quote is wrong; the last accepted quote stays. Raises CannotDecide as `confirm` does."""
    if not reason.strip():
        raise CannotDecide("say why the quote is rejected")
    _open(held, person)
    _close([held.pk], HeldQuote.State.REJECTED, at, person, reason.strip()[:REASON_LENGTH])
    held.refresh_from_db()


def _open(held: HeldQuote, person: Any) -> tuple[Desk, Held]:
    """Lock the instrument and give its desk and the quote in quarantine as it is now."""
    if not person.has_perm("market.change_heldquote"):
        raise CannotDecide(f"{person.get_username()}'s role neither confirms nor rejects quotes")
    code = Instrument.objects.values_list("code", flat=True).get(pk=held.instrument_id)
    desk = _lock({code})[code]
    current = next((other for other in desk.held.values() if other.pk == held.pk), None)
    if current is None:
        raise CannotDecide(f"quote {held.pk} in quarantine was decided already; reload")
    return desk, current


def _close(keys: list[int], state: str, at: datetime, person: Any, reason: str) -> None:
    HeldQuote.objects.filter(pk__in=keys).update(state=state, decided_at=at, decided_by=person, decided_reason=reason)


# --- staleness ----------------------------------------------------------------------------------------------


class Staleness(NamedTuple):
    """Trading seconds since each quote, and whether that is too long."""

    age_seconds: npt.NDArray[np.float64]
    is_stale: npt.NDArray[np.bool_]


def staleness(
    as_of: npt.ArrayLike, at: datetime, *, clock: calendars.TradingClock, max_age_seconds: npt.ArrayLike
) -> Staleness:
    """How old quotes are at `at` by their venue's trading clock; `as_of` in microseconds since 1970 (vectorised).

    A quote of the close is fresh all night. Raises CalendarUnknown beyond what the calendar knows.
    """
    age = clock.elapsed_seconds(as_of, calendars.microseconds(at))
    return Staleness(age, age > np.asarray(max_age_seconds))


# --- reading and writing ------------------------------------------------------------------------------------


def _lock(codes: Iterable[str]) -> dict[str, Desk]:
    """Lock these instruments, in order, until the transaction ends, and read what stands of each."""
    listed = sorted(code for code in codes if isinstance(code, str) and "\x00" not in code)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, code, kind, may_be_negative, jump_limit_rate, max_age_seconds, ended_at"
            " FROM market_instrument WHERE code = ANY(%s) ORDER BY id FOR NO KEY UPDATE",
            [listed],
        )
        desks = {
            pk: (code, Desk(pk, Standing(kind, negative, limit, ended_at), timedelta(seconds=max_age)))
            for pk, code, kind, negative, limit, max_age, ended_at in cursor.fetchall()
        }
        # A statement of its own: it must see what was committed while we waited for the locks.
        cursor.execute(f"SELECT {QUOTE_COLUMNS} FROM market_quote WHERE instrument_id = ANY(%s)", [list(desks)])  # noqa: S608
        for pk, *columns in cursor.fetchall():
            code, desk = desks[pk]
            desk.standing = desk.standing._replace(latest=Incoming(code, *columns))
        cursor.execute(
            f"SELECT {QUOTE_COLUMNS}, reason, previous_mark, id FROM market_heldquote"  # noqa: S608
            " WHERE state = 'held' AND instrument_id = ANY(%s)",
            [list(desks)],
        )
        for pk, *columns, reason, previous_mark, held_pk in cursor.fetchall():
            code, desk = desks[pk]
            quote = Incoming(code, *columns)
            desk.held[quote.source] = Held(quote, reason, previous_mark, held_pk)
    _read_splits({pk: desk for pk, (_, desk) in desks.items()})
    return dict(desks.values())


QUOTE_COLUMNS = "instrument_id, source, as_of, mark, bid, ask, implied_volatility"


def _read_splits(desks: dict[int, Desk]) -> None:
    """Splits that positions follow already: the guard measures a move against the price before, divided by them."""
    since = min((desk.standing.latest.as_of for desk in desks.values() if desk.standing.latest), default=None)
    if since is None:
        return
    applied = CorporateAction.objects.filter(kind=CorporateAction.Kind.SPLIT, applied_at__isnull=False)
    columns = ("instrument_id", "effective_at", "new_per_old")
    for pk, effective_at, ratio in applied.filter(effective_at__gt=since).values_list(*columns):
        if pk in desks and ratio is not None:
            standing = desks[pk].standing
            desks[pk].standing = standing._replace(splits=(*standing.splits, (effective_at, ratio)))


def _columns(rows: Sequence[tuple[int, Incoming]]) -> list[str]:
    """The quotes as array literals: several times quicker than letting the driver adapt every element."""
    instants = {quote.as_of: quote.as_of.isoformat() for _, quote in rows}
    return [
        _array(str(pk) for pk, _ in rows),
        _array(f'"{quote.source}"' for _, quote in rows),  # a code: it holds no quote and no backslash
        _array(instants[quote.as_of] for _, quote in rows),
        *(
            _array("NULL" if value is None else str(value) for value in column)
            for column in zip(*(quote[3:] for _, quote in rows), strict=True)
        ),
    ]


def _array(elements: Iterable[str]) -> str:
    return "{" + ",".join(elements) + "}"


GIVEN = "unnest(%s::bigint[], %s::text[], %s::timestamptz[], %s::numeric[], %s::numeric[], %s::numeric[], %s::numeric[]"


def _write_facts(rows: Sequence[tuple[int, Incoming]]) -> None:
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


def _write_held(held: dict[tuple[int, str], Held]) -> None:
    if not held:
        return
    rows = [(pk, one.quote) for (pk, _), one in held.items()]
    more = [[one.reason for one in held.values()], [one.previous_mark for one in held.values()]]
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


def _write_decisions(decided: Sequence[tuple[Held, str, str]], at: datetime) -> None:
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
