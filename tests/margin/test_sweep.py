"""The thin thread: a price, a sweep, a call; and what later sweeps make of it."""

from decimal import Decimal

import pytest

from accounts.models import CashMovement, Position
from margin import calls, history, sweep
from margin.actors import system
from margin.models import Assessment, Charge, Event, MarginCall, Measure, Sweep, Warning
from market.models import CorporateAction, HeldQuote
from tests.margin import rows, world
from tests.margin.world import MONDAY, minutes, quote

pytestmark = pytest.mark.django_db


@pytest.fixture
def xyz():
    rows.policy("us_margin", world.securities())
    return rows.equity("XYZ")


def swept(at, kind="securities"):
    done = sweep.run(kind, at=at)
    done.refresh_from_db()
    return done


def test_a_deficit_becomes_one_call_with_its_figures_and_charges(xyz):
    # 100 × 50.00 = 5,000.00; equity 5,000 − 3,600 = 1,400.00; house 30 % = 1,500.00; deficit 100.00
    account = world.long_account("100", "3600", xyz)
    quote(xyz, "50", MONDAY)
    run = swept(MONDAY)
    call = MarginCall.objects.get()
    assert (call.account, call.regime, call.state) == (account, "house", "issued")
    assert (call.amount_called, call.amount_outstanding, call.currency) == (100, 100, "USD")
    assert call.due_at == MONDAY + minutes(24 * 60)
    measure = Measure.objects.get(assessment=call.assessment, regime="house")
    assert (measure.equity, measure.requirement, measure.deficit) == (1400, 1500, 100)
    assert sum(Charge.objects.filter(measure=measure).values_list("amount", flat=True)) == 1500
    assert (run.state, run.eligible, run.evaluated, run.unpriced) == ("complete", 1, 1, 0)


def test_the_same_sweep_twice_changes_nothing(xyz):
    world.long_account("100", "3600", xyz)
    quote(xyz, "50", MONDAY)
    swept(MONDAY)
    assert sweep.run("securities", at=MONDAY) is None
    swept(MONDAY + minutes(5))
    assert MarginCall.objects.count() == Event.objects.count() == 1


def test_a_quiet_account_leaves_no_rows_but_is_counted(xyz):
    world.long_account("100", "1000", xyz)
    quote(xyz, "50", MONDAY)
    assert swept(MONDAY).evaluated == 1
    assert not Assessment.objects.exists()


def test_a_missing_price_is_shown_and_never_called(xyz):
    account = world.long_account("100", "3600", xyz)
    run = swept(MONDAY)
    assert (run.state, run.evaluated, run.unpriced) == ("complete", 0, 1)
    found = Assessment.objects.get(account=account)
    assert found.status == "unpriced"
    assert "XYZ" in found.reasons[0]
    assert not MarginCall.objects.exists()


def test_a_stale_price_neither_calls_nor_clears(xyz):
    world.long_account("100", "3600", xyz)
    quote(xyz, "50", MONDAY)
    swept(MONDAY)
    run = swept(MONDAY + minutes(60))
    assert run.unpriced == 1
    assert "stale" in Assessment.objects.get(sweep=run).reasons[0]
    assert MarginCall.objects.get().state == "issued"


def test_a_price_in_quarantine_leaves_the_account_unpriced(xyz):
    world.long_account("100", "3600", xyz)
    quote(xyz, "500", MONDAY)
    HeldQuote.objects.create(instrument=xyz, source="test", as_of=MONDAY, mark=Decimal(50), reason="jump")
    run = swept(MONDAY)
    assert (run.unpriced, MarginCall.objects.count()) == (1, 0)


def test_a_price_from_before_a_split_is_not_used(xyz):
    world.long_account("100", "3600", xyz)
    quote(xyz, "50", MONDAY)
    people = [rows.staff(name, "Risk").user_id for name in ("rita", "ron")]
    CorporateAction.objects.create(
        kind="split", instrument=xyz, effective_at=MONDAY + minutes(1), new_per_old=2, reason="2:1",
        proposed_by_id=people[0], approved_by_id=people[1], approved_at=MONDAY,
    )  # fmt: skip
    assert swept(MONDAY).unpriced == 0
    run = swept(MONDAY + minutes(2))
    assert "before the split" in Assessment.objects.get(sweep=run).reasons[0]


def test_the_market_cures_where_the_policy_says_so(xyz):
    world.long_account("100", "3600", xyz)
    quote(xyz, "50", MONDAY)
    swept(MONDAY)
    quote(xyz, "55", MONDAY + minutes(5))
    swept(MONDAY + minutes(5))
    call = MarginCall.objects.get()
    assert (call.state, call.resolution, call.amount_outstanding) == ("met", "market", 0)


def test_a_deposit_cures_the_call_and_is_used_once(xyz):
    account = world.long_account("100", "3600", xyz)
    quote(xyz, "50", MONDAY)
    swept(MONDAY)
    deposit(account, "100", MONDAY + minutes(1))
    swept(MONDAY + minutes(5))
    call = MarginCall.objects.get()
    assert (call.state, call.resolution) == ("met", "cash")
    assert call.cures.get().release == 100
    assert list(Event.objects.values_list("kind", flat=True)) == ["call.issued", "cure.applied", "call.met"]


def test_part_of_the_money_lowers_what_is_outstanding(xyz):
    account = world.long_account("100", "3600", xyz)
    quote(xyz, "50", MONDAY)
    swept(MONDAY)
    deposit(account, "40", MONDAY + minutes(1))
    swept(MONDAY + minutes(5))
    call = MarginCall.objects.get()
    assert (call.state, call.amount_called, call.amount_outstanding) == ("issued", 100, 60)


def test_a_growing_deficit_raises_the_amount_of_the_same_call(xyz):
    world.long_account("100", "3600", xyz)
    quote(xyz, "50", MONDAY)
    swept(MONDAY)
    quote(xyz, "49", MONDAY + minutes(5))
    swept(MONDAY + minutes(5))
    # 4,900 − 3,600 = 1,300 against 1,470: 170
    call = MarginCall.objects.get()
    assert (call.amount_called, call.amount_outstanding, call.due_at) == (170, 170, MONDAY + minutes(1440))


def test_the_deadline_escalates_only_once_an_attempt_to_tell_is_provable(xyz):
    world.long_account("100", "3600", xyz)
    quote(xyz, "50", MONDAY)
    swept(MONDAY)
    late = MONDAY + minutes(24 * 60 + 1)
    quote(xyz, "50", late)
    swept(late)
    assert MarginCall.objects.get().state == "issued"
    calls.notified([MarginCall.objects.get().pk], at=late, actor=system("notices"))
    swept(late + minutes(1))
    call = MarginCall.objects.get()
    assert (call.state, call.escalation_cause) == ("escalated", "deadline")


def test_severity_escalates_without_waiting(xyz):
    world.long_account("100", "3600", xyz)
    quote(xyz, "50", MONDAY)
    swept(MONDAY)
    quote(xyz, "35", MONDAY + minutes(5))  # equity 3,500 − 3,600 < 0
    swept(MONDAY + minutes(5))
    assert MarginCall.objects.get().escalation_cause == "severity"


def test_a_warning_is_raised_once_and_clears_with_hysteresis(xyz):
    world.long_account("100", "3400", xyz)
    quote(xyz, "50", MONDAY)  # equity 1,600, warning below 1,650
    swept(MONDAY)
    quote(xyz, "50.80", MONDAY + minutes(1))  # 1,680 against 1,676.40 × 1.02 = 1,709.93: not yet clear
    swept(MONDAY + minutes(1))
    assert Warning.objects.get().cleared_at is None
    quote(xyz, "52", MONDAY + minutes(2))  # 1,800 against 1,716 × 1.02 = 1,750.32
    swept(MONDAY + minutes(2))
    assert Warning.objects.get().cleared_by == "recovery"
    assert list(Event.objects.values_list("kind", flat=True)) == ["warning.raised", "warning.cleared"]


def test_a_warning_that_becomes_a_call_is_closed_by_it(xyz):
    world.long_account("100", "3400", xyz)
    quote(xyz, "50", MONDAY)
    swept(MONDAY)
    quote(xyz, "48", MONDAY + minutes(1))
    swept(MONDAY + minutes(1))
    assert Warning.objects.get().cleared_by == "call"
    assert MarginCall.objects.count() == 1


def test_a_loan_is_called_at_its_rung_and_restored_to_its_target():
    # derivatives §0: L = 150,000, C = 180,000, T = 0.65: repay 33,000
    rows.policy("crypto_loan", world.crypto())
    coin = rows.equity("COIN", kind="crypto", max_age_seconds=120)
    account = world.long_account("18", "150000", coin, agreement="crypto_loan")
    quote(coin, "10000", MONDAY)
    swept(MONDAY, "crypto")
    call = MarginCall.objects.get(account=account)
    assert (call.regime, call.amount_called) == ("loan", 33000)


def test_a_loan_beyond_the_liquidation_rung_is_escalated_and_a_plan_proposed():
    rows.policy("crypto_loan", world.crypto())
    coin = rows.equity("COIN", kind="crypto", max_age_seconds=120)
    world.long_account("18", "150000", coin, agreement="crypto_loan")
    quote(coin, "10000", MONDAY)  # LTV 83.3 %
    for minute in range(3):
        swept(MONDAY + minutes(minute), "crypto")
    call = MarginCall.objects.get()
    assert (call.state, call.escalation_cause) == ("escalated", "severity")
    plan = call.plans.get()
    assert plan.proposed_by is None
    # sell S with 1 % fee: (150,000 − 0.65 × 180,000) ÷ (0.99 − 0.65) = 97,058.8…: 10 of 18 coins
    assert [line.quantity for line in plan.lines.all()] == [-10]


def test_chains_are_intact_after_all_that(xyz):
    world.long_account("100", "3600", xyz)
    quote(xyz, "50", MONDAY)
    swept(MONDAY)
    quote(xyz, "35", MONDAY + minutes(5))
    swept(MONDAY + minutes(5))
    assert history.verify_all().is_intact


def test_a_sweep_stores_only_the_prices_that_changed(xyz):
    other = rows.equity("ABC")
    quote(xyz, "50", MONDAY)
    quote(other, "10", MONDAY)
    first = swept(MONDAY)
    quote(xyz, "51", MONDAY + minutes(1))
    second = swept(MONDAY + minutes(1))
    assert (first.prices.count(), second.prices.count()) == (2, 1)


def deposit(account, amount, at):
    dollars = rows.cash()
    CashMovement.objects.create(
        account=account,
        currency=dollars,
        kind="deposit",
        amount=Decimal(amount),
        source="bank",
        external_reference=f"{account.code}-{amount}-{at.isoformat()}",
        effective_at=at,
    )
    position = Position.objects.get(account=account, instrument=dollars)
    position.quantity += Decimal(amount)
    position.save()
    account.revision.number += 1
    account.revision.save()


def test_sweeps_are_found_by_kind(xyz):
    assert swept(MONDAY).kind == Sweep.objects.get().kind == "securities"
