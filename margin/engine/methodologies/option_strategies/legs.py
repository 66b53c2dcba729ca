"""What a group holds, read once per instrument: option series, and holdings of stock, convertibles and warrants.

Amounts are exact, per contract or per unit held, in the instrument's currency. What cannot be read raises `Refusal`,
which names the instrument and says what to do.
"""

from calendar import monthrange
from dataclasses import dataclass
from datetime import MAXYEAR, date
from decimal import Decimal, Inexact

from margin.engine.columns import KINDS, Contract, Instruments, Market
from margin.engine.exact import ZERO
from margin.engine.measures import INITIAL, REQUIREMENT, VALUE, Units
from margin.engine.methodologies.option_strategies.terms import Rates, Terms

OPTION, WARRANT, FUND = KINDS.index("option"), KINDS.index("warrant"), KINDS.index("etf")
_LAST_YEAR = 4999  # moments of expiry are counted in half days, on the calendar of dates (`spreads.moment`)
INDEX_CLASSES = frozenset({"narrow_index", "broad_index", "high_cap_index", "vol_index"})


class Refusal(ValueError):
    """A group that has no number; the message names the instrument and says what is missing."""


@dataclass(frozen=True)
class Series:
    """One option series. `exercise`, `underlying` and `value` are per contract: strike × multiplier, what is delivered
    at market, and the option itself. The two latter are None, with the reason in `missing`, when not known."""

    code: str
    contract: Contract
    multiplier: Decimal
    strike: Decimal  # on the axis of the full-size index
    size: Decimal  # units on that axis per contract
    exercise: Decimal
    underlying: Decimal | None
    value: Decimal | None
    missing: str
    rates: Rates
    special: Decimal | None  # house rate of the underlying
    expires_on: date

    @property
    def is_call(self) -> bool:
        return self.contract.right == "call"

    @property
    def delivered(self) -> tuple[object, ...]:
        """What exercise moves: options that agree in it are on the same thing. An adjusted one agrees with its like."""
        contract = self.contract
        if not contract.is_adjusted:
            return (contract.underlying,)
        units = tuple((instrument, units) for instrument, units, _ in contract.deliverable)
        return contract.underlying, units, contract.deliverable_cash, self.multiplier

    @property
    def has_relief(self) -> bool:
        """American, and listed or guaranteed by the carrying broker: rows (A) of the table of stock with options."""
        return self.contract.style == "american" and self.is_assured

    @property
    def is_assured(self) -> bool:
        return self.contract.venue == "listed" or self.contract.is_guaranteed

    @property
    def out_of_the_money(self) -> Decimal:
        """Per contract; call it where `underlying` is known."""
        assert self.underlying is not None  # noqa: S101  callers test it
        gap = self.exercise - self.underlying if self.is_call else self.underlying - self.exercise
        return max(gap, ZERO)

    @property
    def in_the_money(self) -> Decimal:
        assert self.underlying is not None  # noqa: S101
        gap = self.underlying - self.exercise if self.is_call else self.exercise - self.underlying
        return max(gap, ZERO)


@dataclass(frozen=True)
class Holding:
    """Stock, a fund, a convertible or a warrant: amounts per unit held on its side, long or short.

    `counted` is what one unit adds to the equity of the regime, of which this part adds `added` because the base knows
    no warrants. `requirement` and `initial` are on equity.
    """

    id: int
    code: str
    kind: int
    index: int
    is_index_fund: bool  # an unleveraged fund, not a note, that follows `index`
    is_long: bool
    value: Decimal
    counted: Decimal
    added: Decimal
    requirement: Decimal
    initial: Decimal
    top_up: Decimal  # the part of the requirement that the house's special rate adds to the base methodology's
    boxed: tuple[Decimal, Decimal] | None  # (requirement, initial) of a unit held long and short, both sides together
    contract: Contract | None  # of a convertible or warrant
    matures_on: date | None
    missing: str

    @property
    def is_warrant(self) -> bool:
        return self.kind == WARRANT

    @property
    def is_convertible(self) -> bool:
        return not self.is_warrant and self.contract is not None and self.contract.conversion > 0


def read_series(instruments: Instruments, i: int, market: Market, terms: Terms) -> Series:
    """The series in row i; a price that is not known is left open, everything else raises Refusal."""
    code, contract, multiplier = str(instruments.codes[i]), instruments.contract[i], instruments.multiplier[i]
    if contract is None:
        raise Refusal(f"{code}: no contract; state what the option is written on")
    _check(code, contract, market)
    rates = terms.rates(contract.margin_class, contract.venue)
    if rates is None:
        where = f"{contract.venue} options on class {contract.margin_class!r}"
        raise Refusal(f"{code}: no rule for {where}; add a row to the terms or correct the class")
    underlying, no_underlying = _underlying_value(code, contract, multiplier)
    price = instruments.price[i] if instruments.priced[i] and instruments.price[i] > 0 else None
    no_price = instruments.unpriced_reason[i] or f"{code}: price {instruments.price[i]} is not positive"
    try:
        strike = contract.strike / contract.scale
    except Inexact:
        raise Refusal(f"{code}: strike ÷ scale {contract.scale} has no end; correct the scale") from None
    return Series(
        code=code,
        contract=contract,
        multiplier=multiplier,
        strike=strike,
        size=multiplier * contract.scale,
        exercise=contract.strike * multiplier,
        underlying=underlying,
        value=None if price is None else price * multiplier,
        missing=no_underlying or ("" if price is not None else no_price),
        rates=rates,
        special=terms.special.get(contract.underlying_code),
        expires_on=contract.expires_on,
    )


def _check(code: str, contract: Contract, market: Market) -> None:
    if contract.right not in {"call", "put"}:
        raise Refusal(f"{code}: right {contract.right!r} is neither call nor put")
    if contract.style not in {"american", "european"}:
        raise Refusal(f"{code}: style {contract.style!r} is neither american nor european")
    if contract.strike <= 0:
        raise Refusal(f"{code}: strike {contract.strike} is not positive")
    if contract.scale <= 0 or contract.leverage <= 0:
        raise Refusal(f"{code}: scale {contract.scale} and leverage {contract.leverage} must be positive")
    if contract.expires_on is None:
        raise Refusal(f"{code}: no expiry date")
    if contract.expires_on.year > _LAST_YEAR:
        raise Refusal(f"{code}: expires on {contract.expires_on}; correct the date")
    if contract.expires_on < market.on:
        raise Refusal(f"{code}: expired on {contract.expires_on}; book its expiry, exercise or assignment")
    if contract.is_adjusted and not contract.deliverable and not contract.deliverable_cash:
        raise Refusal(f"{code}: adjusted, but what it delivers is not known; load its deliverable")


def _underlying_value(code: str, contract: Contract, multiplier: Decimal) -> tuple[Decimal | None, str]:
    """(what one contract delivers, at market; why it is not known)."""
    if not contract.is_adjusted:
        if contract.spot is None or contract.spot <= 0:
            return None, f"{code}: {contract.spot_reason or 'no price of the underlying'}"
        return contract.spot * multiplier, ""
    total = contract.deliverable_cash
    for instrument, units, price in contract.deliverable:
        if price is None or price <= 0:
            return None, f"{code}: no price of instrument {instrument}, which it delivers"
        total += units * price
    return total, ""


def read_holding(instruments: Instruments, i: int, base: Units, is_long: bool, terms: Terms) -> Holding:
    """The holding in row i, with what the regime's own methodology asks of it; in a cash account it is paid in full."""
    lanes = {name: lane.long[i] if is_long else lane.short[i] for name, lane in base.lanes.items()}
    refused = str(base.refused.long[i] if is_long else base.refused.short[i])
    code, kind, contract = str(instruments.codes[i]), int(instruments.kind[i]), instruments.contract[i]
    value = instruments.price[i] * instruments.multiplier[i]
    counted = lanes.get(VALUE, ZERO)
    if kind == WARRANT and not is_long:
        refused = f"{code}: there is no rule for a short warrant"
    elif kind != WARRANT and value and not counted:
        refused = f"{code}: the regime's own methodology does not govern it; add its kind to the regime"
    own = value if kind == WARRANT else lanes.get(REQUIREMENT, ZERO)  # a warrant has no loan value
    requirement = max(own, terms.special.get(code, ZERO) * value)
    initial = value if kind == WARRANT or terms.account == "cash" else lanes.get(INITIAL, own)
    return Holding(
        id=int(instruments.ids[i]),
        code=code,
        kind=kind,
        index=int(instruments.index[i]),
        is_index_fund=kind == FUND and instruments.leverage[i] == 1 and instruments.margin_class[i] != "etn_broad",
        is_long=is_long,
        value=value,
        counted=value if is_long else ZERO,
        added=value - counted if kind == WARRANT else ZERO,
        requirement=requirement,
        initial=max(initial, requirement),
        top_up=requirement - own,
        boxed=_boxed(base, i),
        contract=contract,
        matures_on=instruments.matures_on[i] if kind != WARRANT else contract and contract.expires_on,
        missing=str(instruments.unpriced_reason[i]) or refused,
    )


def _boxed(base: Units, i: int) -> tuple[Decimal, Decimal] | None:
    if base.box is None:
        return None
    others = base.lanes[REQUIREMENT].short[i], base.lanes[INITIAL].short[i]
    return base.box.charge.amount.long[i] + others[0], base.box.initial.long[i] + others[1]


def is_loanable(series: Series, market: Market, terms: Terms) -> bool:
    """A long option that has loan value by itself: beyond nine months, and guaranteed American where it is OTC."""
    if terms.account != "margin" or series.contract.margin_class not in terms.long_option_classes:
        return False
    if series.expires_on <= months_later(market.on, terms.long_option_months):
        return False
    return series.contract.venue == "listed" or (series.contract.is_guaranteed and series.contract.style == "american")


def recognised(series: Series) -> Decimal | None:
    """What a long option with loan value counts for: its market value, or over the counter what it is in the money."""
    if series.contract.venue == "listed":
        return series.value
    return None if series.underlying is None else series.in_the_money


def months_later(on: date, months: int) -> date:
    """The same day so many calendar months later, or the last day of a shorter month; at most the last day there is."""
    year, month = divmod(on.month - 1 + months, 12)
    year, month = on.year + year, month + 1
    if year > MAXYEAR:
        return date.max
    return date(year, month, min(on.day, monthrange(year, month)[1]))
