"""Suppositions about accounts that exist: what a trade, a price, a volatility or a policy would do; nothing moves."""

import json
from decimal import Decimal
from io import StringIO

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import InternalError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import positions
from accounts.models import Fill
from margin import assessments, policies, replay, snapshot, stress, sweep, whatif
from margin.engine import pricing
from margin.hypothetical import supposing
from margin.hypothetical.document import Hypotheses, StressGrid
from margin.models import Assessment, Measure
from market.models import FxRate, Rate
from tests.margin import rows, world
from tests.margin.world import MONDAY, minutes, quote


@pytest.fixture
def xyz(db):
    rows.policy("us_margin", world.securities())
    made = rows.equity("XYZ")
    quote(made, "50", MONDAY)
    return made


@pytest.fixture
def account(xyz):
    """100 × 50.00 with 2,600 borrowed: 2,400 against 30 % of 5,000."""
    return world.long_account("100", "2600", xyz)


def supposed(account, **hypotheses):
    return whatif.of_account(account, hypotheses, at=MONDAY)


def house(answer):
    return next(regime for regime in answer["regimes"] if regime["regime"] == "house")


def amounts(figures, *names):
    return [figures[name] for name in names]


def test_supposing_nothing_changes_nothing_and_equals_the_explanation(account):
    found = house(supposed(account))
    assert found["before"] == found["after"]
    assert set(found["change"].values()) == {"0"}
    told = assessments.explain(account, at=MONDAY)["regimes"][0]
    assert amounts(found["before"], "equity", "requirement") == ["2400", "1500"]
    assert Decimal(told["rounding"]["equity"]) == 2400
    assert Decimal(told["rounding"]["requirement"]) == 1500


def test_a_purchase_takes_its_initial_requirement_of_the_excess(account):
    # Regulation T: 50 % of 20 × 50.00 = 500.00 at the mark; house 30 % of 6,000 = 1,800 against 2,400
    found = house(supposed(account, trades=[{"instrument": "XYZ", "quantity": "20"}]))
    assert amounts(found["after"], "equity", "requirement", "excess") == ["2400", "1800", "600"]
    assert amounts(found["change"], "equity", "requirement", "initial", "funds_needed") == ["0", "300", "500", "500"]


def test_a_trade_away_from_the_mark_costs_the_difference(account):
    # bought at 52.00: 20 × 2.00 = 40.00 are lost at the mark of 50.00
    found = house(supposed(account, trades=[{"instrument": "XYZ", "quantity": "20", "price": "52"}]))
    assert amounts(found["change"], "equity", "initial", "funds_needed") == ["-40", "500", "540"]


def test_fees_are_the_policys_rate_of_what_is_traded(account):
    # 0.001 × 20 × 50.00 = 1.00
    found = house(supposed(account, trades=[{"instrument": "XYZ", "quantity": "-20"}], fees=True))
    assert found["change"]["equity"] == "-1"


def test_a_supposed_trade_equals_the_fill_once_it_is_booked(account, xyz):
    trade = {"instrument": "XYZ", "quantity": "-130", "price": "49.995"}
    expected = house(supposed(account, trades=[trade]))["after"]
    fill = Fill(
        **{"account": account, "instrument": xyz, "source": "oms", "external_reference": "1", "fee": Decimal(0)},
        **{"quantity": Decimal(-130), "price": Decimal("49.995"), "traded_at": MONDAY},
    )
    positions.apply_fills([fill], at=MONDAY)
    assert house(supposed(account))["before"] == expected


def test_a_fall_says_the_call_it_would_raise(account):
    # 100 × 35.00 − 2,600 = 900 against 1,050: 150
    found = house(supposed(account, prices={"XYZ": "35"}))["after"]
    assert amounts(found, "status", "equity", "requirement", "amount_called") == ["deficit", "900", "1050", "150"]
    assert house(supposed(account, price_shifts={"XYZ": "-0.30"}))["after"] == found


def test_a_trade_is_booked_at_the_price_before_the_fall(account):
    # buys 20 at 50.00, then 120 × 35.00 − 3,600 = 600
    found = supposed(account, trades=[{"instrument": "XYZ", "quantity": "20"}], prices={"XYZ": "35"})
    assert house(found)["after"]["equity"] == "600"


def test_a_deposit_is_cash(account):
    assert house(supposed(account, cash={"USD": "100.50"}))["after"]["equity"] == "2500.5"


def test_what_follows_an_index_moves_with_it_by_its_leverage(account):
    # the fund doubles the index: 10 × 100.00 falls by 20 % with 10 % of the index
    index = rows.equity("NDX", kind="index")
    fund = rows.equity("2X", kind="etf", leverage=2, index=index)
    quote(index, "20000", MONDAY)
    quote(fund, "100", MONDAY)
    rows.hold(account, fund, "10")
    assert house(supposed(account, price_shifts={"NDX": "-0.10"}))["change"]["equity"] == "-200"
    assert house(supposed(account, price_shifts={"NDX": "-0.10"}, prices={"2X": "99"}))["change"]["equity"] == "-10"


def test_another_policy_is_a_stored_version_or_terms(account):
    # 40 % of 5,000 = 2,000
    strict = {**world.HOUSE, "terms": {**world.HOUSE["terms"], "house": {"basic": {"long": "0.40"}}}}
    rows.policy("us_margin", world.securities(strict))
    version = house(whatif.of_account(account, {"policy": {"code": "us_margin", "version": 1}}, at=MONDAY))
    assert amounts(version["before"], "requirement") == ["2000"]
    assert amounts(version["after"], "requirement") == ["1500"]
    terms = house(supposed(account, policy={"terms": {"regimes": [world.HOUSE]}}))
    assert terms["after"] == version["after"]


def test_a_price_can_be_supposed_where_none_is_known(account):
    other = rows.equity("ABC")
    rows.hold(account, other, "10")
    found = supposed(account, prices={"ABC": "10"})
    assert found["unpriced"] == {"before": ["ABC: no price"], "after": []}
    assert (house(found)["after"]["equity"], house(found)["change"]) == ("2500", None)


def test_an_account_without_a_policy_or_closed_is_told_so(account):
    account.agreement = "nobody"
    with pytest.raises(policies.NoPolicy):
        supposed(account)
    account.refresh_from_db()
    account.closed_on = MONDAY.date()
    account.save()
    with pytest.raises(whatif.Wrong, match="closed"):
        supposed(account)


WRONG = {
    "trades[0].instrument": {"trades": [{"instrument": "NOPE", "quantity": "1"}]},
    "trades[0].quantity": {"trades": [{"instrument": "XYZ", "quantity": "0"}]},
    "trades[0].price": {"trades": [{"instrument": "XYZ", "quantity": "1", "price": "-1"}]},
    "trades[0].size": {"trades": [{"instrument": "XYZ", "quantity": "1", "size": "1"}]},
    "prices.NOPE": {"prices": {"NOPE": "1"}},
    "prices.XYZ": {"prices": {"XYZ": "0"}},
    "price_shifts.XYZ": {"price_shifts": {"XYZ": "-1"}},
    "prices.USD": {"prices": {"USD": "2"}},
    "volatility_shifts.NOPE": {"volatility_shifts": {"NOPE": "0.1"}},
    "cash.XBT": {"cash": {"XBT": "1"}},
    "policy": {"policy": {"code": "us_margin", "version": 99}},
    "policy.terms": {"policy": {"terms": {"regimes": []}}},
}


@pytest.mark.parametrize("path", WRONG)
def test_what_cannot_be_supposed_is_named_with_its_path(path, account):
    with pytest.raises(whatif.Wrong) as refusal:
        supposed(account, **WRONG[path])
    assert refusal.value.path == path


# --- options ------------------------------------------------------------------------------------------


def test_an_option_keeps_its_volatility_when_its_underlying_moves(xyz):
    call = rows.equity(
        "XYZ C50", kind="option", underlying=xyz, right="call", strike=50, style="european", multiplier=100,
        expires_at=MONDAY + minutes(365 * 24 * 60),
    )  # fmt: skip
    Rate.objects.create(kind="risk_free", currency="USD", value=Decimal("0.05"), source="t", effective_at=MONDAY)
    # Hull, Options, Futures, and Other Derivatives, Black-Scholes with volatility 20 %: an at-the-money year at 5 %
    now = float(pricing.european(50.0, 50.0, 1.0, 0.05, 0.0, 0.20, True)[0])
    quote(call, f"{now:.8f}", MONDAY)
    account = world.long_account("1", "0", xyz)
    rows.hold(account, call, "1")
    own = whatif._world(account, at=MONDAY)
    for hypotheses, spot, volatility in (
        (Hypotheses(price_shifts={"XYZ": Decimal("0.10")}), 55.0, 0.20),
        (Hypotheses(volatility_shifts={"XYZ": Decimal("0.05")}), 50.0, 0.25),
        (Hypotheses(volatility_shifts={"XYZ C50": Decimal("0.05")}), 50.0, 0.25),
    ):
        moved = supposing.after(own, account, hypotheses).instruments
        expected = float(pricing.european(spot, 50.0, 1.0, 0.05, 0.0, volatility, True)[0])
        assert float(moved.price[own.rows["XYZ C50"]]) == pytest.approx(expected, abs=1e-6)


# --- agreement ----------------------------------------------------------------------------------------


def exported(account, at=MONDAY, **options):
    text = json.dumps(whatif.export(account, at=at, **options))
    (found,) = whatif.of_book(json.loads(text))["accounts"]
    return {regime["regime"]: regime for regime in found["regimes"]}


def agrees(measure, regime):
    names = ("equity", "requirement", "restore_requirement", "severe_requirement")
    for name in names:
        stored = getattr(measure, name)
        assert (None if stored is None else stored) == (None if regime[name] is None else Decimal(regime[name])), name


def test_an_exported_book_has_the_figures_of_the_sweep_and_of_the_explanation(db):
    """Stock in two currencies and a loan, in deficit so that the sweep keeps them."""
    rows.policy("us_margin", world.securities(world.HOUSE, world.EXCHANGE))
    rows.policy("crypto_loan", world.crypto())
    FxRate.objects.create(base="EUR", quoted="USD", value=Decimal("1.0823"), source="ecb", as_of=MONDAY)
    rows.cash("EUR")
    xyz, sap = rows.equity("XYZ", sector="tech"), rows.equity("SAP", currency="EUR", price_divisor=100)
    coin = rows.equity("COIN", kind="crypto", max_age_seconds=120)
    for instrument, mark in ((xyz, "49.9975"), (sap, "11234"), (coin, "10000.123456")):
        quote(instrument, mark, MONDAY)
    stock = world.long_account("100.5", "9000.33", xyz)
    rows.hold(stock, sap, "60")
    rows.hold(stock, rows.cash("EUR"), "-12.34")
    loan = world.long_account("18", "150000", coin, agreement="crypto_loan")
    sweep.run("securities", at=MONDAY)
    sweep.run("crypto", at=MONDAY)
    for account in (stock, loan):
        regimes = exported(account)
        measures = list(Measure.objects.filter(assessment__account=account))
        assert measures
        assert {measure.regime for measure in measures} == set(regimes)
        for measure in measures:
            agrees(measure, regimes[measure.regime])
        for told in assessments.explain(account, at=MONDAY)["regimes"]:
            assert Decimal(told["rounding"]["equity"]) == Decimal(regimes[told["regime"]]["equity"])
            assert Decimal(told["rounding"]["requirement"]) == Decimal(regimes[told["regime"]]["requirement"])


def test_an_unpriced_account_is_exported_with_the_reason(xyz):
    account = world.long_account("100", "3600", rows.equity("ABC"))
    (found,) = whatif.of_book(whatif.export(account, at=MONDAY))["accounts"]
    sweep.run("securities", at=MONDAY)
    assert found["unpriced"] == Assessment.objects.get(account=account).reasons == ["ABC: no price"]


def test_a_past_instant_is_exported_as_the_sweep_saw_it_and_as_its_replay_finds_it(committed_db):
    rows.policy("us_margin", world.securities())
    xyz, dollars = rows.equity("XYZ"), rows.cash()
    account = rows.account()
    held = [(account.pk, xyz.pk, Decimal(100), Decimal(5000)), (account.pk, dollars.pk, Decimal(-3600), None)]
    positions.write(held, cause="book", reference="test", effective_at=MONDAY)
    quote(xyz, "50", MONDAY)
    done = sweep.run("securities", at=MONDAY)
    later = MONDAY + minutes(1)
    quote(xyz, "40", later)
    positions.write([(account.pk, xyz.pk, Decimal(-50), None)], cause="adjustment", reference="x", effective_at=later)
    regimes = exported(account, known_at=timezone.now())
    agrees(Measure.objects.get(assessment__sweep=done, regime="house"), regimes["house"])
    assert replay.run(done).differences == []


# --- nothing is written -------------------------------------------------------------------------------


def test_what_is_read_in_one_moment_cannot_write(committed_db):
    with snapshot.one_moment(), pytest.raises(InternalError, match="read-only"):
        rows.cash("CHF")
    assert not connection.in_atomic_block


def counted():
    with transaction.atomic(), connection.cursor() as cursor:
        found = {}
        for model in apps.get_models():
            if model._meta.managed and not model._meta.proxy:
                cursor.execute(
                    f'SELECT md5(string_agg(t::text, chr(10) ORDER BY t::text)) FROM "{model._meta.db_table}" t'
                )
                found[model._meta.label] = cursor.fetchone()[0]
    return found


def test_no_row_of_any_table_changes(account):
    before = counted()
    supposed(account, trades=[{"instrument": "XYZ", "quantity": "-500", "price": "1"}], explain=True)
    whatif.export(account, at=MONDAY)
    assert counted() == before


# --- the command --------------------------------------------------------------------------------------


def run(*arguments):
    out = StringIO()
    call_command("whatif", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_prints_an_account_before_and_after(account, tmp_path, monkeypatch):
    monkeypatch.setattr("market.clock.now", lambda: MONDAY)
    file = tmp_path / "fall.json"
    file.write_text(json.dumps({"prices": {"XYZ": "35"}}))
    table = run(str(file), "--account", account.code)
    assert "deficit" in table
    assert "1050" in table
    assert house(json.loads(run(str(file), "--account", account.code, "--json")))["after"]["amount_called"] == "150"
    book = tmp_path / "book.json"
    book.write_text(run("--account", account.code, "--export"))
    assert "2400" in run(str(book))


def test_the_command_says_what_is_wrong_in_one_line(account, tmp_path):
    bad = tmp_path / "bad.json"
    for text, reason in (("{", "not JSON"), ('{"on": 1}', "on: a string"), ('{"on": "1", "on": "2"}', "twice")):
        bad.write_text(text)
        with pytest.raises(CommandError, match=reason):
            run(str(bad))
    for arguments in ((), ("--export",), (str(tmp_path / "none.json"),), ("--account", "NOBODY")):
        with pytest.raises(CommandError):
            run(*arguments)


def test_an_account_is_read_in_a_read_only_transaction(committed_db):
    rows.policy("us_margin", world.securities())
    xyz = rows.equity("XYZ")
    quote(xyz, "50", MONDAY)
    account = world.long_account("100", "2600", xyz)
    grid = StressGrid((Decimal("0.1"),), (Decimal(0),))
    for deed in (
        lambda: supposed(account, prices={"XYZ": "40"}),
        lambda: whatif.export(account, at=MONDAY),
        lambda: stress.of_accounts([account], grid, at=MONDAY),
    ):
        with CaptureQueriesContext(connection) as queries:
            deed()
        asked = [query["sql"] for query in queries]
        opened = next(place for place, sql in enumerate(asked) if "READ ONLY" in sql)
        positions_read = [place for place, sql in enumerate(asked) if "accounts_" in sql]
        assert min(positions_read) > opened
        assert not [sql for sql in asked if sql.split()[0] in ("INSERT", "UPDATE", "DELETE")]
