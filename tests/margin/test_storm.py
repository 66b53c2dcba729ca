"""A sweep that calls many accounts at once stores what it would have stored for each alone."""

import gc
import hashlib
import json
from decimal import Decimal
from itertools import pairwise

import pytest

from accounts.models import Account, Position
from margin import assessments, bulk, shards, sweep
from margin.calls import Move
from margin.models import Assessment, Charge, ChargeList, Event, MarginCall, Measure, Wording
from margin.workflow import Verb
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


def test_an_assessment_keeps_what_was_held_and_seals_it_with_its_figures(storm):
    Position.objects.filter(account=storm[0], instrument__kind="equity").update(cost=Decimal("1037.5"))
    sweep.run("securities", at=MONDAY)
    marks = {"XYZ": "10.37", 'S&P "500" ÄÖ': "4.99", "EUR-X": "17.05"}
    for found in Assessment.objects.select_related("account"):
        held = Position.objects.filter(account=found.account).order_by("instrument__currency", "instrument_id")
        assert found.holdings == [
            [
                one.instrument_id,
                format(one.quantity.normalize(), "f"),
                None if one.cost is None else format(one.cost.normalize(), "f"),
                marks.get(one.instrument.code),
            ]
            for one in held
        ]
        results = [
            [m.regime, *(f"{amount:.2f}" for amount in (m.equity, m.requirement, m.restore_requirement, m.deficit))]
            for m in found.measures.order_by("-regime")  # house, then exchange: as the policy lists them
        ]
        sealed = json.dumps([found.holdings, results, found.policy_version_id], separators=(",", ":"))
        assert found.digest == hashlib.sha256(sealed.encode()).hexdigest()


@pytest.mark.parametrize(
    "text", ["plain", "tab\there", "line\nbreak\r", "back\\slash", "\\N", "\\.", "ÄÖ€ 'q' \"d\"", ""]
)
def test_any_text_is_copied_as_it_is(text):
    key = bulk.new_ids("margin_wording", 1)[0]
    bulk.copy("margin_wording", ("id", "instrument_id", "code", "text"), [[key, None, "x", text]])
    stored = Wording.objects.get(pk=key)
    assert (stored.instrument_id, stored.text) == (None, text)


def test_documents_are_copied_as_they_are(storm):
    document = [["a\\b", 'quo"te', "tab\t", "ä"], {"n": None, "yes": True, "x": 1}]
    sweep.run("securities", at=MONDAY)
    bare = rows.assessment(storm[0], MarginCall.objects.first().policy_version, at=MONDAY.replace(day=3))
    amounts = {"equity": 1, "requirement": 1, "restore_requirement": 1, "deficit": 0, "cover": 1}
    measure = Measure.objects.create(assessment=bare, regime="house", **amounts)
    bulk.copy("margin_chargelist", ("measure_id", "lines"), [[measure.pk, document]])
    assert ChargeList.objects.get(measure=measure).lines == document


def test_the_collector_rests_while_rows_are_made_and_works_again_afterwards():
    with pytest.raises(ZeroDivisionError), bulk.uncollected():
        assert not gc.isenabled()
        with bulk.uncollected():
            assert not gc.isenabled()
        assert not gc.isenabled()
        _ = 1 // 0
    assert gc.isenabled()


def test_batches_are_as_large_as_the_door_takes_and_tear_no_account_apart():
    moves = [Move(verb=Verb.NOTE, account_id=account) for account in range(400) for _ in range(3)]
    batches = list(shards._batches(moves))
    assert [len(batch) for batch in batches] == [498, 498, 204]
    assert [move for batch in batches for move in batch] == moves
    assert all(one[-1].account_id != other[0].account_id for one, other in pairwise(batches))
