"""Who can pay whom when everybody pays what they can: the clearing vector of a network of debts. float64.

    p = min(p̄, e + Π'p)                                            Eisenberg and Noe (2001)
    p = p̄ where e + Π'p ≥ p̄, else α e + β Π'p                      Rogers and Veraart (2013)

The greatest fixed point is found by the fictitious defaults of Eisenberg and Noe: everybody pays in full, who cannot
then pays what comes in, and so on; each round solves one linear system and somebody new defaults, so n rounds suffice.
"""

from dataclasses import dataclass

import numpy as np

from margin.engine.columns import Array

_DUST = 1e-12  # relative: who is short by less than the rounding of floats can pay


@dataclass(frozen=True)
class Cleared:
    """What n parties pay, have left and lose, in the unit of the debts. float64 [n]."""

    owed: Array  # in all
    payments: Array  # in all, at most what is owed
    equity: Array  # what is left after paying; 0 in default
    losses: Array  # claims on others that they do not pay
    is_default: Array  # bool
    paid: Array  # [n, n]: paid by i to j, in proportion to what is owed


@dataclass(frozen=True)
class FirstPass:
    """What each party pays and keeps of its own assets, before anything comes in from the others. float64 [n]."""

    equity: Array
    debt_paid: Array


def clear(liabilities: Array, external: Array, *, alpha: float = 1.0, beta: float = 1.0) -> Cleared:
    """The greatest clearing vector of debts `liabilities[i, j]`, owed by i to j, and outside assets `external[i]`.

    A party in default realises the share `alpha` of its outside assets and `beta` of what comes in. Raises ValueError
    for negative debts or assets, a debt to oneself, or shares outside [0, 1].
    """
    debts, assets = np.asarray(liabilities, np.float64), np.asarray(external, np.float64)
    _check(debts, assets, alpha, beta)
    owed = debts.sum(axis=1)
    shares = np.divide(debts, owed[:, None], out=np.zeros_like(debts), where=owed[:, None] > 0)
    payments, is_default = owed.copy(), np.zeros(len(owed), bool)
    for _ in range(len(owed) + 1):
        short = assets + shares.T @ payments < owed - _DUST * (owed + assets)
        if not (short & ~is_default).any():
            break
        is_default |= short
        payments[is_default] = _in_default(shares, assets, owed, is_default, alpha, beta)
    income = shares.T @ payments
    return Cleared(
        owed=owed,
        payments=payments,
        equity=np.where(is_default, 0.0, np.maximum(assets + income - payments, 0.0)),
        losses=debts.sum(axis=0) - income,
        is_default=is_default,
        paid=shares * payments[:, None],
    )


def first_pass(external: Array, debt: Array) -> FirstPass:
    """Equity max(0, a - d) and debt paid min(d, a) where nobody has income from anybody yet (Suzuki 2002)."""
    assets, owed = np.asarray(external, np.float64), np.asarray(debt, np.float64)
    return FirstPass(equity=np.maximum(assets - owed, 0.0), debt_paid=np.minimum(owed, assets))


def _in_default(shares: Array, assets: Array, owed: Array, is_default: Array, alpha: float, beta: float) -> Array:
    """p_D = α e_D + β (Π'p)_D with the others paying in full.

    Regular: no closed circle of parties defaults together, since what comes into a circle covers what it pays within.
    """
    among = shares[np.ix_(is_default, is_default)]
    come_in = shares[np.ix_(~is_default, is_default)].T @ owed[~is_default]
    right = alpha * assets[is_default] + beta * come_in
    found = np.linalg.solve(np.eye(len(among)) - beta * among.T, right)
    return np.clip(found, 0.0, owed[is_default])


def _check(debts: Array, assets: Array, alpha: float, beta: float) -> None:
    if debts.shape != (len(assets), len(assets)):
        raise ValueError(f"{len(assets)} parties need {len(assets)} rows and columns of debts, not {debts.shape}")
    if not (np.isfinite(debts).all() and np.isfinite(assets).all() and (debts >= 0).all() and (assets >= 0).all()):
        raise ValueError("debts and assets must be finite and not negative")
    if np.diagonal(debts).any():
        raise ValueError("nobody owes oneself")
    if not (0 <= alpha <= 1 and 0 <= beta <= 1):
        raise ValueError(f"what a default leaves must be a share from 0 to 1, not {alpha} and {beta}")
