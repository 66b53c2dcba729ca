"""The universal spread rule: which options may be set against one another, what a set loses, what it is called.

SR-CBOE-2012-043, FINRA Regulatory Notice 12-44, Cboe Margin Manual pages 36 to 57: all on one underlying, all American
or all European, all listed or all over the counter, equal contract value bought and sold of each right, and every short
gone by the expiry of the long it stands against. Which sets are formed is decided by `margin.engine.cover`.
"""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from datetime import date, timedelta
from decimal import Decimal

from margin.engine.columns import Contract
from margin.engine.exact import ONE, ZERO
from margin.engine.methodologies.option_strategies.legs import INDEX_CLASSES, Series
from margin.engine.methodologies.option_strategies.ways import Held, Way

Payoff = tuple[str, Decimal, Decimal]  # right, strike, signed units


def families(held: Held) -> list[tuple[int, ...]]:
    """Per option the numbers of the families in which it may spread; a family has longs and shorts."""
    members: dict[Hashable, set[int]] = {}
    for k, option in enumerate(held.options):
        for key in _keys(held, option.series):
            members.setdefault(key, set()).add(k)
    kept = _largest([group for group in members.values() if _has_both_sides(held, group)])
    out: list[tuple[int, ...]] = [() for _ in held.options]
    for number, group in enumerate(kept):
        for k in group:
            out[k] += (number,)
    return out


def _has_both_sides(held: Held, group: set[int]) -> bool:
    return len({held.options[k].is_short for k in group}) == 2


def _largest(groups: Iterable[set[int]]) -> list[set[int]]:
    """The groups that no other contains, in order of their members."""
    unique = {frozenset(group) for group in groups}
    return [set(group) for group in sorted(unique, key=sorted) if not any(group < other for other in unique)]


def _keys(held: Held, series: Series) -> Iterator[Hashable]:
    """A FLEX option spreads with either style; conventional ones with their own."""
    contract, is_cash = series.contract, held.terms.account == "cash"
    if is_cash and not (contract.style == "european" and contract.is_cash_settled):
        return
    common = (*axis(series), contract.venue, _calendar(held, series))
    styles = ("american", "european") if contract.is_flex and not is_cash else (contract.style,)
    for style in styles:
        for settlement in _settlements(held, series):
            yield (*common, style, settlement)


def _calendar(held: Held, series: Series) -> date | None:
    """The expiry where longs and shorts must share it, None where they may differ."""
    contract, terms = series.contract, held.terms
    is_bound = (
        terms.account == "cash"
        or (contract.style == "european" and not terms.european_calendars)
        or (contract.margin_class == "vol_index" and not terms.volatility_calendars)
    )
    return series.expires_on if is_bound else None


def _settlements(held: Held, series: Series) -> tuple[str, ...]:
    """In the last days before their expiry, AM and PM settled options stay apart where one of them is FLEX."""
    if not any(option.series.contract.is_flex and _is_last_days(held, option.series) for option in held.options):
        return ("",)
    return (series.contract.settles,) if _is_last_days(held, series) else ("am", "pm")


def _is_last_days(held: Held, series: Series) -> bool:
    return series.expires_on - held.market.on <= timedelta(days=held.terms.flex_separation_days)


def axis(series: Series) -> tuple[Hashable, ...]:
    """What two options must share to lie on one price axis: the index family, the underlying, or the deliverable."""
    contract = series.contract
    if contract.margin_class in INDEX_CLASSES and not contract.is_adjusted:
        return "index", contract.index or contract.underlying
    return "delivered", *series.delivered


def moment(held: Held, series: Series) -> date:
    """When the option dies, in half days counted as days: before noon AM settled, after it PM settled.

    An AM settled long cannot serve a short that lives until the close of the same day. FLEX options are excepted from
    this until their last days.
    """
    is_excepted = series.contract.is_flex and not _is_last_days(held, series)
    late = 1 if series.contract.settles == "pm" or is_excepted else 0
    return date.fromordinal(2 * series.expires_on.toordinal() + late)


def boxes(held: Held) -> Iterator[Way]:
    """Long European boxes: 50 % of the strike difference is asked, and all of it counts (Manual page 49)."""
    if held.terms.account != "margin" or held.terms.box_loan_rate >= 1:
        return
    chosen = [k for k, option in enumerate(held.options) if option.series.contract.style == "european"]
    calls = [k for k in chosen if held.options[k].series.is_call]
    for low in calls:
        for high in calls:
            one, other = held.options[low], held.options[high]
            if one.is_short or not other.is_short or one.series.strike >= other.series.strike:
                continue
            if not _agree(one.series, other.series):
                continue
            puts = [(held, chosen, other.series, False), (held, chosen, one.series, True)]
            bought, sold = (_counterpart(*wanted) for wanted in puts)
            if bought is not None and sold is not None:
                yield _box(held, low, high, bought, sold)


def _agree(one: Series, other: Series) -> bool:
    """Alike in everything but strike and right."""
    return (
        axis(one) == axis(other)
        and one.size == other.size
        and one.expires_on == other.expires_on
        and (one.contract.venue, one.contract.settles) == (other.contract.venue, other.contract.settles)
    )


def _counterpart(held: Held, chosen: Sequence[int], call: Series, is_short: bool) -> int | None:
    """The put at a call's strike, held on that side."""
    for k in chosen:
        option = held.options[k]
        is_put = not option.series.is_call and option.is_short == is_short
        if is_put and option.series.strike == call.strike and _agree(option.series, call):
            return k
    return None


def _box(held: Held, low: int, high: int, bought: int, sold: int) -> Way:
    one, other = held.options[low].series, held.options[high].series
    width = (other.strike - one.strike) * one.size
    asked = held.terms.box_loan_rate * width
    return Way(
        "long_box",
        "strike_difference",
        ((low, 1), (high, 1), (bought, 1), (sold, 1)),
        (),
        asked,
        asked,
        asked - width,
        {"loan_rate": held.terms.box_loan_rate, "strike_difference": width},
        equity=width,
        cost=asked - width + held.lost[low] + held.lost[bought],
    )


# ---------------------------------------------------------------- what a set loses


def max_potential_loss(payoffs: Sequence[Payoff]) -> tuple[Decimal, Decimal] | None:
    """(greatest loss at expiry, the price at which it arises); None where the loss has no bound.

    The value of a set is piecewise linear in the price: its least is at a strike, at nothing, or at no end when more
    calls are sold than bought.
    """
    if sum((units for right, _, units in payoffs if right == "call"), ZERO) < 0:
        return None
    points = sorted({ZERO, *(strike for _, strike, _ in payoffs)})
    worst = min(points, key=lambda point: value_at(payoffs, point))
    return max(-value_at(payoffs, worst), ZERO), worst


def value_at(payoffs: Sequence[Payoff], price: Decimal) -> Decimal:
    """What the options are worth at expiry when the underlying is at `price`."""
    return sum(
        (units * max(price - strike if right == "call" else strike - price, ZERO) for right, strike, units in payoffs),
        ZERO,
    )


def payoff(contract: Contract, multiplier: Decimal, contracts: Decimal) -> Payoff:
    """One position on the axis of the full-size index."""
    return contract.right, contract.strike / contract.scale, contracts * multiplier * contract.scale


# ---------------------------------------------------------------- what a set is called


def name(legs: Sequence[tuple[Series, Decimal]]) -> str:
    """The name under which people know a set of (series, signed contracts), else "spread"."""
    ordered = sorted(legs, key=lambda leg: (leg[0].strike, leg[0].is_call, leg[0].expires_on, leg[1]))
    expiries = {series.expires_on for series, _ in ordered}
    if len({series.is_call for series, _ in ordered}) == 1:
        return _of_one_right(ordered, expiries, "call" if ordered[0][0].is_call else "put")
    return _of_both_rights(ordered) if len(expiries) == 1 else "spread of several expiries"


def _of_one_right(legs: Sequence[tuple[Series, Decimal]], expiries: set[date], right: str) -> str:
    units, strikes = _units(legs), [series.strike for series, _ in legs]
    if len(legs) == 2:
        if len(expiries) == 1:
            return f"{'bull' if units[0] > 0 else 'bear'} {right} spread"
        return f"{right} {'calendar' if strikes[0] == strikes[1] else 'diagonal'} spread"
    if len(expiries) > 1:
        return f"{right} spread of several expiries"
    side = "long" if units[0] > 0 else "short"
    if len(legs) == 3 and units in ([ONE, -2 * ONE, ONE], [-ONE, 2 * ONE, -ONE]):
        wings = "" if strikes[1] - strikes[0] == strikes[2] - strikes[1] else " with unequal wings"
        return f"{side} {right} butterfly{wings}"
    if len(legs) == 4 and units in ([ONE, -ONE, -ONE, ONE], [-ONE, ONE, ONE, -ONE]):
        return f"{side} {right} condor"
    return f"{right} spread"


def _units(legs: Sequence[tuple[Series, Decimal]]) -> list[Decimal]:
    """Signed units of each leg, the smallest as one; 0 for what is no multiple of it."""
    sizes = [series.size * contracts for series, contracts in legs]
    least = min(abs(size) for size in sizes)
    return [ZERO if size % least else size // least for size in sizes]


def _of_both_rights(legs: Sequence[tuple[Series, Decimal]]) -> str:
    """Four legs of one expiry, ordered by strike, puts before calls."""
    rights = "".join("c" if series.is_call else "p" for series, _ in legs)
    signs = "".join("+" if contracts > 0 else "-" for _, contracts in legs)
    strikes = [series.strike for series, _ in legs]
    if rights == "pcpc" and strikes[0] == strikes[1] and strikes[2] == strikes[3]:
        return {"-++-": "long box", "+--+": "short box"}.get(signs, "spread")
    if rights == "ppcc":
        body = "butterfly" if strikes[1] == strikes[2] else "condor"
        return {"+--+": f"iron {body}", "-++-": f"reverse iron {body}"}.get(signs, "spread")
    return "spread"
