"""Initial margin of uncleared contracts from sensitivities, in the shape of ISDA's SIMM. docs/methodologies/simm.md.

The parameters are a licensed user's document, the sensitivities another; both come with the market, by the names that
the terms call them. All contracts of an account are one netting set.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import numpy as np

from margin.engine import terms as reading
from margin.engine.columns import KINDS as ALL_KINDS
from margin.engine.columns import Array, Contract, Instruments, Market
from margin.engine.exact import ZERO, exactly
from margin.engine.groups import GroupCharge, GroupFigures, Groups, Keys, Told
from margin.engine.measures import Sentence
from margin.engine.methodologies.simm import margins
from margin.engine.methodologies.simm.margins import AddOns, Margin, Sensitivity
from margin.engine.methodologies.simm.parameters import Parameters

CODE = "simm"
GROUP_MEASURES = ("requirement",)
KINDS = frozenset({"otc"})
_OTC = ALL_KINDS.index("otc")
_NETTING_SET = 1
_DECIMALS = 6  # of model values, rounded once per product class
_LAW = "Initial margin model of the agreement, BCBS-IOSCO, margin requirements, paragraph 3"
_SENTENCES = {
    "product_class": Sentence("{product_class}, by version {version} of the model: {risks}", _LAW),
    "add_ons": Sentence("Fixed amounts, factors of notionals and multiples of product classes on top", _LAW),
}


@dataclass(frozen=True)
class Terms:
    """Names of the two documents, and add-ons: a fixed amount in the model's currency, multipliers of product classes,
    and factors of the notional by instrument code."""

    parameters: str
    sensitivities: str
    fixed: Decimal = ZERO
    multipliers: Mapping[str, Decimal] = field(default_factory=dict)
    notional_factors: Mapping[str, Decimal] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.parameters or not self.sensitivities:
            raise ValueError("parameters and sensitivities must each name a document")
        if self.fixed < 0 or any(factor < 0 for factor in self.notional_factors.values()):
            raise ValueError("add-ons must not be negative")
        if any(multiplier < 1 for multiplier in self.multipliers.values()):
            raise ValueError("multipliers must be 1 or more")

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Terms":
        """Terms from a policy's JSON; ValueError naming the key."""
        return reading.read(cls, document)


def group_keys(instruments: Instruments, terms: Terms) -> Keys:
    """All uncleared contracts of an account are one group and claimed."""
    is_otc = instruments.kind == _OTC
    return Keys(np.where(is_otc, _NETTING_SET, 0), is_otc, spans_currencies=True)


def measure_groups(groups: Groups, market: Market, measure: str, terms: Terms) -> GroupFigures:
    """The model's margin of every netting set, to hold and to open; refused where a document does not tell."""
    amounts = np.full(len(groups), ZERO, object)
    refused = np.full(len(groups), "", object)
    charges: dict[int, tuple[GroupCharge, ...]] = {}
    try:
        model, rows = _documents(groups.instruments, market, terms)
    except ValueError as error:
        refused[:] = str(error)
        return _figures(amounts, refused, charges)
    for group in range(len(groups)):
        quoted = groups.instruments.currencies[groups.currency[group]]
        rate = market.rate(model.currency, quoted)
        if rate is None:
            refused[group] = f"no rate {model.currency}/{quoted} for the margin model"
            continue
        try:
            found = margins.measure(_netting_set(groups, group, rows), model, _add_ons(groups, group, terms))
        except ValueError as error:
            refused[group] = str(error)
            continue
        with exactly():
            charges[group] = tuple(_charges(found, model, rate))
            amounts[group] = sum((charge.amount for charge in charges[group]), ZERO)
    return _figures(amounts, refused, charges)


def _figures(amounts: Array, refused: Array, charges: Mapping[int, tuple[GroupCharge, ...]]) -> GroupFigures:
    def told(group: int) -> Told:
        return Told(charges.get(group, ()))

    return GroupFigures(amounts, amounts, np.full(len(amounts), ZERO, object), refused, told)


Rows = Mapping[int, Sequence[Sensitivity]]  # by row of the instruments, for one unit


def _documents(instruments: Instruments, market: Market, terms: Terms) -> tuple[Parameters, Rows]:
    """The model, and the sensitivities of every contract. ValueError names what is missing or wrong."""
    for name in (terms.parameters, terms.sensitivities):
        if name not in market.parameters:
            raise ValueError(f"there is no parameter document {name!r} for the margin model")
    model = Parameters.from_json(market.parameters[terms.parameters])
    stated = market.parameters[terms.sensitivities]
    if not isinstance(stated, Mapping):
        raise ValueError(f"{terms.sensitivities}: an object of lists by instrument code is expected")
    rows = {}
    for i in np.flatnonzero(instruments.kind == _OTC):
        code = str(instruments.codes[i])
        if code in stated:
            where = f"{terms.sensitivities}.{code}"
            rows[int(i)] = tuple(reading.read(Sensitivity, row, f"{where}[{k}]") for k, row in enumerate(stated[code]))
    return model, rows


def _netting_set(groups: Groups, group: int, rows: Rows) -> list[Sensitivity]:
    found = []
    with exactly():
        for p in range(groups.members(group).start, groups.members(group).stop):
            i, quantity = int(groups.instrument[p]), groups.quantity[p]
            if i not in rows:
                raise ValueError(f"{groups.instruments.codes[i]}: no sensitivities are stated for the margin model")
            found += [replace(row, amount=row.amount * quantity) for row in rows[i]]
    return found


def _add_ons(groups: Groups, group: int, terms: Terms) -> AddOns:
    notionals = []
    with exactly():
        for p in range(groups.members(group).start, groups.members(group).stop):
            code, contract = str(groups.instruments.codes[groups.instrument[p]]), _contract(groups, p)
            factor = terms.notional_factors.get(code)
            if factor is not None and not contract.notional:
                raise ValueError(f"{code}: an add-on is a factor of its notional, which is not stated")
            if factor is not None:
                notionals.append((abs(contract.notional * groups.quantity[p]), factor))
    return AddOns((terms.fixed,), tuple(notionals), terms.multipliers)


def _contract(groups: Groups, p: int) -> Contract:
    return groups.instruments.contract[groups.instrument[p]] or Contract(0, None)


def _charges(found: Margin, model: Parameters, rate: Decimal) -> list[GroupCharge]:
    """One charge per product class, and one for add-ons; amounts in the group's currency."""
    charges = []
    for product, amount in found.product_classes.items():
        risks = ", ".join(
            f"{risk.risk_class} {risk.total:.2f} (delta {risk.delta:.2f}, vega {risk.vega:.2f}, "
            f"curvature {risk.curvature:.2f})"
            for risk in found.risks
            if risk.product_class == product
        )
        inputs = {"product_class": product, "version": model.version, "risks": risks}
        sentence = _SENTENCES["product_class"]
        charges.append(GroupCharge(CODE, "product_class", _exact(amount) * rate, (), inputs, sentence))
    if found.add_ons:
        on_top = _exact(found.add_ons) * rate
        charges.append(GroupCharge(CODE, "add_ons", on_top, (), {}, _SENTENCES["add_ons"]))
    return charges


def _exact(amount: float) -> Decimal:
    return Decimal(f"{amount:.{_DECIMALS}f}")
