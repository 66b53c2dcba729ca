"""What is still owed when nothing more is sold, cleared between clients, us and our counterparties.

A client owes us what its accounts are worth less than nothing; we owe counterparties the same of our accounts there.
Who pays how much is the clearing vector of Eisenberg and Noe, with Rogers and Veraart's costs of default. A deficit of
an account that is still worth something is a call, not yet a debt: what it holds stands against it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from margin.engine.contagion import clearing

US = "us"


@dataclass(frozen=True)
class Owner:
    """Whose an account is: a client's, or ours at a counterparty of that code."""

    code: str
    is_counterparty: bool = False


@dataclass(frozen=True)
class Party:
    """What one debtor owes and pays, in the currency of the sums."""

    name: str
    owes: float
    pays: float
    is_default: bool


@dataclass(frozen=True)
class Cleared:
    """Debtors with their payments, what we lose and have left, and what our counterparties lose by us."""

    parties: tuple[Party, ...]
    our_losses: float  # what debtors do not pay
    left: float  # our capital and what debtors pay, less what we pay
    is_default: bool  # ours
    lost_by_counterparties: float


def clear(
    equity: Mapping[Owner, float], *, capital: float, means: Mapping[str, float], recovery_rate: float
) -> Cleared:
    """Clear debts: per owner the sum of accounts' negative equity (0 or less), in one currency. Who owes nothing and is
    no counterparty is left out."""
    owed = {owner: -amount for owner, amount in equity.items() if amount < 0}
    debtors = [owner for owner in owed if not owner.is_counterparty]
    creditors = [owner for owner in owed if owner.is_counterparty]
    size = 1 + len(debtors) + len(creditors)
    debts, assets = np.zeros((size, size)), np.zeros(size)
    assets[0] = capital
    for k, owner in enumerate(debtors, 1):
        debts[k, 0], assets[k] = owed[owner], means.get(owner.code, 0.0)
    for k, owner in enumerate(creditors, 1 + len(debtors)):
        debts[0, k] = owed[owner]
    found = clearing.clear(debts, assets, alpha=recovery_rate, beta=recovery_rate)
    return Cleared(
        parties=tuple(
            Party(owner.code, float(found.owed[k]), float(found.payments[k]), bool(found.is_default[k]))
            for k, owner in enumerate(debtors, 1)
        ),
        our_losses=float(found.losses[0]),
        left=float(found.equity[0]),
        is_default=bool(found.is_default[0]),
        lost_by_counterparties=float(found.losses[1 + len(debtors) :].sum()),
    )
