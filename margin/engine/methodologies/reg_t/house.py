"""The house table, FINRA 4210(d): substantial additional margin, by instrument, sector and kind. It only raises."""

from collections.abc import Mapping

import numpy as np

from margin.engine.columns import CASH, KINDS, Array, Instruments
from margin.engine.exact import ZERO
from margin.engine.measures import Lane, Sentence, UnitCharge, greatest, larger, nothing, restricted, worth
from margin.engine.methodologies.reg_t.terms import House, Rates

_LAW = "House requirement, FINRA Rule 4210(d)"
_SOURCES = ("basic", "kind", "sector", "instrument")

SENTENCES = {
    f"{side}_{source}": Sentence(
        "{quantity} {code} at {price}: the house " + source + " rate {" + side + "_rate} of market value exceeds the "
        "exchange requirement by this amount",
        _LAW,
    )
    for side in ("long", "short")
    for source in _SOURCES
}


def top_up(instruments: Instruments, house: House, exchange: Lane) -> UnitCharge:
    """What the greatest applicable house rate asks beyond the SRO amount, never less than nothing."""
    value = worth(instruments)
    long_rate, long_source = greatest(_rates(instruments, house, "long"))
    short_rate, short_source = greatest(_rates(instruments, house, "short"))
    securities = instruments.kind != CASH
    amount = Lane(larger(long_rate * value - exchange.long, ZERO), larger(short_rate * value - exchange.short, ZERO))
    return UnitCharge(
        code="house",
        amount=restricted(amount, securities),
        branch=Lane("long_" + long_source, "short_" + short_source),
        inputs={
            "price": instruments.price,
            "multiplier": instruments.multiplier,
            "long_rate": long_rate,
            "short_rate": short_rate,
            "exchange_long": exchange.long,
            "exchange_short": exchange.short,
        },
        sentences=SENTENCES,
    )


def _rates(instruments: Instruments, house: House, side: str) -> Mapping[str, Array]:
    kinds = np.array(KINDS, object)[instruments.kind]
    return {
        "basic": nothing(len(instruments)) + getattr(house.basic, side),
        "kind": _chosen(kinds, house.kinds, side),
        "sector": _chosen(instruments.sector, house.sectors, side),
        "instrument": _chosen(instruments.codes, house.instruments, side),
    }


def _chosen(names: Array, table: Mapping[str, Rates], side: str) -> Array:
    rates = nothing(len(names))
    for name, entry in table.items():
        rates[names == name] = getattr(entry, side)
    return rates
