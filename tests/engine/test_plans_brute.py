"""Plans of random books against a judge: enough, one lot less is not, nothing cheaper is, and no step does harm."""

from dataclasses import replace
from math import ceil

import pytest

from margin.engine import cure_options
from margin.engine.plans import Costs, Wants
from tests.engine.plan_world import random_judge
from tests.engine.test_cross import _flat_is_known  # noqa: F401 - futures at 1,000 a contract
from tests.engine.world import D

QUICK, LONG = 120, 10_000
SMALL = 60


def check(seed, *, is_small=False):
    """The promises of one book's plan; whether it had a call."""
    judge = random_judge(seed, is_small=is_small)
    if judge is None:
        return False
    plan = judge.find()
    trades = {trade.instrument_id: trade.quantity for trade in plan.whole}
    assert len(trades) == len(plan.whole)
    _no_sign_turns(judge, trades)
    if plan.is_enough:
        _is_least(judge, trades, seed)
        _no_exchange_is_better(judge, trades, seed)
        assert plan.residual == 0
    else:
        everything = {row.id: judge.closing(row.id, judge.lots(row.id)) for row, *_ in judge.case.held}
        nothing, all_sold, sold = judge.left([{}, everything, trades])
        assert max(nothing, all_sold) <= sold < 0, seed
        assert plan.residual == -sold.quantize(D("0.01"), "ROUND_FLOOR")
    _no_step_harms(judge, plan, seed)
    if is_small:
        _nothing_is_better(judge, plan, trades, seed)
    return True


def _no_sign_turns(judge, trades):
    for id, quantity in trades.items():
        _, held, _ = judge.holding(id)
        assert held * quantity < 0
        assert abs(quantity) <= abs(held)


def _is_least(judge, trades, seed):
    less = []
    for id, quantity in trades.items():
        row, _, _ = judge.holding(id)
        fewer = {**trades, id: judge.closing(id, ceil(abs(quantity) / row.lot) - 1)}
        less.append({id: quantity for id, quantity in fewer.items() if quantity})
    enough, *short = judge.left([trades, *less])
    assert enough >= 0, seed
    assert all(left < 0 for left in short), seed


def _no_exchange_is_better(judge, trades, seed):
    """A lot of one line for a lot of another: either it costs no less, or it is not enough."""
    _, cost, _ = judge.trade(trades)
    cheaper = []
    for i, quantity in trades.items():
        fewer = ceil(abs(quantity) / judge.holding(i)[0].lot) - 1
        for row, *_ in judge.case.held:
            more = ceil(abs(trades.get(row.id, D(0))) / row.lot) + 1
            if row.id != i and more <= judge.lots(row.id):
                other = {**trades, i: judge.closing(i, fewer), row.id: judge.closing(row.id, more)}
                other = {id: amount for id, amount in other.items() if amount}
                cheaper += [other] if judge.trade(other)[1] < cost else []
    assert not cheaper or max(judge.left(cheaper)) < 0, seed


def _no_step_harms(judge, plan, seed):
    numbers = sorted({trade.slice for trade in plan.whole})
    prefixes = [{t.instrument_id: t.quantity for t in plan.whole if t.slice <= number} for number in (0, *numbers)]
    left = judge.left(prefixes)
    assert left == sorted(left), seed
    assert [rest.quantize(D("0.01"), "ROUND_FLOOR") for rest in left[1:]] == list(plan.after), seed


def _nothing_is_better(judge, plan, trades, seed):
    """By brute force: no cheaper combination is enough; where none is, none comes nearer."""
    every = list(judge.combinations())
    if plan.is_enough:
        assert plan.is_proven
        _, cost, _ = judge.trade(trades)
        every = [quantities for quantities in every if judge.trade(quantities)[1] < cost]
        assert all(left < 0 for left in judge.left(every)) if every else True, seed
    else:
        assert max(judge.left(every)) == judge.left([trades])[0], seed


def test_plans_of_random_books_are_enough_and_one_lot_less_is_not():
    assert sum(check(seed) for seed in range(QUICK)) > QUICK * 0.8


def test_no_combination_of_a_small_book_is_cheaper_than_its_plan():
    assert sum(check(seed, is_small=True) for seed in range(SMALL)) > SMALL * 0.5


@pytest.mark.parametrize("seed", [3143, 3904, 4434, 5277, 5582, 6429, 9546])
def test_plans_that_a_search_once_bettered_keep_the_promises(seed):
    assert check(seed)


@pytest.mark.long
def test_ten_thousand_plans_are_enough_and_one_lot_less_is_not():
    assert sum(check(seed) for seed in range(QUICK, QUICK + LONG)) > LONG * 0.8


@pytest.mark.long
def test_no_combination_of_ten_thousand_small_books_is_cheaper_than_its_plan():
    assert sum(check(seed, is_small=True) for seed in range(SMALL, SMALL + LONG)) > LONG * 0.5


def test_single_sales_of_cure_options_pay_the_minimum_fee_as_well():
    looked_at = 0
    for seed in range(60):
        judge = random_judge(seed)
        if judge is None:
            continue
        rate, least = judge.case.fee_rate, D("9.95")
        judge = replace(judge, wants=Wants(costs=Costs(rate, least)))
        found = cure_options.find(
            *judge.case.arguments(), demands=(judge.demand,), fee_rate=rate, fee_minimum=least, account_row=0
        )
        for option in found.trades:
            (step,) = option.steps
            lots = ceil(abs(step.quantity) / judge.holding(step.instrument_id)[0].lot)
            fewer = range(max(lots - 20, 0), lots) if option.is_proven else range(lots - 1, lots)
            wanted = [{step.instrument_id: judge.closing(step.instrument_id, n)} for n in (*fewer, lots) if n]
            *short, enough = judge.left(wanted)
            assert enough >= 0, seed
            assert all(left < 0 for left in short), seed
            looked_at += 1
    assert looked_at > 40
