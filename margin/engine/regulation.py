"""The Regulation T excess of every account: what SMA is raised to at the close (12 CFR 220.5).

The stored figures of a regime are of the greater of Regulation T and maintenance (4210(b)); SMA knows Regulation T
alone. So the accounts are assessed once more, by the same methodology under the same terms with the maintenance of
stock at zero. Debt stays at good faith, which is its maintenance; options are what the exchange's rule says.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np

from margin.engine import assess
from margin.engine.columns import Array, Book, Instruments, Market, Policy, RegimeRule, Rules, Status
from margin.engine.exact import ZERO, exactly
from margin.engine.measures import Levels
from margin.engine.methodologies import reg_t
from margin.engine.sma import Resulting

_MAINTENANCE = ("long_rate", "ineligible_rate", "short_rate", "short_floor", "low_short_rate", "low_short_floor")


def is_governed(policy: Policy) -> bool:
    """Whether a policy has a regime of `reg_t` that charges positions: without one there is no SMA."""
    return any(_charges(rule) for rule in policy.regimes)


def rule_of(policy: Policy) -> RegimeRule:
    """The regime that SMA goes by: the first of `reg_t` that charges positions. ValueError if there is none."""
    rule = next((rule for rule in policy.regimes if _charges(rule)), None)
    if rule is None:
        raise ValueError("the policy has no regime of reg_t; its accounts have no SMA")
    return rule


def excesses(book: Book, instruments: Instruments, market: Market, rules: Rules) -> dict[int, Decimal]:
    """Equity − Regulation T requirement, exact and in base currency, by account id; unpriced accounts are left out.

    ValueError if a policy of the rules is not governed by `reg_t`.
    """
    found = assess.assess(book, instruments, market, Rules(tuple(policy_of(policy) for policy in rules.policies)))
    return _exact(found, lambda levels: levels.equity - levels.initial)


@dataclass(frozen=True)
class Measured:
    """What SMA needs to know of accounts, by account id: how they stand, or why they are unpriced."""

    standing: dict[int, Resulting]
    unpriced: dict[int, tuple[str, ...]]


def measured(book: Book, instruments: Instruments, market: Market, rules: Rules) -> Measured:
    """Regulation T excess; equity and maintenance excess by the policy's own regime of `reg_t`, house table included.

    Equity is stated only where 2,000 must stay: with a debit or a short. ValueError as of `excesses`.
    """
    excess = excesses(book, instruments, market, rules)
    kept = Rules(tuple(replace(policy, regimes=(rule_of(policy),)) for policy in rules.policies))
    found = assess.assess(book, instruments, market, kept)
    maintenance = _exact(found, lambda levels: levels.equity - levels.requirement)
    equity = _exact(found, lambda levels: levels.equity)
    owner = np.repeat(book.accounts, np.diff(book.offsets))
    owing = set(owner[book.quantity < 0].tolist())
    unpriced = found.figures(np.flatnonzero(found.status == Status.UNPRICED))
    return Measured(
        {pk: Resulting(excess[pk], maintenance[pk], equity[pk] if pk in owing else None) for pk in excess},
        {figures.account_id: figures.reasons for figures in unpriced},
    )


def _exact(found: assess.Assessments, of: Callable[[Levels], Array]) -> dict[int, Decimal]:
    """A figure of the priced accounts by account id, exact; every policy has one regime."""
    priced = np.flatnonzero(found.status != Status.UNPRICED)
    policy = found.book.policy[found.account[priced]]
    amounts: dict[int, Decimal] = {}
    with exactly():
        for index in range(len(found.rules.policies)):
            rows = found.account[priced[policy == index]]
            levels, _ = found.exact(index, 0, rows)
            amounts.update(zip(found.book.accounts[rows].tolist(), of(levels).tolist(), strict=True))
    return amounts


def _charges(rule: RegimeRule) -> bool:
    return rule.methodology == reg_t.CODE and rule.measure != "minimum_equity"


def policy_of(policy: Policy) -> Policy:
    """The policy with one regime: its first of `reg_t`, the house table and the maintenance of stock left out."""
    rule = rule_of(policy)
    terms = replace(rule.terms, **dict.fromkeys(_MAINTENANCE, ZERO))
    return replace(policy, regimes=(replace(rule, measure="exchange", terms=terms),))
