"""Rungs of warnings: each warns once a crossing, keeps its own row, and the deepest alone is told."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import Position
from margin import decisions, policies, rows, sweep
from margin.models import Event, Warning
from margin.workflow import RUNG, Verb, decide
from notifications import notices
from notifications.models import Notice
from tests.margin import rows as made
from tests.margin.test_warnings import PATHS, crossings, figures
from tests.margin.world import HOUSE, MONDAY, long_account, minutes, quote, securities

D = Decimal
RATES = {"watch": D("1.25"), RUNG: D("1.10"), "final": D("1.03")}
STATED = {**HOUSE, "watch_rate": "1.5", "warning_rates": {"watch": "1.25", "final": "1.03"}}
READING = policies.parse(securities(STATED))


def walked(covers):
    """What is said along a path of covers: (verb, rung, whether it is told); rungs keep their open warnings."""
    said, opened = [], set()
    rule = READING.terms.regime("house").rule
    for cover in covers:
        now = decisions.standing(figures(cover), READING, ())
        for one in decide(now, None, is_warned_already=RUNG in opened, rungs=opened - {RUNG}, rule=rule, at=MONDAY):
            said.append((one.verb, one.rung, not one.is_quiet))
            if one.verb == Verb.WARN:
                assert one.rung not in opened
                opened.add(one.rung)
            elif one.verb == Verb.CLEAR:
                opened.remove(one.rung)
    return said


@given(path=PATHS)
def test_every_rung_warns_exactly_once_a_crossing(path):
    said = walked(path)
    for rung, rate in RATES.items():
        raised = [one for one in said if one[:2] == (Verb.WARN, rung)]
        assert len(raised) == crossings(path, rate, D("1.02"))


@given(path=st.lists(st.integers(900, 1400).map(lambda n: D(n) / 1000), max_size=60))
def test_a_call_closes_the_warnings_of_every_rung(path):
    opened = set()
    for verb, rung, _ in walked([*path, D("0.9")]):
        opened = opened | {rung} if verb == Verb.WARN else opened - {rung}
    assert not opened


@pytest.mark.parametrize(("rung", "rate"), RATES.items())
def test_swinging_by_a_tenth_of_a_per_cent_about_a_rung_warns_once(rung, rate):
    path = [rate * (1 + D(sign) / 1000) for sign in (1, -1) * 50]
    assert [one for one in walked(path) if one[1] == rung] == [(Verb.WARN, rung, True)]


def test_a_fall_past_several_rungs_tells_the_deepest_alone():
    assert walked([D(2), D("1.02")]) == [
        (Verb.WARN, "watch", False),
        (Verb.WARN, "warn", False),
        (Verb.WARN, "final", True),
    ]


def test_a_rung_that_the_policy_no_longer_states_is_over():
    now = decisions.standing(figures(D("1.2")), READING, ())
    rule = READING.terms.regime("house").rule
    said = decide(now, None, is_warned_already=False, rungs={"watch", "early"}, rule=rule, at=MONDAY)
    assert [(one.verb, one.rung) for one in said] == [(Verb.CLEAR, "early")]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"warning_rates": {"warn": "1.2"}}, "not 'warn'"),
        ({"warning_rates": {"a rung": "1.2"}}, "word"),
        ({"warning_rates": {"watch": "1"}}, "above 1"),
        ({"warning_rates": {"watch": "1.10"}}, "differ"),
        ({"warning_rates": {"watch": "1.6"}}, "watch_rate"),
        ({"watch_rate": None}, "watch_rate"),
    ],
)
def test_rungs_that_cannot_be_are_refused(changes, says):
    with pytest.raises(policies.BadTerms, match=says):
        policies.parse(securities({**STATED, **changes}))


@pytest.mark.django_db
def test_each_rung_keeps_its_own_warning_and_one_letter_is_prepared():
    made.policy("us_margin", securities(STATED))
    stock = made.equity("AAA")
    account = long_account("1000", "64000", stock)  # cover 36,000 ÷ 30,000 = 1.20

    def at_cash(cash, at):
        Position.objects.filter(account=account, instrument__code="USD").update(quantity=D(cash))
        quote(stock, "100", at)
        sweep.run("securities", at=at)
        notices.prepare(at=at)
        return set(Warning.objects.filter(cleared_at=None).values_list("rung", flat=True))

    assert at_cash("-64000", MONDAY) == {"watch"}
    assert at_cash("-69400", MONDAY + minutes(15)) == {"watch", "warn", "final"}  # 30,600 ÷ 30,000 = 1.02
    raised = Event.objects.filter(account=account, kind="warning.raised").order_by("seq")
    assert [rows.read(one)["details"]["rung"] for one in raised] == ["watch", "warn", "final"]
    assert list(Notice.objects.order_by("pk").values_list("event", flat=True)) == [raised[0].pk, raised[2].pk]
    assert at_cash("-67000", MONDAY + minutes(30)) == {"watch", "warn"}  # 1.10: final clears at 1.0506
    assert at_cash("-70100", MONDAY + minutes(45)) == set()  # 29,900: the call closes them
    assert set(Warning.objects.filter(cleared_by="call").values_list("rung", flat=True)) == {"watch", "warn"}
