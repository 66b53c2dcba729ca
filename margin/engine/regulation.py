"""The Regulation T excess of every account: what SMA is raised to at the close (12 CFR 220.5).

The stored figures of a regime are of the greater of Regulation T and maintenance (4210(b)); SMA knows Regulation T
alone. So the accounts are assessed once more, by the same methodology under the same terms with the maintenance of
stock at zero. Debt stays at good faith, which is its maintenance; options are what the exchange's rule says.
"""

from dataclasses import replace
from decimal import Decimal

import numpy as np

from margin.engine import assess
from margin.engine.columns import Book, Instruments, Market, Policy, RegimeRule, Rules, Status
from margin.engine.exact import ZERO, exactly
from margin.engine.methodologies import reg_t

_MAINTENANCE = ("long_rate", "ineligible_rate", "short_rate", "short_floor", "low_short_rate", "low_short_floor")


def is_governed(policy: Policy) -> bool:
    """Whether a policy has a regime of `reg_t` that charges positions: without one there is no SMA."""
    return any(_charges(rule) for rule in policy.regimes)


def excesses(book: Book, instruments: Instruments, market: Market, rules: Rules) -> dict[int, Decimal]:
    """Equity − Regulation T requirement, exact and in base currency, by account id; unpriced accounts are left out.

    ValueError if a policy of the rules is not governed by `reg_t`.
    """
    found = assess.assess(book, instruments, market, Rules(tuple(_regulation(policy) for policy in rules.policies)))
    priced = np.flatnonzero(found.status != Status.UNPRICED)
    policy = book.policy[found.account[priced]]
    excess: dict[int, Decimal] = {}
    with exactly():
        for index in range(len(rules.policies)):
            rows = found.account[priced[policy == index]]
            levels, _ = found.exact(index, 0, rows)
            excess.update(zip(book.accounts[rows].tolist(), (levels.equity - levels.initial).tolist(), strict=True))
    return excess


def _charges(rule: RegimeRule) -> bool:
    return rule.methodology == reg_t.CODE and rule.measure != "minimum_equity"


def _regulation(policy: Policy) -> Policy:
    """The policy with one regime: its first of `reg_t`, the house table and the maintenance of stock left out."""
    rule = next((rule for rule in policy.regimes if _charges(rule)), None)
    if rule is None:
        raise ValueError("the policy has no regime of reg_t; its accounts have no SMA")
    terms = replace(rule.terms, **dict.fromkeys(_MAINTENANCE, ZERO))
    return replace(policy, regimes=(replace(rule, measure="exchange", terms=terms),))
