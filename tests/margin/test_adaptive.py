"""Rates that follow volatility, from stored closes to a sweep: published once a day, read like an exchange's."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from io import StringIO

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from accounts import positions
from margin import adaptive, replay, sweep
from margin.engine import adaptive as model
from margin.models import Assessment, Measure
from market import closes
from market.models import CorporateAction, ParameterSet
from tests.margin import rows, world
from tests.margin.world import CLOCK, MONDAY, quote

D = Decimal
FRIDAY = MONDAY.date() - timedelta(days=3)
MODEL = {"kind": "ewma", "days": 1, "option": "none"}
TERMS = {"parameters": "house-rates", "model": MODEL, "maintenance_rate": "0.5"}
PART = {"methodology": "volatility", "measure": "requirement", "kinds": ["equity"], "terms": TERMS}
REGIME = {
    "regime": "house",
    "methodology": "cross",
    "measure": "requirement",
    "kinds": ["equity"],
    "terms": {},
    "clock": CLOCK,
    "watch_rate": "100",
    "parts": [PART],
}


def walk(count=300):
    """Prices whose returns are one per cent up or down."""
    signs = np.random.default_rng(2).choice([-1, 1], count)
    return [D(f"{price:.4f}") for price in 50 * np.cumprod(1 + 0.01 * signs)]


def record(instrument, prices, *, last=FRIDAY):
    days = [last - timedelta(days=len(prices) - 1 - place) for place in range(len(prices))]
    listed = [closes.Incoming(instrument.code, on, price, "test") for on, price in zip(days, prices, strict=True)]
    closes.record(listed, at=MONDAY)


@pytest.fixture
def xyz(committed_db):
    rows.policy("us_margin", world.securities(REGIME))
    shares = rows.equity("XYZ")
    quote(shares, "50", MONDAY)
    return shares


def held(instrument, quantity="100", owed="-4000"):
    account = rows.account()
    listed = [(account.pk, instrument.pk, D(quantity), None), (account.pk, rows.cash().pk, D(owed), None)]
    positions.write(listed, cause="book", reference="test", effective_at=MONDAY)
    return account


def test_a_sweep_asks_the_published_rate_and_its_replay_too(xyz):
    record(xyz, walk())
    held(xyz)
    (published,) = adaptive.publish(on=FRIDAY, at=MONDAY)
    assert (published.rates, published.refused, published.is_new) == (1, {}, True)
    # every return is 1 %, so the volatility is 1 %, and 2.326348 of it are lost once in a hundred days
    rate = D(ParameterSet.objects.get().document["rates"]["XYZ"])
    assert rate == pytest.approx(D("0.023264"), abs=D("0.000005"))
    done = sweep.run("securities", at=MONDAY)
    measure = Measure.objects.get()
    assert measure.requirement == (2500 * rate).quantize(D("0.01"), "ROUND_CEILING")
    assert replay.run(done).differences == []


def test_publishing_again_changes_nothing(xyz):
    record(xyz, walk())
    assert [one.is_new for one in adaptive.publish(on=FRIDAY, at=MONDAY)] == [True]
    assert [one.is_new for one in adaptive.publish(on=FRIDAY, at=MONDAY)] == [False]


def test_too_short_a_history_is_named_and_leaves_the_holder_unpriced(xyz):
    record(xyz, walk(100))
    held(xyz)
    (published,) = adaptive.publish(on=FRIDAY, at=MONDAY)
    assert published.refused == {"XYZ": "ewma needs 250 returns before the first day, and 99 are known"}
    sweep.run("securities", at=MONDAY)
    (reason,) = Assessment.objects.get().reasons
    assert reason.startswith("XYZ: no rate in house-rates of 2026-02-27: ewma needs 250 returns")


def test_a_document_that_is_too_old_does_not_count(xyz):
    record(xyz, walk(), last=FRIDAY - timedelta(days=10))
    held(xyz)
    adaptive.publish(on=FRIDAY - timedelta(days=10), at=MONDAY)
    sweep.run("securities", at=MONDAY)
    assert "is 13 days old" in Assessment.objects.get().reasons[0]


def test_a_split_is_no_fall(xyz):
    prices = walk()
    before = [7 * price for price in prices[:200]]
    record(xyz, [*before, *prices[200:]])
    split = datetime.combine(FRIDAY - timedelta(days=99), datetime.min.time(), tzinfo=MONDAY.tzinfo)
    columns = {"approved_by_id": None, "reason": "7:1", "new_per_old": D(7), "effective_at": split}
    action = CorporateAction.objects.create(kind="split", instrument=xyz, **columns)
    CorporateAction.objects.filter(pk=action.pk).update(approved_by=rows.staff("risk.two", "Risk").user_id)
    history = closes.history([xyz], until=FRIDAY, days=4000)[xyz.pk]
    assert np.abs(np.diff(np.log(history))).max() < 0.011


def test_a_correction_of_a_close_counts(xyz):
    record(xyz, [D(50), D(51), D(52)])
    record(xyz, [D(53)])
    assert closes.history([xyz], until=FRIDAY, days=30) == {xyz.pk: [50.0, 51.0, 53.0]}
    assert closes.history([xyz], until=FRIDAY - timedelta(days=1), days=30) == {xyz.pk: [50.0, 51.0]}


def test_two_policies_may_not_mean_different_models_by_one_name(xyz):
    other = {**PART, "terms": {**TERMS, "model": {**MODEL, "kind": "garch"}}}
    rows.policy("us_other", world.securities({**REGIME, "parts": [other]}))
    with pytest.raises(adaptive.Contradiction, match="give them different names"):
        adaptive.publish(on=FRIDAY, at=MONDAY)
    assert not ParameterSet.objects.exists()


def test_the_command_publishes_and_says_who_has_no_rate(xyz):
    record(xyz, walk())
    rows.equity("NEWCO")
    printed = StringIO()
    call_command("adapt_rates", on=FRIDAY, stdout=printed)
    assert "house-rates of 2026-02-27: 1 rates, published" in printed.getvalue()
    assert "no rate, 0 closes are known: NEWCO" in printed.getvalue()


def test_the_command_says_that_nobody_asks(committed_db):
    with pytest.raises(CommandError, match="no policy in force has a volatility part"):
        call_command("adapt_rates", on=date(2026, 2, 27))


def test_the_name_of_a_model_tells_models_apart():
    names = {model.Model("ewma").name, model.Model("fhs").name, model.Model("fhs", days=1).name}
    assert len(names) == 3
    assert model.Model("fhs").name == "fhs-0.99-2d-0.94-1250-250-buffer-0.25"
