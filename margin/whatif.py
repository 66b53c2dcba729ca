"""What-if: figures of accounts that do not exist, by the sweep's own calculation. Nothing is ever written.

`of_book` needs no database: everything is in its document. `of_account` takes an account that exists and supposes
trades, prices, volatilities or another policy. `export` makes a book of such an account.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import numpy as np

from accounts.models import Account
from margin import policies, prices, snapshot
from margin.engine.assess import assess
from margin.engine.columns import Figures
from margin.engine.exact import ZERO
from margin.hypothetical import answers, books, exporting, forms, openings, supposing
from margin.hypothetical.answers import text
from margin.hypothetical.document import BookDocument, Hypotheses
from margin.models import MarginCall

Tree = dict[str, Any]
Wrong = forms.Wrong
COMPARED = ("equity", "requirement", "deficit", "initial", "amount")


def of_book(document: Any) -> Tree:
    """Every account of a self-contained JSON book (docs/whatif.md), assessed in one call. Raises Wrong."""
    stated = forms.read(BookDocument, document)
    return {"on": stated.on, "accounts": answers.of_case(books.case(stated), explain=stated.explain)}


def of_account(account: Account, document: Any, *, at: datetime) -> Tree:
    """The account as it is at `at` and as it would be under the hypotheses, regime by regime (docs/whatif.md).

    Raises Wrong naming the path, or policies.NoPolicy. Everything is read in one read-only transaction.
    """
    supposed = forms.read(Hypotheses, document)
    with snapshot.one_moment():
        world = _world(account, at=at)
        now, then = supposing.before(world, account), supposing.after(world, account, supposed)
        calls = {call.regime: call.number for call in MarginCall.objects.open().filter(account=account)}
    before, after = _figures(now), _figures(then)
    answer: Tree = {
        "code": account.code,
        "at": at.isoformat(),
        "currency": account.base_currency,
        "policy": {"before": now.rules.policies[0].code, "after": then.rules.policies[0].code},
        "unpriced": {
            "before": answers.unpriced(list(before.values())),
            "after": answers.unpriced(list(after.values())),
        },
        "regimes": [
            {
                "regime": name,
                "before": answers.regime(before[name]) if name in before else None,
                "after": answers.regime(after[name]) if name in after else None,
                "change": _change(before.get(name), after.get(name)),
                "open_call": calls.get(name),
            }
            for name in dict.fromkeys([*before, *after])
        ],
        "openings": openings.of_trades(world, supposed, now, then),
    }
    if supposed.explain:
        answer["explanation"] = {"before": answers.explanation(now, 0), "after": answers.explanation(then, 0)}
    return answer


def export(account: Account, *, at: datetime, known_at: datetime | None = None) -> Tree:
    """The account at `at` as a self-contained book whose figures `of_book` finds equal to the sweep's.

    With `known_at`, from what was recorded until then. Raises policies.NoPolicy, or Wrong for a closed account.
    """
    with snapshot.one_moment():
        world = _world(account, at=at, known_at=known_at)
        version = policies.in_force(at)[account.agreement]
        return exporting.book(world.snap, world.stored, code=account.code, version=version)


def _world(account: Account, *, at: datetime, known_at: datetime | None = None) -> supposing.World:
    in_force = policies.in_force(at)
    policies.check_governs(account, in_force, at=at)
    snap = snapshot.take(
        prices=prices.gather(at=at, known_at=known_at),
        in_force={account.agreement: in_force[account.agreement]},
        accounts=snapshot.Accounts(ids=[account.pk]),
        past=snapshot.Past(at, known_at) if known_at else None,
    )
    if not len(snap.book):
        raise Wrong("", f"account {account} was closed on {account.closed_on}")
    rows = {str(code): row for row, code in enumerate(snap.instruments.codes)}
    return supposing.World(snap, snapshot.stored_instruments(), rows)


def _figures(case: books.Case) -> Mapping[str, Figures]:
    found = assess(*case.arguments)
    return {figures.regime: figures for figures in found.figures(np.arange(len(found)))}


def _change(before: Figures | None, after: Figures | None) -> Tree | None:
    """After less before, of the rounded figures; None where either has none.

    `funds_needed` is what a trade takes of the excess: the change of the initial requirement less that of the equity,
    never the requirement of the order on its own.
    """
    if before is None or after is None or before.equity is None or after.equity is None:
        return None
    by: dict[str, Decimal] = {name: getattr(after, name) - getattr(before, name) for name in COMPARED}
    by["excess"] = (answers.excess(after) or ZERO) - (answers.excess(before) or ZERO)
    return {
        "equity": text(by["equity"]),
        "requirement": text(by["requirement"]),
        "excess": text(by["excess"]),
        "deficit": text(by["deficit"]),
        "initial": text(by["initial"]),
        "funds_needed": text(by["initial"] - by["equity"]),
        "amount_called": text(by["amount"]),
    }
