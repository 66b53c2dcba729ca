"""Planning: how an account stands in a call's regime now, and the plan that would close what is missing.

Reads and computes; `margin.liquidation` writes. The policy version that the call was issued under measures. A call that
comes from trades is measured by nothing but what it must release: 12 CFR 220.4(d).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import numpy as np
from django.db.models import F

from accounts import fills, wishes
from accounts.models import Account, PositionFact
from margin import calls, chain, prices, snapshot
from margin.engine import assess, plans, regulation, trade_calls
from margin.engine.columns import KINDS, Figures
from margin.engine.exact import round_up
from margin.models import Cure, MarginCall, PlanFill
from margin.workflow import Regime
from market import calendars
from market.models import Instrument, QuoteFact

ZERO = Decimal(0)
Tree = dict[str, Any]


@dataclass(frozen=True)
class Position:
    """An account as it stands now: its snapshot, its figures in the regime that measures the call, what the call asks
    of a plan, and what is missing of that."""

    snap: snapshot.Snapshot
    figures: Figures
    demand: plans.Demand
    missing: Decimal


def stand(call: MarginCall, *, at: datetime) -> Position:
    """The call's account now. Raises calls.Refused with the reasons if it is unpriced or no longer measured."""
    account = Account.objects.get(pk=call.account_id)
    snap = snapshot.take(
        prices=prices.gather(at=at),
        in_force={account.agreement: call.policy_version},
        accounts=snapshot.Accounts(ids=[account.pk]),
    )
    return standing(call, snap)


def standing(call: MarginCall, snap: snapshot.Snapshot) -> Position:
    """How the only account of a snapshot stands in the call's regime. Raises calls.Refused as `stand` does."""
    account = call.account
    is_of_trades = plans.Demand(call.number, call.regime, ZERO).is_of_trades
    regime = call.regime
    if is_of_trades and len(snap.book):
        policy = snap.reading(0).policy
        if not regulation.is_governed(policy):
            raise calls.Refused(f"{call} cannot be sized: no regime of policy {policy.code} is measured by reg_t")
        regime = regulation.rule_of(policy).regime
    found = assess.assess(snap.book, snap.instruments, snap.market, snap.rules)
    for figures in found.figures(np.arange(len(found))):
        if figures.reasons:
            raise calls.Refused(f"account {account} cannot be priced: {'; '.join(figures.reasons)}")
        if figures.regime == regime:
            missing = _to_release(call, snap) if is_of_trades else figures.shortfall or ZERO
            demand = plans.Demand(call.number, call.regime, missing, market_cures=not is_of_trades)
            return Position(snap, figures, demand, missing)
    raise calls.Refused(f"account {account} is closed or no longer measured for {call.regime}")


def _to_release(call: MarginCall, snap: snapshot.Snapshot) -> Decimal:
    """What sales must still release for a call that came from trades: what is outstanding, less what the fills of its
    own plans released; of a Regulation T call no more than the deficiency existing now (12 CFR 220.4(d))."""
    undone = _undone(call)
    left = call.amount_outstanding
    if undone:
        demand = plans.Demand(call.number, call.regime, ZERO, market_cures=False)
        left -= plans.released(snap.book, snap.instruments, snap.market, snap.rules, demand=demand, undone=undone)
    if call.regime != Regime.REG_T:
        return max(left, ZERO)
    (excess,) = regulation.excesses(snap.book, snap.instruments, snap.market, snap.rules).values()
    exponent = snap.instruments.minor_exponent(int(snap.book.base[0]))
    return trade_calls.to_liquidate(left, round_up(-excess, exponent))


def _undone(call: MarginCall) -> dict[int, Decimal]:
    """Instrument → what would put the fills of the call's plans back that no cure counts yet."""
    filled = PlanFill.objects.filter(line__plan__call=call, fill__reversed_by=None)
    counted = Cure.objects.filter(call=call, state=Cure.State.SETTLED, fill__isnull=False).values("fill")
    names = [fills.reference(one.fill) for one in filled.exclude(fill__in=counted).select_related("fill")]
    found: dict[int, Decimal] = {}
    facts = PositionFact.objects.filter(reference__in=names).values_list("instrument", "change")
    for instrument, change in facts if names else ():
        found[instrument] = found.get(instrument, ZERO) - change
    return found


# --- sizing -----------------------------------------------------------------------------------------------


def size(call: MarginCall, now: Position) -> plans.Plan:
    """The plan for the call as the account stands. Raises calls.Refused where nothing can be sized."""
    snap = now.snap
    try:
        return plans.find(
            *(snap.book, snap.instruments, snap.market, snap.rules), demand=now.demand, wants=_wants(call, snap)
        )
    except plans.NotSizable as error:
        raise calls.Refused(f"{call} cannot be sized: {error}") from None


def why_nothing(now: Position, sized: plans.Plan) -> str:
    """Why a plan has no trades."""
    if not now.missing:
        return "the requirement holds" if now.demand.market_cures else "nothing is left to release"
    codes = dict(zip(now.snap.instruments.ids.tolist(), now.snap.instruments.codes, strict=True))
    left_out = "; ".join(f"{codes[id]}: {reason}" for id, reason in sized.left_out)
    return f"no holding that may be sold would help{f' ({left_out})' if left_out else ''}"


def is_sold_out(sized: plans.Plan) -> bool:
    """Whether nothing is left whose sale would help, now or once what is left out may be sold again."""
    return not sized.trades and not sized.left_out


def _wants(call: MarginCall, snap: snapshot.Snapshot) -> plans.Wants:
    terms = snap.reading(0).terms
    stated = terms.liquidation
    ids = [int(id) for id in snap.instruments.ids[snap.book.instrument]]
    return plans.Wants(
        objective=stated.objective,
        costs=plans.Costs(terms.fee_rate, stated.fee_minimum, half_spreads(snap.prices, ids)),
        ranks=_ranks(call, snap) if stated.honours_liquidate_last else {},
        left_out=closed_now(ids, at=snap.at) if stated.needs_open_market else {},
        stage=plans.Stage(stated.stage_share, stated.stage_volume_share),
    )


def half_spreads(priced: prices.PriceSet, ids: Collection[int]) -> dict[int, Decimal]:
    """Instrument → half of ask − bid in the quote that its price is of, as the engine states prices; only where the
    quote has both."""
    used = {(id, price.as_of, price.source) for id in ids if (price := priced.prices.get(id))}
    facts = QuoteFact.objects.filter(
        instrument__in=ids, as_of__in={as_of for _, as_of, _ in used}, bid__isnull=False, ask__gt=F("bid")
    )
    columns = ("instrument_id", "as_of", "source", "bid", "ask", "instrument__price_divisor")
    return {
        id: (ask - bid) / (2 * divisor)
        for id, as_of, source, bid, ask, divisor in facts.values_list(*columns)
        if (id, as_of, source) in used
    }


def closed_now(ids: Collection[int], *, at: datetime) -> dict[int, str]:
    """Instrument → why it cannot be sold now: its market rests, or its calendar is not known."""
    found: dict[int, str] = {}
    clocks = calendars.clocks()
    for row in Instrument.objects.filter(pk__in=ids, calendar__isnull=False).select_related("calendar"):
        try:
            is_open = bool(clocks[row.calendar_id].is_open(calendars.microseconds(at)))
        except calendars.CalendarUnknown as error:
            found[row.pk] = str(error)
            continue
        if not is_open:
            found[row.pk] = f"its market {row.calendar} is closed"
    return found


def _ranks(call: MarginCall, snap: snapshot.Snapshot) -> dict[int, int]:
    """Instrument → how long the client wants it kept: the first wish ranks highest, what is named by its code goes by
    that rather than by its kind."""
    names = wishes.kept(Account.objects.get(pk=call.account_id))
    by_name = {name: len(names) - place for place, name in enumerate(names)}
    found = {}
    rows = zip(snap.instruments.ids, snap.instruments.codes, snap.instruments.kind, strict=True)
    for id, code, kind in rows:
        rank = by_name.get(str(code), by_name.get(KINDS[kind], 0))
        if rank:
            found[int(id)] = rank
    return found


# --- as plain values --------------------------------------------------------------------------------------


def content(call: MarginCall, now: Position, sized: plans.Plan) -> Tree:
    """What is approved, as plain values: amounts as text, instruments by id and code."""
    terms = now.snap.reading(0).terms
    codes = dict(zip(now.snap.instruments.ids.tolist(), map(str, now.snap.instruments.codes), strict=True))
    figures = now.figures
    return {
        "call": call.pk,
        "account": call.account.code,
        "regime": call.regime,
        "currency": call.currency,
        "at": chain.text(now.snap.at),
        "fee_rate": chain.text(terms.fee_rate),
        "fee_minimum": chain.text(terms.liquidation.fee_minimum),
        "objective": sized.objective,
        "before": {
            "equity": chain.text(figures.equity),
            "requirement": chain.text(figures.requirement),
            "shortfall": chain.text(figures.shortfall),
            "missing": chain.text(now.missing),
        },
        "lines": [_line(trade, codes) for trade in sized.trades],
        "whole": [_line(trade, codes) for trade in sized.whole] if sized.is_staged else None,
        "stage": _total(sized.stage),
        "total": _total(sized.total),
        "after": [chain.text(left) for left in sized.after],
        "everything": _total(sized.everything),
        "alternatives": [
            {
                "name": other.name,
                "trades": [{"code": codes[id], "quantity": chain.text(quantity)} for id, quantity in other.trades],
                **_total(other.total),
            }
            for other in sized.alternatives
        ],
        "left_out": [{"code": codes[id], "reason": reason} for id, reason in sized.left_out],
        "breaches": list(sized.breaches),
        "is_enough": sized.is_enough,
        "is_proven": sized.is_proven,
        "is_staged": sized.is_staged,
        "residual": chain.text(sized.residual),
    }


def _line(trade: plans.Trade, codes: Mapping[int, str]) -> Tree:
    return {
        "instrument": trade.instrument_id,
        "code": codes[trade.instrument_id],
        "quantity": chain.text(trade.quantity),
        "price": chain.text(trade.price),
        "proceeds": chain.text(trade.proceeds),
        "fee": chain.text(trade.fee),
        "spread": chain.text(trade.spread),
        "slice": trade.slice,
        "rank": trade.rank,
    }


def _total(total: plans.Total) -> Tree:
    return {
        "value": chain.text(total.value),
        "fee": chain.text(total.fee),
        "spread": chain.text(total.spread),
        "orders": total.orders,
        "excess": chain.text(total.excess),
        "is_enough": total.is_enough,
    }
