"""What was approved is looked at again before it leaves: the holding, the price, and who let a cap count."""

import json
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, connection, transaction

from accounts import fills, holdings
from margin import approvals, calls, control_switches, liquidation, sending
from margin.models import Alarm, LiquidationCap, Order, Plan, PlanLine, Release
from tests.margin import rows
from tests.margin.liquidating import LATER, VENUE, CountingVenue, escalated, people
from tests.margin.world import minutes, quote

D = Decimal
pytestmark = pytest.mark.django_db


def sell(call, quantity, *, price="35.88"):
    """The client's own sale."""
    fills.apply_fill(
        call.account, instrument=rows.equity("XYZ"), quantity=D(quantity), price=D(price), fee=D(0), source="client",
        external_reference="own", traded_at=LATER, at=LATER,
    )  # fmt: skip


def held(call):
    xyz = rows.equity("XYZ").pk
    return holdings.held([call.account_id], [xyz])[call.account_id, xyz][0]


def proposed():
    """7 of 100 XYZ to sell at a venue."""
    call = escalated(venue=VENUE)
    return call, liquidation.propose(call, at=LATER, actor=rows.staff("ops", "Operations"))


def test_a_plan_of_what_the_client_sold_meanwhile_is_not_released(tmp_path):
    call, plan = proposed()
    sell(call, "-97")
    approvals.approve(plan, at=LATER, actor=rows.staff("sue", "Supervisor"))
    assert not Release.objects.exists()
    assert "3 are held and -7 would be traded" in Alarm.objects.get(kind="not_released").message
    with pytest.raises(calls.Refused, match="reject plan"):
        approvals.release(Plan.objects.get(), at=LATER, actor=rows.staff("sue", "Supervisor"))


def test_an_order_of_what_the_client_sold_meanwhile_does_not_leave(tmp_path):
    call, plan = proposed()
    approvals.approve(plan, at=LATER, actor=rows.staff("sue", "Supervisor"))
    sell(call, "-97")
    venue = CountingVenue(tmp_path)
    sending.run({VENUE: venue}, clock=lambda: LATER + minutes(1))
    assert (Order.objects.get().state, venue.lines(), held(call)) == ("cancelled", [], 3)
    assert Plan.objects.get().state == "expired"
    assert "propose a new one" in Alarm.objects.get(kind="not_sent").message


@pytest.mark.parametrize(("mark", "leaves"), [("50.99", True), ("49.01", True), ("51.01", False), ("40", False)])
def test_an_order_that_waited_leaves_only_near_the_price_it_was_released_at(tmp_path, mark, leaves):
    """Two percent: what a plan's price may move before its release, it may not move after."""
    _, plan = proposed()
    approvals.approve(plan, at=LATER, actor=rows.staff("sue", "Supervisor"))
    late = LATER + timedelta(hours=5)
    quote(rows.equity("XYZ"), mark, late)
    venue = CountingVenue(tmp_path)
    sending.run({VENUE: venue}, clock=lambda: late)
    assert bool(venue.lines()) == leaves
    assert Order.objects.get().state == ("sent" if leaves else "cancelled")


# --- caps -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def capped():
    """10.00 USD an order, an account and a day; three people."""
    found = people()
    cap = control_switches.propose_cap(
        "USD",
        per_order=D(10),
        per_account=D(10),
        per_day=D(10),
        reason="small",
        at=LATER - minutes(2),
        actor=found["sue"],
    )
    control_switches.approve(cap, at=LATER - minutes(1), actor=found["rita"])
    return found


CAP = (
    "INSERT INTO margin_liquidationcap (currency, per_order, per_account, per_day, reason, proposed_by_id, proposed_at,"
    " approved_at) VALUES ('USD', 1e12, 1e12, 1e12, 'mine', %s, %s, %s)"
)


def test_a_cap_that_nobody_approved_is_refused_by_the_database(capped):
    refused = pytest.raises(IntegrityError, match="cap_says_who_approved_it")
    with refused, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(CAP, [capped["ops"].user_id, LATER, LATER - timedelta(seconds=30)])
    assert LiquidationCap.objects.count() == 1


@pytest.mark.parametrize("said", [{"price": "0", "proceeds": "0"}, {"price": "1", "proceeds": "7"}, {"proceeds": "0"}])
def test_a_plan_whose_content_says_another_price_than_its_lines_is_not_released(capped, said):
    """Caps count what the content says: 350.00 here, whatever it says."""
    call, xyz = escalated(venue=VENUE), rows.equity("XYZ")
    line = {"instrument": xyz.pk, "quantity": "-7", "code": "XYZ", "slice": 0, **said}
    plan = Plan.objects.create(
        call=call, content=json.dumps({"call": call.pk, "currency": "USD", "lines": [line]}),
        proposed_by_id=capped["ops"].user_id, proposed_at=LATER, expires_at=LATER + minutes(15),
    )  # fmt: skip
    PlanLine.objects.create(plan=plan, instrument=xyz, quantity=-7, price=50)
    approvals.approve(Plan.objects.get(), at=LATER, actor=capped["sue"])
    assert not Release.objects.exists()
    assert "another quantity or price" in Alarm.objects.get(kind="not_released").message


@pytest.mark.parametrize(("currency", "worth"), [("USD", 150_000), ("JPY", 1_000)])
def test_a_line_is_worth_its_proceeds_and_units_times_price_only_in_the_same_currency(currency, worth):
    """1,000 shares at 150: of 150,000 USD where the plan is in USD; in JPY what they bring, 1,000 USD."""
    share = rows.equity("T7203", currency=currency)
    line = {"instrument": share.pk, "quantity": "-1000", "price": "150", "proceeds": "1000"}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT notional FROM margin_content_value(%s)", [json.dumps({"currency": "USD", "lines": [line]})]
        )
        assert cursor.fetchone() == (worth,)


def test_every_trigger_looks_for_its_tables_among_ours_first():
    """Else a temporary table of the same name answers in their place."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT proname FROM pg_proc"
            " WHERE pronamespace = 'public'::regnamespace AND prorettype = 'trigger'::regtype"
            " AND NOT coalesce('search_path=public, pg_temp' = ANY (proconfig), false) ORDER BY 1"
        )
        assert cursor.fetchall() == []
