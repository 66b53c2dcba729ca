"""Parts of a regime over whole accounts: groups beside one another, floors, refusals, names; against a pencil."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from margin.engine import build, cover, sums
from margin.engine.assess import assess, list_charges
from margin.engine.build import AccountRow, PositionRow
from margin.engine.columns import Contract, Market, PartRule, Policy, Rules, Status
from margin.engine.exact import exactly
from margin.engine.methodologies import concentration, portfolio
from tests.engine.option_world import STOCK, D, legs, option, terms
from tests.engine.option_world import stock as shares
from tests.engine.world import CASH, FX, ON, USD, account, figures, reg_t_terms, regime, stock

KINDS = ("equity", "etf", "bond", "option", "warrant")
RATES = {"USD": D("0.04")}


def strategies(**changes):
    return PartRule("option_strategies", "maintenance", terms(**changes), KINDS)


def concentrated(**stated):
    return PartRule("concentration", "addition", concentration.Terms.from_json(stated), KINDS)


def ruled(*parts, measure="house", **stated):
    return replace(regime(measure, terms=reg_t_terms(**stated)), parts=parts)


def found(*holdings, cash="0", parts, currency="USD", fx=FX, instruments=()):
    """The figures of one account under these parts; its charges add up to its requirement."""
    world = account(cash, *holdings, regimes=(ruled(*parts),), currency=currency, instruments=instruments)
    book, columns, _, rules = world.arguments
    arguments = (book, columns, Market(ON, fx, RATES), rules)
    assessed = assess(*arguments)
    (one,) = assessed.figures(np.array([0]))
    if one.status != Status.UNPRICED:
        with exactly():
            levels, _ = assessed.exact(0, 0, np.array([0]))
            assert sum(list_charges(*arguments, np.array([0])).amount, D(0)) == levels.requirement[0]
    return one


# ---------------------------------------------------------------- figures


def test_what_is_beyond_a_deliverable_is_charged_alone():
    # one call covered: 25 % × 10,000; one naked: 200 + max(2,000 − 1,000, 1,000); fifty shares: 25 % × 5,000
    one = found(*legs("150 S @100, -2 C 110 @2", spot="100"), parts=(strategies(),))
    assert (one.equity, one.requirement) == (15000, 2500 + 1200 + 1250)
    assert one.initial == 5000 + 1200 + 2500


def test_short_stock_takes_the_cheaper_of_a_covered_put_and_a_protective_call():
    # covered put: 30 % × 10,000, fifty shares 1,500; the call's relief (10 % × 10,500 + 500) would leave a naked put
    one = found(*legs("-150 S @100, -1 P 95 @3, 1 C 105 @2", spot="100"), cash="25000", parts=(strategies(),))
    assert (one.equity, one.requirement, one.initial) == (10000, 4500, 7500)


def test_amounts_of_options_come_in_the_base_currency_of_their_account():
    # 4,950 × 156.4 yen
    one = found(*legs("150 S @100, -2 C 110 @2", spot="100"), parts=(strategies(),), currency="JPY")
    assert (one.equity, one.requirement) == (D("2346000"), D("774180"))


def test_two_groups_in_two_currencies_add_up():
    other = stock("50", id=200, code="EUX", currency="EUR")
    put = option("put", "45", "1", id=2001, spot="50", currency="EUR", underlying=200)
    # USD: 4,950. EUR: 100 shares 25 % × 5,000 = 1,250; the put 100 + max(1,000 − 500, 450) = 600; × 1.0823
    held = (*legs("150 S @100, -2 C 110 @2", spot="100"), (other, 100), (put, -1))
    one = found(*held, parts=(strategies(),))
    assert one.requirement == 4950 + D("1850") * D("1.0823") + D("0.005")  # 6,952.255, up to the cent


def test_a_house_table_raises_the_stock_of_a_covered_call():
    # 40 % of the 10,000 it counts for
    world = account(
        "0",
        *legs("100 S @100, -1 C 110 @2", spot="100"),
        regimes=(ruled(strategies(), house={"basic": {"long": "0.40", "short": "0.40"}}),),
    )
    assert figures(world).requirement == 4000


def test_the_floor_of_concentration_is_under_options_and_stock_together():
    # a covered call asks 2,500; were XYZ to fall by half, the shares lose 5,000 and the call brings its 200 at most
    held = legs("100 S @100, -1 C 110 @2", spot="100")
    for parts in ((strategies(), concentrated(stress_rate="0.5")), (concentrated(stress_rate="0.5"), strategies())):
        assert 4800 <= found(*held, parts=parts).requirement < 5000


# ---------------------------------------------------------------- names


def test_an_option_belongs_to_the_issuer_of_what_it_is_written_on():
    # two puts at the money for 100 shares: the worst is a rise; without them half of the shares would be lost
    plain, stated = ((shares("100", issuer=issuer), 100) for issuer in ("", "Alfa"))
    puts = legs("2 P 100 @5", spot="100")
    parts = (strategies(), concentrated(stress_rate="0.5"))
    assert found(plain, *puts, parts=parts).requirement == 1000  # 10 % of the strike
    assert found(stated, *puts, parts=parts).requirement == 1000


def test_options_on_two_classes_of_one_issuer_are_one_name_though_no_share_is_held():
    def written(number, price, issuer):
        contract = Contract(
            number, D(100), right="call", strike=D(100), style="american", expires_on=date(2024, 9, 20), issuer=issuer
        )
        return stock(price, id=number + 1, code=f"O{number}", kind="option", multiplier=D(100), contract=contract)

    steps = [{"above": "0.6", "rate": "1"}]
    # options are worth 500 each, the bystander 500: the issuer's two are two thirds of the account, apart a third
    held = (
        (written(300, "5", "Alfa"), 1),
        (stock("5", id=400, code="AB", issuer="Alfa"), 100),
        (stock("5", id=401), 100),
    )
    parts = (strategies(), concentrated(share=steps))
    assert found(*held, parts=parts).requirement == 500 + 125
    apart = ((written(300, "5", "Beta"), 1), *held[1:])
    assert found(*apart, parts=parts).requirement == 125 + 125


def test_the_stress_of_stock_is_exact_however_small_its_price():
    # a thousand million at 0.0000001 are worth 100: 30 % of it, though one loses less than a millionth
    coin = stock("0.0000001", id=500, code="MEME", kind="etf")
    world = account("0", (coin, 10**9), regimes=(ruled(concentrated(stress_rate="0.3"), measure="exchange"),))
    assert figures(world).requirement == 30


# ---------------------------------------------------------------- what is not known


def test_a_minimum_value_without_its_exchange_rate_leaves_the_account_unpriced():
    held = ((stock("50", id=501, code="A"), 100),)
    part = concentrated(share=[{"above": "0.3", "rate": "0.4"}], minimum_value="1000", currency="CHF")
    one = found(*held, parts=(part,))
    assert one.status == Status.UNPRICED
    assert "no rate CHF/USD" in one.reasons[0]
    assert found(*held, parts=(part,), fx={("CHF", "USD"): D("1.1")}).requirement == 2000


def test_what_cannot_be_valued_is_told_with_the_cause():
    (leg,) = legs("1 C 50 @2", spot="100")  # worth 50 if exercised now
    one = found(leg, parts=(strategies(), concentrated(stress_rate="0.3")))
    assert one.status == Status.UNPRICED
    assert "below its least value" in one.reasons[0]


def test_a_short_option_that_only_concentration_sees_has_no_rule():
    one = found(*legs("-1 C 100 @5", spot="100"), parts=(concentrated(share=[{"above": "0.3", "rate": "0.4"}]),))
    assert (one.status, one.reasons) == (Status.UNPRICED, ("no rule for option C100/1000",))


def test_an_unlisted_option_that_portfolio_margin_does_not_take_has_no_rule():
    rule_book = portfolio.Terms.from_json(portfolio.RULE_BOOK)
    part = PartRule("portfolio", "requirement", rule_book, ("option", "equity", "etf"))
    one = found(*legs("-1 C 100 @5", spot="100", venue="otc"), parts=(part,))
    assert (one.status, one.reasons) == (Status.UNPRICED, ("no rule for option C100/1000",))


def test_an_adjusted_option_whose_deliverable_is_unknown_is_not_modelled():
    rule_book = portfolio.Terms.from_json(portfolio.RULE_BOOK)
    part = PartRule("portfolio", "requirement", rule_book, ("option", "equity", "etf"))
    one = found(*legs("-1 C 100 @5", spot="100", is_adjusted=True), parts=(part,))
    assert one.status == Status.UNPRICED
    assert "what it delivers is not known" in one.reasons[0]


def test_a_warrant_of_which_no_conversion_is_stated_refuses_its_account_alone():
    contract = Contract(STOCK, D(80), exercise_price=D(85), expires_on=date(2024, 12, 20))
    bare = stock("6", id=60, code="WARR", kind="warrant", contract=contract)
    first, second = beside([(bare, 100)], [(shares("100"), 100)], parts=(concentrated(stress_rate="0.3"),))
    assert first.status == Status.UNPRICED
    assert any("WARR: its conversion is not known" in reason for reason in first.reasons)
    assert second.requirement == 3000


def beside(*accounts, parts):
    """Assess accounts 1, 2, … each with its holdings, all in one sweep."""
    rows = {row.id: row for row in (*CASH, *(row for held in accounts for row, _ in held))}
    columns = build.instruments(rows.values())
    listed = [AccountRow(k, "USD") for k in range(1, len(accounts) + 1)]
    positions = [PositionRow(k, row.id, D(q)) for k, held in enumerate(accounts, 1) for row, q in held]
    rules = Rules((Policy("test", (ruled(*parts),)),))
    assessed = assess(build.book(columns, listed, positions), columns, Market(ON, FX, RATES), rules)
    return assessed.figures(np.arange(len(assessed)))


@pytest.mark.parametrize("error", [ArithmeticError("the cover found is not one"), ZeroDivisionError(), OverflowError()])
def test_an_account_that_cannot_be_solved_is_refused_and_the_others_are_not(error, monkeypatch):
    solve = cover.cheapest

    def fails(problem):
        if len(problem.legs) == 3:
            raise error
        return solve(problem)

    monkeypatch.setattr(cover, "cheapest", fails)
    one = legs("-1 C 110 @2", spot="100")
    three = legs("-1 C 110 @2, -1 C 120 @1, 1 C 130 @0.5", spot="100")
    first, second = beside(three, one, parts=(strategies(),))
    assert first.status == Status.UNPRICED
    assert "C110/1000" in first.reasons[0]
    assert second.requirement == 200 + 1000


def test_quantities_beyond_what_the_search_tells_apart_refuse_their_account_alone():
    vast = legs(
        "-900000000000000000 C 110 @2.123457, 90000000000000001 C 120 @1, -70000000000000003 P 90 @3.33333, "
        "123456789012345677 S @100",
        spot="100",
    )
    first, second = beside(vast, legs("-1 C 115 @2", spot="100"), parts=(strategies(),))
    assert first.status == Status.UNPRICED
    assert second.requirement == 200 + 1000


def test_a_book_too_large_to_solve_refuses_its_account_before_it_fills_the_memory():
    wide = [
        (option(right, str(strike), "1", id=10_000 + 1_000 * (right == "put") + strike, spot="500"), -1)
        for right in ("call", "put")
        for strike in range(1, 301)
    ]
    first, second = beside(wide, legs("-1 C 110 @2", spot="100"), parts=(strategies(),))
    assert first.status == Status.UNPRICED
    assert "300 of them short puts and 300 short calls: too large" in first.reasons[0]
    assert second.requirement == 1200


def test_an_expiry_beyond_all_calendars_refuses_its_account_alone():
    far = option("call", "110", "2", id=5, spot="100", expires_on=date(9000, 1, 1))
    first, second = beside([(far, -1)], legs("-1 C 110 @2", spot="100"), parts=(strategies(),))
    assert first.status == Status.UNPRICED
    assert "9000-01-01" in first.reasons[0]
    assert second.requirement == 1200


# ---------------------------------------------------------------- rules and speed


def test_two_parts_may_not_charge_the_same_kinds():
    both = (
        strategies(),
        PartRule("portfolio", "requirement", portfolio.Terms.from_json(portfolio.RULE_BOOK), ("option",)),
    )
    with pytest.raises(ValueError, match="option_strategies and portfolio would both charge option"):
        found(*legs("-1 C 110 @2", spot="100"), parts=both)


def test_charges_and_reasons_of_many_accounts_look_at_each_group_once(monkeypatch):
    count = 400
    short, odd = legs("-1 C 110 @2", spot="100"), legs("-0.5 C 110 @2", spot="100")
    columns = build.instruments((USD, *(row for row, _ in short)))
    positions = [PositionRow(k, 1000, (odd if k % 2 else short)[0][1]) for k in range(1, count + 1)]
    book = build.book(columns, [AccountRow(k, "USD") for k in range(1, count + 1)], positions)
    policy = Policy("test", (ruled(strategies()),))
    of_policy = sums.of_policy(book, columns, Market(ON), policy, np.arange(count))
    seen = []
    part = of_policy.parts[0][0]
    refusals = type(part).refusals
    monkeypatch.setattr(type(part), "refusals", lambda self: (seen.append(1), refusals(self))[1])
    reasons = of_policy.why_unpriced(np.arange(count))
    assert sum(bool(one) for one in reasons) == count // 2
    assert len(seen) == 1
    charged = list_charges(book, columns, Market(ON), Rules((policy,)), np.arange(count))
    assert len(charged.account) == count // 2
    assert set(charged.account.tolist()) == set(range(1, count, 2))
    assert STOCK not in columns.ids
