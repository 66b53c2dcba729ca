"""Assess: what every account has and must have, in every regime of its policy, and how it stands.

    units (instrument grain) → exact sums per account → levels (account grain) → status

Sums are exact. Status is decided on float64 readings of them wherever the distance to every level is beyond their
error bound, and on exact Decimals everywhere else, so it is always the exact status. Amounts are computed as Decimals
on demand, for the accounts that matter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from margin.engine import sums
from margin.engine.charges import list_charges
from margin.engine.columns import Array, Book, Figures, Instruments, Market, RegimeRule, Rules, Status
from margin.engine.exact import ZERO, exactly, round_down, round_up
from margin.engine.explain import explain
from margin.engine.levels import Thresholds, classify, nearest, thresholds
from margin.engine.measures import Levels, Totals
from margin.engine.methodologies import by_code
from margin.engine.wordings import Told, tell

__all__ = ["Assessments", "assess", "explain", "list_charges"]

# Float totals carry at most a few dozen roundings of 2^-53 each, relative to the magnitude of what was added.
_FLOAT_ERROR = 1e-12


@dataclass(frozen=True)
class Assessments:
    """One row per account and regime, by account, then in the policy's order of regimes.

    `equity` and `requirement` are float64 readings for sorting and charts, NaN when unpriced. What is stored, shown
    or called comes from `figures`.
    """

    account: Array  # int64 row of the book
    regime: Array  # int16 index into the policy's regimes
    status: Array  # uint8 Status
    equity: Array  # float64
    requirement: Array  # float64
    book: Book
    instruments: Instruments
    rules: Rules
    totals: tuple[sums.PolicySums, ...]  # per policy

    def __len__(self) -> int:
        return len(self.account)

    def account_ids(self, rows: Array) -> Array:
        return self.book.accounts[self.account[rows]]

    def rule(self, row: int) -> RegimeRule:
        """The regime's rule behind a row."""
        return self.rules.policies[self.book.policy[self.account[row]]].regimes[self.regime[row]]

    def at_least(self, status: Status) -> Array:
        """Rows with this status or a graver one; UNPRICED is the gravest."""
        return np.flatnonzero(self.status >= status)

    def figures(self, rows: Array) -> list[Figures]:
        """The rounded figures of the chosen rows, in their order."""
        out: list[Figures | None] = [None] * len(rows)
        chosen = np.asarray(rows, np.int64)
        policy = self.book.policy[self.account[chosen]]
        for p, r in {(int(p), int(r)) for p, r in zip(policy, self.regime[chosen], strict=True)}:
            at = np.flatnonzero((policy == p) & (self.regime[chosen] == r))
            for k, figures in zip(at, self._figures(p, r, chosen[at]), strict=True):
                out[k] = figures
        return [figures for figures in out if figures is not None]

    def told(self, account_rows: Array) -> dict[tuple[int, int], list[Told]]:
        """(account row, regime) → its charges, told as `explain` tells them; nothing for unpriced accounts."""
        out: dict[tuple[int, int], list[Told]] = {}
        chosen = np.asarray(account_rows, np.int64)
        for index, of_policy in enumerate(self.totals):
            local = np.searchsorted(of_policy.rows, chosen[self.book.policy[chosen] == index])
            local = local[~of_policy.unpriced[local]]
            rows = of_policy.rows[local].tolist()
            for regime in range(len(of_policy.policy.regimes)):
                told = tell(of_policy, regime, local)
                out.update({(row, regime): lines for row, lines in zip(rows, told, strict=True)})
        return out

    def exact(self, policy: int, regime: int, account_rows: Array) -> tuple[Levels, Thresholds]:
        """Unrounded Decimals of accounts of one policy. Call inside `exact.exactly()`; meaningless when unpriced."""
        rule = self.rules.policies[policy].regimes[regime]
        local = np.searchsorted(self.totals[policy].rows, account_rows)
        return _levels(rule, self.totals[policy].exact(regime, local))

    def _figures(self, policy: int, regime: int, rows: Array) -> list[Figures]:
        rule, of_policy = self.rules.policies[policy].regimes[regime], self.totals[policy]
        accounts = self.account[rows]
        unpriced = self.status[rows] == Status.UNPRICED
        reasons = iter(self._reasons(of_policy, regime, accounts[unpriced]))
        with exactly():
            levels, limits = self.exact(policy, regime, accounts[~unpriced])
            amounts = iter([_amounts(levels, limits, k) for k in range(int((~unpriced).sum()))])
        out = []
        for row, account, is_unpriced in zip(rows, accounts, unpriced, strict=True):
            base = int(self.book.base[account])
            status = Status(int(self.status[row]))
            head = (int(self.book.accounts[account]), rule.regime, status, self.instruments.currencies[base])
            revision = int(self.book.revision[account])
            if is_unpriced:
                out.append(Figures(*head, revision, reasons=next(reasons)))
            else:
                rounded = _rounded(next(amounts), status, self.instruments.minor_exponent(base))
                out.append(Figures(*head, revision, **rounded))
        return out

    @staticmethod
    def _reasons(of_policy: sums.PolicySums, regime: int, accounts: Array) -> list[tuple[str, ...]]:
        local = np.searchsorted(of_policy.rows, accounts)
        everywhere = of_policy.why_unpriced(local)
        return [why or of_policy.unknown_costs(regime, int(k)) for why, k in zip(everywhere, local, strict=True)]


def assess(book: Book, instruments: Instruments, market: Market, rules: Rules) -> Assessments:
    """Every account of the book in every regime of its policy. ValueError if a rule cannot be computed.

    A missing, stale or quarantined price, a missing exchange rate, an instrument that no rule governs or a number too
    large to hold makes the account UNPRICED in all regimes; the reasons are in `figures`.
    """
    if len(book) and not 0 <= int(book.policy.min()) <= int(book.policy.max()) < len(rules.policies):
        raise ValueError("An account points to a policy that is not among the rules")
    parts: list[tuple[Array, ...]] = []
    policies = []
    for index, policy in enumerate(rules.policies):
        of_policy = sums.of_policy(book, instruments, market, policy, np.flatnonzero(book.policy == index))
        policies.append(of_policy)
        for regime, rule in enumerate(policy.regimes):
            status, equity, requirement = _stand(of_policy, regime, rule)
            parts.append((of_policy.rows, np.full(len(status), regime, np.int16), status, equity, requirement))
    account, regime_of, status, equity, requirement = _joined(parts)
    return Assessments(account, regime_of, status, equity, requirement, book, instruments, rules, tuple(policies))


def _joined(parts: Sequence[tuple[Array, ...]]) -> tuple[Array, ...]:
    kinds = (np.int64, np.int16, np.uint8, np.float64, np.float64)
    if not parts:
        return tuple(np.zeros(0, kind) for kind in kinds)
    columns = [
        np.concatenate(column).astype(kind) for column, kind in zip(zip(*parts, strict=True), kinds, strict=True)
    ]
    order = np.argsort(columns[0], kind="stable")
    return tuple(column[order] for column in columns)


def _stand(of_policy: sums.PolicySums, regime: int, rule: RegimeRule) -> tuple[Array, Array, Array]:
    """(status, equity, requirement) per account: by floats where they are certain, else exactly."""
    totals, magnitude, too_wide = of_policy.approximate(regime)
    levels, limits = _levels(rule, totals)
    status = classify(levels, limits, rule, float)
    distance, size = nearest(levels, limits, rule)
    unsure = too_wide | ~(distance > _FLOAT_ERROR * (magnitude + size))
    unsure &= ~of_policy.unpriced & ~_trivial(levels, magnitude, too_wide)
    chosen = np.flatnonzero(unsure)
    if chosen.size:
        with exactly():
            precise, precise_limits = _levels(rule, of_policy.exact(regime, chosen))
            status[chosen] = classify(precise, precise_limits, rule, Decimal)
    status[of_policy.unpriced] = Status.UNPRICED
    return (
        status,
        np.where(status == Status.UNPRICED, np.nan, levels.equity),
        np.where(status == Status.UNPRICED, np.nan, levels.requirement),
    )


def _trivial(levels: Levels, magnitude: Array, too_wide: Array) -> Array:
    """Where floats are exact: nothing held at all, or a regime that asks nothing (its test is a sign)."""
    return ((magnitude == 0) | ~levels.applies) & ~too_wide


def _levels(rule: RegimeRule, totals: Totals) -> tuple[Levels, Thresholds]:
    levels = by_code(rule.methodology).levels(totals, rule.measure, rule.terms)
    return levels, thresholds(levels, rule, totals.number)


def _amounts(levels: Levels, limits: Thresholds, k: int) -> dict[str, Decimal | None]:
    def at(column: Array | None) -> Decimal | None:
        return None if column is None else column[k]

    return {
        "equity": levels.equity[k],
        "requirement": levels.requirement[k],
        "initial": levels.initial[k],
        "watch_requirement": at(limits.watch),
        "warning_requirement": at(limits.warning),
        "restore_requirement": at(limits.restore),
        "severe_requirement": at(limits.severe),
        "deficit": max(levels.requirement[k] - levels.equity[k], ZERO),
        "shortfall": max(limits.restore[k] - levels.equity[k], ZERO),
        "amount": limits.restore[k] - levels.equity[k],
    }


def _rounded(amounts: dict[str, Decimal | None], status: Status, exponent: int) -> dict[str, Any]:
    """Rounded once, from the exact figures: equity down, everything asked for up."""
    if status not in (Status.DEFICIT, Status.SEVERE):
        amounts["amount"] = ZERO
    return {
        name: None if amount is None else (round_down if name == "equity" else round_up)(amount, exponent)
        for name, amount in amounts.items()
    }
