"""Assessments against a pencil: the rule tables, the ladder, what is unpriced, and how a status is reached."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from margin.engine import build
from margin.engine.assess import assess
from margin.engine.build import AccountRow, PositionRow
from margin.engine.columns import Market, Policy, Rules, Status
from margin.engine.exact import exactly
from margin.engine.methodologies import check
from tests.engine import world
from tests.engine.world import D, account, figures, loan_regime, loan_terms, reg_t_terms, regime, stock

EXCHANGE = (regime("exchange"),)
MINIMUM = (regime("minimum_equity"),)


def required(row, quantity, cash="1000000"):
    return figures(account(cash, (row, quantity), regimes=EXCHANGE)).requirement


# ---------------------------------------------------------------- FINRA 4210(c), margin_rules_us.md §3.1–3.2
@pytest.mark.parametrize(
    ("price", "per_share"),
    [
        # < 2.50: the 2.50 floor; 2.50 to 4.99: 100 %; 5.00 to 16.66: the 5.00 floor; above 16.666…: 30 %
        ("0.34", "2.50"),
        ("2.49", "2.50"),
        ("2.50", "2.50"),
        ("2.51", "2.51"),
        ("4.99", "4.99"),
        ("5.00", "5.00"),
        ("10.00", "5.00"),
        ("16.66", "5.00"),
        ("16.67", "5.001"),
        ("100", "30"),
    ],
)
def test_a_short_share_is_charged_by_the_branch_that_binds_at_its_price(price, per_share):
    assert required(stock(price), -1000) == D(per_share) * 1000


@pytest.mark.parametrize(
    ("leverage", "long", "short"),
    # RN 09-53: 2x 50/60, 3x 75/90, 4x long 100; a factor of 1.5 asks 37.5/45
    [("1", "25", "30"), ("1.5", "37.5", "45"), ("2", "50", "60"), ("3", "75", "90"), ("4", "100", "100")],
)
def test_leveraged_funds_multiply_the_rates_up_to_all_of_the_value(leverage, long, short):
    fund = stock("100", kind="etf", leverage=D(leverage))
    assert required(fund, 10) == D(long) * 10
    assert required(fund, -10) == D(short) * 10


def test_a_security_that_is_not_margin_eligible_is_charged_in_full():
    assert required(stock("40", margin_eligible=False), 100) == 4000


def test_the_multiplier_counts_in_value_and_in_the_floor_per_share():
    assert required(stock("10", multiplier=D(100)), -1) == 500


def test_floors_per_share_are_converted_for_a_stock_in_another_currency():
    # 5.00 USD are 782 yen at 156.4; 30 % of 1,000 yen are 300: the floor binds. 782 yen / 156.4 = 5.00 USD
    assert required(stock("1000", currency="JPY"), -100) == D("500.00")


# ---------------------------------------------------------------- FINRA 4210(e)(2), §3.5
@pytest.mark.parametrize(
    ("debt_class", "matures_on", "long", "short"),
    [
        # 100,000 of principal at 98 are worth 98,000; on 2024-06-03
        ("us_government", date(2025, 6, 2), "980", "980"),  # less than a year: 1 %
        ("us_government", date(2025, 6, 3), "1960", "1960"),  # a year to the day: 2 %
        ("us_government", date(2028, 1, 1), "2940", "2940"),
        ("us_government", date(2033, 1, 1), "3920", "3920"),
        ("us_government", date(2040, 1, 1), "4900", "4900"),
        ("us_government", date(2044, 6, 3), "5880", "5880"),
        ("us_government_zero", date(2028, 1, 1), "2940", "2940"),  # shorter than five years: the table
        ("municipal", date(2030, 1, 1), "6860", "29400"),  # 7 %; short: 30 % of market
        ("investment_grade", date(2030, 1, 1), "9800", "29400"),
        ("other_listed", date(2030, 1, 1), "19600", "29400"),
        ("convertible", date(2030, 1, 1), "24500", "29400"),
    ],
)
def test_debt_is_charged_by_class_and_time_to_maturity(debt_class, matures_on, long, short):
    bond = stock("98", kind="bond", debt_class=debt_class, matures_on=matures_on, multiplier=D("0.01"))
    assert required(bond, 100_000) == D(long)
    assert required(bond, -100_000) == D(short)


def test_the_share_of_principal_binds_when_debt_is_cheap():
    # at 15: 20 % of market 3,000, 7 % of principal 7,000; zero coupon 6 % of 15,000 = 900, 3 % of principal 3,000;
    # short: 30 % of market 4,500, 5 % of principal 5,000
    def bond(debt_class):
        later = date(2050, 1, 1)
        return stock("15", kind="bond", debt_class=debt_class, matures_on=later, multiplier=D("0.01"))

    assert required(bond("other_listed"), 100_000) == 7000
    assert required(bond("us_government_zero"), 100_000) == 3000
    assert required(bond("other_listed"), -100_000) == 5000


# ---------------------------------------------------------------- house table
HOUSE = {
    "basic": {"long": "0.30", "short": "0.35"},
    "kinds": {"etf": {"long": "0.28"}},
    "sectors": {"biotech": {"long": "0.50"}},
    "instruments": {"WILD": {"long": "1.00", "short": "2.00"}, "TAME": {"long": "0.10"}},
}


@pytest.mark.parametrize(
    ("row", "quantity", "expected"),
    [
        (stock("100"), 10, "300"),  # basic 30 % over 25 %
        (stock("100"), -10, "350"),
        (stock("100", sector="biotech"), 10, "500"),
        (stock("100", code="WILD"), 10, "1000"),
        (stock("100", code="WILD"), -10, "2000"),
        (stock("100", code="TAME"), 10, "300"),  # an override below never lowers: the highest wins
        (stock("100", kind="etf"), 10, "300"),
        (stock("100", kind="etf", leverage=D(3)), 10, "750"),  # SRO 75 % over house 30 %
        (stock("10"), -10, "50"),  # the 5.00 floor over house 35 % of 10
    ],
)
def test_the_house_table_only_raises(row, quantity, expected):
    rule = regime("house", terms=reg_t_terms(house=HOUSE))
    assert figures(account("1000000", (row, quantity), regimes=(rule,))).requirement == D(expected)


def test_the_exchange_measure_ignores_the_house_table():
    rule = regime("exchange", terms=reg_t_terms(house=HOUSE))
    assert figures(account("0", (stock("100"), 10), regimes=(rule,))).requirement == 250


# ---------------------------------------------------------------- minimum equity, 4210(b)
@pytest.mark.parametrize(
    ("cash", "holdings", "requirement", "status"),
    [
        ("-900", [(stock("18"), 100, "1800")], "1800", Status.DEFICIT),  # never more than the cost: equity 900
        ("-1000", [(stock("30"), 100, "3000")], "2000", Status.QUIET),  # equity exactly 2,000
        ("-1000.01", [(stock("30"), 100, "3000")], "2000", Status.DEFICIT),
        ("1500", [(stock("3"), -100)], "2000", Status.DEFICIT),  # a short gets no relief: equity 1,200
        ("2500", [(stock("3"), -100)], "2000", Status.QUIET),
        ("0", [(stock("18"), 10, "180")], "0", Status.QUIET),  # paid in full: not asked
        ("100", [], "0", Status.QUIET),
        ("-100", [], "0", Status.DEFICIT),  # a debit with no securities at all
    ],
)
def test_the_minimum_equity_is_asked_of_debits_and_shorts(cash, holdings, requirement, status):
    found = figures(account(cash, *holdings, regimes=MINIMUM))
    assert (found.requirement, found.status) == (D(requirement), status)


def test_an_unknown_cost_leaves_the_minimum_equity_in_doubt_only_where_it_decides():
    doubtful = figures(account("-500", (stock("18"), 100), regimes=MINIMUM))
    assert (doubtful.status, doubtful.requirement, doubtful.reasons) == (
        Status.UNPRICED,
        None,
        ("XYZ: cost unknown",),
    )
    assert figures(account("-500", (stock("180"), 100), regimes=MINIMUM)).status == Status.QUIET


def test_the_minimum_equity_is_converted_into_the_base_currency():
    # 2,000 USD in euro: 1 / 1.0823 = 0.923958237087 (12 digits), 1,847.916474174 → 1,847.92
    found = figures(account("2000", (stock("3", currency="EUR"), -100), regimes=MINIMUM, currency="EUR"))
    assert found.requirement == D("1847.92")


# ---------------------------------------------------------------- loans, margin_rules_derivatives.md §0, §4.2
BTC = stock("60000", code="BTC", kind="crypto", lot=D("0.00000001"))


def lent(price, *, owed="150000", quantity="3.5", **terms):
    row = replace(BTC, price=D(price))
    return figures(account(f"-{owed}", (row, quantity), regimes=(loan_regime(loan_terms(**terms)),)))


@pytest.mark.parametrize(
    ("collateral", "status"),
    [
        ("250000.01", Status.QUIET),
        ("250000", Status.WARNING),  # 150,000 / 0.60: at the rung
        ("214285.72", Status.WARNING),
        ("214285.71", Status.DEFICIT),  # 150,000 / 0.70 = 214,285.714…
        ("187500.01", Status.DEFICIT),
        ("187500", Status.SEVERE),  # 150,000 / 0.80
        ("100", Status.SEVERE),
    ],
)
def test_each_rung_of_the_ladder_is_reached_at_or_beyond_it(collateral, status):
    assert lent(collateral, quantity="1").status == status


def test_the_amount_called_brings_the_loan_back_to_the_restore_rate():
    # L = 150,000, C = 180,000, T = 0.65: R = L − T × C = 33,000
    found = lent("180000", quantity="1", restore="0.65")
    assert (found.equity, found.amount) == (D(30000), D(33000))


def test_haircuts_reduce_the_collateral():
    # C = 200,000 × (1 − 0.10) = 180,000
    assert lent("200000", quantity="1", haircuts={"BTC": "0.10"}).amount == D(33000)
    assert lent("200000", quantity="1", kind_haircuts={"crypto": "0.10"}).amount == D(33000)
    assert lent("200000", quantity="1", haircuts={"BTC": "0.10"}, kind_haircuts={"crypto": "0.5"}).amount == D(33000)


def test_without_a_loan_nothing_is_required():
    found = figures(account("0", (BTC, "1"), regimes=(loan_regime(),)))
    assert (found.status, found.requirement, found.equity) == (Status.QUIET, D(0), D(60000))


def test_a_loan_without_collateral_is_severe():
    found = figures(account("-100", regimes=(loan_regime(),)))
    assert (found.status, found.requirement, found.amount) == (Status.SEVERE, D(0), D(100))


def test_an_empty_account_is_quiet():
    assert figures(account("0", regimes=(loan_regime(),))).status == Status.QUIET


def test_borrowed_coins_are_a_loan_at_their_mark():
    # 1 BTC owed against 100,000 of cash: LTV 60 %, at the warning rung
    found = figures(account("100000", (BTC, "-1"), regimes=(loan_regime(),)))
    assert (found.equity, found.status) == (D(40000), Status.WARNING)


# ---------------------------------------------------------------- status
def stand(cash, **more):
    """Long 100 at 10: LMV 1,000, requirement 250."""
    return figures(account(cash, (stock("10"), 100), regimes=(regime("exchange", **more),)))


@pytest.mark.parametrize(
    ("cash", "status"),
    [
        ("-699.99", Status.QUIET),
        ("-700.01", Status.WATCH),  # equity below 300 = 1.2 × 250
        ("-725.01", Status.WARNING),  # below 275 = 1.1 × 250
        ("-750", Status.WARNING),  # exactly 250: not below
        ("-750.01", Status.DEFICIT),
        ("-1000", Status.DEFICIT),  # equity 0: not below 0 × 250
        ("-1000.01", Status.SEVERE),
    ],
)
def test_a_status_follows_the_levels_of_the_regime(cash, status):
    assert stand(cash, watch_rate=D("1.2"), warning_rate=D("1.1"), severe_rate=D(0)).status == status


@pytest.mark.parametrize(("cash", "status"), [("-760", Status.WARNING), ("-760.01", Status.DEFICIT)])
def test_a_deficit_up_to_the_de_minimis_warns_but_does_not_call(cash, status):
    found = stand(cash, de_minimis=D(10))
    assert found.status == status
    assert found.deficit > 0
    assert (found.amount > 0) == (status == Status.DEFICIT)


def test_a_call_asks_for_the_restore_requirement():
    found = stand("-800", restore_rate=D("1.2"))
    assert (found.deficit, found.amount) == (D(50), D(100))  # 250 − 200; 300 − 200


def test_equality_breaches_only_under_at_or_beyond():
    assert stand("-750", restore_rate=D("1.2")).status == Status.QUIET
    assert stand("-750", restore_rate=D("1.2"), at_or_beyond=True).status == Status.DEFICIT


def test_figures_are_rounded_once_and_never_in_the_accounts_favour():
    # 3 shares at 33.335: value 100.005, requirement 25.00125, equity 20.004
    found = figures(account("-80.001", (stock("33.335"), 3), regimes=EXCHANGE))
    assert (found.equity, found.requirement) == (D("20.00"), D("25.01"))
    assert found.deficit == D("5.00")  # 4.99725 rounded up once, not 25.01 − 20.00
    assert found.amount == D("5.00")


# ---------------------------------------------------------------- unpriced (law 3)
@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (stock(None), "XYZ: no price"),
        (stock("10", reason="stale: last 2024-05-31"), "XYZ: stale: last 2024-05-31"),
        (stock("0"), "XYZ: price 0 is not positive"),
        (stock("-1"), "XYZ: price -1 is not positive"),
        (stock("NaN"), "XYZ: price NaN is not a number"),
        (stock("Infinity"), "XYZ: price Infinity is not a number"),
        (stock("10", kind="option"), "no rule for option XYZ"),
        (stock("10", kind="future_option"), "no rule for future option XYZ"),
        (stock("10", kind="crypto"), "no rule for crypto XYZ"),
        (stock("10", currency="GBP"), "no rate GBP/USD"),
        (stock("10", kind="bond", debt_class="us_government"), "XYZ: no maturity"),
        (stock("10", kind="bond"), "XYZ: no rule for debt of class ''"),
    ],
)
def test_an_account_with_something_missing_gets_reasons_and_no_number(row, reason):
    found = account("1000", (row, 5), regimes=(regime("exchange"), regime("minimum_equity"))).figures()
    for regime_found in found.values():
        assert regime_found.status == Status.UNPRICED
        assert reason in regime_found.reasons
        assert regime_found.equity is regime_found.requirement is regime_found.amount is None


def test_every_reason_is_told():
    unquoted = stock(None, id=21, code="AAA")
    found = figures(account("1", (unquoted, 1), (stock("1", kind="option"), 1), regimes=EXCHANGE))
    assert set(found.reasons) == {"AAA: no price", "no rule for option XYZ"}


def test_a_missing_price_of_nothing_held_does_not_matter():
    assert figures(account("1", (stock(None), 0), regimes=EXCHANGE)).status == Status.QUIET


def test_a_short_without_a_rate_for_the_floor_is_unpriced():
    row = stock("10", currency="GBP")
    lonely = replace(account("0", (row, -5), regimes=EXCHANGE), fx={("GBP", "EUR"): D("1.17")})
    in_euro = replace(lonely, accounts=(AccountRow(7, "EUR"),))
    found = {f.account_id: f for f in in_euro.figures().values()}
    assert found[7].reasons == ("XYZ: no rate USD/GBP for amounts per share",)
    # held long, it needs no floor: 5 × 10 × 1.17 EUR = 58.50, of which 25 %
    long = replace(in_euro, positions=tuple(replace(p, quantity=abs(p.quantity)) for p in in_euro.positions))
    assert figures(long).requirement == D("14.63")


@pytest.mark.parametrize("quantity", ["NaN", "Infinity", "12345678901234567890.5"])
def test_a_quantity_that_cannot_be_held_refuses_the_account_and_no_other(quantity):
    rows = (world.USD, stock("10"))
    positions = (PositionRow(1, 11, D(quantity)), PositionRow(2, 11, D(5)))
    found = world.World(rows, (AccountRow(1, "USD"), AccountRow(2, "USD")), positions, EXCHANGE).figures()
    assert found[1, "exchange"].status == Status.UNPRICED
    assert "instrument 11: quantity" in found[1, "exchange"].reasons[0]
    assert found[2, "exchange"].requirement == D("12.5")


def test_sums_beyond_128_bits_are_still_exact():
    # 9 × 10^18 shares at 10^8, and one at 10^-12: 25 % of 9×10^26, and of 10^-12
    dear, cheap = stock("100000000", id=21, code="AAA"), stock("0.000000000001", id=22, code="BBB")
    found = assess(*account("0", (dear, "9000000000000000000"), (cheap, "0.000000000001"), regimes=EXCHANGE).arguments)
    with exactly():
        levels, _ = found.exact(0, 0, np.array([0]))
    assert levels.requirement[0] == D("225000000000000000000000000.00000000000000000000000025")


# ---------------------------------------------------------------- rules and books that cannot be
@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (replace(EXCHANGE[0], methodology="span"), "no methodology 'span'"),
        (replace(EXCHANGE[0], measure="intraday"), "measures exchange, house, minimum_equity"),
        (replace(EXCHANGE[0], kinds=("option",)), "has no rule for option"),
        (replace(EXCHANGE[0], kinds=("shares",)), "unknown kinds shares"),
        (replace(EXCHANGE[0], terms=loan_terms()), "reg_t's Terms"),
        (replace(EXCHANGE[0], restore_rate=D("0.9")), "restore_rate"),
        (replace(EXCHANGE[0], warning_rate=D("0.9")), "warning_rate"),
        (replace(EXCHANGE[0], watch_rate=D("1.05"), warning_rate=D("1.1")), "watch_rate"),
        (replace(EXCHANGE[0], severe_rate=D("1.1")), "severe_rate"),
        (replace(EXCHANGE[0], de_minimis=D(-1)), "de_minimis"),
        (replace(EXCHANGE[0], at_or_beyond=True), "at_or_beyond"),
    ],
)
def test_a_rule_that_cannot_be_computed_is_refused_with_what_to_change(rule, message):
    with pytest.raises(ValueError, match=message):
        check(rule)


def test_an_account_without_a_policy_is_an_error():
    columns = build.instruments([world.USD])
    book = build.book(columns, [AccountRow(1, "USD", policy=1)], [])
    with pytest.raises(ValueError, match="policy"):
        assess(book, columns, Market(world.ON), Rules((Policy("p", EXCHANGE),)))


@pytest.mark.parametrize(
    ("accounts", "positions", "message"),
    [
        ([AccountRow(1, "USD"), AccountRow(1, "USD")], [], "account 1 is listed twice"),
        ([AccountRow(1, "USD")], [PositionRow(1, 1, D(1)), PositionRow(1, 1, D(2))], "holds USD twice"),
        ([AccountRow(1, "USD")], [PositionRow(1, 99, D(1))], "instrument 99"),
        ([AccountRow(1, "CHF")], [], "CHF"),
    ],
)
def test_rows_that_describe_no_book_are_refused_by_name(accounts, positions, message):
    with pytest.raises(build.BadRows, match=message):
        build.book(build.instruments([world.USD]), accounts, positions)


def test_two_policies_are_assessed_side_by_side_and_each_by_its_own_rules():
    columns = build.instruments([world.USD, stock("100"), replace(BTC, id=12)])
    accounts = [AccountRow(1, "USD", 0), AccountRow(2, "USD", 1), AccountRow(3, "USD", 0)]
    positions = [PositionRow(1, 11, D(10)), PositionRow(2, 12, D(1)), PositionRow(2, 1, D(-45000))]
    rules = Rules((Policy("margin", (regime("exchange"), regime("house"))), Policy("loans", (loan_regime(),))))
    found = assess(build.book(columns, accounts, positions), columns, Market(world.ON), rules)
    told = [(f.account_id, f.regime, f.requirement) for f in found.figures(np.arange(len(found)))]
    assert told == [
        (1, "exchange", D(250)),
        (1, "house", D(250)),
        (2, "loan", D(18000)),
        (3, "exchange", D(0)),
        (3, "house", D(0)),
    ]
