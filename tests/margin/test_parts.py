"""Regimes with parts on stored accounts: options with their stock, portfolio margin, concentration."""

from datetime import UTC, datetime
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from margin import assessments, replay, sweep, whatif
from margin.engine import memory
from margin.models import Assessment, Charge, MarginCall, Measure, Shard
from market.models import Rate
from tests.margin import options, rows, world
from tests.margin.options import CONCENTRATION, NET_LIQUIDATING, D, account, option, strategies
from tests.margin.world import MONDAY, quote


@pytest.fixture
def xyz(committed_db):
    return options.quoted_xyz()


@pytest.fixture
def money(committed_db):
    """Money costs 4 %."""
    Rate.objects.create(kind="risk_free", currency="USD", value=D("0.04"), source="test", effective_at=MONDAY)


def swept():
    done = sweep.run("securities", at=MONDAY)
    done.refresh_from_db()
    return done


def test_covered_calls_and_naked_puts_are_called_by_the_strategy_rules(xyz):
    # Stock 50,000 at 30 %: 15,000, its ten calls covered. Puts: 1 + max(20 % × 50 − 5, 10 % × 45) = 6 a share: 3,000.
    # Equity 50,000 − 33,000 = 17,000, options outside it. Deficit 1,000.
    strategies()
    made = account("us_margin", "-33000", XYZ=1000, XYZ_C55=-10, XYZ_P45=-5)
    done = swept()
    assert (done.evaluated, done.unpriced) == (1, 0)
    call = MarginCall.objects.get()
    assert (call.account, call.amount_called) == (made, 1000)
    measure = Measure.objects.get()
    assert (measure.equity, measure.requirement, measure.deficit) == (17000, 18000, 1000)
    charges = Charge.objects.filter(measure=measure)
    assert sum(charge.amount for charge in charges) == 18000
    assert all(charge.explanation["sentence"] and charge.explanation["law"] for charge in charges)


def test_shares_without_options_on_them_stay_with_regulation_t(xyz):
    strategies()
    other = rows.equity("ABC")
    quote(other, "10", MONDAY)
    account("us_margin", "-7500", ABC=1000)
    swept()
    assert {charge.code for charge in Charge.objects.all()} == {"finra_4210_c", "house"}
    assert Measure.objects.get().requirement == 3000


def test_concentration_adds_to_what_the_strategies_ask(xyz):
    strategies(CONCENTRATION)
    account("us_margin", "-65000", XYZ=2000)  # 100,000 in one name: 40 % rather than 30 %
    swept()
    assert Measure.objects.get().requirement == 40000


def test_portfolio_margin_measures_net_liquidating_value(xyz):
    # −15 % of 100,000 is 15,000; equity 100,000 − 85,100 = 14,900: deficit 100
    rows.policy("us_portfolio", world.securities(NET_LIQUIDATING))
    account("us_portfolio", "-85100", XYZ=2000)
    swept()
    measure = Measure.objects.get()
    assert (measure.equity, measure.requirement, measure.deficit) == (14900, 15000, 100)


def test_options_count_at_their_value_in_portfolio_margin(xyz, money):
    # Twenty puts are worth 2,000 of equity. At 42.50 they are worth 2.50 a share or more: at most 12,000 is lost.
    rows.policy("us_portfolio", world.securities(NET_LIQUIDATING))
    account("us_portfolio", "-97000", XYZ=2000, XYZ_P45=20)
    swept()
    measure = Measure.objects.get()
    assert measure.equity == 5000
    assert 5000 < measure.requirement < 12000


def test_without_a_risk_free_rate_the_option_cannot_be_valued_and_its_holder_is_unpriced(xyz):
    rows.policy("us_portfolio", world.securities(NET_LIQUIDATING))
    account("us_portfolio", "-97000", XYZ=2000, XYZ_P45=20)
    assert swept().unpriced == 1
    assert "risk_free: no rate for USD" in Assessment.objects.get().reasons[0]


def test_an_option_whose_underlying_has_no_price_leaves_its_holder_unpriced(xyz):
    strategies()
    other = rows.equity("ABC")
    quote(option(other, "call", "10"), "1", MONDAY)
    account("us_margin", "0", ABC_C10=-1)
    assert swept().unpriced == 1
    assert "ABC" in Assessment.objects.get().reasons[0]


def test_the_day_on_which_a_long_option_loses_its_loan_value_is_announced(xyz):
    # 1,000 of value is asked 750: 250 of it helps, until nine months are left.
    strategies()
    long = option(xyz, "call", "50", expires_at=datetime(2027, 1, 15, 21, 0, tzinfo=UTC))
    quote(long, "10", MONDAY)
    made = account("us_margin", "0", XYZ_C50=1)
    (regime,) = assessments.explain(made, at=MONDAY)["regimes"]
    assert (regime["equity"]["amount"], regime["requirement"]["amount"]) == ("1000", "750")
    said = "XYZ-C50 has no loan value any more"
    assert regime["forecast"] == [{"on": "2026-04-15", "amount": "250", "reason": said}]
    printed = StringIO()
    call_command("explain", made.code, at=MONDAY, stdout=printed)
    assert f"2026-04-15: 250 USD more needed: {said}" in printed.getvalue()


def test_a_replay_hears_what_models_said_then_and_says_what_no_longer_holds(xyz, money):
    rows.policy("us_portfolio", world.securities(NET_LIQUIDATING))
    account("us_portfolio", "-97000", XYZ=2000, XYZ_P45=20)
    done = swept()
    shard = done.shards.get()
    notes = memory.Notes.unpack(bytes(shard.said))
    key = max(notes.answers, key=lambda digest: notes.answers[digest].size)
    notes.answers[key] *= 1 + 1e-12  # another processor
    Shard.objects.filter(pk=shard.pk).update(said=notes.pack())
    same = replay.run(done)
    assert (same.differences, same.models.beyond) == ([], 0)
    assert 0 < same.models.worst < 1e-9
    notes.answers[key] *= 1.01  # another model
    Shard.objects.filter(pk=shard.pk).update(said=notes.pack())
    assert replay.run(done).models.beyond > 0
    with pytest.raises(CommandError, match=r"model values of then do not hold now|differences"):
        call_command("replay", done.pk, stdout=StringIO(), stderr=StringIO())


def test_sweep_explain_replay_and_what_if_agree_to_the_cent(xyz, money):
    strategies(CONCENTRATION)
    rows.policy("us_portfolio", world.securities(NET_LIQUIDATING))
    books = (
        ("us_margin", "-33000", {"XYZ": 1000, "XYZ_C55": -10, "XYZ_P45": -5}),
        ("us_margin", "-5000", {"XYZ_C55": 7, "XYZ_P45": -9}),
        ("us_margin", "-65000", {"XYZ": 2000}),
        ("us_portfolio", "-46000", {"XYZ": 1000, "XYZ_C55": -10}),
        ("us_portfolio", "3100", {"XYZ_C55": -10, "XYZ_P45": -10}),
    )
    made = [account(agreement, cash, **held) for agreement, cash, held in books]
    done = swept()
    result = replay.run(done)
    assert (result.evaluated, result.differences) == (len(made), [])
    assert (result.models.unknown, result.models.beyond) == (0, 0)
    assert result.models.recalled > 0
    compared = 0
    for one in made:
        tree = assessments.explain(one, at=MONDAY)
        asked = whatif.of_book(whatif.export(one, at=MONDAY))["accounts"][0]
        for told, supposed in zip(tree["regimes"], asked["regimes"], strict=True):
            charges = [D(charge["amount"]) for charge in told["requirement"]["charges"]]
            assert sum(charges) == D(told["requirement"]["amount"])
            stored = Measure.objects.filter(assessment__account=one, regime=told["regime"]).first()
            if stored is not None:
                compared += 1
                assert stored.requirement == D(told["rounding"]["requirement"]) == D(supposed["requirement"])
                assert stored.equity == D(told["rounding"]["equity"]) == D(supposed["equity"])
    assert compared >= 4
