"""Published parameters in a sweep: the set in force counts, its digest is kept, and a replay goes by it."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from accounts import positions
from margin import replay, sweep
from margin.models import Assessment, MarginCall
from market import parameters
from market.models import Instrument
from tests.margin import rows, world
from tests.margin.world import MONDAY, minutes, quote

D = Decimal
FUTURES = {
    "regime": "futures",
    "methodology": "cross",
    "measure": "requirement",
    "kinds": ["cash"],
    "terms": {},
    "clock": world.CLOCK,
    "parts": [
        {"methodology": "span", "measure": "requirement", "kinds": ["future"], "terms": {"parameters": "cme"}},
    ],
}


def margins(maintenance, initial):
    outright = [{"on": "2026-01-01", "initial": initial, "maintenance": maintenance}]
    commodities = {"CL": {"currency": "USD", "outright": outright}}
    return {"on": "2026-03-02", "source": "Exchange", "commodities": commodities}


def publish(maintenance, initial):
    document = margins(maintenance, initial)
    return parameters.record("cme", document, kind="span", effective_on=MONDAY.date(), source="CME").stored


@pytest.fixture
def held(committed_db):
    """One contract bought at 70 and worth 70.50, with 4,000 in cash."""
    rows.policy("us_margin", world.securities(FUTURES))
    dollars, account = rows.cash(), rows.account()
    oil = Instrument.objects.create(
        code="CLJ6",
        name="Crude oil",
        kind="future",
        currency="USD",
        multiplier=1000,
        expires_at=datetime(2026, 3, 20, tzinfo=UTC),
        terms={"commodity": "CL"},
    )
    held = [(account.pk, oil.pk, D(1), D(70_000)), (account.pk, dollars.pk, D(4000), None)]
    positions.write(held, cause="book", reference="test", effective_at=MONDAY)
    quote(oil, "70.50", MONDAY)
    return account


def test_a_sweep_keeps_the_digest_of_what_it_went_by(held):
    first = publish("5000", "5500")
    done = sweep.run("securities", at=MONDAY)
    assert (done.evaluated, done.parameters) == (1, {"cme": first.digest})
    assert MarginCall.objects.get().amount_called == D(500)  # 4,000 + 500 of profit against 5,000
    publish("4000", "4400")
    later = sweep.run("securities", at=MONDAY + minutes(1))
    assert later.parameters != done.parameters
    measured = Assessment.objects.get(sweep=later).measures.get()
    assert (measured.requirement, measured.equity) == (D(4000), D(4500))
    assert [replay.run(past).differences for past in (done, later)] == [[], []]


def test_without_the_published_set_nobody_is_guessed_at(held):
    done = sweep.run("securities", at=MONDAY)
    assert (done.evaluated, done.unpriced, done.parameters) == (0, 1, {})
    assert "no parameters cme are loaded" in Assessment.objects.get().reasons[0]
