"""Accounts measured as one: what members hold counts as the lead's, and calls are issued on the lead."""

from decimal import Decimal

import pytest
from django.db import DatabaseError, transaction

from accounts import cash, positions
from accounts.models import Account
from margin import assessments, calls, policies, prices, replay, snapshot, sweep
from margin.engine import alternatives
from margin.models import Assessment, MarginCall
from tests.margin import rows, world
from tests.margin.world import MONDAY, minutes, quote

D = Decimal


def join(member, lead):
    Account.objects.filter(pk=member.pk).update(margined_with=lead)


def book(held, *, at=MONDAY):
    given = [
        (account.pk, what.pk, D(quantity), None if cost is None else D(cost)) for account, what, quantity, cost in held
    ]
    positions.write(given, cause="book", reference="test", effective_at=at)


def test_two_accounts_are_one_call_and_a_replay_of_it_agrees(committed_db):
    """100 XYZ at 50 with 3,000 owed here and 1,000 there: 1,000 of equity, 1,500 asked (30 %)."""
    rows.policy("us_margin", world.securities())
    xyz, dollars = rows.equity("XYZ"), rows.cash()
    lead, member, alone = rows.account("L"), rows.account("M"), rows.account("S")
    join(member, lead)
    book([(lead, xyz, "60", "3000"), (member, xyz, "40", "2100"), (lead, dollars, "-3000", None)])
    book([(member, dollars, "-1000", None), (alone, xyz, "100", "5000"), (alone, dollars, "-1000", None)])
    quote(xyz, "50", MONDAY)
    done = sweep.run("securities", at=MONDAY)
    assert (done.state, done.eligible, done.evaluated) == ("complete", 2, 2)
    (call,) = MarginCall.objects.all()
    assert (call.account.code, call.amount_called) == ("L", D(500))
    assert not Assessment.objects.filter(account=member).exists()
    assert replay.run(done).differences == []
    later = MONDAY + minutes(1)
    cash.deposit(member, currency="USD", amount=D(500), source="bank", external_reference="1", at=later)
    assert sweep.wanting_attention(later) == [lead.pk]
    sweep.run("securities", at=later)
    call.refresh_from_db()
    assert (call.state, call.amount_outstanding) == ("met", 0)


def test_a_snapshot_adds_quantities_and_costs(db):
    rows.policy("us_margin", world.securities())
    xyz, lead, member = rows.equity("XYZ"), rows.account("L"), rows.account("M")
    unknown = rows.equity("ABC")
    join(member, lead)
    book([(lead, xyz, "60", "3000"), (member, xyz, "-100", "-5200"), (member, unknown, "5", None)])
    book([(lead, unknown, "5", "10")])
    for past in (None, snapshot.Past(MONDAY + minutes(1))):
        snap = snapshot.take(
            prices=prices.gather(at=MONDAY),
            in_force=policies.in_force(MONDAY),
            accounts=snapshot.Accounts(ids=[lead.pk]),
            past=past,
        )
        found = {
            str(snap.instruments.codes[row]): held for row, held in alternatives.positions_of(snap.book, 0).items()
        }
        assert found == {"XYZ": (D(-40), D(-2200)), "ABC": (D(10), None)}
        assert snap.book.revision.tolist() == [3]  # two changes of the lead's, one of the member's


def test_a_decision_on_what_a_member_held_before_is_refused(db):
    version = rows.policy("us_margin", world.securities())
    lead, member = rows.account("L"), rows.account("M")
    join(member, lead)
    found = rows.assessment(lead, version)
    move = rows.issue(lead, version, assessment_id=found.pk)
    move = move.__class__(**{**move.__dict__, "revision": 0})
    book([(member, rows.equity("XYZ"), "1", "1")])
    (outcome,) = calls.carry_out([move], at=rows.AT, actor=rows.SWEEPER)
    assert not outcome.is_done


def test_a_member_is_not_explained_by_itself(db):
    rows.policy("us_margin", world.securities())
    lead, member = rows.account("L"), rows.account("M")
    join(member, lead)
    member.refresh_from_db()
    with pytest.raises(policies.NoPolicy, match="account M is margined with L; ask about that one"):
        assessments.explain(member, at=MONDAY)


@pytest.mark.parametrize(
    ("member", "lead", "reason"),
    [
        ("L", "L", "account_is_not_margined_with_itself"),
        ("X", "M", "account M is itself margined with another"),
        ("L", "X", "others are margined with account L"),
        ("F", "L", "share neither client nor agreement"),
    ],
)
def test_the_database_keeps_leads_and_members_apart(db, member, lead, reason):
    made = {code: rows.account(code) for code in ("L", "M", "X")}
    made["F"] = rows.account("F", agreement="other")
    join(made["M"], made["L"])
    with pytest.raises(DatabaseError, match=reason), transaction.atomic():
        join(made[member], made[lead])


def test_a_lead_cannot_leave_the_client_and_the_agreement_it_shares(db):
    lead, member = rows.account("L"), rows.account("M")
    join(member, lead)
    with pytest.raises(DatabaseError, match="share neither"), transaction.atomic():
        Account.objects.filter(pk=lead.pk).update(agreement="other")
