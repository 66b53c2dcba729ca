"""Portfolio margin against the 2007 Cboe table, pencil cases and the shape of the rule."""

import dataclasses
from collections.abc import Sequence
from datetime import date
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margin.engine import build
from margin.engine.assess import assess
from margin.engine.build import InstrumentRow
from margin.engine.columns import Contract, Market, PartRule, Policy, RegimeRule, Rules
from margin.engine.exact import exactly
from margin.engine.explain import explain
from margin.engine.groups import Groups, arrange
from margin.engine.measures import Lane, Totals, Units, worth
from margin.engine.methodologies import portfolio, reg_t
from tests.golden import rows as golden

D = Decimal
ON, EXPIRY = date(2007, 2, 23), date(2007, 4, 21)
RATES = {"USD": D("0.0525")}
IBM, SPX, SPY, RUT, OTHER = 11, 21, 22, 31, 41


def terms(**changes):
    return portfolio.Terms.from_json({**portfolio.RULE_BOOK, **changes})


def share(number=IBM, price="97.73", **more):
    return InstrumentRow(number, more.pop("code", f"S{number}"), more.pop("kind", "equity"), "USD", D(price), **more)


def spy(price="145.30", **more):
    return InstrumentRow(
        SPY,
        "SPY",
        "etf",
        "USD",
        D(price),
        **{"index": SPX, "margin_class": "etf_broad", "minor_exponent": None, **more},
    )


def option(number, right, strike, price, spot="97.73", *, contract=None, **more):
    """An American option on IBM, unless told otherwise."""
    written = {
        "underlying": IBM,
        "underlying_code": "IBM",
        "style": "american",
        "expires_on": EXPIRY,
        "right": right,
        "strike": D(strike),
        "spot": None if spot is None else D(spot),
        **(contract or {}),
    }
    row = {"multiplier": D(100), **more}
    return InstrumentRow(number, f"O{number}", "option", "USD", D(price), contract=Contract(**written), **row)


INDEX = {
    "underlying": SPX,
    "underlying_code": "SPX",
    "index": SPX,
    "margin_class": "high_cap_index",
    "style": "european",
    "dividend_rate": D("0.018"),
}


def index_option(number, right, strike, price, **contract):
    return option(number, right, strike, price, "1451.19", contract={**INDEX, **contract})


def base_units(columns):
    """What a base methodology on the rule basis counts as equity: everything but options."""
    with exactly():
        value = np.where(columns.kind == build.KINDS.index("option"), D(0), worth(columns))
        lanes = {"value": Lane(value, -value)}
    silent = Lane(np.full(len(columns), "", object), np.full(len(columns), "", object))
    return Units(lanes, (), silent, {"value": 1})


def grouped(accounts: Sequence[Sequence[tuple[InstrumentRow, object]]], chosen=None, fx=None, base="USD") -> Groups:
    """Groups of accounts given as lists of (instrument, quantity)."""
    listed = {row.id: row for held in accounts for row, _ in held}
    columns = build.instruments(listed.values(), {base})
    place = {number: k for k, number in enumerate(columns.ids.tolist())}
    flat = [(a, place[row.id], D(str(quantity))) for a, held in enumerate(accounts) for row, quantity in held]
    quantities = np.empty(len(flat), object)
    quantities[:] = [quantity for _, _, quantity in flat]
    market = Market(ON, fx or {}, RATES)
    return arrange(
        instruments=columns,
        base=base_units(columns),
        keys=portfolio.group_keys(columns, chosen or terms()),
        account=np.array([a for a, _, _ in flat], np.int64),
        base_currency=np.full(len(accounts), columns.currencies.index(base), np.int32),
        position=np.arange(len(flat)),
        instrument=np.array([i for _, i, _ in flat], np.int32),
        quantity=lambda at: quantities[at],
        convert=lambda own, target: market.rate(columns.currencies[own], columns.currencies[target]),
    )


def measured(accounts, chosen=None, *, market=None, fx=None, base="USD"):
    chosen = chosen or terms()
    market = market or Market(ON, fx or {}, RATES)
    return portfolio.measure_groups(grouped(accounts, chosen, fx, base), market, "requirement", chosen)


def asked(*held, **more):
    """The requirement of one account."""
    found = measured([held], **more)
    assert list(found.refused) == [""]
    return found.requirement[0]


def charges(*held, chosen=None):
    return measured([held], chosen).told(0).charges


# --- the published table --------------------------------------------------------------------------------------------


def golden_rows():
    return [row for row in golden.read("us_cases.csv") if row["method"] == "portfolio_margin"]


def leg_row(number, leg, spot, params):
    """An instrument of a golden row, and its quantity."""
    on_index = leg["underlying"] in ("SPX", "SPY")
    if leg["instrument_type"] == "equity":
        return share(price=str(leg["price"]), code="IBM")
    if leg["instrument_type"] == "etf":
        return spy(str(leg["price"]))
    build_option = index_option if on_index else option
    right = {"C": "call", "P": "put"}[leg["right"]]
    contract = {"dividend_rate": params["dividend_yield_assumed"], "expires_on": date.fromisoformat(leg["expiry_date"])}
    if on_index:
        return build_option(number, right, str(leg["strike"]), str(leg["price"]), **contract)
    return build_option(number, right, str(leg["strike"]), str(leg["price"]), str(spot), contract=contract)


@pytest.mark.skipif(not (golden.SHARED / "us_cases.csv").exists(), reason="no ../shared")
def test_the_2007_cboe_table_is_met_within_its_tolerance():
    rows = golden_rows()
    assert rows
    for row in rows:
        legs, params = golden.document(row["legs_json"]), golden.document(row["params_json"])
        held = [(leg_row(100 + k, leg, row["underlying_price"], params), leg["qty"]) for k, leg in enumerate(legs)]
        market = Market(date.fromisoformat(params["as_of"]), {}, {"USD": params["rate_assumed"]})
        found = asked(*held, market=market)
        assert golden.is_close(found, D(row["expected_initial"]), row["tolerance"]), (row["case_id"], found)


@pytest.mark.parametrize(
    ("expected", "tolerance", "legs"),
    [
        (115_429, "rel:0.005", [("call", "100", "1.68", -100)]),
        (129_804, "rel:0.005", [("stock",), ("call", "100", "1.68", -100)]),
        (37_538, "rel:0.005", [("stock",), ("put", "95", "1.02", 100)]),
        (33_522, "rel:0.005", [("stock",), ("put", "95", "1.02", 100), ("call", "105", "0.40", -100)]),
        (40_881, "rel:0.005", [("call", "95", "4.53", 100), ("call", "105", "0.40", -100)]),
        (654_514, "rel:0.02", [("index call", "1460", "21.66", -100)]),
        (272_402, "rel:0.02", [("fund",), ("index put", "1450", "18.72", 100)]),
    ],
)
def test_published_requirements_of_the_23rd_of_february_2007(expected, tolerance, legs):
    """Cboe, "Margin Requirement Examples for Sample Options-based Positions", portfolio margin column."""
    held = []
    for number, (name, *leg) in enumerate(legs):
        if leg:
            make = index_option if name.startswith("index") else option
            held.append((make(100 + number, name.split()[-1], leg[0], leg[1]), leg[2]))
        else:
            held.append((spy(), 100_000) if name == "fund" else (share(), 10_000))
    assert golden.is_close(asked(*held), D(expected), tolerance)


# --- points and ranges ----------------------------------------------------------------------------------------------


def moves(*held, chosen=None):
    charge = charges(*held, chosen=chosen)[0]
    return [charge.inputs[f"move_{k}_rate"] * 100 for k in range(1, 11)]


def test_the_ten_points_of_a_stock_and_of_a_high_capitalisation_index():
    assert moves((share(), 100)) == [-15, -12, -9, -6, -3, 3, 6, 9, 12, 15]
    high = share(margin_class="high_cap_index", kind="etf")
    assert moves((high, 100)) == [D(x) for x in ["-8", "-6.4", "-4.8", "-3.2", "-1.6", "1.2", "2.4", "3.6", "4.8", "6"]]


@pytest.mark.parametrize(
    ("margin_class", "long", "short"),
    [
        ("equity", 15, 15),
        ("etf_narrow", 15, 15),
        ("narrow_index", 15, 15),
        ("broad_index", 10, 10),
        ("etf_broad", 10, 10),
        ("high_cap_index", 8, 6),
    ],
)
def test_a_holding_by_itself_is_asked_its_range(margin_class, long, short):
    row = share(price="100", kind="etf", margin_class=margin_class)
    assert (asked((row, 100)), asked((row, -100))) == (100 * long, 100 * short)


def test_a_leveraged_fund_moves_by_its_leverage_and_stands_alone():
    """Its leverage is known without its sign, so it cannot be set against its index."""
    plain_fund = spy("100")
    doubled = spy("100", leverage=D(2))
    doubled = dataclasses.replace(doubled, id=23, code="SSO")
    assert asked((doubled, 100)) == 2000
    assert asked((plain_fund, 100)) == 1000
    assert asked((plain_fund, 100), (doubled, -100)) == 3000
    fivefold = dataclasses.replace(doubled, leverage=D(15))
    assert asked((fivefold, 100)) == 10_000  # no price falls by more than all of itself


def test_a_fund_takes_the_range_of_its_index_when_the_index_is_there():
    put = index_option(101, "put", "1450", "18.72")
    points = charges((spy(), 100), (put, 1))[0]
    assert [points.inputs["move_1_rate"], points.inputs["move_10_rate"]] == [D("-0.08"), D("0.06")]
    assert len(charges((spy(), 100), (put, 1))) == 1
    stranger = spy(index=99)
    assert len(charges((stranger, 100), (put, 1))) == 2


def test_a_fund_and_a_synthetic_short_of_its_index_offset_in_full():
    """Cboe 2007: fund and index options net 100 %. 1,000 funds at 145.119 are one index; a synthetic short is its
    mirror, but for the discounted strike, which does not move."""
    call, put = index_option(101, "call", "1450", "27.56"), index_option(102, "put", "1450", "18.72")
    fund = spy("145.119")
    hedged = asked((fund, 1000), (call, -1), (put, 1))
    assert hedged == D("75")  # the minimum of two contracts: less than 75 can be lost
    assert asked((fund, 1000)) == D("14511.90")


def test_the_house_only_widens():
    house = {"classes": {"equity": "1.2"}, "instruments": {"IBM": "2"}, "initial_rate": "1.1"}
    raised = terms(house=house)
    stock = share(price="100", code="XYZ", number=50)
    assert measured([[(stock, 100)]], raised).requirement[0] == 1800
    assert measured([[(stock, 100)]], raised).initial[0] == 1980
    call = option(101, "call", "100", "1.68")
    assert moves((call, -1), chosen=raised)[0] == -30  # by the code of its underlying
    with pytest.raises(ValueError, match="1 or more"):
        terms(house={"classes": {"equity": "0.9"}})


# --- the minimum ----------------------------------------------------------------------------------------------------


def test_every_option_contract_asks_at_least_37_50_and_stock_nothing():
    far = option(101, "call", "200", "0.01")
    found = charges((far, -3))
    assert [(charge.branch, charge.amount) for charge in found] == [("minimum", D("112.500"))]
    assert found[0].inputs["contracts"] == 3
    assert asked((option(102, "call", "200", "0.01", multiplier=D(10)), 4)) == D("15")
    straddle = [(option(101, "put", "100", "3.18"), 100), (option(102, "call", "100", "1.68"), 100)]
    assert asked(*straddle) == 7500


def test_a_loss_above_the_minimum_binds_at_its_point():
    charge = charges((option(101, "call", "100", "1.68"), -100))[0]
    assert charge.branch == "up_5"
    assert charge.inputs["move_rate"] == D("0.15")
    assert charge.inputs["underlying"] == "IBM"
    assert charge.amount == charge.inputs["loss"] == -min(charge.inputs[f"profit_{k}"] for k in range(1, 11))


# --- offsets --------------------------------------------------------------------------------------------------------

FUND_A = share(61, "100", code="A", kind="etf", margin_class="high_cap_index")
FUND_B = share(62, "100", code="B", kind="etf", margin_class="high_cap_index")
FUND_C = share(63, "100", code="C", kind="etf", margin_class="broad_index")
HEDGE = ((FUND_A, 1000), (FUND_B, -1000))


def test_without_a_table_class_groups_add_up():
    assert asked(*HEDGE) == 8000 + 6000


def test_a_product_group_offsets_gains_at_its_rate_point_by_point():
    """At -8 %: 8,000 lost, 90 % of 8,000 gained; at +6 %: 6,000 and 90 % of 6,000."""
    table = terms(product_groups={"high_cap_index": "0.90"})
    assert asked(*HEDGE, chosen=table) == 800
    told = charges(*HEDGE, chosen=table)
    assert [(charge.branch, charge.amount) for charge in told] == [
        ("down_5", 8000),
        ("up_5", 6000),
        ("product_group", -13_200),
    ]


def test_a_product_group_without_a_rate_of_its_own_still_takes_one_point_at_a_time():
    assert asked(*HEDGE, chosen=terms(product_groups={"high_cap_index": "0"})) == 8000


def test_an_offset_never_goes_below_the_minimums_of_all_members():
    table = terms(product_groups={"high_cap_index": "1"})
    options = [
        (option(70 + k, "call", "200", "0.01", contract={"underlying": 60 + k, "margin_class": "high_cap_index"}), -1)
        for k in (1, 2)
    ]
    assert asked(*HEDGE, *options, chosen=table) == 75


def test_a_portfolio_group_offsets_between_product_groups():
    """Long 1,000 A against short 1,000 C. A gain is cut twice: to 90 % within its product group, to 50 % between them.
    Furthest down: 8,000 lost, 0.45 × 10,000 gained. Furthest up: 10,000 lost, 0.45 × 6,000 gained, which binds."""
    table = terms(
        product_groups={"high_cap_index": "0.9", "broad_index": "0.9"},
        portfolio_groups=[{"classes": ["high_cap_index", "broad_index"], "rate": "0.5"}],
    )
    held = ((FUND_A, 1000), (FUND_C, -1000))
    assert asked(*held) == 18_000
    assert asked(*held, chosen=table) == 7300
    assert [charge.branch for charge in charges(*held, chosen=table)] == ["down_5", "up_5", "portfolio_group"]


# --- who is eligible ------------------------------------------------------------------------------------------------


def test_what_is_not_eligible_stays_with_the_base_methodology():
    refused_share = share(margin_eligible=False)
    assert len(grouped([[(refused_share, 100)]])) == 0
    unlisted = option(101, "call", "100", "1.68", contract={"venue": "otc"})
    assert len(grouped([[(unlisted, 1)]])) == 0
    assert len(grouped([[(unlisted, 1)]], terms(tier="unlisted"))) == 1
    assert len(measured([[(unlisted, 1)]]).requirement) == 0


def test_a_warrant_is_a_call_on_what_it_turns_into():
    written = Contract(underlying=IBM, spot=D("97.73"), expires_on=EXPIRY, conversion=D("0.5"), exercise_price=D(100))
    warrant = InstrumentRow(90, "W", "warrant", "USD", D("0.84"), contract=written)
    call = option(101, "call", "100", "1.68")
    found = measured([[(warrant, 200)], [(call, 1)]])
    loss = [found.told(k).charges[0].inputs["loss"] for k in (0, 1)]
    assert abs(loss[0] - loss[1]) < D("0.001")
    without_end = dataclasses.replace(warrant, contract=dataclasses.replace(written, expires_on=None))
    assert len(grouped([[(without_end, 1)]])) == 0


# --- what cannot be measured ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (option(101, "call", "90", "5.00", "97.73"), "O101: price 5 is below its least value 8.4"),
        (option(101, "call", "90", "97.80", "97.73"), "O101: price 97.8 is above what any volatility gives"),
        (option(101, "call", "90", "9", None, contract={"spot_reason": "IBM: stale"}), "O101: IBM: stale"),
        (option(101, "call", "90", "9", contract={"expires_on": date(2007, 2, 22)}), "O101: expired on 2007-02-22"),
        (option(101, "call", "90", "9", contract={"expires_on": None}), "O101: its expiry is not known"),
        (option(101, "call", "90", "9", contract={"leverage": D(0)}), "O101: the leverage of its underlying"),
        (option(101, "call", "0", "9"), "O101: underlying at 97.73 and strike 0 must both be positive"),
        (option(101, "call", "90", "9", contract={"style": "bermudan"}), "O101: right 'call' and style 'bermudan'"),
        (InstrumentRow(101, "O101", "option", "USD", D(9)), "O101: nothing is known of its contract"),
        (option(101, "call", "90", "9", reason="stale"), "O101: stale"),
    ],
)
def test_an_option_that_cannot_be_valued_refuses_its_account_by_name(row, reason):
    found = measured([[(row, 1), (share(), 100)], [(share(), 100)]])
    assert str(found.refused[0]).startswith(reason), found.refused[0]
    assert found.refused[1] == ""
    assert [found.requirement[0], found.equity[0], found.told(0).charges] == [0, 0, ()]
    assert found.requirement[1] == D("1465.95")


def test_without_a_risk_free_rate_options_are_unpriced_and_stock_is_not():
    market = Market(ON, {}, {})
    call = option(101, "call", "100", "1.68")
    assert list(measured([[(call, 1)], [(share(), 1)]], market=market).refused) == [
        "O101: risk_free: no rate for USD",
        "",
    ]


@pytest.mark.parametrize(("rate", "expires_on"), [("-400", EXPIRY), ("400", EXPIRY), ("0.05", date(9999, 1, 1))])
@pytest.mark.parametrize("style", ["american", "european"])
def test_where_the_model_has_no_value_the_account_is_refused_and_never_given_a_number(rate, expires_on, style):
    call = option(101, "call", "100", "1.68", contract={"expires_on": expires_on, "style": style})
    found = measured([[(call, 1)]], market=Market(ON, {}, {"USD": D(rate)}))
    assert found.refused[0].startswith("O101: ")
    assert found.requirement[0] == 0


def test_a_class_without_a_range_is_refused():
    ranges = {"equity": {"down": "0.15", "up": "0.15"}}
    assert list(measured([[(FUND_C, 1)]], terms(ranges=ranges)).refused) == ["C: no range for broad_index"]


def test_a_price_a_little_below_parity_keeps_its_discount_at_every_point():
    """97.73 - 90 × e^(-0.0525 × 57/365) = 8.4648; at 8.40 the call moves with the stock, the 0.06 held."""
    call = option(101, "call", "90", "8.40")
    assert golden.is_close(asked((share(), -100), (call, 1)), D("37.5"), "abs:0")
    profit = charges((call, 1))[0].inputs["profit_10"]
    assert golden.is_close(profit, D("100") * D("97.73") * D("0.15"), "abs:0.001")


def test_an_option_lives_through_its_last_day():
    call = option(101, "call", "97", "1.20", contract={"expires_on": ON})
    assert measured([[(call, 1)]]).refused[0] == ""


def test_what_an_adjusted_contract_delivers_moves_but_its_cash_does_not():
    """It delivers 50 shares at 97.73 and 1,000 in cash for 100 × 20: priced at its least value it is 50 shares, a
    claim of 1,000 less 2,000 discounted; at -15 % it loses 50 × 97.73 × 0.15."""
    contract = {
        "is_adjusted": True,
        "deliverable": ((IBM, D(50), D("97.73")),),
        "deliverable_cash": D(1000),
    }
    call = option(101, "call", "20", "38.865", contract=contract)
    assert golden.is_close(asked((call, 1)), 50 * D("97.73") * D("0.15"), "abs:0.001")
    missing = option(101, "call", "20", "38.865", contract=contract | {"deliverable": ((IBM, D(50), None),)})
    assert "something it delivers" in measured([[(missing, 1)]]).refused[0]


# --- exactness, and the fourth law ----------------------------------------------------------------------------------

POOL = (
    share(),
    share(OTHER, "12.345678", code="O"),
    share(43, "0.00001234", code="PENNY"),
    spy(),
    FUND_A,
    FUND_B,
    FUND_C,
    option(101, "call", "100", "1.68"),
    option(102, "put", "95", "1.02"),
    option(103, "put", "120", "22.27"),
    index_option(104, "put", "1450", "18.72"),
    option(
        105, "call", "150", "0.60", "145.12", contract={**INDEX, "underlying": 24, "scale": D("0.1"), "strike": D(150)}
    ),
)
TABLE = terms(
    product_groups={"high_cap_index": "0.9", "broad_index": "0.75"},
    portfolio_groups=[{"classes": ["high_cap_index", "broad_index"], "rate": "0.5"}],
    house={"classes": {"equity": "1.1"}, "initial_rate": "1.25"},
    parity_tolerance_rate="1",
)
QUANTITY = st.one_of(
    st.integers(-1000, 1000),
    st.decimals(-1000, 1000, places=8),
    st.integers(-(10**17), 10**17),
).filter(lambda quantity: quantity != 0)
HOLDINGS = st.lists(
    st.lists(st.tuples(st.sampled_from(POOL), QUANTITY), max_size=6, unique_by=lambda held: held[0].id),
    min_size=1,
    max_size=4,
)


@settings(max_examples=40, deadline=None)
@given(HOLDINGS)
def test_charges_add_up_to_the_requirement_and_parts_to_the_equity(accounts):
    found = measured(accounts, TABLE)
    for group in range(len(found.requirement)):
        told = found.told(group)
        with exactly():
            assert sum((charge.amount for charge in told.charges), D(0)) == found.requirement[group]
            assert sum((part.amount for part in told.equity), D(0)) == found.equity[group]
            assert found.initial[group] == found.requirement[group] * D("1.25")


@settings(max_examples=25, deadline=None)
@given(HOLDINGS, st.randoms(use_true_random=False))
def test_an_account_is_asked_the_same_alone_and_in_any_company_and_order(accounts, random):
    accounts = [held for held in accounts if held]
    together = {tuple(sorted((row.id, q) for row, q in held)): [] for held in accounts}
    for arranged in (accounts, random.sample(accounts, len(accounts))):
        shuffled = [random.sample(held, len(held)) for held in arranged]
        for held, amount in zip(arranged, measured(shuffled, TABLE).requirement, strict=True):
            together[tuple(sorted((row.id, q) for row, q in held))].append(amount)
    for held in accounts:
        key = tuple(sorted((row.id, q) for row, q in held))
        assert {measured([held], TABLE).requirement[0], *together[key]} == {together[key][0]}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(POOL), st.integers(-50, 50).filter(bool)), min_size=1, max_size=6))
def test_splitting_an_instrument_in_two_changes_nothing(held):
    """The same series under two ids, part of the quantity in each, on the same side."""
    halves = []
    for row, quantity in {row.id: (row, quantity) for row, quantity in held}.values():
        twin = dataclasses.replace(row, id=row.id + 5000, code=row.code + "-2")
        if row.kind != "option" and not row.index:
            halves.append((row, 3 * quantity))  # a share is its own class
            continue
        halves += [(row, quantity), (twin, 2 * quantity)]
    whole = [(row, 3 * quantity) for row, quantity in {row.id: (row, quantity) for row, quantity in held}.values()]
    assert asked(*halves) == asked(*whole)


def test_quantities_beyond_64_bits_are_summed_to_the_last_digit():
    price = share(44, "0.00000123")
    assert asked((price, 10**18), (share(), 1)) == D("1845") * 10**8 + D("14.6595")


def test_two_currencies_meet_in_the_base_currency():
    euro = InstrumentRow(80, "SAP", "equity", "EUR", D(100))
    fx = {("EUR", "USD"): D("1.0823")}
    assert asked((euro, 10), (share(), 10), fx=fx) == D("150") * D("1.0823") + D("146.595")


def test_options_are_added_to_the_equity_at_their_market_value():
    found = measured([[(share(), 100), (option(101, "call", "100", "1.68"), -2)]])
    assert found.equity[0] == D("-336")
    assert [(part.name, part.place, part.amount) for part in found.told(0).equity] == [("option_value", 1, D("-336"))]


# --- stress, minimum equity, terms ----------------------------------------------------------------------------------


def test_stress_looks_beyond_the_range_at_any_point():
    chosen = terms(
        stress=[{"price_rate": "-0.25"}, {"price_rate": "0.25"}, {"price_rate": "0", "volatility_rate": "1"}]
    )
    held = [[(share(), 100), (option(101, "put", "95", "1.02"), 1)]]
    down, up, volatile = portfolio.stress_values(grouped(held), Market(ON, {}, RATES), chosen)[0]
    assert down == pytest.approx(100 * (-0.25 * 97.73 + 95 - 0.75 * 97.73 - 1.02), abs=0.05)
    assert up == pytest.approx(100 * (0.25 * 97.73 - 1.02), abs=0.1)
    assert volatile > 100


def test_scenario_values_are_profits_of_one_unit_per_point():
    columns = build.instruments([share(), option(101, "call", "100", "1.68"), option(102, "call", "90", "1")])
    found = portfolio.scenario_values(columns, Market(ON, {}, RATES), np.array([-0.15, 0.0]), np.array([0.0, 0.0]))
    assert found.shape == (3, 2)
    assert found[0].tolist() == pytest.approx([-14.6595, 0])
    assert found[1, 1] == pytest.approx(0, abs=1e-9)
    assert np.isnan(found[2]).all()  # far below parity


def minimum_equity(value, rate="1", **changes):
    totals = Totals({"value": np.array([D(value)], object)}, D, np.array([D(rate)], object), np.zeros(1, bool))
    return portfolio.levels(totals, "minimum_equity", terms(**changes))


@pytest.mark.parametrize(
    ("tier", "amount"), [("monitored", 100_000), ("standard", 150_000), ("away", 500_000), ("unlisted", 5_000_000)]
)
def test_the_minimum_equity_follows_the_tier(tier, amount):
    found = minimum_equity("99999", tier=tier)
    assert [found.equity[0], found.requirement[0], found.applies[0]] == [99_999, amount, True]
    assert found.charges[0].amount[0] == amount
    assert found.charges[0].branch[0] in found.charges[0].sentences


def test_the_house_may_ask_more_for_opening_and_currencies_are_converted():
    found = minimum_equity("1", "0.5", tier="monitored", house={"opening_equity": "110000"})
    assert [found.requirement[0], found.initial[0]] == [50_000, 55_000]


def test_the_value_of_options_counts_as_equity_for_the_minimum():
    columns = build.instruments([share(), option(101, "call", "100", "1.68")])
    units = portfolio.units(columns, Market(ON, {}, RATES), "minimum_equity", terms())
    assert list(units.lanes["value"].long) == [D("97.73"), 168]
    assert list(units.lanes["value"].short) == [D("-97.73"), -168]
    with pytest.raises(ValueError, match="part of a regime"):
        portfolio.units(columns, Market(ON, {}, RATES), "requirement", terms())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tier": "gold"}, "'gold' is not one of monitored"),
        ({"points": 6}, "points must be one of"),
        ({"ranges": {}}, "ranges: state at least one"),
        ({"ranges": {"equity": {"down": "1.5", "up": "0.1"}}}, "down above 0 and at most 1"),
        ({"ranges": {"stock": {"down": "0.1", "up": "0.1"}}}, "unknown margin classes stock"),
        ({"product_groups": {"equity": "1.1"}}, "from 0 to 1"),
        ({"portfolio_groups": [{"classes": ["equity"], "rate": "0"}]}, "equity must be product_groups too"),
        ({"minimum_equity": {"away": "1"}}, "nothing is stated for tier standard"),
        ({"stress": [{"price_rate": "-1.5"}]}, "by more than -1"),
    ],
)
def test_terms_refuse_what_they_cannot_compute_with(changes, message):
    with pytest.raises(ValueError, match=message):
        terms(**changes)


# --- in a regime ----------------------------------------------------------------------------------------------------


def test_a_regime_charges_what_is_eligible_here_and_the_rest_by_regulation_t():
    """The covered call of the table beside 500 shares at 10 that are not margin-eligible (100 %), on a loan of 700,000:
    net liquidating value 977,300 + 5,000 - 16,800 - 700,000."""
    part = PartRule("portfolio", "requirement", terms(), ("equity", "etf", "option", "warrant"))
    regulation_t = reg_t.Terms.from_json(reg_t.RULE_BOOK)
    regimes = (
        RegimeRule("portfolio", "reg_t", "exchange", regulation_t, ("equity", "etf", "bond"), parts=(part,)),
        RegimeRule("minimum_equity", "portfolio", "minimum_equity", terms(), ("equity", "etf", "option", "warrant")),
    )
    dollar = InstrumentRow(1, "USD", "cash", "USD", minor_exponent=2)
    pink = share(55, "10", code="PINK", margin_eligible=False)
    held = [(dollar, -700_000), (share(code="IBM"), 10_000), (option(101, "call", "100", "1.68"), -100), (pink, 500)]
    columns = build.instruments([row for row, _ in held])
    book = build.book(
        columns,
        [build.AccountRow(7, "USD")],
        [build.PositionRow(7, row.id, D(quantity)) for row, quantity in held],
    )
    arguments = (book, columns, Market(ON, {}, RATES), Rules((Policy("portfolio", regimes),)))
    found = assess(*arguments)
    margin, minimum = found.figures(np.arange(len(found)))
    assert [margin.equity, minimum.equity, minimum.requirement] == [265_500, 265_500, 150_000]
    assert golden.is_close(margin.requirement - 5000, D(129_804), "rel:0.005")
    tree = explain(*arguments, 0)["regimes"][0]
    assert sum(D(charge["amount"]) for charge in tree["requirement"]["charges"]) == D(tree["requirement"]["amount"])
    assert tree["requirement"]["charges"][1]["sentence"].startswith(
        "IBM moved by -15 %: 10000 IBM, -100 O101 lose 1298"
    )


def unclaimed(row, quantity):
    """The figures of 10 shares, 200,000 in cash and so many of `row`, under portfolio margin and its minimum equity."""
    part = PartRule("portfolio", "requirement", terms(), ("equity", "etf", "option", "warrant"))
    regulation_t = reg_t.Terms.from_json(reg_t.RULE_BOOK)
    regimes = (
        RegimeRule("portfolio", "reg_t", "exchange", regulation_t, ("equity", "etf", "bond"), parts=(part,)),
        RegimeRule("minimum_equity", "portfolio", "minimum_equity", terms(), ("equity", "etf", "option", "warrant")),
    )
    dollar = InstrumentRow(1, "USD", "cash", "USD", minor_exponent=2)
    held = [(dollar, 200_000), (share(code="IBM"), 10), (row, quantity)]
    columns = build.instruments([each for each, _ in held])
    positions = [build.PositionRow(7, each.id, D(many)) for each, many in held]
    book = build.book(columns, [build.AccountRow(7, "USD")], positions)
    found = assess(book, columns, Market(ON, {}, RATES), Rules((Policy("portfolio", regimes),)))
    return found.figures(np.arange(len(found)))


WARRANT = Contract(IBM, D("97.73"), underlying_code="IBM", expires_on=EXPIRY, conversion=D(1), exercise_price=D(100))


@pytest.mark.parametrize("quantity", [100, -100])
@pytest.mark.parametrize(
    "lacking", [{"conversion": D(0)}, {"expires_on": None}, None], ids=["conversion", "end", "all"]
)
def test_a_warrant_without_its_terms_is_unpriced_and_named_beside_a_minimum_equity(lacking, quantity):
    contract = None if lacking is None else dataclasses.replace(WARRANT, **lacking)
    row = InstrumentRow(90, "W", "warrant", "USD", D("0.84"), contract=contract)
    assert [(one.status.name, one.reasons) for one in unclaimed(row, quantity)] == [
        ("UNPRICED", ("no rule for warrant W",))
    ] * 2
    assert unclaimed(dataclasses.replace(row, contract=WARRANT), quantity)[0].status.name != "UNPRICED"


def test_an_unlisted_option_below_its_tier_is_unpriced_and_named_beside_a_minimum_equity():
    row = option(101, "call", "100", "1.68", contract={"venue": "otc"})
    assert [one.reasons for one in unclaimed(row, -1)] == [("no rule for option O101",)] * 2
