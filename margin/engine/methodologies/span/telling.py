"""How a requirement is told: per commodity its charges and credits, and the net option value of the account. Their sum
is the requirement, exactly."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from margin.engine.exact import exactly
from margin.engine.groups import EquityPart, GroupCharge, Groups, Told
from margin.engine.measures import Sentence
from margin.engine.methodologies.span.arrays import MOVES, weighted_price_risk
from margin.engine.methodologies.span.parameters import Commodity, Parameters
from margin.engine.methodologies.span.risk import CommodityRisk, Scanned

_SPAN = "CME SPAN"
_TEMPLATES = {
    "scan": (
        "{commodity}: {listed} lose at most {scan}, in scenario {scenario}: price {price}, volatility {volatility}",
        f"{_SPAN}, scan risk",
    ),
    "outright": (
        "{commodity}: {listed} at {maintenance} a contract since {since}, {spread_count} calendar spreads among them",
        "Exchange maintenance margin",
    ),
    "calendar": (
        "{commodity}: {count} calendar spreads of {tiers} at {charge} each",
        f"{_SPAN}, intra-commodity spread charge",
    ),
    "delivery": (
        "{commodity}: {period} delivers soon: {used} deltas in spreads at {spread_charge}, {left} at {outright_charge}",
        f"{_SPAN}, spot month charge",
    ),
    "credit": (
        "{commodity}: {count} spreads of {ratios} are credited {credit_rate} of a price risk of {price_risk} a delta",
        f"{_SPAN}, inter-commodity spread credit",
    ),
    "minimum": (
        "{commodity}: {calls} calls and {puts} puts held short are asked {minimum} at least, {each} each",
        f"{_SPAN}, short option minimum",
    ),
    "house": ("{commodity}: the house asks {multiplier} times what the exchange asks", "House requirement"),
    "exposure": (
        "{commodity}: exposure margin of {exposure_rate} of the contract value of futures and short options",
        "National Stock Exchange of India, exposure margin",
    ),
    "covered": (
        "The options are worth {option_value} net, and cover that part of the requirement at most",
        f"{_SPAN}, net option value",
    ),
    "owed": ("The options are worth {option_value} net: what is owed on them is asked", f"{_SPAN}, net option value"),
}


@dataclass(frozen=True)
class Measured:
    """One account, in its own currency: each commodity with its rate of exchange, and the value its options have."""

    risks: tuple[tuple[CommodityRisk, Decimal], ...]
    option_value: Decimal  # net
    granted: Decimal  # of it, what lowers (below nothing: raises) the requirement
    requirement: Decimal
    initial: Decimal
    equity: tuple[EquityPart, ...]
    refused: str = ""


@dataclass(frozen=True)
class Explained:
    """The accounts that were measured, one for each group."""

    groups: Groups
    found: Sequence[Measured]
    document: Parameters

    def told(self, group: int) -> Told:
        """Every charge of the account, and the options that its equity leaves out."""
        measured = self.found[group]
        with exactly():
            charges = [
                charge for risk, rate in measured.risks for charge in self._commodity(risk, rate) if charge.amount
            ]
            if measured.granted:
                branch = "covered" if measured.granted > 0 else "owed"
                told = {"option_value": measured.option_value}
                charges.append(self._charge("option_value", branch, -measured.granted, (), told))
        return Told(tuple(charges), measured.equity)

    def _commodity(self, risk: CommodityRisk, rate: Decimal) -> Iterator[GroupCharge]:
        commodity = self.document.commodities[risk.commodity]
        legs = tuple((one.place, one.quantity) for one in risk.holdings)
        named: dict[str, Any] = {"commodity": risk.commodity}
        if risk.scanned is None:
            yield self._outright(risk, rate, legs)
        else:
            yield self._scan(risk.commodity, risk.scanned, rate, legs)
            yield from self._spreads(risk, risk.scanned, commodity, rate)
            told = {"calls": risk.scanned.calls, "puts": risk.scanned.puts, "minimum": risk.scanned.minimum * rate}
            told |= {"each": commodity.short_option_minimum * rate, **named}
            branch = "together" if commodity.counts_together else "larger"
            yield self._charge("minimum", branch, risk.top_up * rate, legs, told)
        yield self._charge("house", "house", risk.house * rate, legs, {"multiplier": risk.multiplier, **named})
        told = {"exposure_rate": commodity.exposure_rate, **named}
        yield self._charge("exposure", "gross", risk.exposure * rate, legs, told)

    def _scan(self, name: str, scanned: Scanned, rate: Decimal, legs: Any) -> GroupCharge:
        told: dict[str, Any] = {"commodity": name, "scan": scanned.scan * rate, "scenario": str(scanned.active)}
        told["price"], told["volatility"] = _scenario(scanned.active)
        for k, loss in enumerate(scanned.losses, 1):
            told[f"loss_{k}"] = loss * rate
        return self._charge("scan", f"scenario_{scanned.active}", scanned.scan * rate, legs, told)

    def _outright(self, risk: CommodityRisk, rate: Decimal, legs: Any) -> GroupCharge:
        entry = next(one.unit.outright for one in risk.holdings if one.unit.outright is not None)
        told: dict[str, Any] = {"commodity": risk.commodity, "maintenance": entry.maintenance * rate, "since": entry.on}
        told["spread_count"] = risk.spread_count
        return self._charge("outright", "maintenance", risk.outright * rate, legs, told)

    def _spreads(
        self, risk: CommodityRisk, scanned: Scanned, commodity: Commodity, rate: Decimal
    ) -> Iterator[GroupCharge]:
        named: dict[str, Any] = {"commodity": risk.commodity}
        for line in scanned.calendar:
            spread = commodity.spreads[line.line]
            told = {"count": _shown(line.count), "charge": spread.rate * rate, **named}
            told["tiers"] = ", ".join(f"{leg.side} {leg.ratio} {leg.of}" for leg in spread.legs)
            yield self._charge("calendar", f"line_{line.line + 1}", line.amount * rate, (), told)
        for spot in scanned.delivery:
            stated = next(one for one in commodity.spot if one.period == spot.period)
            told = {"period": spot.period, "used": _shown(spot.used), "left": _shown(spot.left), **named}
            told |= {"spread_charge": stated.spread_rate * rate, "outright_charge": stated.outright_rate * rate}
            yield self._charge("delivery", spot.period, spot.amount * rate, (), told)
        weighted = weighted_price_risk(scanned.losses, scanned.delta)
        for credit in risk.credits:
            spread = self.document.credits[credit.line]
            told = {"count": _shown(credit.count), "credit_rate": spread.rate, **named}
            told["ratios"] = ", ".join(f"{leg.side} {leg.ratio} {leg.of}" for leg in spread.legs)
            told["price_risk"] = _shown(weighted * Fraction(rate))
            yield self._charge("credit", f"line_{credit.line + 1}", -credit.amount * rate, (), told)

    def _charge(self, code: str, branch: str, amount: Decimal, legs: Any, told: Mapping[str, Any]) -> GroupCharge:
        template, law = _TEMPLATES.get(code) or _TEMPLATES[branch]
        sentence = Sentence(template, f"{law}; {self.document.source} of {self.document.on}")
        return GroupCharge(f"span_{code}", branch, amount, legs, told, sentence)


def _scenario(active: int) -> tuple[str, str]:
    """(how far the price is moved, where the volatility goes), in words."""
    if active > len(MOVES):
        return ("up to the extreme" if active == len(MOVES) + 1 else "down to the extreme"), "unchanged"
    thirds, direction = MOVES[active - 1]
    far = "unchanged" if not thirds else f"{'up' if thirds > 0 else 'down'} by {abs(thirds)}/3 of the range"
    return far, "up" if direction > 0 else "down"


def _shown(number: Fraction) -> str:
    """For reading: up to four decimals."""
    return f"{float(number):.4f}".rstrip("0").rstrip(".")


__all__ = ["Explained", "Measured"]
