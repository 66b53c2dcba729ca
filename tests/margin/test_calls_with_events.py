"""Statements that write calls are held against their events when they end, all rows; and charges read as stored."""

import json
from decimal import Decimal

import psycopg2
import pytest

from margin import calls, chain
from margin.models import Charge, ChargeList, Event, MarginCall, Measure, Wording
from tests.margin import rows
from tests.margin.rows import AT, SWEEPER

OUTSTANDING = "UPDATE margin_margincall SET amount_outstanding = amount_outstanding - 1, seq = seq + 1"
APPEND = "SELECT margin_append_events(%s::jsonb)"


@pytest.fixture
def three(committed_db):
    version, owners = rows.policy(), [rows.account() for _ in range(3)]
    calls.carry_out([rows.issue(owner, version) for owner in owners], at=AT, actor=SWEEPER)
    return list(MarginCall.objects.order_by("pk"))


def entries(listed, *, lying=()):
    """An event for each call that says a lower amount outstanding; of those in `lying`, a wrong one."""
    told = []
    for call in listed:
        body = json.loads(Event.objects.get(call=call).body)
        left = Decimal(90 if call in lying else 99)
        row = {**body["row"], "amount_outstanding": chain.text(left)}
        told.append({key: body[key] for key in ("account", "call", "at", "actor", "role")})
        told[-1] |= {"kind": "call.amount_changed", "row": row}
    return json.dumps(told)


def run(connected, *statements):
    """All in one transaction."""
    with connected, connected.cursor() as cursor:
        for statement, *values in statements:
            cursor.execute(statement, values)


def test_rows_that_all_say_what_their_events_say_are_written(three, as_application):
    run(as_application(), (APPEND, entries(three)), (OUTSTANDING,))
    assert set(MarginCall.objects.values_list("amount_outstanding", "seq")) == {(Decimal(99), 2)}


@pytest.mark.parametrize("role", ["as_application", "as_owner"])
def test_one_row_of_many_that_says_something_else_undoes_them_all(three, role, request):
    with pytest.raises(psycopg2.Error, match=f"call {three[1].pk} does not say what its event 2 says") as refusal:
        run(request.getfixturevalue(role)(), (APPEND, entries(three, lying=[three[1]])), (OUTSTANDING,))
    assert refusal.value.pgcode == "23001"
    assert set(MarginCall.objects.values_list("amount_outstanding", "seq")) == {(Decimal(100), 1)}


@pytest.mark.parametrize("role", ["as_application", "as_owner"])
def test_one_row_of_many_without_an_event_undoes_them_all(three, role, request):
    with pytest.raises(psycopg2.Error, match=f"call {three[2].pk} changed without its event"):
        run(request.getfixturevalue(role)(), (APPEND, entries(three[:2])), (OUTSTANDING,))
    assert set(MarginCall.objects.values_list("seq", flat=True)) == {1}


def test_an_event_of_an_earlier_transaction_does_not_do(three, as_application):
    connected = as_application()
    run(connected, (APPEND, entries(three)))
    with pytest.raises(psycopg2.Error, match="without its event in the same transaction"):
        run(connected, (OUTSTANDING,))


def test_a_charge_reads_the_same_from_a_quantity_as_from_the_figures_of_before(db):
    found, share = rows.assessment(rows.account(), rows.policy()), rows.equity("XYZ")
    amounts = {"equity": 1, "requirement": 1, "restore_requirement": 1, "deficit": 0, "cover": 1}
    house, exchange = (
        Measure.objects.create(assessment=found, regime=regime, **amounts) for regime in ("house", "exchange")
    )
    text = json.dumps({"held": "\ue000", "local": "\ue001", "fx": "\ue002", "amount": "\ue003"}, ensure_ascii=False)
    words = Wording.objects.create(instrument=share, code="x", text=text, unit=Decimal("2.50"))
    whole = Wording.objects.create(code="floor", text='{"amount": "7.5"}', unit=Decimal("7.5"))
    # 12.5 short × 2.50 = 31.25, × 1.08 = 33.75
    ChargeList.objects.create(
        measure=house,
        lines=[[words.pk, "-12.5", "31.25", "1.08", "33.75"], [whole.pk, "", "7.5", "1", "7.5"]],
    )
    ChargeList.objects.create(
        measure=exchange,
        wordings=[words.pk, whole.pk],
        quantities=[Decimal("-12.500"), Decimal(1)],
        rates=[Decimal("1.080"), Decimal(1)],
    )
    before, now = (
        list(Charge.objects.filter(measure=measure).values_list("instrument", "code", "amount", "explanation"))
        for measure in (house, exchange)
    )
    assert before == now
    assert now[0][2:] == (Decimal("33.75"), {"held": "-12.5", "local": "31.25", "fx": "1.08", "amount": "33.75"})
    assert now[1][2:] == (Decimal("7.5"), {"amount": "7.5"})
