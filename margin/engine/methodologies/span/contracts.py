"""One contract of each instrument, as its commodity's parameters see it: array, delta, option value, exposure.

Arrays come from the document, or are computed: futures are linear in their price; options are repriced by Black (1976),
or by Black, Scholes and Merton where they are written on a spot price, at the volatility their own price implies.
Model values are rounded once, to six decimals.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np

from margin.engine import valuation
from margin.engine.columns import KINDS, Contract, Instruments, Market
from margin.engine.exact import ONE, ZERO
from margin.engine.measures import worth
from margin.engine.methodologies.span import amounts, settlement
from margin.engine.methodologies.span.arrays import MOVES, SCENARIOS, Losses, composite_delta
from margin.engine.methodologies.span.parameters import Commodity, Listed, Outright, Parameters
from margin.engine.methodologies.span.sensitivities import deltas, moved_values

FUTURE = KINDS.index("future")
_DECIMALS = 6
_UNLISTED = Listed()
_NO_LOSSES: Losses = (ZERO,) * SCENARIOS
_DELTA_POINTS = (0, 2, 4, 6, 8, 10, 12)  # scenarios, from 0, at the seven prices


@dataclass(frozen=True)
class Unit:
    """One contract, held long, in its currency. `right` is '' for futures."""

    code: str
    commodity: str
    period: str
    right: str
    losses: Losses
    delta: Decimal  # composite and scaled
    value: Decimal  # of an option; 0 for futures, which are settled daily
    exposure: Decimal
    outright: Outright | None


def product(contract: Contract | None) -> str:
    """The commodity that a contract belongs to; '' when it is not known."""
    return "" if contract is None else contract.commodity or contract.underlying_code


class Refused(ValueError):
    """Why a contract cannot be margined."""


@dataclass(frozen=True)
class _Scan:
    """How far the price is moved that an option is repriced at, in its commodity's scenarios."""

    move: float
    commodity: Commodity


def read(instruments: Instruments, market: Market, parameters: Parameters) -> list[Unit | str]:
    """A Unit, or the reason why there is none, for each instrument. Call inside `exact.exactly()`."""
    model = valuation.model_of(instruments, market, valuation.PARITY_TOLERANCE)
    value = worth(instruments)
    found: list[Unit | str] = []
    scans: dict[int, _Scan] = {}
    for i in range(len(instruments)):
        try:
            unit, scan = _unit(instruments, i, market, parameters, model, value[i])
        except Refused as reason:
            found.append(f"{instruments.codes[i]}: {reason}")
        else:
            found.append(unit)
            if scan is not None:
                scans[i] = scan
    for i, losses, delta in _modelled(model, scans):
        scaled = found[i]
        if isinstance(scaled, Unit):
            found[i] = replace(scaled, losses=losses, delta=delta * scaled.delta)
    return found


def _unit(
    instruments: Instruments, i: int, market: Market, parameters: Parameters, model: valuation.Model, value: Decimal
) -> tuple[Unit, _Scan | None]:
    """The unit; of an option that is yet to be repriced its delta is the scale alone, and the scan says how."""
    contract: Contract | None = instruments.contract[i]
    if contract is None:
        raise Refused("nothing is known of its contract")
    if contract.expires_on is not None and contract.expires_on < market.on:
        raise Refused(f"expired on {contract.expires_on.isoformat()}")
    name = product(contract)
    commodity = _commodity(parameters, name)
    if commodity.currency != (own := instruments.currencies[instruments.currency[i]]):
        raise Refused(f"it is in {own}, and the parameters of {name} are in {commodity.currency}")
    code, is_future = str(instruments.codes[i]), instruments.kind[i] == FUTURE
    listed = commodity.contracts.get(code, _UNLISTED)
    period = listed.period or _month(contract)
    outright = _in_force(commodity, market, is_future) if commodity.is_outright else None
    losses, delta, scan = _NO_LOSSES, ZERO, None
    if outright is None:
        stated = parameters.losses(listed)
        if stated is not None and listed.delta is not None:
            losses, delta = stated, listed.delta
        else:
            move, delta = _move(instruments, i, contract, commodity, period, model), ONE
            if is_future:
                losses = _linear(move, instruments.multiplier[i], commodity)
            else:
                scan = _Scan(float(move), commodity)
    unit = Unit(
        code=code,
        commodity=name,
        period=period,
        right="" if is_future else _right(contract),
        losses=losses,
        delta=delta * _scale(listed, commodity, instruments.multiplier[i]),
        value=ZERO if is_future else value,
        exposure=_exposure(instruments, i, contract, commodity),
        outright=outright,
    )
    return unit, scan


def _commodity(parameters: Parameters, name: str) -> Commodity:
    if not name:
        raise Refused("its product is not known")
    if name not in parameters.commodities:
        raise Refused(f"{parameters.source} of {parameters.on} has no product {name}")
    return parameters.commodities[name]


def _month(contract: Contract) -> str:
    if contract.expires_on is None:
        raise Refused("its expiry is not known")
    return f"{contract.expires_on:%Y-%m}"


def _right(contract: Contract) -> str:
    if contract.right not in ("call", "put"):
        raise Refused(f"right {contract.right!r} is not known")
    return contract.right


def _in_force(commodity: Commodity, market: Market, is_future: bool) -> Outright:
    if not is_future:
        raise Refused("its product has margins per future only: an option needs an array, or ranges to compute it")
    entry = settlement.in_force(commodity.outright, market.on)
    if entry is None:
        raise Refused(f"no margin of its product is in force on {market.on.isoformat()}")
    return entry


def _scale(listed: Listed, commodity: Commodity, multiplier: Decimal) -> Decimal:
    """How many deltas of the commodity one delta of the contract is; a quotient is fixed to six decimals."""
    if listed.delta_scale is not None:
        return listed.delta_scale
    return ONE if commodity.size is None else _fixed(float(multiplier) / float(commodity.size))


def _exposure(instruments: Instruments, i: int, contract: Contract, commodity: Commodity) -> Decimal:
    """Exposure margin of one future, or of one option held short."""
    if not commodity.exposure_rate:
        return ZERO
    price = instruments.price[i] if instruments.kind[i] == FUTURE else contract.spot
    if price is None:
        raise Refused(contract.spot_reason or "the price of its underlying is not known")
    return amounts.exposure(instruments.multiplier[i], price, commodity.exposure_rate)


def _move(
    instruments: Instruments, i: int, contract: Contract, commodity: Commodity, period: str, model: valuation.Model
) -> Decimal:
    """How far the price is moved, per unit: the contract's own price, or that of an option's underlying."""
    if contract.is_inverse:
        raise Refused("an inverse contract is not linear in its price: it needs an array")
    scanned = commodity.range_of(period)
    if scanned is None:
        raise Refused("the parameters state no array for it and no range to compute one from")
    is_future = instruments.kind[i] == FUTURE
    if not is_future and model.refused[i]:
        raise Refused(str(model.refused[i]).removeprefix(f"{instruments.codes[i]}: "))
    price = instruments.price[i] if is_future else Decimal(repr(float(model.spot[i])))
    move = scanned.of(price)
    if move is None:
        raise Refused(f"its range is a share of a price, and the price is {price}")
    return move


def _linear(move: Decimal, multiplier: Decimal, commodity: Commodity) -> Losses:
    """Thirds of the range are fixed to six decimals per unit of price, so that contracts of any size offset."""
    steps = (ZERO, amounts.third_of(move), amounts.third_of(2 * move), move)
    inner = (-steps[thirds] if thirds >= 0 else steps[-thirds] for thirds, _ in MOVES)
    extreme = move * commodity.extreme_multiple * commodity.extreme_cover
    return tuple(loss * multiplier for loss in (*inner, -extreme, extreme))


def _modelled(model: valuation.Model, scans: Mapping[int, _Scan]) -> Iterator[tuple[int, Losses, Decimal]]:
    """(row, array, composite delta) of the options that are repriced, all at once."""
    if not scans:
        return
    rows, chosen = list(scans), list(scans.values())
    thirds, directions = (np.array([*column, 0.0, 0.0]) for column in zip(*MOVES, strict=True))
    extreme = np.zeros(SCENARIOS)
    extreme[len(MOVES) :] = (1.0, -1.0)
    multiple, cover, vol = (
        np.array([float(getattr(one.commodity, name)) for one in chosen])[:, None]
        for name in ("extreme_multiple", "extreme_cover", "volatility_range")
    )
    prices = (thirds / 3 + extreme * multiple) * np.array([one.move for one in chosen])[:, None]
    days = np.array([one.commodity.lookahead_days for one in chosen], np.float64)
    options = model.take(np.array(rows))
    gains = moved_values(options, prices, directions * vol, days) * np.where(extreme != 0, cover, 1.0)
    at = deltas(options, prices[:, list(_DELTA_POINTS)], days)
    for k, (row, one) in enumerate(zip(rows, chosen, strict=True)):
        delta = composite_delta([_fixed(point) for point in at[k].tolist()], one.commodity.composite_weights)
        yield row, tuple(-_fixed(gain) for gain in gains[k].tolist()), _fixed(float(delta))


def _fixed(value: float) -> Decimal:
    return Decimal(f"{value:.{_DECIMALS}f}")


__all__ = ["Refused", "Unit", "product", "read"]
