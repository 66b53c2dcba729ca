"""How a cover is told: one charge per way, per spread, per long with loan value and per stock left alone."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from margin.engine.columns import Instruments
from margin.engine.cover import Spread
from margin.engine.groups import EquityPart, GroupCharge, Told
from margin.engine.measures import Sentence, Units
from margin.engine.methodologies.option_strategies import spreads
from margin.engine.methodologies.option_strategies.covering import Covered, Loan
from margin.engine.methodologies.option_strategies.legs import WARRANT
from margin.engine.methodologies.option_strategies.terms import Terms
from margin.engine.methodologies.option_strategies.ways import Stock, Way

_SHORT = "FINRA Rule 4210(f)(2); Cboe Rule 10.3; Cboe Margin Manual pages 6, 7, 28 to 35"
_PAIR = "FINRA Rule 4210(f)(2); Cboe Rule 10.3; Cboe Margin Manual page 45"
_STOCK = "FINRA Rule 4210(f)(2); Cboe Rule 10.3; Cboe Margin Manual, stock with options"
_SPREAD = "FINRA Rule 4210(f)(2), Regulatory Notice 12-44; SR-CBOE-2012-043; Cboe Margin Manual pages 36 to 57"
_CASH = "12 CFR 220.8; Cboe Rule 10.3"

_NAKED = "{listed} uncovered: option value {option_value} + "
_COVERED = (
    "{listed}: the call is covered; the stock, worth {stock_value}, counts for {counted_value} against the strike"
)
_HEDGED = "{listed}: {hedge_rate} of the strike {exercise_value} + {out_of_the_money} out of the money"
SENTENCES: dict[tuple[str, str], Sentence] = {
    **{
        (rule, "basic"): Sentence(
            _NAKED + "{basic_rate} of the underlying's {underlying_value} − {out_of_the_money} out of the money", _SHORT
        )
        for rule in ("short_call", "short_put")
    },
    ("short_call", "minimum"): Sentence(
        _NAKED + "at least {minimum_rate} of the underlying's {underlying_value}", _SHORT
    ),
    ("short_put", "minimum"): Sentence(_NAKED + "at least {minimum_rate} of the strike {exercise_value}", _SHORT),
    **{
        (rule, "special"): Sentence(
            _NAKED + "half the special rate, {half_special_rate} of the underlying's {underlying_value} − "
            "{out_of_the_money} out of the money",
            "House requirement, " + _SHORT,
        )
        for rule in ("short_call", "short_put")
    },
    **{
        (rule, "house_minimum"): Sentence(_NAKED + "the house minimum per contract", "House requirement, " + _SHORT)
        for rule in ("short_call", "short_put")
    },
    ("short_put_and_call", "put"): Sentence(
        "{listed}: the put asks more ({put_requirement}, the call {call_requirement}) + the call's value {other_value}",
        _PAIR,
    ),
    ("short_put_and_call", "call"): Sentence(
        "{listed}: the call asks more ({call_requirement}, the put {put_requirement}) + the put's value {other_value}",
        _PAIR,
    ),
    ("cash_secured_put", "strike"): Sentence("{listed}: the whole strike {exercise_value}", _CASH),
    **{
        (rule, branch): Sentence(_COVERED, _STOCK + pages)
        for rule, pages in (
            ("covered_call", ""),
            ("call_covered_by_index_fund", ", page 48"),
            ("call_covered_by_basket", ", page 48"),
            ("call_covered_by_convertible", ", page 14"),
        )
        for branch in ("market", "strike")
    },
    **{
        ("call_covered_by_warrant", branch): Sentence(
            _COVERED + "; exercising the warrant costs {shortfall} more than the strike", _STOCK + ", page 14"
        )
        for branch in ("market", "strike")
    },
    ("covered_put", "in_the_money"): Sentence(
        "{listed}: the short stock's own {base_requirement} + {in_the_money} that the put is in the money",
        _STOCK + ", pages 12, 47",
    ),
    ("covered_put", "out_of_the_money"): Sentence(
        "{listed}: the put is covered; the short stock's own {base_requirement}", _STOCK + ", pages 12, 47"
    ),
    ("protective_put", "option"): Sentence(
        _HEDGED + ", less than the stock's own {base_requirement}", _STOCK + ", page 58"
    ),
    ("protective_put", "stock"): Sentence("{listed}: the stock's own {base_requirement}", _STOCK + ", page 58"),
    ("protective_call", "option"): Sentence(
        _HEDGED + ", {limited} in all, less than the short stock's own {base_requirement}", _STOCK + ", pages 16, 58"
    ),
    ("protective_call", "stock"): Sentence(
        "{listed}: the short stock's own {base_requirement}", _STOCK + ", pages 16, 58"
    ),
    ("conversion", "strike"): Sentence(
        "{listed}: a conversion, {hedge_rate} of the strike {exercise_value}; the stock counts for {counted_value}",
        _STOCK + ", page 59",
    ),
    **{
        ("reverse_conversion", basis): Sentence(
            "{listed}: a reverse conversion, {hedge_rate} of the strike {exercise_value} + {in_the_money} that the "
            "put is in the money" + more,
            _STOCK + ", pages 18, 60, 61",
        )
        for basis, more in (("market", ""), ("strike", "; the short stock valued at the strike"))
    },
    ("collar", "put"): Sentence(
        _HEDGED + "; the stock counts for no more than the call's strike: {counted_value}", _STOCK + ", page 61"
    ),
    ("collar", "call"): Sentence(
        "{listed}: {call_rate} of the call's strike {call_exercise_value}; the stock counts for {counted_value}",
        _STOCK + ", page 61",
    ),
    ("convertible_offset", "market"): Sentence(
        "{listed}: {offset_rate} of the {stock_value} of what turns into the short", "FINRA Rule 4210(e)(1)"
    ),
    ("box_offset", "market"): Sentence(
        "{listed}: the same security long and short, asked {both} on the {stock_value} long",
        "FINRA Rule 4210(e)(1)",
    ),
    ("long_box", "strike_difference"): Sentence(
        "{listed}: a European box, {loan_rate} of the strike difference {strike_difference}, all of which counts",
        "FINRA Rule 4210(f)(2); Cboe Margin Manual page 49",
    ),
}
_LOSS = Sentence("{listed}: {name}, at worst a loss of {loss} with the underlying at {worst_at}", _SPREAD)
_NO_LOSS = Sentence("{listed}: {name}, which cannot lose beyond what was paid for it", _SPREAD)
_LOAN = Sentence(
    "{listed}, more than {months} months to expiry: {long_rate} of the {counted} it counts for",
    "FINRA Rule 4210(f)(2); Cboe Margin Manual pages 5, 23 to 27",
)
_WARRANT = Sentence("{listed}: a warrant has no loan value", "FINRA Rule 4210(c)")


_SPECIAL = Sentence(
    "{listed}: the house's special rate {special_rate} of market value exceeds what is asked otherwise by this amount",
    "House requirement, FINRA Rule 4210(d)",
)


def told(found: Covered, instruments: Instruments, base: Units, rows: list[int]) -> Told:
    """The explanation of one group. `rows` are its positions' instruments. Call inside `exact.exactly()`."""
    charges: list[GroupCharge] = [_way(found, way, times) for way, times in found.ways]
    charges += [_spread(found, spread) for spread in found.spreads]
    charges += [_loan(found, loan) for loan in found.loans]
    for stock, units in found.idle_stock:
        charges += _idle(stock, units, base, instruments, rows[stock.place])
        charges += _special(stock, units, found.held.terms)
    return Told(tuple(charges), tuple(_equity(found)))


def _way(found: Covered, way: Way, times: int) -> GroupCharge:
    return GroupCharge(
        code=way.rule,
        branch=way.branch,
        amount=way.requirement * times,
        legs=_legs(found, way, times),
        inputs={**_for_all(way.inputs, times), "name": way.rule.replace("_", " "), "times": times},
        sentence=SENTENCES[way.rule, way.branch],
    )


def _for_all(inputs: Mapping[str, Any], times: int) -> dict[str, Any]:
    """A way states its amounts for one time; rates are the same for all."""
    return {name: value if name.endswith("rate") else value * times for name, value in inputs.items()}


def _legs(found: Covered, way: Way, times: int) -> tuple[tuple[int, Decimal], ...]:
    options = [(found.held.options[k], contracts) for k, contracts in way.options]
    stocks = [(found.held.stocks[s], units) for s, units in way.stocks]
    return (
        *(
            (option.place, Decimal(-contracts if option.is_short else contracts) * times)
            for option, contracts in options
        ),
        *((stock.place, (units if stock.holding.is_long else -units) * times) for stock, units in stocks),
    )


def _spread(found: Covered, spread: Spread) -> GroupCharge:
    options = [(found.held.options[k], contracts) for k, contracts in spread.legs]
    signed = [(option, Decimal(-contracts if option.is_short else contracts)) for option, contracts in options]
    inputs: dict[str, Any] = {
        "name": spreads.name([(option.series, contracts) for option, contracts in signed]),
        "loss": spread.loss,
        "worst_at": spread.worst_at,
    }
    legs = tuple((option.place, contracts) for option, contracts in signed)
    branch, sentence = ("max_potential_loss", _LOSS) if spread.loss else ("no_loss", _NO_LOSS)
    return GroupCharge("spread", branch, spread.loss, legs, inputs, sentence)


def _loan(found: Covered, loan: Loan) -> GroupCharge:
    terms, place = found.held.terms, found.held.options[loan.option].place
    inputs = {"months": terms.long_option_months, "long_rate": terms.long_option_rate, "counted": loan.counted}
    legs = ((place, Decimal(loan.contracts)),)
    return GroupCharge("long_option", "loan_value", loan.requirement, legs, inputs, _LOAN)


def _idle(stock: Stock, units: Decimal, base: Units, instruments: Instruments, i: int) -> Iterator[GroupCharge]:
    """Stock that no way uses is charged and told as the base methodology does."""
    holding = stock.holding
    legs = ((stock.place, units if holding.is_long else -units),)
    if holding.kind == WARRANT:
        yield GroupCharge("warrant", "no_loan_value", units * holding.requirement, legs, {}, _WARRANT)
        return
    for charge in base.charges:
        amount = (charge.amount.long if holding.is_long else charge.amount.short)[i]
        if amount:
            branch = str((charge.branch.long if holding.is_long else charge.branch.short)[i])
            inputs = {name: column[i] for name, column in charge.inputs.items()}
            yield GroupCharge(charge.code, branch, units * amount, legs, inputs, charge.sentences[branch])


def _special(stock: Stock, units: Decimal, terms: Terms) -> Iterator[GroupCharge]:
    """What the special rate adds to that."""
    holding = stock.holding
    if holding.top_up:
        legs = ((stock.place, units if holding.is_long else -units),)
        inputs = {"special_rate": terms.special[holding.code]}
        yield GroupCharge("special_maintenance", "rate", units * holding.top_up, legs, inputs, _SPECIAL)


def _equity(found: Covered) -> Iterator[EquityPart]:
    for loan in found.loans:
        yield EquityPart("long_option", found.held.options[loan.option].place, loan.counted)
    for stock in found.held.stocks:
        if stock.holding.added:
            yield EquityPart("warrant", stock.place, stock.units * stock.holding.added)
    for way, times in found.ways:
        if way.equity:
            at = found.held.stocks[way.stocks[0][0]] if way.stocks else found.held.options[way.options[0][0]]
            name = "long_box" if way.equity > 0 else "above_strike"
            yield EquityPart(name, at.place, way.equity * times)
