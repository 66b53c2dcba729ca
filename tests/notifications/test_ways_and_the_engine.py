"""Sizes of cures as a notice tells them are those that the engine finds by what-if, to the lot."""

import random
from decimal import Decimal

import pytest

from margin import liquidation, sweep
from margin.engine import sizing
from margin.models import MarginCall
from notifications import cases, sections, ways
from tests.margin import rows as margin_rows
from tests.margin import world
from tests.notifications import rows
from tests.notifications.rows import MONDAY

pytestmark = pytest.mark.django_db
D = Decimal


def told(call: MarginCall) -> ways.Ways:
    event = rows.event(call, "call.issued")
    case = cases.gather([event.pk]).case(event.pk)
    return sections._ways(case, case.demand.outstanding)


def what_if(call: MarginCall) -> sizing.Cures:
    snap = liquidation.stand(call, at=MONDAY).snap
    fee_rate = D(call.policy_version.terms["fee_rate"])
    return sizing.cures(snap.book, snap.instruments, snap.market, snap.rules, regime=call.regime, fee_rate=fee_rate)


def agree(found: ways.Ways, exact: sizing.Cures, names: dict[int, str]) -> None:
    assert found.cash == exact.cash
    assert {one.name: one.units for one in (*found.sales, *found.purchases)} == {
        names[one.instrument_id]: abs(one.quantity) for one in exact.sales
    }
    assert {one.name: one.units for one in found.deposits} == {
        names[one.instrument_id]: one.quantity for one in exact.deposits
    }


@pytest.mark.parametrize("fee_rate", ["0", "0.001"])
@pytest.mark.parametrize("seed", range(8))
def test_stock_under_a_house_call(seed, fee_rate):
    chance = random.Random(seed)
    margin_rows.policy("us_margin", {**world.securities(), "fee_rate": fee_rate})
    owner, worth, names = margin_rows.account(), D(0), {}
    for code in ("AAA", "BBB", "CCC"):
        price, quantity = D(chance.randint(300, 30000)) / 100, chance.randint(10, 3000)
        instrument = margin_rows.equity(code)
        names[instrument.pk] = code
        margin_rows.hold(owner, instrument, str(quantity))
        world.quote(instrument, str(price), MONDAY)
        worth += price * quantity
    borrowed = (worth * D(chance.randint(720, 790)) / 1000).quantize(D("0.01"))
    margin_rows.hold(owner, margin_rows.cash(), f"-{borrowed}")
    sweep.run("securities", at=MONDAY)
    call = MarginCall.objects.get()
    agree(told(call), what_if(call), names)


@pytest.mark.parametrize("fee_rate", ["0", "0.02"])
@pytest.mark.parametrize("seed", range(6))
def test_collateral_with_haircuts_under_a_loan_call(seed, fee_rate):
    chance = random.Random(100 + seed)
    haircuts = {"ETH": f"0.{chance.randint(0, 3)}5"}
    loan = {**world.LOAN, "terms": {**world.LOAN["terms"], "haircuts": haircuts}}
    margin_rows.policy("us_margin", {**world.crypto(loan), "fee_rate": fee_rate})
    owner, collateral, names = margin_rows.account(), D(0), {}
    for code in ("BTC", "ETH"):
        price, quantity = D(chance.randint(10**5, 10**7)) / 100, D(chance.randint(10**7, 10**9)) / 10**8
        instrument = margin_rows.equity(code, kind="crypto", lot_size=D("0.00000001"))
        names[instrument.pk] = code
        margin_rows.hold(owner, instrument, str(quantity))
        world.quote(instrument, str(price), MONDAY)
        collateral += price * quantity * (1 - D(haircuts.get(code, "0")))
    borrowed = (collateral * D(chance.randint(701, 780)) / 1000).quantize(D("0.01"))
    margin_rows.hold(owner, margin_rows.cash(), f"-{borrowed}")
    sweep.run("crypto", at=MONDAY)
    call = MarginCall.objects.get()
    assert call.regime == "loan"
    found, exact = told(call), what_if(call)
    assert found.cash == exact.cash
    # The amount called is rounded up to the cent before a notice sizes by it: at most a cent's worth of coin more.
    for mine, theirs in ((found.sales, exact.sales), (found.deposits, exact.deposits)):
        units = {names[one.instrument_id]: abs(one.quantity) for one in theirs}
        assert {one.name for one in mine} == set(units)
        for one in mine:
            assert 0 <= one.units - units[one.name] <= D("0.0001")
