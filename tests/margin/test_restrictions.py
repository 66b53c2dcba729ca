"""Rights that accounts lose and get back: by calls, cover, rules and people. Times and counts by pencil."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from django.db import DatabaseError, connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import Position
from margin import calls, consequences, restrictions, strikes, sweep
from margin.actors import system
from margin.models import Event, MarginCall, Restriction, Waiver
from margin.restriction_terms import Effect
from margin.workflow import Cause, Resolution
from tests.margin import rows, world
from tests.margin.rows import AT
from tests.margin.world import MONDAY, minutes, quote

pytestmark = pytest.mark.django_db
CLOCKWORK = system("restrictions")
RIGHTS = {
    "on_issue": ["no_withdrawal"],
    "on_escalate": ["no_new_borrow", "no_withdrawal"],
    "on_expiry": {"effect": "closing_only", "days": 90},
    "overdue": {"clock": {"unit": "hours", "count": 120}, "effects": ["closing_only"]},
}
LADDER = [  # Binance: below 2 nothing may be taken out, below 1.5 nothing borrowed either
    {"below": "2", "effects": ["no_withdrawal"]},
    {"below": "1.5", "effects": ["no_withdrawal", "no_new_borrow"]},
]

TWO_DAYS = timedelta(days=2)


def days(count):
    return timedelta(days=count)


def policy(**restricted):
    return rows.policy("us_margin", world.securities({**world.HOUSE, "restrictions": restricted}))


def issued(version=None, *, due_in=TWO_DAYS, regime="house"):
    version = version or policy(**RIGHTS)
    move = rows.issue(rows.account(), version, due_in=due_in, regime=regime)
    outcome = calls.carry_out([move], at=AT, actor=rows.SWEEPER)[0]
    return MarginCall.objects.get(pk=outcome.call_id)


def settle(at):
    return consequences.settle(at=at, actor=CLOCKWORK)


def effects(account, at):
    return sorted(row.effect for row in restrictions.in_force(account, at=at))


def placed(account, *, effect=Effect.CLOSING_ONLY, at=AT, for_days=10):
    ends_at = None if for_days is None else at + days(for_days)
    sue = rows.staff("sue", "Supervisor")
    return restrictions.place(account, effect=effect, reason="concentrated", ends_at=ends_at, at=at, actor=sue)


# --- of calls ---------------------------------------------------------------------------------------


def test_an_open_call_takes_rights_once_and_they_come_back_when_it_is_met():
    call = issued()
    assert settle(AT) == {"restrictions placed": 1}
    assert settle(AT) == {}
    assert effects(call.account, AT) == ["no_withdrawal"]
    calls.meet(call, how=Resolution.CASH, at=AT + days(1), actor=rows.SWEEPER)
    assert settle(AT + days(1)) == {"restrictions lifted": 1}
    assert effects(call.account, AT + days(1)) == []
    lifted = Restriction.objects.get()
    assert (lifted.lifted_by, lifted.lift_reason) == ("restrictions", f"{call} is met")


def test_an_escalated_call_takes_more_and_a_retracted_one_gives_all_back():
    call = issued()
    calls.escalate(call, cause=Cause.DEADLINE, at=AT + days(2), actor=rows.SWEEPER)
    settle(AT + days(2))
    assert effects(call.account, AT + days(2)) == ["closing_only", "no_new_borrow", "no_withdrawal"]
    move = calls.Move(verb=calls.Verb.CANCEL, account_id=call.account_id, call_id=call.pk, reason="bad price")
    assert calls.carry_out([move], at=AT + days(3), actor=rows.SWEEPER)[0].is_done
    settle(AT + days(3))
    assert effects(call.account, AT + days(3)) == []


def test_a_deadline_that_passed_restricts_for_ninety_days_though_the_call_is_met_late():
    call = issued()
    call = calls.escalate(call, cause=Cause.DEADLINE, at=AT + days(2), actor=rows.SWEEPER)
    calls.meet(call, how=Resolution.CASH, at=AT + days(3), actor=rows.SWEEPER)
    settle(AT + days(4))  # nothing was settled before: the next run finds it, and the term runs from the deadline
    assert effects(call.account, AT + days(4)) == ["closing_only"]
    assert Restriction.objects.get().ends_at == AT + days(92)
    assert effects(call.account, AT + days(92)) == []  # before the clock wrote it down
    assert settle(AT + days(92)) == {"restrictions lifted": 1}
    assert settle(AT + days(93)) == {}


def test_a_call_that_escalates_for_severity_has_not_expired():
    call = issued()
    calls.escalate(call, cause=Cause.SEVERITY, at=AT + days(1), actor=rows.SWEEPER)
    settle(AT + days(1))
    assert effects(call.account, AT + days(1)) == ["no_new_borrow", "no_withdrawal"]


def test_a_call_that_stays_open_for_five_days_leaves_only_closing_until_it_is_met():
    call = issued(due_in=days(30))
    settle(AT + minutes(120 * 60 - 1))
    assert effects(call.account, AT + days(5) - minutes(1)) == ["no_withdrawal"]
    settle(AT + days(5))
    assert effects(call.account, AT + days(5)) == ["closing_only", "no_withdrawal"]
    calls.meet(call, how=Resolution.CASH, at=AT + days(6), actor=rows.SWEEPER)
    settle(AT + days(6))
    assert effects(call.account, AT + days(6)) == []


def test_a_policy_that_says_nothing_of_rights_takes_none():
    version = rows.policy("us_margin", world.securities())
    issued(version)
    assert settle(AT + days(9)) == {}


# --- of cover ---------------------------------------------------------------------------------------


def swept(at):
    done = sweep.run("securities", at=at)
    done.refresh_from_db()
    return done


def test_rungs_of_cover_are_taken_and_given_back_by_the_sweeps_that_see_them():
    rows.policy("us_margin", world.securities({**world.HOUSE, "watch_rate": "2", "restrictions": {"cover": LADDER}}))
    xyz = rows.equity("XYZ")
    account = world.long_account("100", "2500", xyz)  # requirement 30 %; equity 100 × price − 2,500
    quote(xyz, "50", MONDAY)  # 2,500 ÷ 1,500 = 1.67
    assert swept(MONDAY).counts["restrictions placed"] == 1
    assert effects(account, MONDAY) == ["no_withdrawal"]
    quote(xyz, "44", MONDAY + minutes(15))  # 1,900 ÷ 1,320 = 1.44
    swept(MONDAY + minutes(15))
    assert effects(account, MONDAY + minutes(15)) == ["no_new_borrow", "no_withdrawal"]
    quote(xyz, "90", MONDAY + minutes(30))  # 6,500 ÷ 2,700 = 2.41: quiet, and yet looked at
    swept(MONDAY + minutes(30))
    assert effects(account, MONDAY + minutes(30)) == []
    assert restrictions.rebuilt(account) == restrictions.register(account)


def test_a_shard_that_is_taken_again_late_moves_no_account_that_a_later_sweep_has_measured():
    rows.policy("us_margin", world.securities({**world.HOUSE, "watch_rate": "2", "restrictions": {"cover": LADDER}}))
    xyz = rows.equity("XYZ")
    account = world.long_account("100", "2500", xyz)
    quote(xyz, "44", MONDAY)
    first = swept(MONDAY)
    quote(xyz, "50", MONDAY + minutes(15))
    swept(MONDAY + minutes(15))
    assert effects(account, MONDAY + minutes(15)) == ["no_withdrawal"]
    assert consequences.settle(at=MONDAY + minutes(16), actor=CLOCKWORK, sweep=first) == {}
    assert effects(account, MONDAY + minutes(16)) == ["no_withdrawal"]


def test_an_account_without_a_usable_price_stays_on_its_rung():
    rows.policy("us_margin", world.securities({**world.HOUSE, "watch_rate": "2", "restrictions": {"cover": LADDER}}))
    xyz = rows.equity("XYZ")
    account = world.long_account("100", "2500", xyz)
    quote(xyz, "50", MONDAY)
    swept(MONDAY)
    Position.objects.create(account=account, instrument=rows.equity("NEVERQUOTED"), quantity=Decimal(1))
    quote(xyz, "90", MONDAY + minutes(15))
    assert swept(MONDAY + minutes(15)).unpriced == 1
    assert effects(account, MONDAY + minutes(15)) == ["no_withdrawal"]


# --- of people --------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["Operations", "Auditor", "Administrator", ""])
def test_only_supervisor_risk_and_compliance_place(role):
    with pytest.raises(calls.Refused, match="Supervisor or Risk or Compliance"):
        restrictions.place(rows.account(), effect=Effect.CASH_ONLY, reason="x", at=AT, actor=rows.staff("ed", role))
    assert not Event.objects.exists()


def test_a_person_says_why_and_an_end_that_is_still_to_come():
    account, sue = rows.account(), rows.staff("sue", "Supervisor")
    with pytest.raises(calls.Refused, match="reason"):
        restrictions.place(account, effect=Effect.CASH_ONLY, reason=" ", at=AT, actor=sue)
    with pytest.raises(calls.Refused, match="past"):
        restrictions.place(account, effect=Effect.CASH_ONLY, reason="x", ends_at=AT, at=AT, actor=sue)


def test_the_same_restriction_is_not_placed_twice_by_people_but_again_once_it_ended():
    account = rows.account()
    placed(account)
    with pytest.raises(calls.Refused, match="already"):
        placed(account, at=AT + days(9))
    placed(account, at=AT + days(10))
    assert [row.lift_reason for row in Restriction.objects.order_by("pk")] == ["expired", ""]


def test_a_short_restriction_of_a_person_is_lifted_by_one():
    row = placed(rows.account())
    lifted = restrictions.lift(row, reason="sold down", at=AT + days(1), actor=rows.staff("ria", "Risk"))
    assert (lifted.lifted_by, lifted.lifted_at) == ("ria", AT + days(1))
    with pytest.raises(calls.StaleCall):
        restrictions.lift(row, reason="again", at=AT + days(2), actor=rows.staff("ria", "Risk"))


@pytest.mark.parametrize("for_days", [90, None])
def test_a_restriction_of_ninety_days_takes_two_people_to_lift(for_days):
    row = placed(rows.account(), for_days=for_days)
    with pytest.raises(calls.Refused, match="two people"):
        restrictions.lift(row, reason="x", at=AT, actor=rows.staff("sue", "Supervisor"))


def test_a_waiver_takes_two_distinct_people_of_compliance_or_supervisor():
    row = placed(rows.account(), for_days=90)
    sue, cora = rows.staff("sue", "Supervisor"), rows.staff("cora", "Compliance")
    with pytest.raises(calls.Refused, match="may not waive"):
        strikes.waive(row, reason="x", at=AT, actor=rows.staff("ria", "Risk"))
    waiver = strikes.waive(row, reason="client sold the position", at=AT, actor=sue)
    with pytest.raises(calls.Refused, match="already"):
        strikes.waive(row, reason="x", at=AT, actor=cora)
    with pytest.raises(calls.Refused, match="another person"):
        strikes.decide(waiver, is_granted=True, reason="yes", at=AT, actor=sue)
    strikes.decide(waiver, is_granted=True, reason="agreed", at=AT + days(1), actor=cora)
    row.refresh_from_db()
    assert (row.lifted_by, row.lift_reason) == ("cora", "waived: agreed")
    with pytest.raises(calls.StaleCall):
        strikes.decide(waiver, is_granted=False, reason="no", at=AT + days(2), actor=cora)
    kinds = list(Event.objects.order_by("seq").values_list("kind", flat=True))
    assert kinds == ["restriction.placed", "waiver.proposed", "strike.waived", "restriction.lifted"]


def test_a_denied_waiver_is_kept_and_lifts_nothing():
    row = placed(rows.account(), for_days=90)
    waiver = strikes.waive(row, reason="x", at=AT, actor=rows.staff("sue", "Supervisor"))
    strikes.decide(waiver, is_granted=False, reason="no", at=AT, actor=rows.staff("cora", "Compliance"))
    assert Waiver.objects.get().state == "denied"
    assert effects(row.account, AT) == ["closing_only"]


def test_what_a_call_took_and_two_people_waived_is_not_taken_again():
    call = issued()
    settle(AT)
    waiver = strikes.waive(Restriction.objects.get(), reason="wire seen", at=AT, actor=rows.staff("sue", "Supervisor"))
    strikes.decide(waiver, is_granted=True, reason="ok", at=AT, actor=rows.staff("cora", "Compliance"))
    assert settle(AT + minutes(1)) == {}
    assert effects(call.account, AT + minutes(1)) == []


# --- the database keeps it --------------------------------------------------------------------------


def refused(statement, *values):
    with pytest.raises(DatabaseError) as caught, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, values)
    return str(caught.value)


def test_a_row_without_its_event_is_refused():
    row = placed(rows.account())
    now = datetime(2026, 3, 3, tzinfo=UTC)
    lift = "UPDATE margin_restriction SET lifted_at = %s, lifted_by = 'eve', lift_reason = 'x' WHERE id = %s"
    assert "has no event" in refused(lift, now, row.pk)
    assert "has no event" in refused("UPDATE margin_restriction SET ends_at = %s WHERE id = %s", now, row.pk)
    insert = (
        "INSERT INTO margin_restriction (account_id, effect, origin, source, starts_at, reason, placed_by, placed_seq,"
        " seq, lifted_by, lift_reason) VALUES (%s, 'cash_only', 'person', 'x', now(), 'x', 'eve', 9, 9, '', '')"
    )
    assert "has no event" in refused(insert, row.account_id)
    assert refused("DELETE FROM margin_restriction")
    assert refused("TRUNCATE margin_restriction CASCADE")


def test_the_database_refuses_a_waiver_by_one_person_and_by_another_name_than_its_event_says():
    row = placed(rows.account(), for_days=90)
    sue = rows.staff("sue", "Supervisor")
    waiver = strikes.waive(row, reason="x", at=AT, actor=sue)
    details = {"restriction": row.placed_seq}
    decided = (
        "UPDATE margin_waiver SET state = 'granted', decided_by_id = %s, decided_at = now(), decision = 'x', seq = %s"
    )
    with transaction.atomic():
        told = calls.tell(row.account_id, verb=calls.Verb.WAIVE, details=details, reason="x", at=AT, actor=sue)
        assert "waiver_needs_two_people" in refused(decided, sue.user_id, told.seq)
        other = rows.staff("cora", "Compliance").user_id
        assert "does not say what its event" in refused(decided, other, told.seq)
    waiver.refresh_from_db()
    assert waiver.is_open


def test_the_like_of_a_restriction_in_force_is_refused_by_the_database():
    account = rows.account()
    row = placed(account, for_days=None)
    one = restrictions.Placement(account.pk, row.effect, "person", row.source, "again")
    with pytest.raises(DatabaseError, match="restriction_does_not_overlap_its_like"), transaction.atomic():
        restrictions.write([one], [], at=AT + days(1), actor=CLOCKWORK)


STEPS = st.lists(
    st.tuples(st.sampled_from(["place", "lift", "propose", "decide", "settle"]), st.integers(0, 40), st.integers(0, 2)),
    max_size=14,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_after_any_sequence_the_register_is_what_the_history_tells_and_no_like_overlaps(steps):
    account, at = rows.account(), AT
    people = [rows.staff("sue", "Supervisor"), rows.staff("cora", "Compliance"), rows.staff("ria", "Risk")]
    for step, hours, pick in steps:
        at += timedelta(hours=hours * 20)
        with suppress(calls.CallError):
            walk(account, step, at, people[pick], list(Effect)[pick])
    assert restrictions.rebuilt(account) == restrictions.register(account)
    rows_ = list(Restriction.objects.filter(account=account).order_by("starts_at", "pk"))
    for effect in {row.effect for row in rows_}:
        like = [row for row in rows_ if row.effect == effect]
        assert all(first.lifted_at and first.lifted_at <= second.starts_at for first, second in pairwise(like))
    assert all(one.decided_by_id != one.proposed_by_id for one in Waiver.objects.filter(account=account))


def walk(account, step, at, actor, effect):
    standing = Restriction.objects.unlifted().filter(account=account).first()
    waiver = Waiver.objects.filter(account=account, state="open").first()
    if step == "place":
        ends_at = at + days(10 if effect != Effect.NO_WITHDRAWAL else 90)
        restrictions.place(account, effect=effect, reason="x", ends_at=ends_at, at=at, actor=actor)
    elif step == "lift" and standing:
        restrictions.lift(standing, reason="x", at=at, actor=actor)
    elif step == "propose" and standing:
        strikes.waive(standing, reason="x", at=at, actor=actor)
    elif step == "decide" and waiver:
        strikes.decide(waiver, is_granted=True, reason="x", at=at, actor=actor)
    elif step == "settle":
        settle(at)
