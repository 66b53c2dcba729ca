"""Find: the best plan for one demand, weighed against other ways, in the order in which it is done."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from margin.engine import regulation
from margin.engine.columns import Book, Instruments, Market, Policy, RegimeRule, Rules
from margin.engine.cure_options import lines
from margin.engine.cure_options.demands import Demand
from margin.engine.cure_options.trials import Trials
from margin.engine.exact import ZERO, exactly, round_down, round_up
from margin.engine.plans import model as models
from margin.engine.plans import search, slices, stages, ways
from margin.engine.plans.plan import Alternative, Plan, Total, Trade
from margin.engine.plans.slices import Slice
from margin.engine.plans.terms import Wants
from margin.engine.plans.tries import Counts, Tries, held
from margin.engine.sizing import Account, NotSizable


def find(
    book: Book,
    instruments: Instruments,
    market: Market,
    rules: Rules,
    *,
    demand: Demand,
    wants: Wants | None = None,
    account_row: int = 0,
) -> Plan:
    """The plan that meets the demand at the least cost, in whole lots, no holding changing its sign.

    A demand of a measured regime is met at its restore level (`market_cures`), one of trades where what is outstanding
    is released. One lot less of any line would not be enough. If nothing is enough, the plan is what leaves the least
    missing, and `residual` says how much. Raises NotSizable, with the reason, for an account that has no price or is in
    doubt, and for a regime that nothing of the policy measures.
    """
    wants = wants or Wants()
    policy = rules.policies[int(book.policy[account_row])]
    whole = _account(book, instruments, market, rules, account_row, wants)
    rule = _rule(policy, demand)
    measured = replace(whole, rules=_only(rules, int(book.policy[account_row]), rule))
    trials = Trials(measured, (demand,), {})
    field = lines.field_of(trials, (0,))
    tries = _tries(field, wants)
    if tries.start >= 0:
        return _nothing(tries, wants)
    is_straight = _is_straight(field)
    found = search.best(tries, is_straight=is_straight)
    model = models.of(tries) if tries.lines else models.Model(0.0, (), (), (), ())
    every = ways.every(tries, model) if tries.lines else ()
    found = _not_dearer(tries, model, found, every, is_straight=is_straight)
    found, sliced = _sliced(tries, model, found, is_straight=is_straight)
    return _told(tries, wants, found, sliced, every, Trials(whole, (demand,), {}))


def released(
    book: Book,
    instruments: Instruments,
    market: Market,
    rules: Rules,
    *,
    demand: Demand,
    undone: Mapping[int, Decimal],
    account_row: int = 0,
) -> Decimal:
    """What trades released for a demand, in base currency and exact: what is left now, less what would be with the
    changes `undone` (by instrument id, cash among them) that put the trades back. Raises NotSizable as `find` does."""
    policy = rules.policies[int(book.policy[account_row])]
    only = _only(rules, int(book.policy[account_row]), _rule(policy, demand))
    trials = Trials(_account(book, instruments, market, only, account_row, Wants()), (demand,), {})
    rows = {int(id): row for row, id in enumerate(instruments.ids)}
    now, then = trials.measure([{}, {rows[id]: change for id, change in undone.items()}])
    with exactly():
        return (now.left[0] or ZERO) - (then.left[0] or ZERO)


def _account(
    book: Book, instruments: Instruments, market: Market, rules: Rules, account_row: int, wants: Wants
) -> Account:
    rows = {int(id): row for row, id in enumerate(instruments.ids)}
    halves = {rows[id]: half for id, half in wants.costs.half_spreads.items() if id in rows and half > 0}
    costs = wants.costs
    return Account(book, account_row, instruments, market, rules, "", costs.fee_rate, costs.fee_minimum, halves)


def _rule(policy: Policy, demand: Demand) -> RegimeRule:
    """The regime of the policy that measures the demand."""
    if demand.is_of_trades:
        if not regulation.is_governed(policy):
            raise NotSizable(f"Policy {policy.code} has no regime of reg_t that measures {demand.regime}")
        return regulation.rule_of(policy)
    for rule in policy.regimes:
        if rule.regime == demand.regime:
            return rule
    raise NotSizable(f"Policy {policy.code} has no regime {demand.regime!r}")


def _only(rules: Rules, index: int, rule: RegimeRule) -> Rules:
    """The rules with one regime of one policy: a search asks for no other."""
    alone = replace(rules.policies[index], regimes=(rule,))
    return Rules((*rules.policies[:index], alone, *rules.policies[index + 1 :]))


def _tries(field: lines.Field, wants: Wants) -> Tries:
    closings = lines.closings(field, wants.left_out)
    ids = field.trials.account.instruments.ids
    ranks = tuple(wants.ranks.get(int(ids[line.legs[0].row]), 0) for line in closings)
    return Tries(field.trials, tuple(closings), ranks, wants.objective)


def _is_straight(field: lines.Field) -> bool:
    """Whether what a lot releases depends on nothing else: charged unit by unit, no minimum fee, no debt that a sale
    may turn, and no box of which one side is closed first."""
    account = field.trials.account
    has_parts = any(rule.parts for rule in field.rules)
    sides = int(account.book.offsets[account.row + 1]) - int(account.book.offsets[account.row])
    is_boxed = sides > len(field.trials.held)
    return field.is_straight and not (has_parts or field.is_loan or account.fee_minimum or is_boxed)


def _not_dearer(
    tries: Tries, model: models.Model, found: search.Found, every: tuple[ways.Way, ...], *, is_straight: bool
) -> search.Found:
    """The counts found, or another way that is enough at a lower cost."""
    enough = [way.counts for way in every if way.is_enough]
    best = min(enough, key=tries.cost, default=found.counts)
    if best == found.counts or (found.is_enough and tries.cost(best) >= tries.cost(found.counts)):
        return found
    return search.Found(search.polished(tries, model, best, is_straight=is_straight), is_enough=True, is_proven=False)


def _sliced(
    tries: Tries, model: models.Model, found: search.Found, *, is_straight: bool
) -> tuple[search.Found, tuple[Slice, ...]]:
    """The order in which it is done. Where nothing found is enough, what only harms is left out; enough may be left."""
    sliced = slices.of(tries, model, found.counts)
    if found.is_enough or not sliced or max(one.left for one in sliced) <= sliced[-1].left:
        return found, sliced
    found, sliced = _cut(found, sliced)
    if sliced[-1].left < 0:
        return found, sliced
    counts = search.polished(tries, model, found.counts, is_straight=is_straight)
    return search.Found(counts, is_enough=True, is_proven=False), slices.of(tries, model, counts)


def _cut(found: search.Found, sliced: tuple[Slice, ...]) -> tuple[search.Found, tuple[Slice, ...]]:
    """The slices up to the one after which the least is missing: what follows only harms."""
    last = max(range(len(sliced)), key=lambda place: (sliced[place].left, -place))
    kept = {k for one in sliced[: last + 1] for k in one.lines}
    counts = tuple(lots if k in kept else 0 for k, lots in enumerate(found.counts))
    return replace(found, counts=counts, is_proven=False), sliced[: last + 1]


# --- telling ----------------------------------------------------------------------------------------------


def _nothing(tries: Tries, wants: Wants) -> Plan:
    total = _total(tries, tries.none)
    return Plan(
        objective=wants.objective,
        trades=(),
        whole=(),
        total=total,
        stage=total,
        excess_before=total.excess,
        after=(),
        everything=total,
        alternatives=(),
        left_out=_left_out(tries, wants),
        breaches=(),
        residual=ZERO,
        is_proven=True,
    )


def _told(
    tries: Tries,
    wants: Wants,
    found: search.Found,
    sliced: tuple[Slice, ...],
    every: tuple[ways.Way, ...],
    whole: Trials,
) -> Plan:
    exponent = tries.account.instruments.minor_exponent(tries.account.base)
    staged = stages.first(tries, found.counts, sliced, wants.stage)
    total = _total(tries, found.counts)
    return Plan(
        objective=wants.objective,
        trades=_trades(tries, staged, sliced),
        whole=_trades(tries, found.counts, sliced),
        total=total,
        stage=_total(tries, staged),
        excess_before=round_down(tries.start, exponent),
        after=tuple(round_down(one.left, exponent) for one in sliced),
        everything=_total(tries, tries.most),
        alternatives=tuple(_alternative(tries, way) for way in every),
        left_out=_left_out(tries, wants),
        breaches=_breaches(tries, whole, found.counts),
        residual=ZERO if found.is_enough else round_up(-tries.left([found.counts])[0], exponent),
        is_proven=found.is_proven,
    )


def _total(tries: Tries, counts: Counts) -> Total:
    exponent = tries.account.instruments.minor_exponent(tries.account.base)
    outlay = tries.outlay(counts)
    (left,) = tries.left([counts])
    return Total(
        value=round_up(outlay.value, exponent),
        fee=round_up(outlay.fee, exponent),
        spread=round_up(outlay.spread, exponent),
        orders=len(held(counts)),
        excess=round_down(left, exponent),
        is_enough=left >= 0,
    )


def _trades(tries: Tries, counts: Counts, sliced: tuple[Slice, ...]) -> tuple[Trade, ...]:
    account, instruments = tries.account, tries.account.instruments
    found = []
    for number, one in enumerate(sliced, start=1):
        for k in one.lines:
            row, quantity = tries.lines[k].legs[0].row, tries.quantity(k, counts[k])
            if quantity:
                found.append(
                    Trade(
                        instrument_id=int(instruments.ids[row]),
                        quantity=quantity,
                        price=instruments.price[row],
                        proceeds=account.proceeds(row, quantity),
                        fee=account.fee(row, quantity),
                        spread=account.spread(row, quantity),
                        slice=number,
                        rank=tries.ranks[k],
                    )
                )
    return tuple(found)


def _alternative(tries: Tries, way: ways.Way) -> Alternative:
    ids = tries.account.instruments.ids
    traded = [(int(ids[tries.lines[k].legs[0].row]), tries.quantity(k, way.counts[k])) for k in held(way.counts)]
    return Alternative(way.name, tuple(traded), _total(tries, way.counts))


def _left_out(tries: Tries, wants: Wants) -> tuple[tuple[int, str], ...]:
    """What is held and may not be traded, with the reason."""
    ids = {int(tries.account.instruments.ids[row]) for row, (quantity, _) in tries.trials.held.items() if quantity}
    return tuple(sorted((id, reason) for id, reason in wants.left_out.items() if id in ids))


def _breaches(tries: Tries, whole: Trials, counts: Counts) -> tuple[str, ...]:
    """Regimes of the policy that hold now and would not once the counts are done."""
    before, after = whole.measure([{}, tries.changes(counts)])
    names = [rule.regime for rule in whole.policy.regimes]
    mine = whole.demands[0].regime
    with exactly():
        pairs = zip(names, before.breached, after.breached, strict=True)
        return tuple(dict.fromkeys(name for name, was, now in pairs if now and not was and name != mine))
