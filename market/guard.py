"""May this quote be believed? A pure function of the quote and what stood before it.

Refused is what cannot be a quote at all. Held is what could be true but must be asked about: a second source or a
person confirms it (reliability.md P1, P2, P4, P5, P6, P8). Nothing here reads a database or a clock.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Context, Decimal
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

from market import strict

PRICE_DIGITS, PRICE_PLACES = 32, 12
RATE_DIGITS, RATE_PLACES = 24, 12
SOURCE_LENGTH = 32
# A source's clock may run ahead of ours by this much.
AHEAD = timedelta(seconds=60)
MAX_VOLATILITY = Decimal(50)
# Two sources agree on a mark within this part of the larger; sources of one market differ by less.
AGREEMENT_RATE = Decimal("0.02")
# The ratios splits are made in, and how near to one a move must be to look like one.
SPLIT_RATIOS = tuple(map(Decimal, (2, 3, 5, 7, 10, 20)))
SPLIT_NEARNESS_RATE = Decimal("0.03")
WIDE = Context(prec=80)
MAY_BE_ZERO = ("option", "future_option", "otc")


class Incoming(NamedTuple):
    """A quote as a source sends it. `mark` None: the middle of bid and ask, which must then both be there."""

    instrument: str
    source: str
    as_of: datetime
    mark: Decimal | None = None
    bid: Decimal | None = None
    ask: Decimal | None = None
    implied_volatility: Decimal | None = None


class Standing(NamedTuple):
    """What is known of the instrument before the quote comes. Of `latest`, its newest accepted quote, the mark, the
    instant and the source are looked at.

    `splits` are applied splits as (effective_at, new units per old unit): positions already follow them.
    """

    kind: str = "equity"
    may_be_negative: bool = False
    jump_limit_rate: Decimal = Decimal("0.25")
    ended_at: datetime | None = None
    latest: Incoming | None = None
    splits: tuple[tuple[datetime, Decimal], ...] = ()


class Outcome(Enum):
    """LATE is refused too, unless it merely repeats a fact."""

    ACCEPT = "accept"
    LATE = "late"
    HOLD = "hold"
    REFUSE = "refuse"


class Verdict(NamedTuple):
    """`quote` is the quote in canonical form. A suspected split is never confirmed by a second source: both see it."""

    outcome: Outcome
    quote: Incoming
    field: str = ""
    reason: str = ""
    split_suspected: bool = False


def judge(quote: Incoming, standing: Standing, *, at: datetime) -> Verdict:
    """Accept, hold or refuse one quote; `at` is now. The reason names what is wrong with which field."""
    try:
        quote = canonical(quote)
        check_time(quote, standing, at)
        check_signs(quote, standing)
    except strict.Refused as refusal:
        problem = refusal.problems[0]
        return Verdict(Outcome.REFUSE, quote, problem.field, problem.reason)
    latest = standing.latest
    if latest is not None and quote.as_of <= latest.as_of:
        held = f"{latest.mark} as of {latest.as_of:%Y-%m-%d %H:%M:%S} UTC from {latest.source}"
        return Verdict(Outcome.LATE, quote, "as_of", f"is not newer than the quote we hold, {held}")
    return check_plausible(quote, standing)


def canonical(quote: Incoming) -> Incoming:
    """The quote with every number exact and finite, and a mark; raises Refused naming the field."""

    _, source, _, mark, bid, ask, volatility = quote
    check_source(source)
    if bid is not None:
        bid = strict.exact(bid, field="bid", digits=PRICE_DIGITS, places=PRICE_PLACES)
    if ask is not None:
        ask = strict.exact(ask, field="ask", digits=PRICE_DIGITS, places=PRICE_PLACES)
    if volatility is not None:
        volatility = strict.exact(volatility, field="implied_volatility", digits=RATE_DIGITS, places=RATE_PLACES)
        if not 0 <= volatility <= MAX_VOLATILITY:
            reason = f"{volatility} is not between 0 and {MAX_VOLATILITY} (0.25 is 25 %)"
            raise strict.refuse("implied_volatility", reason)
    if bid is not None and ask is not None and bid > ask:
        raise strict.refuse("bid", f"{bid} is above the ask {ask}: the quote is crossed")
    if mark is None:
        mark = middle(bid, ask)
    else:
        mark = strict.exact(mark, field="mark", digits=PRICE_DIGITS, places=PRICE_PLACES)
    return Incoming(quote.instrument, quote.source, quote.as_of, mark, bid, ask, volatility)


@lru_cache(maxsize=256)
def check_source(source: str) -> None:
    """Raise Refused for a source that is no code; thousands of quotes name the same few."""
    strict.code(source, field="source", length=SOURCE_LENGTH)


def middle(bid: Decimal | None, ask: Decimal | None) -> Decimal:
    if bid is None or ask is None:
        raise strict.refuse("mark", "is missing, and so is one side: without a mark, bid and ask are both needed")
    return WIDE.quantize(WIDE.divide(WIDE.add(bid, ask), Decimal(2)), Decimal(1).scaleb(-PRICE_PLACES))


def check_time(quote: Incoming, standing: Standing, at: datetime) -> None:
    if not isinstance(quote.as_of, datetime) or quote.as_of.tzinfo is None:
        raise strict.refuse("as_of", f"{quote.as_of} names no time zone")
    if quote.as_of > at + AHEAD:
        raise strict.refuse(
            "as_of", f"{quote.as_of:%Y-%m-%d %H:%M:%S %z} lies in the future; now is {at:%Y-%m-%d %H:%M:%S %z}"
        )
    if standing.ended_at is not None and quote.as_of >= standing.ended_at:
        raise strict.refuse(
            "instrument", f"ended at {standing.ended_at:%Y-%m-%d %H:%M} UTC and has no price after that"
        )


def check_signs(quote: Incoming, standing: Standing) -> None:
    """Refuse cash, and a negative or zero price where the instrument may not have one."""
    if standing.kind == "cash":
        raise strict.refuse("instrument", "is cash, which has no quote; send an exchange rate instead")
    if standing.may_be_negative:
        return
    for name, value in (("mark", quote.mark), ("bid", quote.bid), ("ask", quote.ask)):
        if value is not None and value < 0:
            raise strict.refuse(name, f"{value} is negative; set may_be_negative on the instrument if that is right")
    if quote.ask is not None and not quote.ask:
        raise strict.refuse("ask", "is zero: nobody gives it away")
    if not quote.mark and standing.kind not in MAY_BE_ZERO:
        raise strict.refuse("mark", "is zero; a worthless instrument is written off by a corporate action")


def check_plausible(quote: Incoming, standing: Standing) -> Verdict:
    """Hold a quote that contradicts itself or moved beyond the instrument's limit; accept the rest."""
    mark, bid, ask = quote.mark, quote.bid, quote.ask
    assert mark is not None  # noqa: S101 - canonical() has filled it
    if (bid is not None and mark < bid) or (ask is not None and mark > ask):
        return Verdict(Outcome.HOLD, quote, "mark", f"{mark} lies outside bid {bid} and ask {ask}")
    widest = standing.jump_limit_rate * abs(mark)
    if standing.kind not in MAY_BE_ZERO and bid is not None and ask is not None and ask - bid > widest:
        return Verdict(Outcome.HOLD, quote, "bid", f"bid {bid} and ask {ask} are too far apart to be trusted")
    if standing.latest is None or standing.latest.mark is None:
        return Verdict(Outcome.ACCEPT, quote)
    reference = standing.latest.mark
    if standing.splits:
        reference /= split_since(standing.latest.as_of, quote.as_of, standing.splits)
    if not jumps(reference, mark, standing.jump_limit_rate, through_zero=standing.may_be_negative):
        return Verdict(Outcome.ACCEPT, quote)
    moved = f"{mark} is {percent(reference, mark)} from {reference:.12g}, limit {standing.jump_limit_rate * 100:.4g} %"
    ratio = split_like(reference, mark)
    if ratio:
        return Verdict(Outcome.HOLD, quote, "mark", f"split suspected ({ratio}): {moved}", split_suspected=True)
    return Verdict(Outcome.HOLD, quote, "mark", f"jump: {moved}")


def split_since(after: datetime, until: datetime, splits: Iterable[tuple[datetime, Decimal]]) -> Decimal:
    """New units for one old unit over the applied splits that took effect in between."""
    ratio = Decimal(1)
    for effective_at, new_per_old in splits:
        if after < effective_at <= until:
            ratio *= new_per_old
    return ratio


def jumps(reference: Decimal, mark: Decimal, limit: Decimal, *, through_zero: bool = False) -> bool:
    """Whether the move from `reference` is larger than `limit`, a fraction of the reference.

    A fall never exceeds 100 % unless it may go through zero, so where the limit is 1 or more a fall is measured the
    other way round.
    """
    if not reference:
        return mark != 0
    if abs(mark - reference) > limit * abs(reference):
        return True
    return limit >= 1 and not through_zero and abs(mark) * (1 + limit) < abs(reference)


def split_like(reference: Decimal, mark: Decimal) -> str:
    """`"7 for 1"` or `"1 for 20"` if the move is what such a split does to a price, else `""`."""
    if reference * mark <= 0:
        return ""
    for ratio in SPLIT_RATIOS:
        if abs(mark * ratio / reference - 1) <= SPLIT_NEARNESS_RATE:
            return f"{ratio} for 1"
        if abs(mark / ratio / reference - 1) <= SPLIT_NEARNESS_RATE:
            return f"1 for {ratio}"
    return ""


def agree(one: Decimal, other: Decimal) -> bool:
    """Whether two marks say the same."""
    return abs(one - other) <= AGREEMENT_RATE * max(abs(one), abs(other))


def percent(reference: Decimal, mark: Decimal) -> str:
    return "away" if not reference else f"{(mark - reference) / abs(reference) * 100:+.1f} %"
