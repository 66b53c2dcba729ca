"""Ways to meet a call, sized from the figures of its assessment. Pure; amounts are in the account's currency.

One unit of a holding adds `worth` to equity and `requirement` to what is required at the trigger; at the level that a
cure must restore, `scale` times that. So depositing a unit releases worth − scale × requirement, and selling one
releases scale × requirement + (price − worth) − cost: V = Δ ÷ (m − f) for margin stock, and for a loan against
collateral q = (B − T·Q·P) ÷ (P·(1 − f − T)), q = (B ÷ T − Q·P) ÷ P. Releases are rounded down, units up to whole lots.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal, localcontext

MOST_WAYS = 3
DIGITS = 60


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
    scale: Decimal = Decimal(1),
    fee_rate: Decimal = Decimal(0),
    minor: int = 2,
) -> Ways:
    """The ways to cure `outstanding`, the main holdings first. `minor` is the currency's number of decimals."""
    with localcontext(prec=DIGITS):
        # A fee is rounded up to the minor unit when it is charged: room for one such unit, and for its exchange.
        needed = outstanding + (2 * Decimal(1).scaleb(-minor) if fee_rate else 0)
        ranked = sorted(lots, key=lambda lot: (-abs(lot.quantity * lot.requirement), lot.name))
        long = [lot for lot in ranked if lot.quantity > 0]
        short = [lot for lot in ranked if lot.quantity < 0]
        rate, value = _other_securities(outstanding, long, scale, minor)
        return Ways(
            cash=outstanding,
            deposits=_first(_trade(lot, outstanding, _of_deposit(lot, scale)) for lot in long),
            sales=_first(_within(lot, _trade(lot, needed, _of_closing(lot, scale, fee_rate))) for lot in long),
            purchases=_first(_within(lot, _trade(lot, needed, _of_closing(lot, scale, fee_rate))) for lot in short),
            deposit_value=value,
            deposit_rate=rate,
        )


def _of_deposit(lot: Lot, scale: Decimal) -> Decimal:
    return lot.worth - scale * lot.requirement


def _of_closing(lot: Lot, scale: Decimal, fee_rate: Decimal) -> Decimal:
    """What selling one unit releases, or buying one back: a short adds its market value to neither side."""
    surplus = lot.price - lot.worth if lot.quantity > 0 else Decimal(0)
    return scale * lot.requirement + surplus - fee_rate * lot.price


def _trade(lot: Lot, outstanding: Decimal, release: Decimal) -> Trade | None:
    if release <= 0 or outstanding <= 0 or lot.size <= 0:
        return None
    lots = (outstanding / release / lot.size).to_integral_value(ROUND_CEILING)
    units = lots * lot.size
    return Trade(lot.name, units, units * lot.price)


def _within(lot: Lot, trade: Trade | None) -> Trade | None:
    """Nobody can close more than is held."""
    return trade if trade is not None and trade.units <= abs(lot.quantity) else None


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
