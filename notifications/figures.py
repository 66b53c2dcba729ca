"""What an assessment found, as a notice may tell it: figures of one regime, and every holding with its price."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal
from typing import Any

from margin.models import Assessment, Charge
from market.models import Instrument, Kind
from notifications.addresses import visible

ZERO = Decimal(0)
_COIN = Decimal("0.00000001")


@dataclass(frozen=True)
class Holding:
    """One holding at the prices of the assessment; value and requirement in the account's currency, None if unknown."""

    name: str
    code: str
    is_cash: bool
    currency: str
    quantity: Decimal
    price: Decimal | None
    value: Decimal | None
    requirement: Decimal | None


@dataclass(frozen=True)
class Together:
    """Holdings that are charged together, such as shares and the call written on them, in the account's currency."""

    names: tuple[str, ...]
    requirement: Decimal


@dataclass(frozen=True)
class Figures:
    """What the assessment found for the regime of this event."""

    at: datetime
    equity: Decimal
    requirement: Decimal
    restore_requirement: Decimal
    cover: Decimal | None
    holdings: tuple[Holding, ...]
    fee_rate: Decimal
    together: tuple[Together, ...] = ()


def of(assessment: Assessment | None, regime: str, instruments: Mapping[int, Instrument]) -> Figures | None:
    """The figures of one regime, from an assessment whose measures and charges are fetched; None without them."""
    measures = assessment.measures.all() if assessment else ()
    measure = next((measure for measure in measures if measure.regime == regime), None)
    if assessment is None or measure is None:
        return None
    charges = list(measure.charges.all())
    terms = assessment.policy_version.terms if assessment.policy_version else {}
    return Figures(
        at=assessment.at,
        equity=measure.equity,
        requirement=measure.requirement,
        restore_requirement=measure.restore_requirement,
        cover=measure.cover,
        holdings=_holdings(assessment, charges, instruments),
        fee_rate=Decimal(terms.get("fee_rate", "0")),
        together=tuple(_together(charge, instruments) for charge in charges if charge.amount and _legs(charge)),
    )


def _legs(charge: Charge) -> list[Mapping[str, Any]]:
    """The positions that a charge on several of them is for, as it was explained."""
    return list(charge.explanation.get("legs", ()))


def _together(charge: Charge, instruments: Mapping[int, Instrument]) -> Together:
    held = [instruments[int(leg["instrument"])] for leg in _legs(charge)]
    return Together(tuple(visible(instrument.name) for instrument in held), charge.amount)


def _holdings(
    assessment: Assessment, charges: list[Charge], instruments: Mapping[int, Instrument]
) -> tuple[Holding, ...]:
    by_instrument: dict[int, list[Charge]] = defaultdict(list)
    told: dict[int, Mapping[str, Any]] = {}
    for charge in charges:
        if charge.instrument_id:
            by_instrument[charge.instrument_id].append(charge)
        for leg in (charge.explanation, *_legs(charge)):
            if leg.get("instrument"):
                told.setdefault(int(leg["instrument"]), {**leg, "fx": charge.explanation.get("fx")})
    return tuple(
        _holding(
            instrument := instruments[int(row[0])],
            Decimal(row[1]),
            None if row[2] is None else Decimal(row[2]),
            by_instrument.get(instrument.pk, []),
            told.get(instrument.pk) or _marked(instrument, row[3], assessment.currency),
            assessment.currency,
        )
        for row in assessment.holdings
    )


def _marked(instrument: Instrument, mark: str | None, base: str) -> Mapping[str, Any]:
    """What a holding that nothing is charged for was valued at, where no exchange rate is needed to tell."""
    if mark is None or instrument.currency != base:
        return {}
    price = Decimal(mark) / instrument.price_divisor
    return {"price": price, "multiplier": instrument.multiplier, "fx": 1}


def _holding(
    instrument: Instrument,
    quantity: Decimal,
    cost: Decimal | None,
    charges: list[Charge],
    told: Mapping[str, Any],
    base: str,
) -> Holding:
    """Price and exchange rate are those of a charge it is in, which states what it was computed from."""
    price, value = None, None
    if instrument.kind == Kind.CASH:
        value = quantity if instrument.currency == base else None
    elif "price" in told and told.get("fx"):
        price = Decimal(told["price"])
        worth = _worth(instrument, quantity, cost, price, Decimal(told["multiplier"]))
        value = None if worth is None else worth * Decimal(told["fx"])
    return Holding(
        name=visible(instrument.name),
        code=visible(instrument.code),
        is_cash=instrument.kind == Kind.CASH,
        currency=instrument.currency,
        quantity=quantity,
        price=price,
        value=value,
        requirement=sum((charge.amount for charge in charges), ZERO) if charges else None,
    )


def _worth(
    instrument: Instrument, quantity: Decimal, cost: Decimal | None, price: Decimal, multiplier: Decimal
) -> Decimal | None:
    """What a holding is worth in its currency: of a future or perpetual its profit since it was opened, None where its
    cost is not known; of an inverse one in coins, to the smallest unit, down."""
    if instrument.kind not in (Kind.FUTURE, Kind.PERPETUAL):
        return quantity * price * multiplier
    if cost is None or (instrument.inverse and not price):
        return None
    if instrument.inverse:
        return (-quantity * multiplier / price - cost).quantize(_COIN, rounding=ROUND_FLOOR)
    return quantity * price * multiplier - cost
