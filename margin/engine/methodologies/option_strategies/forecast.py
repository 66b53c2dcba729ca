"""What the calendar alone will change: legs that expire before others, and long options that lose their loan value.

A spread of several expiries is margined on what it loses at one point in time; after the first expiry the legs that are
left need a requirement of their own (Cboe Margin Manual pages 37, 38). A long option's value for margin ends on the day
on which nine months remain (page 5).
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

from margin.engine.columns import Market
from margin.engine.exact import ZERO, exactly
from margin.engine.groups import Change, Groups
from margin.engine.methodologies.option_strategies.covering import Reader, covered, require_prices
from margin.engine.methodologies.option_strategies.legs import Refusal, is_loanable, months_later
from margin.engine.methodologies.option_strategies.terms import Terms
from margin.engine.methodologies.option_strategies.ways import Held

_DAY = timedelta(1)


def forecast(groups: Groups, market: Market, terms: Terms) -> tuple[Change, ...]:
    """Every day on which the need of a group changes though prices do not, in order. Refused groups have none.

    Expired legs are taken to be gone without exercise: what they deliver is re-margined when it is booked.
    """
    reader, out = Reader(groups, market, terms), []
    with exactly():
        for group in range(len(groups)):
            try:
                out += list(_changes(group, reader.held(group)))
            except Refusal:
                continue
    return tuple(out)


def _changes(group: int, held: Held) -> Iterator[Change]:
    require_prices(held)
    need = _need(held)
    separation = timedelta(held.terms.flex_separation_days)
    flex = {o.series.expires_on - separation for o in held.options if o.series.contract.is_flex}
    for on in sorted({*(o.series.expires_on + _DAY for o in held.options), *_endings(held), *flex}):
        if on <= held.market.on:
            continue
        reasons = [f"{o.series.code} has expired" for o in held.options if o.series.expires_on + _DAY == on]
        reasons += [f"{code} has no loan value any more" for code in _endings(held).get(on, ())]
        after = _need(_on(held, on))
        if after != need:
            yield Change(group, on, after - need, ", ".join(reasons) or "FLEX options near their expiry stand apart")
        need = after


def _need(held: Held) -> Decimal:
    found = covered(held)
    return found.requirement - found.equity


def _endings(held: Held) -> dict[date, list[str]]:
    """The first day without loan value, per long option that has it today."""
    out: dict[date, list[str]] = {}
    for option in held.options:
        if not option.is_short and is_loanable(option.series, held.market, held.terms):
            on = _first_day_without(held, option.series.expires_on)
            out.setdefault(on, []).append(option.series.code)
    return out


def _first_day_without(held: Held, expires_on: date) -> date:
    """By halving: loan value is lost once and for good."""
    early, late = held.market.on, expires_on
    while late - early > _DAY:
        middle = early + (late - early) // 2
        if months_later(middle, held.terms.long_option_months) < expires_on:
            early = middle
        else:
            late = middle
    return late


def _on(held: Held, on: date) -> Held:
    """The group on a later day: what has expired is gone, and loan values are those of that day."""
    market = replace(held.market, on=on)
    alive = [k for k, option in enumerate(held.options) if option.series.expires_on >= on]
    lost = tuple(held.lost[k] if is_loanable(held.options[k].series, market, held.terms) else ZERO for k in alive)
    return replace(held, options=tuple(held.options[k] for k in alive), lost=lost, market=market)
