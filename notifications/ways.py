"""Ways to meet a call, sized from the figures of its assessment. Pure; amounts are in the account's currency.

One unit of a holding adds `worth` to equity and `requirement` to what is required at the trigger; at the level that a
cure must restore, `scale` times that. So depositing a unit releases worth − scale × requirement, and selling one
releases scale × requirement + (price − worth) − cost: V = Δ ÷ (m − f) for margin stock, and for a loan against
collateral q = (B − T·Q·P) ÷ (P·(1 − f − T)), q = (B ÷ T − Q·P) ÷ P. Releases are rounded down, units up to whole lots.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, localcontext

MOST_WAYS = 3
DIGITS = 60
MOST_ROUNDS = 8


@dataclass(frozen=True)
class Lot:
    """One unit of something held, and how it can be traded."""

    name: str
    quantity: Decimal
    """Held; negative is short."""
    price: Decimal
    """Market value of one unit."""
    worth: Decimal
    """What one unit adds to equity: its price, less the haircut on a loan's collateral."""
    requirement: Decimal
    """What one unit, long or short, adds to the requirement at the trigger."""
    size: Decimal = Decimal(1)
    """Smallest quantity that can be traded."""


@dataclass(frozen=True)
class Trade:
    """So many units that alone meet the call, and what they are worth at the price of the assessment."""

    name: str
    units: Decimal
    value: Decimal


@dataclass(frozen=True)
class Ways:
    """Every field is one whole cure; an empty one is no way for this call."""

    cash: Decimal
    deposits: tuple[Trade, ...] = ()
    sales: tuple[Trade, ...] = ()
    purchases: tuple[Trade, ...] = ()
    deposit_value: Decimal | None = None
    """Market value of other securities margined at `deposit_rate`."""
    deposit_rate: Decimal | None = None


def of(
    outstanding: Decimal,
    lots: Iterable[Lot],
    *,
    least_scale: Decimal = Decimal(1),
    most_scale: Decimal = Decimal(1),
    fee_rate: Decimal = Decimal(0),
    minor: int = 2,
) -> Ways:
    """The ways to cure `outstanding`, the main holdings first. `minor` is the currency's number of decimals.

    The scale of the restore level lies between the two: closing counts the least, a deposit the most.
    """
    with localcontext(prec=DIGITS):
        ranked = sorted(lots, key=lambda lot: (-abs(lot.quantity * lot.requirement), lot.name))
        long = [lot for lot in ranked if lot.quantity > 0]
        short = [lot for lot in ranked if lot.quantity < 0]
        rate, value = _other_securities(outstanding, long, most_scale, minor)
        return Ways(
            cash=outstanding,
            deposits=_first(_deposit(lot, outstanding, most_scale) for lot in long),
            sales=_first(_closing(lot, outstanding, least_scale, fee_rate, minor) for lot in long),
            purchases=_first(_closing(lot, outstanding, least_scale, fee_rate, minor) for lot in short),
            deposit_value=value,
            deposit_rate=rate,
        )


def _deposit(lot: Lot, outstanding: Decimal, scale: Decimal) -> Trade | None:
    return _trade(lot, outstanding, lot.worth - scale * lot.requirement)


def _closing(lot: Lot, outstanding: Decimal, scale: Decimal, fee_rate: Decimal, minor: int) -> Trade | None:
    """The sale, or purchase of what is short, that is enough once cash and fee are booked in whole cents.

    Where lots are worth less than a cent it is within a few cents of the smallest.
    """
    surplus = lot.price - lot.worth if lot.quantity > 0 else Decimal(0)
    gross = scale * lot.requirement + surplus
    needed = outstanding
    for _ in range(MOST_ROUNDS):
        trade = _trade(lot, needed, gross - fee_rate * lot.price)
        if trade is None or trade.units > abs(lot.quantity):  # nobody can close more than is held
            return None
        missing = outstanding - trade.units * gross + _lost_in_booking(trade.value, lot, fee_rate, minor)
        if missing <= 0:
            return trade
        needed += missing
    return None


def _lost_in_booking(value: Decimal, lot: Lot, fee_rate: Decimal, minor: int) -> Decimal:
    """Proceeds are booked rounded down, a cost and the fee rounded up, to the minor unit of the account's currency."""
    cent = Decimal(1).scaleb(-minor)
    fee = (value * fee_rate).quantize(cent, ROUND_CEILING)
    booked = value.quantize(cent, ROUND_FLOOR if lot.quantity > 0 else ROUND_CEILING)
    return abs(value - booked) + fee


def _trade(lot: Lot, outstanding: Decimal, release: Decimal) -> Trade | None:
    if release <= 0 or outstanding <= 0 or lot.size <= 0:
        return None
    lots = (outstanding / release / lot.size).to_integral_value(ROUND_CEILING)
    units = lots * lot.size
    return Trade(lot.name, units, units * lot.price)


def _first(trades: Iterable[Trade | None]) -> tuple[Trade, ...]:
    return tuple(trade for trade in trades if trade is not None)[:MOST_WAYS]


def _other_securities(
    outstanding: Decimal, long: list[Lot], scale: Decimal, minor: int
) -> tuple[Decimal | None, Decimal | None]:
    """The margin rate of the largest holding, as a share of market value, and the value that cures at that rate."""
    for lot in long:
        rate = (scale * lot.requirement / lot.price).quantize(Decimal("0.0001"), ROUND_CEILING) if lot.price else None
        if rate is not None and 0 < rate < 1 and lot.worth == lot.price:
            return rate, (outstanding / (1 - rate)).quantize(Decimal(1).scaleb(-minor), ROUND_CEILING)
    return None, None
