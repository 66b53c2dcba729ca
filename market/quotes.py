"""The only writer of quotes: takes a batch, asks the guard, writes facts, current quotes and the quarantine.

Set-based: a handful of statements for thousands of quotes. Instruments are locked in order, so recorders of the same
instrument take turns and the newest `as_of` stays (never call `record` twice in one transaction for different batches).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from django.db import transaction

from market import calendars, guard, quote_rows, strict
from market.guard import Incoming, Outcome
from market.models import HeldQuote, Instrument, Quote
from market.quote_rows import Desk, Held
from market.strict import Column, Control, File, Problem, column

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
class Sorted:
    """What a batch will write."""

    facts: list[tuple[int, Incoming]] = field(default_factory=list)
    held: dict[tuple[int, str], Held] = field(default_factory=dict)
    decided: list[tuple[Held, str, str]] = field(default_factory=list)  # with the new state and the deciding source
    accepted: int = 0
    repeated: int = 0
    released: int = 0
    late: list[tuple[int, int, guard.Verdict]] = field(default_factory=list)  # row, instrument, why
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
    desks = quote_rows.lock({quote.instrument for quote in batch})
    found = Sorted()
    for row, quote in enumerate(batch, 1):
        desk = desks.get(quote.instrument)
        if desk is None:
            reason = f"{strict.shown(str(quote.instrument))} is not an instrument of ours; load it first"
            found.refused.append(Problem(row, "instrument", reason))
        else:
            _sort(row, quote, desk, found, at)
    quote_rows.write_facts(found.facts)
    _settle_late(found)
    quote_rows.write_decisions(found.decided, at)
    quote_rows.write_held(found.held)
    return Recorded(
        accepted=found.accepted,
        repeated=found.repeated,
        released=found.released,
        held=tuple(found.quarantined),
        refused=tuple(sorted(found.refused)),
    )


def _sort(row: int, quote: Incoming, desk: Desk, found: Sorted, at: datetime) -> None:
    """Put one quote where the guard says, and let it confirm or end what other sources have in quarantine."""
    verdict = guard.judge(quote, desk.standing, at=at)
    if verdict.outcome is Outcome.REFUSE:
        found.refused.append(Problem(row, verdict.field, verdict.reason))
    elif verdict.outcome is Outcome.LATE:
        found.late.append((row, desk.pk, verdict))
    elif verdict.outcome is Outcome.ACCEPT:
        own = (desk.held or {}).get(verdict.quote.source)
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
        for source, held in list((desk.held or {}).items())
        if source != quote.source
        and held.quote.mark is not None
        and guard.agree(held.quote.mark, quote.mark)
        and abs(held.quote.as_of - quote.as_of) <= timedelta(seconds=desk.max_age_seconds)
    ]


def _decide(desk: Desk, held: Held, state: str, source: str, found: Sorted) -> None:
    """End a quote's quarantine; one that this very batch brought is simply not written."""
    desk.held = {source: other for source, other in (desk.held or {}).items() if other is not held}
    found.held.pop((desk.pk, held.quote.source), None)
    if held.pk is not None:
        found.decided.append((held, state, source))


def _hold(row: int, desk: Desk, verdict: guard.Verdict, found: Sorted) -> None:
    """Quarantine: one row per instrument and source, which follows the source's newest quote."""
    quote, own = verdict.quote, (desk.held or {}).get(verdict.quote.source)
    if own is not None and quote == own.quote:
        found.repeated += 1
        return
    if own is not None and quote.as_of <= own.quote.as_of:
        reason = f"is not newer than the quote in quarantine as of {own.quote.as_of:%Y-%m-%d %H:%M:%S} UTC"
        found.refused.append(Problem(row, "as_of", reason))
        return
    previous = desk.standing.latest.mark if desk.standing.latest else None
    held = Held(quote, verdict.reason[:REASON_LENGTH], previous, pk=own.pk if own else None)
    desk.held = {**(desk.held or {}), quote.source: held}
    found.held[desk.pk, quote.source] = held
    found.quarantined.append(Problem(row, verdict.field, verdict.reason))


def _settle_late(found: Sorted) -> None:
    """A late quote that says what a fact says is a repeat, as after a feed's reconnection; any other is refused."""
    if not found.late:
        return
    rows = [(pk, verdict.quote) for _, pk, verdict in found.late]
    known = quote_rows.known_facts(rows)
    for row, pk, verdict in found.late:
        if (pk, *verdict.quote[1:]) in known:
            found.repeated += 1
        else:
            found.refused.append(Problem(row, verdict.field, verdict.reason))


COLUMNS: dict[str, Column] = {
    "instrument": column(strict.code, length=48),
    "source": column(strict.code, length=guard.SOURCE_LENGTH),
    "as_of": column(strict.instant),
    "mark": column(strict.decimal, optional=True, digits=guard.PRICE_DIGITS, places=guard.PRICE_PLACES),
    "bid": column(strict.decimal, optional=True, digits=guard.PRICE_DIGITS, places=guard.PRICE_PLACES),
    "ask": column(strict.decimal, optional=True, digits=guard.PRICE_DIGITS, places=guard.PRICE_PLACES),
    "implied_volatility": column(strict.decimal, optional=True, digits=guard.RATE_DIGITS, places=guard.RATE_PLACES),
}


def load(file: File, *, at: datetime, control: Control | None = None) -> Recorded:
    """Record the quotes of a CSV file (docs/formats.md), the oldest first, all or nothing; quarantine is no refusal.

    Raises strict.Refused with rows of the file.
    """
    rows = strict.table(file, COLUMNS, key=("instrument", "as_of", "source"), control=control, total_of="mark")
    rows.sort(key=lambda row: row.values["as_of"])
    done = Recorded()
    with transaction.atomic():
        for start in range(0, len(rows), LARGEST_BATCH):
            some = rows[start : start + LARGEST_BATCH]
            with strict.numbered(some):
                chunk = record([Incoming(**row.values) for row in some], at=at)
                if chunk.refused:
                    raise strict.Refused(chunk.refused)
            held = tuple(problem._replace(row=some[problem.row - 1].number) for problem in chunk.held)
            done = Recorded(
                done.accepted + chunk.accepted,
                done.repeated + chunk.repeated,
                done.released + chunk.released,
                done.held + held,
            )
    return done


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
    quote_rows.write_facts([(desk.pk, other.quote) for other in agreeing])
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
    desk = quote_rows.lock({code})[code]
    current = next((other for other in (desk.held or {}).values() if other.pk == held.pk), None)
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
