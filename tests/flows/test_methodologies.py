"""Every methodology on stored accounts: sweep, explanation, replay, what-if and stress say the same, to the cent."""

from dataclasses import dataclass
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import call_command

from accounts.models import Account
from margin import assessments, replay, stress, sweep, whatif
from margin.engine.methodologies import METHODOLOGIES, PARTS
from margin.hypothetical.document import StressGrid
from margin.models import Assessment, MarginCall, Measure, Sweep
from notifications import notices
from notifications.models import Notice
from tests.conftest import committed_clone
from tests.flows import every_methodology
from tests.margin.world import MONDAY

D = Decimal
# (account, regime) → (equity, requirement), by pencil
EXPECTED = {
    # 5,000 − 2,600; 30 % of 5,000
    ("reg_t", "house"): ("2400", "1500"),
    # 50,000 − 33,000, options outside it; 15,000, covered calls nothing, puts 5 × 100 × (1 + max(20 % × 50 − 5, 4.50))
    ("options", "house"): ("17000", "18000"),
    # 100,000 − 65,000; 40 % of one name rather than 30 %
    ("concentrated", "house"): ("35000", "40000"),
    # 100,000 − 85,100; 15 % of 100,000, and the least equity of a customer
    ("portfolio", "portfolio"): ("14900", "15000"),
    ("portfolio", "minimum_equity"): ("14900", "150000"),
    # 100,000 + 10 × 70,000 − 690,000; net 4 × 1,000 × 5, and 6 calendar spreads at 200
    ("span", "futures"): ("110000", "21200"),
    # at cost; 2 × 10,000
    ("outright", "futures"): ("15000", "20000"),
    # 200 × 1.25 + 500 − 800; nothing is asked
    ("cross", "house"): ("-50", "0"),
    # posted 1,000; 150,000 of exposure less the threshold of 30,000
    ("variation", "csa"): ("1000", "120000"),
    # posted 5,000; 2 % of 1,000,000 for three years, the only contract of its set
    ("initial", "csa"): ("5000", "20000"),
    # 4,000 + 1,000; √(3,000² + 4,000²)
    ("simm", "house"): ("5000", "5000"),
    # 50,000 − 38,000; 30 % of 50,000
    ("ltv", "loan"): ("12000", "15000"),
    # 80 % of 50,000 less 30,000 ÷ 0.8; 30 % of 40,000
    ("health", "loan"): ("2500", "12000"),
    # 1,000 + 50,000 − 48,000; 1 % of 50,000
    ("linear", "house"): ("3000", "500"),
    # 0.1 + 2.5 − 1,000 × 100 ÷ 50,000 coins; 1 % of 2 coins
    ("inverse", "house"): ("0.6", "0.02"),
    # 1,500,000 − 100,000, less 5 % of the first million and 10 % of the rest; 10 % of the debt
    ("collateral", "house"): ("1300000", "10000"),
    # 1,000 + 3,100 − 3,090; 0.8 × 18 % × 3,100 and 1.5 % × 3,000
    ("coins", "house"): ("1010", "491.40"),
    # 1,000 − 100; 7.5 % of 3,000
    ("standard", "house"): ("900", "225"),
    # 50,000 − 30,000; 75 % of 24 % of 50,000
    ("volatility", "house"): ("20000", "9000"),
}
# A model's requirement. Equity: 20,000 with a future at cost (what options owe is in the requirement, as SPAN has it),
# and 20,000 − 0.09 × 50,000.
MODELLED = {("black", "futures"): "20000", ("in coins", "house"): "15500"}
NAMES = (*dict.fromkeys(name for name, _ in EXPECTED), *(name for name, _ in MODELLED), "mixed")
# The mixed account: shares 50,000, calls −2,000, crude +3,000, index future at cost, inverse perpetual +0.05 coins, a
# coin of 50,000, EUR 12,500, coins in cash 10,000, a debt of 20,000; less 10 % of the shares, 5 % of 60,000 in coins.
MIXED_EQUITY = D(98_000)
MIXED = {
    "span": D(15_000) + D(4_000) * D("1.25"),  # 3 × 1,000 × 5 USD; 400 × 10 EUR
    "tiered": D("0.002") * 50_000,  # 1 % of 100 × 100 ÷ 50,000 coins
    "volatility": D(9_000),
    "collateral": D(2_000),  # 10 % of the debt
    "concentration": D(5_000),  # 5 % of the shares and 5 % of the coin; nothing else that is beyond 10 % is linear
}


@dataclass(frozen=True)
class House:
    """The accounts by name, and both sweeps."""

    accounts: dict[str, Account]
    sweeps: tuple[Sweep, ...]


@pytest.fixture(scope="module")
def house(server, django_db_setup, django_db_blocker):
    """Built and swept once; the tests of this module read, and one prepares letters."""
    with committed_clone(server, django_db_blocker):
        accounts = every_methodology.build()
        yield House(accounts, tuple(sweep.run(kind, at=MONDAY) for kind in ("securities", "crypto")))


def measure(house, name, regime):
    return Measure.objects.get(assessment__account=house.accounts[name], regime=regime)


def test_no_methodology_and_no_part_is_missing():
    stated = [*every_methodology.SECURITIES.values(), *every_methodology.CRYPTO.values()]
    regimes = [regime for listed in stated for regime in listed]
    assert {(one["methodology"], one["measure"]) for one in regimes} >= {
        (module.CODE, measure)
        for module in METHODOLOGIES
        for measure in module.MEASURES
        if module.CODE != "reg_t" or measure == "house"
    }
    parts = [part for regime in regimes for part in regime.get("parts", ())]
    assert {(part["methodology"], part["measure"]) for part in parts} == {
        (module.CODE, measure) for module in PARTS for measure in module.GROUP_MEASURES
    }


def test_every_account_has_figures(house):
    assert [str(reason) for row in Assessment.objects.filter(status="unpriced") for reason in row.reasons] == []
    assert set(Measure.objects.values_list("assessment__account", "regime")) == {
        *((house.accounts[name].pk, regime) for name, regime in (*EXPECTED, *MODELLED)),
        (house.accounts["mixed"].pk, "house"),
    }


@pytest.mark.parametrize(("name", "regime"), EXPECTED)
def test_the_sweep_finds_what_was_worked_out_by_hand(house, name, regime):
    found = measure(house, name, regime)
    assert (found.equity, found.requirement) == tuple(map(D, EXPECTED[name, regime]))


@pytest.mark.parametrize(("name", "regime"), MODELLED)
def test_options_on_futures_and_options_paid_in_coins_are_measured_by_their_models(house, name, regime):
    found = measure(house, name, regime)
    assert found.equity == D(MODELLED[name, regime])
    assert found.requirement > 1_000


def test_the_mixed_account_is_the_sum_of_its_parts(house):
    found = measure(house, "mixed", "house")
    assert found.equity == MIXED_EQUITY
    (regime,) = assessments.explain(house.accounts["mixed"], at=MONDAY)["regimes"]
    asked = {}
    for charge in regime["requirement"]["charges"]:
        part = charge["rule"].split("_")[0]
        asked[part] = asked.get(part, D(0)) + D(charge["amount"])
    shares = asked.pop("finra")  # 4210(g), of portfolio margin
    assert asked == MIXED
    assert 5_500 < shares < 7_500  # 15 % of 50,000, less what the calls, worth 2,000, can fall
    assert 0 <= found.requirement - sum(MIXED.values()) - shares < D("0.01")


@pytest.mark.parametrize("name", NAMES)
def test_the_explanation_adds_up_to_the_sweep(house, name):
    for regime in assessments.explain(house.accounts[name], at=MONDAY)["regimes"]:
        stored = measure(house, name, regime["regime"])
        assert sum(D(one["amount"]) for one in regime["requirement"]["charges"]) == D(regime["requirement"]["amount"])
        assert all(one["sentence"] and one["law"] for one in regime["requirement"]["charges"])
        assert D(regime["rounding"]["requirement"]) == stored.requirement
        assert D(regime["rounding"]["equity"]) == stored.equity


def test_every_sweep_replays_to_the_cent(house):
    for past in house.sweeps:
        found = replay.run(past)
        assert (found.compared, [str(one) for one in found.differences]) == (found.evaluated, [])
        assert (found.models.unknown, found.models.beyond) == (0, 0)


@pytest.mark.parametrize("name", NAMES)
def test_an_exported_book_has_the_same_figures_without_the_database(house, name, django_db_blocker):
    document = whatif.export(house.accounts[name], at=MONDAY)
    with django_db_blocker.block():
        (answer,) = whatif.of_book(document)["accounts"]
    for regime in answer["regimes"]:
        stored = measure(house, name, regime["regime"])
        assert (D(regime["equity"]), D(regime["requirement"])) == (stored.equity, stored.requirement)


@pytest.mark.parametrize("name", NAMES)
def test_stress_has_a_number_in_every_cell_and_the_sweeps_in_the_middle(house, name):
    shocks = StressGrid((D("-0.10"), D(0), D("0.10")), (D(0), D("0.10")))
    for regime in stress.of_accounts([house.accounts[name]], shocks, at=MONDAY)["regimes"]:
        assert [cell["unpriced"] for cell in regime["cells"]] == [0] * 6
        middle = next(each for each in regime["cells"] if (each["price_shock"], each["volatility_shock"]) == ("0", "0"))
        stored = measure(house, name, regime["regime"])
        assert (D(middle["equity"]), D(middle["requirement"])) == (stored.equity, stored.requirement)


@pytest.mark.parametrize(
    ("name", "equity"),
    [
        # 10 months at −7.00 and 6 against them at +6.90, 1,000 each
        ("span", 110_000 - 70_000 + 41_400),
        ("linear", 3_000 - 5_000),
        # 0.1 + 2.5 − 100,000 ÷ 45,000 coins, rounded down
        ("inverse", D("0.37777777")),
        ("volatility", 20_000 - 5_000),
    ],
)
def test_a_fall_of_a_tenth_is_borne_by_what_is_held(house, name, equity):
    shocks = StressGrid((D("-0.10"),), (D(0),))
    (regime,) = stress.of_accounts([house.accounts[name]], shocks, at=MONDAY)["regimes"]
    assert D(regime["cells"][0]["equity"]) == equity


def test_coins_in_cash_fall_with_the_coin(house):
    """Of the mixed account: 5,000 of shares, 21,000 of crude, 5,000 EUR, and per coin 5,000 of the coin and of 0.2 in
    cash; the perpetual has 0.25 − 10,000 ÷ 45,000 = 0.02777… coins of 45,000. Haircuts fall by a tenth; calls gain."""
    shocks = StressGrid((D("-0.10"),), (D(0),))
    (regime,) = stress.of_accounts([house.accounts["mixed"]], shocks, at=MONDAY)["regimes"]
    coins = D(5_000) + D(1_000) + (D(2_500) - D(1_250))
    without_calls = MIXED_EQUITY - 5_000 - 21_000 - 5_000 * D("1.25") - coins + 500 + 300
    assert without_calls < D(regime["cells"][0]["equity"]) < without_calls + 2_000


@pytest.mark.parametrize("name", NAMES)
def test_supposing_nothing_changes_nothing(house, name):
    for regime in whatif.of_account(house.accounts[name], {}, at=MONDAY)["regimes"]:
        stored = measure(house, name, regime["regime"])
        assert regime["before"] == regime["after"]
        assert (D(regime["after"]["equity"]), D(regime["after"]["requirement"])) == (stored.equity, stored.requirement)


@pytest.mark.parametrize(
    ("name", "trade", "equity", "requirement"),
    [
        ("outright", {"instrument": "GCQ6", "quantity": "-1"}, "0", "-10000"),
        ("linear", {"instrument": "BTCUSDT", "quantity": "1", "price": "49000"}, "1000", "500"),
        # 500 × 100 ÷ 50,000 is one coin
        ("inverse", {"instrument": "BTCUSD", "quantity": "-500"}, "0", "-0.01"),
        ("volatility", {"instrument": "BTC", "quantity": "1"}, "0", "9000"),
    ],
)
def test_a_supposed_trade_moves_what_a_fill_would(house, name, trade, equity, requirement):
    (regime,) = whatif.of_account(house.accounts[name], {"trades": [trade]}, at=MONDAY)["regimes"]
    assert [regime["change"][each] for each in ("equity", "requirement")] == [equity, requirement]


def test_a_coin_that_falls_takes_its_perpetuals_and_its_cash_along(house):
    # 0.1 + 2.5 − 100,000 ÷ 40,000 coins
    supposed = {"price_shifts": {"BTC": "-0.20"}}
    (regime,) = whatif.of_account(house.accounts["inverse"], supposed, at=MONDAY)["regimes"]
    assert regime["after"]["equity"] == "0.1"


SAID = {
    "house": "a house call",
    "exchange": "an exchange call",
    "minimum_equity": "a minimum equity call",
    "portfolio": "a portfolio margin call",
    "futures": "a futures call",
    "loan": "a collateral call",
    "csa": "a call for delivery under your credit support annex",
}


def test_every_call_is_told_in_a_letter(house):
    notices.prepare(at=MONDAY)
    assert set(Notice.objects.values_list("event__call", flat=True)) == set(MarginCall.objects.in_bulk())
    for notice in Notice.objects.all():
        assert notice.last_error == ""
        assert "E+" not in notice.text
        assert "None" not in notice.text
        assert SAID[notice.event.call.regime] in notice.text


@pytest.mark.parametrize("name", NAMES)
def test_the_explanation_can_be_printed(house, name):
    printed = StringIO()
    call_command("explain", house.accounts[name].code, at=MONDAY, stdout=printed)
    assert printed.getvalue()


def test_calls_ask_to_the_requirement_to_the_initial_one_to_a_target_or_for_a_delivery(house):
    """Options up to 18,000; futures up to 2 × 11,000; a loan to 65 %: 35 % of 50,000; a delivery in whole 50,000."""
    asked = {call.account_id: call.amount_called for call in MarginCall.objects.exclude(regime="minimum_equity")}
    expected = {"options": 1_000, "outright": 7_000, "ltv": 5_500, "variation": 150_000}
    assert {name: asked[house.accounts[name].pk] for name in expected} == expected
