"""Cure options of open calls: the account as it stands now, its calls as demands, and what the engine finds.

Reads; never writes. The policy in force now measures, because the next sweep judges by it. docs/cure_options.md.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np

from accounts.models import Account
from margin import policies, policy_terms, prices, snapshot, warnings, workflow
from margin.engine import chances
from margin.engine import cure_options as engine
from margin.engine.columns import Instruments
from margin.hypothetical.answers import text
from margin.models import MarginCall

Tree = dict[str, Any]
Worlds = Callable[[snapshot.Snapshot], chances.Worlds]
ZERO = Decimal(0)
_RATE = Decimal("0.000001")
_YEAR = 365.25 * 24 * 3600  # seconds


class NotSizable(ValueError):
    """There are no options to tell; the message names the call or account, and why."""


@dataclass(frozen=True)
class Found:
    """What meets one call, and what meets every open call of its account; None where it is the only one."""

    call: MarginCall
    account: Account
    at: datetime
    instruments: Instruments
    this_call: engine.Options
    all_calls: engine.Options | None


def of_call(
    call: MarginCall,
    *,
    at: datetime,
    have: Decimal = ZERO,
    currencies: Sequence[str] = (),
    worlds: Worlds | None = None,
) -> Found:
    """The options of an open call at `at`. `have`, in the account's currency, is money the client brings in already.

    With `worlds`, what may come until a deadline, also the cash that keeps the account clear in most of them.

    Raises NotSizable for a closed call, and for an account that has no price, no policy or a cost that matters and is
    not known: nothing is told on a guess.
    """
    if not call.is_open:
        raise NotSizable(f"{call} is {call.state}: only an open call has options")
    if have < 0:
        raise NotSizable(f"{have} is less than nothing: say how much the client has, or leave it out")
    snap, account, demands = _stand(call, at=at)

    def find(asked: Sequence[str]) -> engine.Options:
        return engine.find(
            *(snap.book, snap.instruments, snap.market, snap.rules),
            demands=demands,
            asked=asked,
            fee_rate=snap.reading(0).terms.fee_rate,
            fee_minimum=snap.reading(0).terms.liquidation.fee_minimum,
            have=have,
            currencies=currencies,
        )

    try:
        alone = find([call.number])
        together = find([]) if len(demands) > 1 else None
    except ValueError as error:
        raise NotSizable(f"{call}: {error}") from None
    coming: chances.Worlds = worlds(snap) if worlds is not None else ()
    if len(coming):
        found = chances.cushions(snap.book, snap.instruments, snap.rules, account_row=0, worlds=coming)
        alone, together = _cushioned(alone, found), together and _cushioned(together, found)
    return Found(call, account, at, snap.instruments, alone, together)


def _cushioned(options: engine.Options, found: Sequence[chances.Cushion]) -> engine.Options:
    regimes = {asked.regime for asked in options.asked}
    return replace(options, cushions=tuple(one for one in found if one.regime in regimes))


def until_due(call: MarginCall, *, at: datetime) -> Worlds:
    """The worlds that the account may be in when the call is due, by the chances its policy states.

    None where it states none, or where something held has neither a history nor a stated volatility.
    """
    years = max((call.due_at - at).total_seconds(), 0.0) / _YEAR

    def worlds(snap: snapshot.Snapshot) -> chances.Worlds:
        stated = snap.reading(0).terms.chances
        if stated is None:
            return ()
        found, known = warnings.worlds_of(snap, np.array([0]), stated, years=years)
        return found if known.all() else ()

    return worlds


def _stand(call: MarginCall, *, at: datetime) -> tuple[snapshot.Snapshot, Account, list[engine.Demand]]:
    """The account now, and its open calls as demands."""
    with snapshot.one_moment():
        account = Account.objects.get(pk=call.account_id)
        in_force = policies.in_force(at)
        try:
            policies.check_governs(account, in_force, at=at)
        except policies.NoPolicy as error:
            raise NotSizable(f"{call}: {error}") from None
        snap = snapshot.take(
            prices=prices.gather(at=at),
            in_force={account.agreement: in_force[account.agreement]},
            accounts=snapshot.Accounts(ids=[account.pk]),
        )
        if not len(snap.book):
            raise NotSizable(f"{call}: account {account} was closed on {account.closed_on}")
        calls = list(MarginCall.objects.open().filter(account=account).order_by("issued_at", "pk"))
    stated = {regime.regime: regime for regime in snap.reading(0).terms.regimes}
    return snap, account, [_demand(one, stated.get(one.regime)) for one in calls]


def _demand(call: MarginCall, stated: policy_terms.RegimeTerms | None) -> engine.Demand:
    return engine.Demand(
        key=call.number,
        regime=call.regime,
        outstanding=call.amount_outstanding,
        market_cures=call.market_cures,
        ways=(stated.cures if stated else ()) or engine.ways_of(workflow.Regime(call.regime).value),
    )


# --- as plain values ------------------------------------------------------------------------------------


def tree(found: Found) -> Tree:
    """The options as JSON: amounts as text, instruments by their codes, calls by their numbers."""
    codes = {int(id): str(code) for id, code in zip(found.instruments.ids, found.instruments.codes, strict=True)}
    return {
        "call": found.call.number,
        "account": found.account.code,
        "at": found.at.isoformat(),
        "currency": found.this_call.currency,
        "have": text(found.this_call.have),
        "this_call": _options(found.this_call, codes),
        "all_calls": None if found.all_calls is None else _options(found.all_calls, codes),
    }


def _options(options: engine.Options, codes: Mapping[int, str]) -> Tree:
    return {
        "is_clear": options.is_clear,
        "calls": [
            {
                "call": asked.key,
                "regime": asked.regime,
                "cash": text(asked.cash),
                "excess": text(asked.excess),
                "ways": list(asked.ways),
                "market_cures": asked.market_cures,
            }
            for asked in options.asked
        ],
        **{name: [_option(one, codes) for one in getattr(options, name)] for name in LISTS},
        "values": [
            {"value": text(one.value), "rates": {key: _rate(rate) for key, rate in one.rates.items()}}
            for one in options.values
        ],
        "refused": [
            {"way": one.way, "instrument": codes.get(one.instrument_id), "why": one.why, "missing": text(one.missing)}
            for one in options.refused
        ],
        "cushions": [
            {"regime": one.regime, "probability": text(one.probability), "cash": text(one.cash)}
            for one in options.cushions
        ],
    }


LISTS = ("cash", "deposits", "trades", "mixes")


def _option(option: engine.Option, codes: Mapping[int, str]) -> Tree:
    return {
        "steps": [
            {
                "kind": step.kind,
                "instrument": codes[step.instrument_id],
                "quantity": text(step.quantity),
                "amount": text(step.amount),
                "fee": text(step.fee),
            }
            for step in option.steps
        ],
        "value": text(option.value),
        "fee": text(option.fee),
        "excess": {regime: text(amount) for regime, amount in option.excess.items()},
        "left": {key: text(amount) for key, amount in option.left.items()},
        "clears": list(option.clears),
        "clears_all": option.clears_all,
        "breaches": list(option.breaches),
        "is_proven": option.is_proven,
    }


def _rate(rate: Fraction) -> str | None:
    """A margin rate to six decimals, rounded: the figures come from the exact one."""
    return text((Decimal(rate.numerator) / Decimal(rate.denominator)).quantize(_RATE).normalize())
