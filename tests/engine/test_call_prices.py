"""To which price of a position a regime stays covered: by pencil, and by moving the mark through the whole engine."""

from dataclasses import replace

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from margin.engine.assess import assess, explain
from margin.engine.build import InstrumentRow
from margin.engine.columns import Contract, PartRule, RegimeRule, Status
from margin.engine.methodologies import concentration, cross, reg_t, tiered, volatility
from tests.engine.world import ON, D, account, loan_regime, loan_terms, reg_t_terms, regime, stock


def told(world, **parameters):
    """By code, in the only regime: (covered_to, reason)."""
    book, columns, market, rules = world.arguments
    told_of = (book, columns, replace(market, parameters=parameters), rules)
    (found,) = explain(*told_of, 0, with_prices=True)["regimes"]
    return {one["code"]: (one["covered_to"], one["reason"]) for one in found["prices"]}


def covered_to(world, code="XYZ"):
    return told(world)[code][0]


def is_covered(world, code, price):
    moved = tuple(replace(row, price=price) if row.code == code else row for row in world.instruments)
    (status,) = assess(*replace(world, instruments=moved).arguments).status
    return status < Status.DEFICIT


def house(**rates):
    return regime("house", terms=reg_t_terms(house={"basic": rates}))


# --- by pencil ---------------------------------------------------------------------------------------------


def test_a_long_bought_with_sixty_per_cent_is_covered_to_the_debit_over_three_quarters():
    # 100 shares, 3,000 owed: 3,000 ÷ 0.75 ÷ 100 = 40.00, FINRA 4210(c)(1)
    assert covered_to(account("-3000", (stock("50"), "100"), regimes=[regime("exchange")])) == "40.00"


def test_a_house_rate_of_thirty_per_cent_calls_earlier():
    # 3,000 ÷ 0.70 ÷ 100 = 42.857…, the last tick above
    assert covered_to(account("-3000", (stock("50"), "100"), regimes=[house(long="0.30")])) == "42.86"


def test_a_short_is_covered_up_to_its_credit_over_a_hundred_and_thirty_per_cent():
    # credit 7,800 for 100 shares: 78 ÷ 1.3 = 60.00, 4210(c)(3)
    assert covered_to(account("7800", (stock("50"), "-100"), regimes=[regime("exchange")])) == "60.00"


def test_a_cheap_short_is_held_by_five_dollars_a_share():
    # credit 13.00 a share: 13 − 5 = 8.00, where 5.00 is more than 30 % of the price
    assert covered_to(account("1300", (stock("6"), "-100"), regimes=[regime("exchange")])) == "8.00"


def test_what_is_paid_for_is_never_called():
    assert told(account("0", (stock("50"), "100"), regimes=[regime("exchange")])) == {"XYZ": (None, "")}


def test_a_debt_beyond_all_price_of_one_share_is_called_whatever_that_share_costs():
    # a rate of 100 % of one share frees nothing, and the other does not carry the debt
    full, other = stock("10", margin_eligible=False), stock("10", id=12, code="OTH")
    world = account("-2000", (full, "10"), (other, "100"), regimes=[regime("exchange")])
    assert told(world)["XYZ"] == (None, "the account is short of its requirement whatever its price")


def test_the_minimum_equity_is_met_down_to_two_thousand_beyond_the_debit():
    # 100 shares that cost 5,000, 1,000 owed: 3,000 ÷ 100
    assert covered_to(account("-1000", (stock("50"), "100", "5000"), regimes=[regime("minimum_equity")])) == "30.00"


def test_a_loan_at_seventy_per_cent_is_called_at_equality():
    # 35,000 lent against one coin: 35,000 ÷ 0.70 = 50,000 calls already
    coin = InstrumentRow(21, "BTC", "crypto", "USD", D("60000"))
    assert covered_to(account("-35000", (coin, "1"), regimes=[loan_regime()]), "BTC") == "50000.01"


def test_a_borrowed_coin_is_covered_up_to_the_share_of_its_collateral():
    # 70,000 of collateral carries 49,000 at 70 %: one coin owed, called at 49,000
    coin = InstrumentRow(21, "BTC", "crypto", "USD", D("40000"))
    regime_of_both = loan_regime(loan_terms(kind_haircuts={}), kinds=("crypto", "cash"))
    assert covered_to(account("70000", (coin, "-1"), regimes=[regime_of_both]), "BTC") == "48999.99"


def test_a_rate_that_follows_volatility_is_asked_of_the_price_as_well():
    # 4,500 owed on 100 shares, 24 % × 3/4 of value asked: 4,500 ÷ 0.82 ÷ 100 = 54.878…
    terms = volatility.Terms.from_json({"parameters": "rates", "model": {"kind": "fhs"}, "maintenance_rate": "0.75"})
    document = {"model": terms.model.name, "on": ON.isoformat(), "rates": {"XYZ": "0.24"}}
    part = PartRule("volatility", "requirement", terms, ("equity",))
    pool = RegimeRule("house", "cross", "requirement", cross.Terms(), ("equity",), parts=(part,))
    world = account("-4500", (stock("60"), "100"), regimes=[pool])
    assert told(world, rates=document) == {"XYZ": ("54.88", "")}


def test_a_coin_behind_a_perpetual_may_fall_to_what_the_perpetual_asks():
    # 2 coins at 300; a perpetual at its entry of 1,000 asks 5 %: 50 ÷ 2 = 25 a coin, and all other prices stand
    tables = {"flat": {"brackets": [{"floor": "0", "rate": "0.05"}]}}
    document = {"source": "a test", "tables": tables, "kinds": {"perpetual": "flat"}}
    part = PartRule("tiered", "requirement", tiered.Terms("venue"), ("perpetual",))
    pool = RegimeRule("futures", "cross", "requirement", cross.Terms(), ("crypto",), parts=(part,))
    coin = InstrumentRow(21, "ETH", "crypto", "USD", D("300"))
    perpetual = InstrumentRow(22, "PERP", "perpetual", "USD", D("1000"), contract=Contract(underlying=0, spot=None))
    world = account("0", (coin, "2"), (perpetual, "1", "1000"), regimes=[pool])
    # the perpetual itself: 600 − 1,000 + P = 0.05 P at 421.052…
    assert told(world, venue=document) == {"ETH": ("25.00", ""), "PERP": ("421.06", "")}


def test_what_a_part_asks_of_the_whole_account_is_named_as_the_reason():
    for terms, reason in (
        ({"stress_rate": "0.2"}, "concentration asks an amount of the whole account at least"),
        ({"share": [{"above": "0.1", "rate": "0.5"}]}, "what concentration asks is not a formula of its price alone"),
    ):
        part = PartRule("concentration", "addition", concentration.Terms.from_json(terms), ("equity",))
        world = account("-3000", (stock("50"), "100"), regimes=[regime("exchange", parts=(part,))])
        assert told(world) == {"XYZ": (None, reason)}


def test_debt_has_a_reason_and_no_price():
    bond = InstrumentRow(31, "BOND", "bond", "USD", D("0.95"), debt_class="investment_grade")
    assert "debt" in told(account("-100", (bond, "1000"), regimes=[regime("exchange")]))["BOND"][1]


def test_an_unpriced_account_is_told_no_price():
    (found,) = explain(*account("-1", (stock(None), "1"), regimes=[regime("exchange")]).arguments, 0, with_prices=True)[
        "regimes"
    ]
    assert "prices" not in found


# --- through the engine ------------------------------------------------------------------------------------

QUANTITIES = st.integers(-500, 500).filter(bool)
PRICED = st.integers(50, 20_000).map(lambda cents: D(cents) / 100)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["exchange", "house", "minimum_equity"]),
    QUANTITIES,
    PRICED,
    QUANTITIES,
    PRICED,
    st.sampled_from([D(1), D(2), D(3)]),
    st.booleans(),
    st.integers(-20, 120),
)
def test_every_price_told_is_covered_and_the_next_tick_is_not(
    measure, quantity, price, others, other_price, leverage, is_eligible, share
):
    one = stock(price, leverage=leverage, margin_eligible=is_eligible)
    other = stock(other_price, id=12, code="OTH")
    value = quantity * price + others * other_price
    cash = (D(share) / 100 * (abs(quantity) * price + abs(others) * other_price) - value).quantize(D("0.01"))
    assume(cash)
    terms = reg_t.Terms.from_json({**reg_t.RULE_BOOK, "house": {"kinds": {"equity": {"long": "0.3", "short": "0.35"}}}})
    costs = [str(abs(quantity * price)), str(abs(others * other_price))]
    world = account(cash, (one, quantity, costs[0]), (other, others, costs[1]), regimes=[regime(measure, terms=terms)])
    for code, (last, reason) in told(world).items():
        held = quantity if code == "XYZ" else others
        tick = D("0.01") if held < 0 else D("-0.01")
        if last is not None:
            assert D(last) <= 0 or is_covered(world, code, D(last))
            assert D(last) + tick <= 0 or not is_covered(world, code, D(last) + tick)
        else:
            for trial in (D("0.01"), D("1"), D("5"), D("1000"), D(10) ** 7):
                assert is_covered(world, code, trial) == (not reason), (code, trial, reason)
