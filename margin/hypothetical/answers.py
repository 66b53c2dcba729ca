"""From figures to answers: plain values, amounts as text, accounts and instruments by their codes."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import numpy as np

from margin.engine import assess
from margin.engine.columns import Figures
from margin.engine.exact import ZERO, plain
from margin.hypothetical.books import Case

Tree = dict[str, Any]
OURS = ("account", "instrument", "revision")  # numbers of the columns, which mean nothing outside


def of_case(case: Case, *, explain: bool) -> list[Tree]:
    """Every account of the case, in the order of its numbers: figures by regime, or why there are none."""
    found = assess.assess(*case.arguments)
    by_account: dict[int, list[Figures]] = {}
    for row, figures in zip(found.account.tolist(), found.figures(np.arange(len(found))), strict=True):
        by_account.setdefault(row, []).append(figures)
    return [_account(case, row, figures, explain) for row, figures in sorted(by_account.items())]


def _account(case: Case, row: int, listed: list[Figures], explain: bool) -> Tree:
    answer: Tree = {
        "code": case.codes[listed[0].account_id],
        "currency": listed[0].currency,
        "policy": case.rules.policies[int(case.book.policy[row])].code,
        "unpriced": unpriced(listed),
        "regimes": [regime(figures) for figures in listed],
    }
    if explain:
        answer["explanation"] = explanation(case, row)
    return answer


def unpriced(listed: list[Figures]) -> list[str]:
    """Every reason why some regime has no figures, each once."""
    return list(dict.fromkeys(reason for figures in listed for reason in figures.reasons))


def regime(figures: Figures) -> Tree:
    """One regime's figures as text; all null where it is unpriced. `excess` is negative in a deficit."""
    return {
        "regime": figures.regime,
        "status": figures.status.name.lower(),
        "equity": text(figures.equity),
        "requirement": text(figures.requirement),
        "excess": text(excess(figures)),
        "deficit": text(figures.deficit),
        "initial": text(figures.initial),
        "warning_requirement": text(figures.warning_requirement),
        "restore_requirement": text(figures.restore_requirement),
        "severe_requirement": text(figures.severe_requirement),
        "amount_called": text(figures.amount),
        "unpriced": list(figures.reasons),
    }


def excess(figures: Figures) -> Decimal | None:
    """What is beyond the requirement, or, negative, the deficit; None where unpriced."""
    if figures.equity is None or figures.requirement is None or figures.deficit is None:
        return None
    return beyond(figures.equity, figures.requirement, figures.deficit)


def beyond(equity: Decimal, requirement: Decimal, deficit: Decimal) -> Decimal:
    """Excess from rounded figures: the deficit was rounded by itself, so it and the difference may be a cent apart."""
    return -deficit if deficit else max(equity - requirement, ZERO)


def text(amount: Decimal | None) -> str | None:
    """Every digit that counts and no exponent; None where it is not known."""
    return None if amount is None else plain(amount)


def explanation(case: Case, row: int) -> Tree:
    """The tree of `explain` for one account of the case, without our numbers."""
    tree = assess.explain(*case.arguments, row)
    return _named(tree)


def _named(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _named(inner) for key, inner in value.items() if key not in OURS}
    return [_named(inner) for inner in value] if isinstance(value, list) else value
