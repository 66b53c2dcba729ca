"""Stock with options: FINRA 4210(f)(2), Cboe Rule 10.3, the Cboe Margin Manual's tables of stock with options.

Requirements are on equity; for short stock, what is asked beyond its market value. A covered short costs nothing but
caps what its stock counts for at the strike. The relief of a protective option needs an American one, listed or
guaranteed by the carrying broker; it lowers maintenance only.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from margin.engine.exact import ZERO, round_quotient_up
from margin.engine.methodologies.option_strategies.legs import INDEX_CLASSES, Series
from margin.engine.methodologies.option_strategies.ways import Held, Way

_RATE_DIGITS = 12  # of requirement ÷ value, rounded up
_UNIT_DIGITS = 8  # of units for one contract, rounded down: whole shares are counted over all contracts


@dataclass(frozen=True)
class Bundle:
    """The stock that one contract delivers, or what stands for it: amounts of all of it, as the base counts them."""

    stocks: tuple[tuple[int, Decimal], ...]
    value: Decimal
    counted: Decimal
    requirement: Decimal
    initial: Decimal

    def capped(self, cap: Decimal, amount: Decimal) -> Decimal:
        """The share of an amount that falls on the value up to the cap."""
        if self.value <= cap or not self.value:
            return amount
        return round_quotient_up(amount, self.value, _RATE_DIGITS) * max(cap, ZERO)

    def cut(self, cap: Decimal) -> Decimal:
        """What no longer counts as equity: all that is above the cap (12 CFR 220.12)."""
        return max(self.counted - max(cap, ZERO), ZERO)


def ways(held: Held) -> Iterator[Way]:
    """Every lawful use of the group's stock with its options."""
    if not held.stocks:
        return
    for k, option in enumerate(held.options):
        for is_long in (True, False):
            bundle = _delivered(held, option.series, is_long)
            if bundle is not None:
                yield from _with_one(held, k, bundle, is_long)
                if held.terms.account == "margin":
                    yield from _with_two(held, k, bundle, is_long)
        if option.is_short and option.series.is_call:
            yield from _substitutes(held, k)
            yield from _basket(held, k)
    if held.terms.account == "margin":
        yield from _convertible_offsets(held)
        yield from _box_offsets(held)


def _delivered(held: Held, series: Series, is_long: bool) -> Bundle | None:
    """All that one contract delivers, from stock held on that side; None where some of it is not there."""
    contract = series.contract
    wanted = {contract.underlying: series.multiplier}
    if contract.is_adjusted:
        wanted = {}
        for instrument, units, _ in contract.deliverable:
            wanted[instrument] = wanted.get(instrument, ZERO) + units
    used = []
    for instrument, units in wanted.items():
        found = [
            s
            for s, stock in enumerate(held.stocks)
            if stock.holding.id == instrument and stock.holding.is_long == is_long and stock.units >= units
        ]
        if not found:
            return None
        used.append((found[0], units))
    return _bundle(held, tuple(used)) if used else None


def _bundle(held: Held, used: tuple[tuple[int, Decimal], ...]) -> Bundle:
    def total(name: str) -> Decimal:
        return sum((units * getattr(held.stocks[s].holding, name) for s, units in used), ZERO)

    return Bundle(used, total("value"), total("counted"), total("requirement"), total("initial"))


def _with_one(held: Held, k: int, bundle: Bundle, is_long: bool) -> Iterator[Way]:
    option = held.options[k]
    series, is_margin = option.series, held.terms.account == "margin"
    if option.is_short and series.is_call and is_long:
        yield covered_call(held, k, bundle, "covered_call")
    if series.underlying is None or not is_margin:
        return
    if option.is_short and not series.is_call and not is_long:
        yield _covered_put(held, k, bundle)
    if not option.is_short and series.has_relief and series.is_call != is_long:
        way = _protected(held, k, bundle, is_long)
        if way.cost < 0:
            yield way


def covered_call(held: Held, k: int, bundle: Bundle, rule: str, shortfall: Decimal = ZERO) -> Way:
    """The call asks nothing; the stock counts for no more than the strike, and is charged on that."""
    series = held.options[k].series
    cap = series.exercise - series.contract.deliverable_cash
    requirement = bundle.capped(cap, bundle.requirement) + shortfall + max(-cap, ZERO)
    initial = max(bundle.capped(cap, bundle.initial) + shortfall, requirement)
    inputs = {
        "stock_value": bundle.value,
        "exercise_value": series.exercise,
        "counted_value": min(bundle.value, max(cap, ZERO)),
        "base_requirement": bundle.requirement,
        "shortfall": shortfall,
    }
    return Way(
        rule,
        "market" if bundle.value <= cap else "strike",
        ((k, 1),),
        bundle.stocks,
        requirement,
        initial,
        max(bundle.initial + shortfall, requirement),
        inputs,
        equity=-bundle.cut(cap),
        cost=requirement + bundle.cut(cap) - bundle.requirement,
    )


def _covered_put(held: Held, k: int, bundle: Bundle) -> Way:
    """The put asks nothing, the short stock its own margin and what the put is in the money (Manual pages 12, 47).

    In the initial requirement that amount is a test of the equity, never part of the call.
    """
    series = held.options[k].series
    depth = series.in_the_money
    requirement = bundle.requirement + depth
    inputs = {"base_requirement": bundle.requirement, "in_the_money": depth, "exercise_value": series.exercise}
    initial = max(bundle.initial + depth, requirement)
    branch = "in_the_money" if depth else "out_of_the_money"
    return Way(
        "covered_put", branch, ((k, 1),), bundle.stocks, requirement, initial, bundle.initial, inputs, cost=depth
    )


def _protected(held: Held, k: int, bundle: Bundle, is_long: bool) -> Way:
    """The lesser of 10 % of the strike + out of the money and the stock's own requirement (Manual pages 16, 58)."""
    series, terms = held.options[k].series, held.terms
    limited = terms.hedge_rate * series.exercise + series.out_of_the_money
    if not is_long:
        limited = max(limited + _strike_basis(held, series, bundle), ZERO)
    requirement = min(limited, bundle.requirement)
    inputs = {
        "hedge_rate": terms.hedge_rate,
        "exercise_value": series.exercise,
        "out_of_the_money": series.out_of_the_money,
        "limited": limited,
        "base_requirement": bundle.requirement,
    }
    return Way(
        "protective_put" if is_long else "protective_call",
        "option" if limited < bundle.requirement else "stock",
        ((k, 1),),
        bundle.stocks,
        requirement,
        max(bundle.initial, requirement),
        max(bundle.initial, requirement),
        inputs,
        cost=requirement - bundle.requirement + held.lost[k],
    )


def _strike_basis(held: Held, series: Series, bundle: Bundle) -> Decimal:
    """What the samples of pages 58, 60 and 61 ask more than the table: they value the short stock at the strike."""
    return series.exercise - bundle.value if held.terms.hedged_short_basis == "strike" else ZERO


def _with_two(held: Held, k: int, bundle: Bundle, is_long: bool) -> Iterator[Way]:
    """Long stock, long put k and a short call, or short stock, long call k and a short put: of the same expiry."""
    bought = held.options[k].series
    if held.options[k].is_short or bought.is_call == is_long or not bought.has_relief or bought.underlying is None:
        return
    for other, option in enumerate(held.options):
        sold = option.series
        if not option.is_short or sold.is_call == bought.is_call or not _match(bought, sold):
            continue
        if sold.exercise == bought.exercise:
            yield _conversion(held, k, other, bundle) if is_long else _reversal(held, k, other, bundle)
        elif is_long and sold.exercise > bought.exercise:
            yield _collar(held, k, other, bundle)


def _match(bought: Series, sold: Series) -> bool:
    return (
        sold.has_relief
        and bought.expires_on == sold.expires_on
        and bought.delivered == sold.delivered
        and bought.multiplier == sold.multiplier
    )


def _conversion(held: Held, put: int, call: int, bundle: Bundle) -> Way:
    """10 % of the strike; the stock counts for no more than the strike (Manual page 59)."""
    requirement = held.terms.hedge_rate * held.options[put].series.exercise
    return _capped_hedge(held, "conversion", "strike", put, call, bundle, requirement)


def _collar(held: Held, put: int, call: int, bundle: Bundle) -> Way:
    """The lesser of 10 % of the put's strike + out of the money and 25 % of the call's strike (Manual page 61)."""
    bought, sold = held.options[put].series, held.options[call].series
    limited = held.terms.hedge_rate * bought.exercise + bought.out_of_the_money
    by_call = held.terms.collar_call_rate * sold.exercise
    branch = "put" if limited <= by_call else "call"
    return _capped_hedge(held, "collar", branch, put, call, bundle, min(limited, by_call))


def _capped_hedge(held: Held, rule: str, branch: str, put: int, call: int, bundle: Bundle, requirement: Decimal) -> Way:
    bought, sold = held.options[put].series, held.options[call].series
    cap = sold.exercise - sold.contract.deliverable_cash
    requirement += max(-cap, ZERO)
    inputs = {
        "hedge_rate": held.terms.hedge_rate,
        "call_rate": held.terms.collar_call_rate,
        "exercise_value": bought.exercise,
        "call_exercise_value": sold.exercise,
        "out_of_the_money": bought.out_of_the_money,
        "stock_value": bundle.value,
        "counted_value": min(bundle.value, max(cap, ZERO)),
    }
    return Way(
        rule,
        branch,
        ((put, 1), (call, 1)),
        bundle.stocks,
        requirement,
        max(bundle.capped(cap, bundle.initial), requirement),
        max(bundle.initial, requirement),
        inputs,
        equity=-bundle.cut(cap),
        cost=requirement + bundle.cut(cap) - bundle.requirement + held.lost[put],
    )


def _reversal(held: Held, call: int, put: int, bundle: Bundle) -> Way:
    """10 % of the strike + what the put is in the money (Manual pages 18, 60, 61).

    Regulation T asks the proceeds alone where the call's strike is below the sale price; the initial requirement is
    then the exchange's 10 % (page 18), else 50 % as for any short sale.
    """
    bought, sold, terms = held.options[call].series, held.options[put].series, held.terms
    depth = sold.in_the_money
    limited = terms.hedge_rate * bought.exercise
    requirement = max(limited + depth + _strike_basis(held, bought, bundle), ZERO)
    has_relief = (
        terms.reverse_conversion_relief and bought.exercise < bundle.value and bought.contract.venue == "listed"
    )
    opening = limited if has_relief else bundle.initial
    inputs = {"hedge_rate": terms.hedge_rate, "exercise_value": bought.exercise, "in_the_money": depth}
    return Way(
        "reverse_conversion",
        terms.hedged_short_basis,
        ((call, 1), (put, 1)),
        bundle.stocks,
        requirement,
        max(opening + depth, requirement),
        opening,
        inputs,
        cost=requirement - bundle.requirement + held.lost[call],
    )


def _substitutes(held: Held, k: int) -> Iterator[Way]:
    """What may stand for the stock under a short call: a fund on the index (page 48), a convertible, a warrant."""
    series = held.options[k].series
    if series.contract.is_adjusted:
        return
    for s, stock in enumerate(held.stocks):
        holding = stock.holding
        if not holding.is_long:
            continue
        if holding.is_index_fund and _follows(series, holding.index) and series.underlying and holding.value:
            units = _units(series.underlying, holding.value)
            yield from _substituted(held, k, s, units, "call_covered_by_index_fund")
        contract = holding.contract
        if contract is None or contract.underlying != series.contract.underlying or contract.conversion <= 0:
            continue
        if holding.matures_on is not None and holding.matures_on < series.expires_on:
            continue
        units = _units(series.multiplier, contract.conversion)
        if holding.is_warrant:
            shortfall = max(contract.exercise_price * series.multiplier - series.exercise, ZERO)
            yield from _substituted(held, k, s, units, "call_covered_by_warrant", shortfall)
        elif not contract.exercise_price:
            yield from _substituted(held, k, s, units, "call_covered_by_convertible")


def _basket(held: Held, k: int) -> Iterator[Way]:
    """A qualified stock basket under an index call: in the units of the terms, worth the index at least."""
    series = held.options[k].series
    units = held.terms.baskets.get(series.contract.underlying_code)
    if units is None or series.contract.is_adjusted or not series.underlying:
        return
    places = {stock.holding.code: s for s, stock in enumerate(held.stocks) if stock.holding.is_long}
    if any(code not in places for code in units):
        return
    value = sum((each * held.stocks[places[code]].holding.value for code, each in units.items()), ZERO)
    if not value:
        return
    times = _units(series.underlying, value)
    used = tuple((places[code], times * each) for code, each in units.items())
    if all(wanted <= held.stocks[s].units for s, wanted in used):
        yield covered_call(held, k, _bundle(held, used), "call_covered_by_basket")


def _follows(series: Series, index: int) -> bool:
    """Whether the option is on that index, full size or reduced. Funds on a volatility index hold futures instead."""
    contract = series.contract
    if not index or contract.margin_class == "vol_index":
        return False
    return contract.underlying == index or (contract.index == index and contract.margin_class in INDEX_CLASSES)


def _units(wanted: Decimal, of_one: Decimal) -> Decimal:
    return -round_quotient_up(-wanted, of_one, _UNIT_DIGITS)


def _substituted(held: Held, k: int, s: int, units: Decimal, rule: str, shortfall: Decimal = ZERO) -> Iterator[Way]:
    if units <= held.stocks[s].units:
        yield covered_call(held, k, _bundle(held, ((s, units),)), rule, shortfall)


def _convertible_offsets(held: Held) -> Iterator[Way]:
    """4210(e)(1): 10 % of a long convertible against the short it turns into, for which Regulation T asks no 50 %."""
    for s, stock in enumerate(held.stocks):
        holding = stock.holding
        if not (holding.is_long and holding.is_convertible and holding.contract is not None):
            continue
        for t, short in enumerate(held.stocks):
            units = holding.contract.conversion
            if short.holding.is_long or short.holding.id != holding.contract.underlying or short.units < units:
                continue
            requirement = held.terms.convertible_offset_rate * holding.value
            cost = requirement - holding.requirement - units * short.holding.requirement
            if cost < 0 and stock.units >= 1:
                initial = max(holding.initial, requirement)
                if holding.contract.exercise_price:
                    initial = max(holding.initial + units * short.holding.initial, requirement)
                inputs = {"offset_rate": held.terms.convertible_offset_rate, "stock_value": holding.value}
                used = ((s, Decimal(1)), (t, units))
                yield Way("convertible_offset", "market", (), used, requirement, initial, initial, inputs, cost=cost)


def _box_offsets(held: Held) -> Iterator[Way]:
    """4210(e)(1): the same stock long and short, as the regime's own methodology charges it."""
    for s, stock in enumerate(held.stocks):
        for t, short in enumerate(held.stocks):
            one, other = stock.holding, short.holding
            is_pair = one.is_long and not other.is_long and one.id == other.id
            if one.boxed is None or not is_pair or min(stock.units, short.units) < 1:
                continue
            requirement, initial = one.boxed
            cost = requirement - one.requirement - other.requirement
            if cost < 0:
                used = ((s, Decimal(1)), (t, Decimal(1)))
                inputs = {"stock_value": one.value, "both": requirement}
                yield Way("box_offset", "market", (), used, requirement, initial, initial, inputs, cost=cost)
