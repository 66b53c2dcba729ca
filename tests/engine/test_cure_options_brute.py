"""Cure options of random books against every smaller number, tried one by one through `assess` on a book built anew."""

from decimal import ROUND_CEILING
from itertools import product
from math import ceil, prod

import pytest

from margin.engine import cure_options
from tests.engine.cure_world import RATES, random_case
from tests.engine.test_cross import _flat_is_known  # noqa: F401 - futures at 1,000 a contract
from tests.engine.world import D

QUICK, LONG = 300, 10_000
MOST_BELOW = 25  # fewer lots to bring in are looked for among so many, the nearest first
MOST_COMBINED = 120


def check(seed):
    """Every option of one book; whether it had a call."""
    case = random_case(seed)
    if case is None:
        return False
    found = cure_options.find(*case.arguments(), demands=case.demands, fee_rate=case.fee_rate)
    assert not found.is_clear
    claims = [*_of_cash(found), *_of_deposits(case, found), *_of_trades(case, found), *_of_mixes(case, found)]
    answers = case.clears([(change, released) for change, released, _ in claims])
    assert [is_enough for *_, is_enough in claims] == answers, (seed, case, found)
    return True


def _of_cash(found):
    """(changes, Regulation T release, whether it is enough): the cash asked is, and a cent less is not."""
    (option,) = found.cash
    (step,) = option.steps
    assert step.quantity == max(asked.cash for asked in found.asked)  # the maximum over the regimes, never the sum
    less = step.quantity - D("0.01")
    return [({"USD": step.quantity}, step.quantity, True), ({"USD": less}, less, False)]


def _of_deposits(case, found):
    claims = []
    for option in found.deposits:
        (step,) = option.steps
        row = next(row for row, *_ in case.held if row.id == step.instrument_id)
        lots = int(step.quantity / row.lot)
        share = D("0.5") if row.margin_eligible else D(0)
        below = MOST_BELOW if option.is_proven else 2
        for n in range(max(lots - below, 0) + 1, lots + 1):
            quantity = n * row.lot
            released = quantity * row.price * share * RATES[row.currency]
            claims.append(({row.id: quantity}, released, n == lots))
    return claims


def _of_trades(case, found):
    """Every single way is enough and nothing smaller is; what is missing from the list is never enough."""
    told = {option.steps[0].instrument_id: option for option in found.trades}
    claims, costs = [], []
    for row, held, _ in case.held:
        most = ceil(abs(held) / row.lot)
        sign = -1 if held > 0 else 1
        option = told.get(row.id)
        if option is not None:
            (step,) = option.steps
            assert option.is_proven
            assert 0 < step.quantity * sign <= abs(held)
            most = ceil(abs(step.quantity) / row.lot)
            _, fee, value, _ = case.trade({row.id: step.quantity})
            assert (option.fee, option.value, option.clears_all) == (_up(fee), _up(value), True)
            costs.append((_up(fee), _up(value)))
        for n in range(1, most + 1):
            change, _, _, released = case.trade({row.id: sign * min(n * row.lot, abs(held))})
            claims.append((change, released, option is not None and n == most))
    assert [(option.fee, option.value) for option in found.trades] == sorted(costs)
    return claims


def _up(amount):
    return amount.quantize(D("0.01"), ROUND_CEILING)


def _of_mixes(case, found):
    """Every mix is enough; in small books no cheaper one of two holdings or more is, tried out whole."""
    claims = []
    for option in found.mixes:
        change, fee, value, released = case.trade({step.instrument_id: step.quantity for step in option.steps})
        assert (option.fee, option.value) == (_up(fee), _up(value))
        claims.append((change, released, True))
    lots = [range(ceil(abs(held) / row.lot) + 1) for row, held, _ in case.held]
    if len(lots) > 1 and prod(map(len, lots)) <= MOST_COMBINED:
        cheapest = min([(option.fee, option.value) for option in found.mixes if len(option.steps) > 1], default=None)
        for counts in product(*lots):
            if sum(map(bool, counts)) > 1:
                change, fee, value, released = case.trade(_quantities(case, counts))
                if cheapest is None or (_up(fee), _up(value)) < cheapest:
                    claims.append((change, released, False))
    return claims


def _quantities(case, counts):
    return {
        row.id: (-1 if held > 0 else 1) * min(n * row.lot, abs(held))
        for n, (row, held, _) in zip(counts, case.held, strict=True)
        if n
    }


def test_every_option_is_enough_and_nothing_smaller_is():
    assert sum(check(seed) for seed in range(QUICK)) > QUICK * 0.8


@pytest.mark.long
def test_every_option_of_ten_thousand_books_is_enough_and_nothing_smaller_is():
    assert sum(check(seed) for seed in range(QUICK, QUICK + LONG)) > LONG * 0.8
