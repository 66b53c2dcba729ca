"""A sweep that calls many accounts at once stores what it would have stored for each alone."""

from decimal import Decimal

import pytest

from accounts.models import Account
from margin import assessments, sweep
from margin.models import Charge, Event, MarginCall, Measure, Wording
from market.models import FxRate
from tests.margin import rows, world
from tests.margin.world import MONDAY

pytestmark = pytest.mark.django_db


@pytest.fixture
def storm() -> list[Account]:
    """Five accounts in a deficit, long and short, in two currencies; one of them holds what another holds short."""
    rows.policy(terms=world.securities(world.HOUSE, world.EXCHANGE))
    FxRate.objects.create(base="EUR", quoted="USD", value=Decimal("1.0823"), as_of=MONDAY, source="test")
    share, fund, pound = rows.equity("XYZ"), rows.equity('S&P "500" ÄÖ'), rows.equity("EUR-X", currency="EUR")
    for one, mark in ((share, "10.37"), (fund, "4.99"), (pound, "17.05")):
        world.quote(one, mark, MONDAY)
    made = [world.long_account(f"{100 + k}", "900", share) for k in range(3)]
    rows.hold(made[1], fund, "-1000.125")
    rows.hold(made[2], pound, "3")
    made.append(world.long_account("500", "8000", pound))
    made.append(rows.account(currency="EUR"))
    rows.hold(made[-1], share, "-700")
    rows.hold(made[-1], rows.cash("EUR"), "5000")
    return made


def test_every_stored_charge_reads_as_the_account_is_told(storm):
    done = sweep.run("securities", at=MONDAY)
    assert done.state == "complete"
    assert done.unpriced == 0
    assert set(MarginCall.objects.values_list("account", flat=True)) == {one.pk for one in storm}
    for account in storm:
        for regime in assessments.explain(account, at=MONDAY)["regimes"]:
            stored = Charge.objects.filter(measure__assessment__account=account, measure__regime=regime["regime"])
            told = regime["requirement"]["charges"]
            assert told
            assert [one.explanation for one in stored] == told
            assert [format(one.amount.normalize(), "f") for one in stored] == [line["amount"] for line in told]
            assert [(one.instrument_id, one.code) for one in stored] == [
                (line["instrument"], line["rule"]) for line in told
            ]


def test_what_is_said_of_a_share_is_stored_once_however_many_hold_it(storm):
    sweep.run("securities", at=MONDAY)
    of_share = Wording.objects.filter(instrument=rows.equity("XYZ"), code="finra_4210_c")
    assert of_share.count() == 4  # long and short, in the house and the exchange regime
    assert Charge.objects.filter(instrument=rows.equity("XYZ"), code="finra_4210_c").count() == 8


def test_charges_of_many_measures_come_with_their_own_measure(storm):
    sweep.run("securities", at=MONDAY)
    for measure in Measure.objects.prefetch_related("charges"):
        assert measure.charges.all()
        assert {charge.measure_id for charge in measure.charges.all()} == {measure.pk}
        with_cents = sum(charge.amount for charge in measure.charges.all()).quantize(Decimal("0.01"), "ROUND_CEILING")
        assert measure.requirement == with_cents


def test_a_storm_leaves_one_event_per_call(storm):
    sweep.run("securities", at=MONDAY)
    assert Event.objects.filter(kind="call.issued").count() == MarginCall.objects.count() >= len(storm)
