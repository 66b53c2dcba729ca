"""Uncleared derivatives under a credit support annex: variation margin, and initial margin by the schedule.

The account is one netting set with one client: contracts of kind `otc`, whose prices are what they are worth to the
client, and what the client has posted. The client posts and we collect. docs/methodologies/csa.md.
"""

from datetime import date

import numpy as np

from margin.engine.columns import CASH, Array, Instruments, Market
from margin.engine.columns import KINDS as ALL_KINDS
from margin.engine.exact import ONE, ZERO
from margin.engine.measures import (
    Lane,
    Levels,
    Sentence,
    Totals,
    UnitCharge,
    Units,
    larger,
    nothing,
    pick,
    silence,
    smaller,
    worth,
)
from margin.engine.methodologies.csa import schedule
from margin.engine.methodologies.csa.calls import levels_of
from margin.engine.methodologies.csa.schedule import Grid
from margin.engine.methodologies.csa.terms import HAIRCUT_BOUNDS, Terms

__all__ = ["CODE", "KINDS", "MEASURES", "Grid", "Terms", "currency", "levels", "units"]

CODE = "csa"
MEASURES = ("variation", "initial")
KINDS = frozenset({"cash", "equity", "etf", "bond", "otc"})
_OTC = ALL_KINDS.index("otc")
_BOND = ALL_KINDS.index("bond")
_SENTENCES = {
    "exposure": Sentence(
        "{quantity} {code} at {price}: what it is worth to the client we owe; below nothing it is our exposure",
        "Credit Support Annex, paragraph 3: Exposure",
    ),
    "notional": Sentence(
        "{quantity} {code}: {grid_rate} of a notional of {notional} each",
        "BCBS-IOSCO, margin requirements for non-centrally cleared derivatives, Appendix A",
    ),
}


def currency(measure: str, terms: Terms) -> str:
    """The agreement's base currency: thresholds, minimum transfer and rounding are in it."""
    return terms.currency


def units(instruments: Instruments, market: Market, measure: str, terms: Terms) -> Units:
    """Lanes collateral (after haircuts), exposure and gross_exposure (ours), and margin (of the schedule).

    What a contract's margin is cannot be told without its class, notional and maturity; variation margin without
    initial margin, the distinct approach, does not ask.
    """
    is_otc = instruments.kind == _OTC
    value, zero = worth(instruments), nothing(len(instruments))
    posted = pick(is_otc, ZERO, value * (ONE - _haircuts(instruments, market, terms)))
    owed = pick(instruments.kind == CASH, value, ZERO)  # what the client owes in cash is owed at face
    held = pick(is_otc, value, ZERO)
    rate, reason = _grid_rates(instruments, market, terms)
    notional = _notionals(instruments)
    margin = notional * rate
    exposure = Lane(-held, held)
    charged = Lane(margin, margin) if measure == "initial" else exposure
    branch = np.full(len(instruments), "notional" if measure == "initial" else "exposure", object)
    charge = UnitCharge(
        code=f"csa.{branch[0]}" if len(branch) else "csa.exposure",
        amount=charged,
        branch=Lane(branch, branch),
        inputs={"price": instruments.price, "notional": notional, "grid_rate": rate},
        sentences=_SENTENCES,
    )
    needs_grid = measure == "initial" or terms.approach == "allocated"
    unknown = pick(is_otc, reason, "") if needs_grid else silence(len(instruments))
    return Units(
        lanes={
            "collateral": Lane(posted, -owed),
            "exposure": exposure,
            "gross_exposure": Lane(larger(-held, zero), larger(held, zero)),
            "margin": Lane(margin, margin),
            "requirement": charged,
        },
        charges=(charge,),
        refused=Lane(unknown, pick(is_otc, unknown, _shorts(instruments))),
        equity={"collateral": 1},
    )


def levels(totals: Totals, measure: str, terms: Terms) -> Levels:
    """The collateral posted against the credit support amount."""
    return levels_of(totals, measure, terms)


def _shorts(instruments: Instruments) -> Array:
    reasons = silence(len(instruments))
    for i in np.flatnonzero((instruments.kind != CASH) & (instruments.kind != _OTC)):
        reasons[i] = f"{instruments.codes[i]}: held short, and no collateral can be"
    return reasons


def _haircuts(instruments: Instruments, market: Market, terms: Terms) -> Array:
    """Haircut and FX haircut together, at most 1. By code, else of debt by class and maturity, else by kind; else 1."""
    rates = np.full(len(instruments), ONE, object)
    for kind, rate in terms.kind_haircuts.items():
        rates[instruments.kind == ALL_KINDS.index(kind)] = rate
    for i in np.flatnonzero(instruments.kind == _BOND):
        listed = terms.debt_haircuts.get(str(instruments.debt_class[i]))
        matures = instruments.matures_on[i]
        if listed is not None and matures is not None:
            rates[i] = listed[_bracket(market.on, matures, HAIRCUT_BOUNDS)]
    for code, rate in terms.haircuts.items():
        rates[instruments.codes == code] = rate
    settled = {terms.currency, *terms.settlement_currencies}
    foreign = np.array([instruments.currencies[c] not in settled for c in instruments.currency], bool)
    return smaller(rates + pick(foreign, terms.fx_haircut, ZERO), ONE)


def _grid_rates(instruments: Instruments, market: Market, terms: Terms) -> tuple[Array, Array]:
    """(the schedule's rate, why there is none) of every instrument."""
    rates, reasons = nothing(len(instruments)), silence(len(instruments))
    for i in np.flatnonzero(instruments.kind == _OTC):
        contract = instruments.contract[i]
        matures = contract and (contract.expires_on or instruments.matures_on[i])
        if contract is None or contract.asset_class not in schedule.CLASSES or matures is None:
            reasons[i] = f"{instruments.codes[i]}: the margin schedule needs its asset class and its maturity"
        elif not contract.notional:
            reasons[i] = f"{instruments.codes[i]}: the margin schedule needs its notional"
        else:
            rates[i] = terms.grid.rate(contract.asset_class, _bracket(market.on, matures, schedule.BOUNDS))
    return rates, reasons


def _notionals(instruments: Instruments) -> Array:
    amounts = nothing(len(instruments))
    for i in np.flatnonzero(instruments.kind == _OTC):
        if instruments.contract[i] is not None:
            amounts[i] = abs(instruments.contract[i].notional)
    return amounts


def _bracket(on: date, matures: date, bounds: tuple[int, ...]) -> int:
    """How many of the bounds, in years, the residual maturity reaches."""
    return sum(matures >= _years_after(on, years) for years in bounds)


def _years_after(on: date, years: int) -> date:
    try:
        return on.replace(year=on.year + years)
    except ValueError:  # 29 February
        return date(on.year + years, 3, 1)
