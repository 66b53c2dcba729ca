"""How what a book is asked is told: one charge per component, with the scenario that binds."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from margin.engine.columns import Array
from margin.engine.exact import ONE, ZERO, plain
from margin.engine.groups import GroupCharge, Groups, Told
from margin.engine.measures import Sentence
from margin.engine.methodologies.crypto_portfolio.reading import CRYPTO, LINEAR, OPTION
from margin.engine.methodologies.crypto_portfolio.terms import Scenario, Terms

CODE = "crypto_portfolio"
_AMOUNT_DECIMALS = 6
_GRID = "Scenario margin, as published for Derive's PMRM_2"
_STANDARD = "Standard margin, as published by Derive and Deribit"
_MOVES = {
    "up": ", volatility up",
    "down": ", volatility down",
    "none": "",
    "linear": ", the smile turned",
    "absolute": ", the wings of the smile moved",
}
_SENTENCES: Mapping[str, Sentence] = {
    "scenario": Sentence("The worst of {count} scenarios, {scenario}: {factor_rate} of the loss is asked", _GRID),
    "forwards": Sentence("Forwards move against spot by {up_rate} or {down_rate}: {factor_rate} of the loss", _GRID),
    "option": Sentence("{option_rate} of the coin's price per short option that no long one stands against", _GRID),
    "perpetual": Sentence("{listed}: {perpetual_rate} of the coin's price per coin", _GRID),
    "collateral": Sentence("{listed}: not all of what is held counts, and more is owed than its price", _GRID),
    "standard_pooled": Sentence(
        "Value of the options, less per expiry the better of its short options one by one and its greatest loss",
        _STANDARD,
    ),
    "standard_alone": Sentence("Value of the options, less the margin of every short one", _STANDARD),
    "standard_perpetual": Sentence("{listed}: {perpetual_rate} of notional, and {slope_rate} more per coin", _STANDARD),
    "standard_collateral": Sentence("{listed}: not all of what is held counts", _STANDARD),
    "opening": Sentence(
        "Nothing more to hold; opening asks {initial} in all, of it for feeds in doubt {confidence} and for a "
        "stablecoin off its peg {peg}",
        "Confidence and de-peg contingencies of the same publications",
    ),
}
_KINDS_OF = {"option": (OPTION,), "perpetual": LINEAR, "collateral": (CRYPTO,)}


def rounded(amount: float) -> Decimal:
    """A model amount, rounded once; never -0."""
    return Decimal(f"{amount:.{_AMOUNT_DECIMALS}f}") + ZERO


def nothing(_: int) -> Told:
    """Of groups without a number."""
    return Told()


@dataclass(frozen=True)
class Explained:
    """The amounts of all groups, by charge, and the scenario that binds each."""

    groups: Groups
    terms: Terms
    is_standard: bool
    maintenance: Mapping[str, Array]
    initial: Mapping[str, Array]
    worst: Array

    def told(self, group: int) -> Told:
        """One charge per component that asks anything, and what only opening asks as a charge of 0."""
        charges = [self._charge(name, group) for name in self.maintenance if self.maintenance[name][group]]
        doubts = {name: self.initial[name][group] for name in ("confidence", "peg")}
        if any(doubts.values()):
            asked = sum((amounts[group] for amounts in self.initial.values()), ZERO)
            inputs = {"initial": asked, **doubts}
            charges.append(GroupCharge(CODE, "opening", ZERO, (), inputs, _SENTENCES["opening"]))
        return Told(tuple(charges))

    def _charge(self, name: str, group: int) -> GroupCharge:
        amount = self.maintenance[name][group]
        branch, sentence, inputs = self._standard(name) if self.is_standard else self._grid(name, group)
        return GroupCharge(CODE, branch, amount, self._legs(name, group), inputs, sentence)

    def _legs(self, name: str, group: int) -> tuple[tuple[int, Decimal], ...]:
        """The positions that a charge is for; none where it is for all."""
        if name not in _KINDS_OF:
            return ()
        places = range(self.groups.members(group).start, self.groups.members(group).stop)
        return tuple(
            (place, self.groups.quantity[p])
            for place, p in enumerate(places)
            if self.groups.instruments.kind[self.groups.instrument[p]] in _KINDS_OF[name]
        )

    def _grid(self, name: str, group: int) -> tuple[str, Sentence, dict[str, object]]:
        grid, basis = self.terms.grid, self.terms.grid.basis
        inputs: dict[str, object] = {"factor_rate": grid.maintenance_factor}
        inputs |= {"option_rate": grid.option_rate, "perpetual_rate": grid.perpetual_rate}
        if name != "scenario":
            return name, _SENTENCES[name], inputs
        worst = int(self.worst[group])
        if worst == len(grid.scenarios):
            inputs |= {"up_rate": basis.up - ONE, "down_rate": basis.down - ONE}
            return "forwards", _SENTENCES["forwards"], inputs
        inputs |= {"count": len(grid.scenarios), "scenario": shown(grid.scenarios[worst])}
        return "scenario", _SENTENCES["scenario"], inputs

    def _standard(self, name: str) -> tuple[str, Sentence, dict[str, object]]:
        standard = self.terms.standard
        inputs: dict[str, object] = {"perpetual_rate": standard.perpetual_rate, "slope_rate": standard.perpetual_slope}
        if name == "option":
            branch = "standard_pooled" if standard.is_pooled else "standard_alone"
            return branch, _SENTENCES[branch], inputs
        return f"standard_{name}", _SENTENCES[f"standard_{name}"], inputs


def shown(scenario: Scenario) -> str:
    """The scenario in words: 'price -18 %, volatility up'."""
    move = (scenario.price_factor - ONE) * 100
    price = f"price {'+' if move > 0 else ''}{plain(move)} %" if move else "price unchanged"
    weight = "" if scenario.weight == ONE else f", counted at {plain(scenario.weight * 100)} %"
    return f"{price}{_MOVES[scenario.volatility]}{weight}"
