"""What a letter tells of the ways to meet a call: sized by the engine, as of the event the letter is about.

Every way was tried on the account (docs/cure_options.md). Sizing reads the whole account and assesses it a few times,
too dear for thousands of letters at once: where many calls of one batch ask, all their letters name the cash alone and
say so. Nothing is told on a guess: what cannot be sized is left out, with the reason.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from fractions import Fraction
from typing import Any, cast

from django.db import transaction

from margin import cure_options
from margin.engine.cure_options import Option, Options, Value, lines
from margin.engine.cure_options import Step as EngineStep
from margin.models import Event, MarginCall
from market.models import Instrument
from notifications.addresses import visible

log = logging.getLogger(__name__)

MOST_SIZED = 20  # calls of one batch; more are a storm
MOST_WAYS = 5  # cash among them
_RATE = Decimal("0.0001")

# Why no other way is named beside cash.
STORM, MOVED_ON, UNKNOWN = "storm", "moved_on", "unknown"


@dataclass(frozen=True)
class Step:
    """One thing to do: `units`, never negative, and what they are worth in `currency`; of a future nothing is paid."""

    verb: str  # sell, buy_back or deposit
    name: str
    units: Decimal
    amount: Decimal
    currency: str


@dataclass(frozen=True)
class Way:
    """Steps that meet the call together; `fee` is in the account's currency."""

    steps: tuple[Step, ...]
    fee: Decimal


@dataclass(frozen=True)
class CureOptions:
    """The ways beside cash, the cheapest of each sort first; or, in `unsized`, why none is named.

    `all_cash` meets all `calls` open calls of the account, where there are several. `deposit_value` is the market value
    of other securities that meet the call, margined at `deposit_rate` or less. `cushions` are (probability, cash to pay
    in now).
    """

    ways: tuple[Way, ...] = ()
    deposit_value: Decimal | None = None
    deposit_rate: Decimal | None = None
    cushions: tuple[tuple[Decimal, Decimal], ...] = ()
    refuses_sales: bool = False
    calls: int = 1
    all_cash: Decimal | None = None
    unsized: str = ""


def of_events(events: Iterable[Event], bodies: Mapping[int, Mapping[str, Any]]) -> dict[int, CureOptions]:
    """By event: the options of its open call. Left out are events that left no open call behind."""
    asking = [event for event in events if _asks(bodies[event.pk])]
    current = [event for event in asking if _stands(event, bodies[event.pk]["row"])]
    is_storm = len({event.call_id for event in current}) > MOST_SIZED
    told = {event.pk: CureOptions(unsized=MOVED_ON) for event in asking}
    return told | {event.pk: CureOptions(unsized=STORM) if is_storm else _of_event(event) for event in current}


def _asks(body: Mapping[str, Any]) -> bool:
    row = body.get("row") or {}
    return row.get("state") in ("issued", "escalated") and Decimal(row["amount_outstanding"]) > 0


def _stands(event: Event, row: Mapping[str, Any]) -> bool:
    """Whether the call still asks what it asked at the event."""
    call = event.call
    return call is not None and call.is_open and call.amount_outstanding == Decimal(row["amount_outstanding"])


def _of_event(event: Event) -> CureOptions:
    call = cast(MarginCall, event.call)
    try:
        with transaction.atomic():
            found = cure_options.of_call(call, at=event.at, worlds=cure_options.until_due(call, at=event.at))
    except cure_options.NotSizable:
        return CureOptions(unsized=UNKNOWN)
    except Exception:  # one account that cannot be sized must not keep the others from being told
        log.exception("the cure options of %s cannot be found; its letter names the cash alone", call)
        return CureOptions(unsized=UNKNOWN)
    return of_found(found)


def of_found(found: cure_options.Found) -> CureOptions:
    """What is told of the options found for one call."""
    options, together = found.this_call, found.all_calls
    if options.is_clear:
        return CureOptions(unsized=MOVED_ON)
    asked = next(one for one in options.asked if one.key == found.call.number)
    value = None if asked.regime == "loan" else _value(options, asked.key)
    chosen = _chosen(options, has_value=value is not None)
    named = Instrument.objects.in_bulk({step.instrument_id for way in chosen for step in way.steps})
    return CureOptions(
        ways=tuple(_way(option, named) for option in chosen),
        deposit_value=value.value if value else None,
        deposit_rate=_stated(value.rates[asked.key]) if value else None,
        cushions=tuple(
            (one.probability, max(one.cash, found.call.amount_outstanding))
            for one in options.cushions
            if one.regime == asked.regime and one.cash is not None
        ),
        refuses_sales="sale" not in asked.ways,
        calls=len(together.asked) if together else 1,
        all_cash=max(found.call.amount_outstanding, *(one.cash for one in together.asked)) if together else None,
    )


def _chosen(options: Options, *, has_value: bool) -> list[Option]:
    """The cheapest ways to close positions and one of bringing some in; none that makes a new call. Mixes only where no
    single holding is enough: one trade is easier to do than two that save a cent."""
    trades, mixes, deposits = (
        [one for one in found if not one.breaches] for found in (options.trades, options.mixes, options.deposits)
    )
    return (trades or mixes)[: MOST_WAYS - 1 - bool(deposits) - has_value] + deposits[:1]


def _value(options: Options, key: str) -> Value | None:
    """What is enough at the highest rate that the account knows, so that it is for every lower one too."""
    lawful = [one for one in options.values if 0 < one.rates[key] < 1]
    return max(lawful, key=lambda one: one.rates[key], default=None)


def _stated(rate: Fraction) -> Decimal:
    """Rounded down, so that what is margined at the stated rate is enough."""
    return (Decimal(rate.numerator) / rate.denominator).quantize(_RATE, ROUND_FLOOR)


def _way(option: Option, named: Mapping[int, Instrument]) -> Way:
    steps = [
        Step(
            verb=_verb(step),
            name=visible(named[step.instrument_id].name),
            units=abs(step.quantity),
            amount=step.amount,
            currency=named[step.instrument_id].currency,
        )
        for step in option.steps
    ]
    return Way(tuple(steps), option.fee)


def _verb(step: EngineStep) -> str:
    if step.kind in (lines.SECURITIES, lines.COLLATERAL):
        return "deposit"
    return "sell" if step.quantity < 0 else "buy_back"
