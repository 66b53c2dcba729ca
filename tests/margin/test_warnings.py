"""Warnings before calls: once a crossing, earlier where the client or the chance of a call asks for it, and counted."""

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts import alerts
from accounts.models import AccountChange, Position
from margin import decisions, policies, prices, rows, snapshot, sweep, warnings
from margin.engine.columns import Figures, Status
from margin.models import Event, Warning
from margin.workflow import Verb, decide
from tests.margin import rows as made
from tests.margin.world import HOUSE, MONDAY, long_account, minutes, quote, securities

D = Decimal
READING = policies.parse(securities({**HOUSE, "watch_rate": "2.5"}))


def figures(cover):
    requirement = D(1000)
    equity = (requirement * cover).quantize(D("0.01"))
    status = Status.DEFICIT if equity < requirement else Status.WARNING if equity < D(1100) else Status.QUIET
    return Figures(
        7,
        "house",
        status,
        "USD",
        1,
        equity=equity,
        requirement=requirement,
        warning_requirement=D(1100),
        amount=max(requirement - equity, D(0)),
    )


def walked(covers, **more):
    """What is said along a path of covers: the verbs, one warning being open or not."""
    said, is_open = [], False
    for cover in covers:
        now = decisions.standing(figures(cover), READING, (), **more)
        rule = READING.terms.regime("house").rule
        for one in decide(now, None, is_warned_already=is_open, rule=rule, at=MONDAY):
            said.append(one.verb)
            is_open = one.verb == Verb.WARN or (is_open and one.verb != Verb.CLEAR)
    return said


# --- once a crossing --------------------------------------------------------------------------------


def crossings(covers, level, clear):
    """By pencil: how often a path comes below the level, at first or after it was at the level × clear or above."""
    count, is_armed = 0, True
    for cover in covers:
        if is_armed and cover < level:
            count, is_armed = count + 1, False
        elif cover >= level * clear:
            is_armed = True
    return count


PATHS = st.lists(st.integers(1000, 2600).map(lambda n: D(n) / 1000), max_size=60)


@given(path=PATHS)
def test_every_crossing_warns_exactly_once(path):
    assert walked(path).count(Verb.WARN) == crossings(path, D("1.1"), D("1.02"))


@given(path=PATHS, alert=st.integers(1101, 2400).map(lambda n: D(n) / 1000))
def test_a_clients_own_level_warns_once_a_crossing_and_never_later_than_the_policy(path, alert):
    assert walked(path, alert=alert).count(Verb.WARN) == crossings(path, alert, D("1.02"))


@given(path=PATHS, alert=st.integers(1001, 1099).map(lambda n: D(n) / 1000))
def test_a_client_cannot_be_warned_later(path, alert):
    assert walked(path, alert=alert) == walked(path)


def test_swinging_by_a_tenth_of_a_per_cent_warns_once():
    path = [D("1.1") * (1 + D(sign) / 1000) for sign in (1, -1) * 50]
    assert walked(path) == [Verb.WARN]
    assert walked([cover * D("1.5") for cover in path], alert=D("1.65")) == [Verb.WARN]


@pytest.mark.parametrize(
    ("chance", "is_warned", "is_recovered"),
    [("0.30", True, False), ("0.295", False, False), ("0.29", False, True), (None, False, True)],
)
def test_a_likely_call_warns_however_good_the_cover(chance, is_warned, is_recovered):
    stated = {**securities({**HOUSE, "warning_probability": "0.3"}), "chances": {}}
    found = decisions.standing(figures(D(2)), policies.parse(stated), (), chance=None if chance is None else D(chance))
    assert (found.is_warned, found.is_recovered) == (is_warned, is_recovered)


def test_a_probability_without_an_estimate_is_refused():
    with pytest.raises(policies.BadTerms, match="chances"):
        policies.parse(securities({**HOUSE, "warning_probability": "0.3"}))


# --- in a sweep -------------------------------------------------------------------------------------

CHANCES = {"horizon_days": 5, "volatilities": {"equity": "0.40"}}


def governed(**changes):
    made.policy("us_margin", {**securities(HOUSE), **changes})


@pytest.mark.django_db
def test_a_warning_says_cover_chance_and_the_price_that_brings_the_call():
    governed(chances=CHANCES)
    stock = made.equity("AAA")
    account = long_account("1000", "67500", stock)
    quote(stock, "100", MONDAY)
    sweep.run("securities", at=MONDAY)
    body = rows.read(Event.objects.get(account=account, kind="warning.raised"))
    # 32,500 ÷ 30,000. Called below 67,500 ÷ 700 = 96.42857…; ln(0.9642857) + σ²T/2 = -0.036368 + 0.0015873, over
    # σ√T = 0.4 √(5/252) = 0.0563436: Φ(-0.61730) = 0.2685, in steps of one world of 200.
    assert body["details"]["cover"] == "1.08333333"
    assert body["details"]["distances"] == [["AAA", "100", "96.43"]]
    assert abs(float(body["details"]["chance"]) - 0.2685) <= 0.005
    assert len(Event.objects.get(account=account, kind="warning.raised").body) < 1024


@pytest.mark.django_db
def test_nothing_is_said_of_a_chance_without_history_or_a_stated_volatility():
    governed(chances={"volatilities": {"crypto": "0.8"}})
    stock = made.equity("AAA")
    long_account("1000", "67500", stock)
    quote(stock, "100", MONDAY)
    sweep.run("securities", at=MONDAY)
    assert "chance" not in rows.read(Event.objects.get(kind="warning.raised"))["details"]


@pytest.mark.django_db
def test_a_client_is_warned_at_its_own_level_and_the_change_is_kept():
    governed()
    stock = made.equity("AAA")
    account = long_account("1000", "40000", stock)  # cover 2
    quote(stock, "100", MONDAY)
    sweep.run("securities", at=MONDAY)
    assert not Warning.objects.exists()
    alerts.state(account, D("2.5"), reason="asked by mail", by="ann")
    sweep.run("securities", at=MONDAY + minutes(15))
    assert Warning.objects.get().cover == 2
    kept = AccountChange.objects.filter(pgh_obj=account).latest("pgh_id")
    assert kept.alert_rate == D("2.5")
    assert kept.pgh_context.metadata["reason"] == "asked by mail"
    alerts.state(account, None, reason="no longer", by="ann")
    quote(stock, "100", MONDAY + minutes(30))
    sweep.run("securities", at=MONDAY + minutes(30))
    assert Warning.objects.get().cleared_by == "recovery"


@pytest.mark.django_db
@pytest.mark.parametrize("level", ["1", "0.9", "101", "1.00001", "NaN"])
def test_a_level_that_is_none_is_refused(level):
    with pytest.raises(alerts.BadLevel, match="warning level"):
        alerts.state(made.account(), D(level), reason="why not", by="ann")


@pytest.mark.django_db
def test_a_level_needs_a_reason():
    with pytest.raises(alerts.BadLevel, match="say why"):
        alerts.state(made.account(), D(2), reason=" ", by="ann")


# --- prevention -------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_prevention_counts_accounts_that_came_back_without_a_call():
    governed()
    stock = made.equity("AAA")
    back, called, _still, later = (long_account("1000", "67500", stock) for _ in range(4))
    quote(stock, "100", MONDAY)
    sweep.run("securities", at=MONDAY)
    assert warnings.prevention(MONDAY, MONDAY + timedelta(days=7)).undecided == 4
    for account, cash in ((back, "20000"), (called, "-10000"), (later, "20000")):
        Position.objects.filter(account=account, instrument__code="USD").update(quantity=D(cash) - 67500)
    sweep.run("securities", at=MONDAY + minutes(15))
    found = warnings.prevention(MONDAY, MONDAY + timedelta(days=7))
    assert (found.warned, found.prevented, found.called, found.undecided) == (4, 2, 1, 1)
    assert found.rate == D("0.6667")
    assert warnings.prevention(MONDAY + minutes(1), MONDAY + timedelta(days=7)).rate is None


# --- cushions ---------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_cushion_until_a_deadline_meets_the_closed_form():
    governed(chances=CHANCES)
    stock = made.equity("AAA")
    account = long_account("1000", "67500", stock)
    quote(stock, "100", MONDAY)
    snap = snapshot.take(
        prices=prices.gather(at=MONDAY),
        in_force=policies.in_force(MONDAY),
        accounts=snapshot.Accounts(ids=[account.pk]),
    )
    at_80, at_95 = warnings.cushions(snap, 0, until=MONDAY + timedelta(days=7))
    # 5 days: S at the 20 % and 5 % quantiles is 100 exp(-0.841621 w - w²/2) = 95.22, and with 1.644854: 91.01, where
    # w = 0.4 √(5/252) = 0.0563436. Missing is 67,500 - 700 S: 844 and 3,793; a world of 200 is about 0.02 w wide.
    assert abs(at_80.cash - 844) < 100
    assert abs(at_95.cash - 3793) < 250
    assert warnings.cushions(snap, 0, until=MONDAY) == []
