"""The risk of an account's futures and options, commodity by commodity. Exact: call inside `exact.exactly()`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from margin.engine.exact import ZERO
from margin.engine.methodologies.span import amounts, arrays, spreads
from margin.engine.methodologies.span.arrays import Losses
from margin.engine.methodologies.span.contracts import Unit
from margin.engine.methodologies.span.parameters import Commodity, Parameters
from margin.engine.methodologies.span.terms import Terms


@dataclass(frozen=True)
class Holding:
    """So many contracts, signed, and their place among what the account holds."""

    place: int
    quantity: Decimal
    unit: Unit


@dataclass(frozen=True)
class Calendar:
    """A line of calendar spreads: its place in the file, how many, and the charge."""

    line: int
    count: Fraction
    amount: Decimal


@dataclass(frozen=True)
class Delivery:
    """The delivery charge of a contract month: deltas used in spreads, deltas left, and the charge."""

    period: str
    used: Fraction
    left: Fraction
    amount: Decimal


@dataclass(frozen=True)
class Credit:
    """What a line of spreads across commodities credits this commodity."""

    line: int
    count: Fraction
    amount: Decimal


@dataclass(frozen=True)
class Scanned:
    """One commodity before what other commodities credit it."""

    holdings: tuple[Holding, ...]
    losses: Losses
    scan: Decimal
    active: int
    calendar: tuple[Calendar, ...]
    delivery: tuple[Delivery, ...]
    delta: Decimal  # net
    left: Fraction  # of it, after calendar spreads
    calls: Decimal  # held short
    puts: Decimal
    minimum: Decimal


@dataclass(frozen=True)
class CommodityRisk:
    """One commodity: its charges, which add up to `asked`, in its currency. `opening` is what its positions need to be
    opened; `value` is the net value of its options."""

    commodity: str
    holdings: tuple[Holding, ...]
    scanned: Scanned | None  # None: margined per contract
    credits: tuple[Credit, ...]
    outright: Decimal
    spread_count: Decimal  # of two outrights
    top_up: Decimal  # to the short option minimum
    multiplier: Decimal
    risk: Decimal  # of the exchange
    opening: Decimal
    exposure: Decimal
    value: Decimal

    @property
    def house(self) -> Decimal:
        """What the house asks beyond the exchange."""
        return self.risk * (self.multiplier - 1)

    @property
    def asked(self) -> Decimal:
        """The exchange's risk and the house's addition."""
        return self.risk * self.multiplier


def of_account(holdings: Sequence[Holding], parameters: Parameters, terms: Terms) -> list[CommodityRisk]:
    """Every commodity that the account holds, by name."""
    held: dict[str, list[Holding]] = {}
    for holding in holdings:
        held.setdefault(holding.unit.commodity, []).append(holding)
    names = sorted(held)
    scanned = {
        name: scan(held[name], parameters.commodities[name])
        for name in names
        if not parameters.commodities[name].is_outright
    }
    credits = _credits(scanned, parameters)
    return [
        _scanned_risk(name, scanned[name], credits[name], parameters.commodities[name], terms)
        if name in scanned
        else _outright_risk(name, held[name], parameters.commodities[name], terms)
        for name in names
    ]


def scan(holdings: Sequence[Holding], commodity: Commodity) -> Scanned:
    """Scan risk, calendar spreads, delivery charge and short option minimum of one commodity's holdings."""
    losses = arrays.added([(one.quantity, one.unit.losses) for one in holdings])
    scanned, active = arrays.scan_risk(losses)
    deltas: dict[str, Decimal] = {}
    for one in holdings:
        deltas[one.unit.period] = deltas.get(one.unit.period, ZERO) + one.quantity * one.unit.delta
    calendar = _calendar(deltas, commodity)
    calls, puts = (_short(holdings, right) for right in ("call", "put"))
    rate = commodity.short_option_minimum
    return Scanned(
        holdings=tuple(holdings),
        losses=losses,
        scan=scanned,
        active=active,
        calendar=tuple(Calendar(one.line, one.count, spreads.charged(one.amount)) for one in calendar.formed),
        delivery=tuple(_delivery(calendar, commodity)),
        delta=sum(deltas.values(), ZERO),
        left=sum(calendar.left.values(), spreads.NONE),
        calls=calls,
        puts=puts,
        minimum=amounts.short_option_minimum(calls, puts, rate, commodity.counts_together),
    )


def _calendar(deltas: Mapping[str, Decimal], commodity: Commodity) -> spreads.Calendar:
    exact = {period: Fraction(delta) for period, delta in deltas.items()}
    if not commodity.spreads or not min(deltas.values()) < 0 < max(deltas.values()):
        return spreads.Calendar((), exact, {})  # months on one side form no spread
    tiers = {period: tier.name for period in deltas if (tier := commodity.tier(period)) is not None}
    return spreads.calendar(exact, tiers, commodity.spreads)


def _short(holdings: Sequence[Holding], right: str) -> Decimal:
    return sum((-one.quantity for one in holdings if one.unit.right == right and one.quantity < 0), ZERO)


def _delivery(calendar: spreads.Calendar, commodity: Commodity) -> list[Delivery]:
    found = []
    for spot in commodity.spot:
        used, left = (kept.get(spot.period, spreads.NONE) for kept in (calendar.used, calendar.left))
        amount = spreads.charged(spreads.spot_charge(used, left, spot.spread_rate, spot.outright_rate))
        if amount:
            found.append(Delivery(spot.period, used, abs(left), amount))
    return found


def _credits(scanned: Mapping[str, Scanned], parameters: Parameters) -> dict[str, list[Credit]]:
    """What each commodity is credited by the lines across commodities, in the file's order."""
    credits: dict[str, list[Credit]] = {name: [] for name in scanned}
    if len(scanned) > 1 and parameters.credits:
        left = {name: one.left for name, one in scanned.items()}
        weighted = {name: arrays.weighted_price_risk(one.losses, one.delta) for name, one in scanned.items()}
        for found in spreads.across(left, weighted, parameters.credits):
            for name, amount in found.credits.items():
                if rounded := spreads.credited(amount):
                    credits[name].append(Credit(found.line, found.count, rounded))
    return credits


def _scanned_risk(
    name: str, scanned: Scanned, credits: Sequence[Credit], commodity: Commodity, terms: Terms
) -> CommodityRisk:
    intra = sum((one.amount for one in scanned.calendar), ZERO)
    spot = sum((one.amount for one in scanned.delivery), ZERO)
    credit = sum((one.amount for one in credits), ZERO)
    risk = amounts.commodity_risk(scanned.scan, intra, spot, credit, scanned.minimum)
    multiplier = terms.multiplier(name)
    return CommodityRisk(
        commodity=name,
        holdings=scanned.holdings,
        scanned=scanned,
        credits=tuple(credits),
        outright=ZERO,
        spread_count=ZERO,
        top_up=risk - (scanned.scan + intra + spot - credit),
        multiplier=multiplier,
        risk=risk,
        opening=risk * multiplier * terms.initial_multiplier,
        exposure=_exposure(scanned.holdings, terms),
        value=sum((one.quantity * one.unit.value for one in scanned.holdings), ZERO),
    )


def _exposure(holdings: Sequence[Holding], terms: Terms) -> Decimal:
    """Of futures on either side, and of options held short."""
    if not terms.charges_exposure:
        return ZERO
    charged = [one for one in holdings if not one.unit.right or one.quantity < 0]
    return sum((abs(one.quantity) * one.unit.exposure for one in charged), ZERO)


def _outright_risk(name: str, holdings: Sequence[Holding], commodity: Commodity, terms: Terms) -> CommodityRisk:
    entry = next(one.unit.outright for one in holdings if one.unit.outright is not None)
    long = sum((one.quantity for one in holdings if one.quantity > 0), ZERO)
    short = sum((-one.quantity for one in holdings if one.quantity < 0), ZERO)
    pairs = ZERO if commodity.calendar_charge is None else min(long, short)
    risk, opening = (
        _outright(margin, long + short - 2 * pairs, pairs, commodity) for margin in (entry.maintenance, entry.initial)
    )
    multiplier = terms.multiplier(name)
    return CommodityRisk(
        commodity=name,
        holdings=tuple(holdings),
        scanned=None,
        credits=(),
        outright=risk,
        spread_count=pairs,
        top_up=ZERO,
        multiplier=multiplier,
        risk=risk,
        opening=opening * multiplier,
        exposure=_exposure(holdings, terms),
        value=ZERO,
    )


def _outright(margin: Decimal, alone: Decimal, pairs: Decimal, commodity: Commodity) -> Decimal:
    return alone * margin + pairs * spreads.calendar_spread(margin, margin, commodity.calendar_charge or ZERO)


__all__ = ["Calendar", "CommodityRisk", "Credit", "Delivery", "Holding", "Scanned", "of_account", "scan"]
