"""The same security long and short: FINRA 4210(e)(1), by pencil."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margin.engine import alternatives, build, sizing
from margin.engine.assess import assess, explain
from margin.engine.build import AccountRow, BadRows, PositionRow
from margin.engine.charges import list_charges
from margin.engine.columns import PartRule, Status
from margin.engine.exact import exactly
from tests.engine.option_world import D, legs, terms
from tests.engine.option_world import stock as shares
from tests.engine.world import CASH, ON, World, account, figures, reg_t_terms, regime, stock

KINDS = ("equity", "etf", "bond", "option", "warrant")
PART = PartRule("option_strategies", "maintenance", terms(), KINDS)


def held(*holdings, cash="0", measure="exchange", parts=(), **stated):
    """The figures of one account, after a look at its charges: they add up, line by line, to the requirement."""
    world = account(cash, *holdings, regimes=(replace(regime(measure, terms=reg_t_terms(**stated)), parts=parts),))
    book, columns, market, rules = world.arguments
    assessed = assess(book, columns, market, rules)
    (one,) = assessed.figures(np.array([0]))
    with exactly():
        levels, _ = assessed.exact(0, 0, np.array([0]))
        listed = list_charges(book, columns, market, rules, np.array([0]))
        assert sum(listed.amount, D(0)) == levels.requirement[0]
    return one


def boxed(long, short, *, price="100", **more):
    return (stock(D(price), **more), long), (stock(D(price), **more), short)


def test_a_box_asks_five_per_cent_of_the_long_value():
    # 100 × 100 long and short, 10,000 of proceeds in cash: equity 10,000; 5 % of 10,000
    one = held(*boxed(100, -100), cash="10000")
    assert (one.equity, one.requirement, one.initial) == (10000, 500, 500)


def test_what_is_beyond_the_box_is_charged_as_if_it_were_alone():
    # 60 in the box: 300; 40 long: 25 % × 4,000; initially 50 % × 4,000
    assert held(*boxed(100, -60), cash="0").requirement == 300 + 1000
    assert held(*boxed(100, -60), cash="0").initial == 300 + 2000
    # 60 in the box: 300; 40 short: 30 % × 4,000; initially 50 %
    assert held(*boxed(60, -100), cash="0").requirement == 300 + 1200
    assert held(*boxed(60, -100), cash="0").initial == 300 + 2000


def test_fractions_of_a_share_are_in_the_box_as_well():
    # 5 % × 250 + 25 % × 75
    assert held(*boxed("3.25", "-2.5"), cash="0").requirement == D("12.50") + D("18.75")


def test_a_box_of_a_cheap_or_ineligible_stock_asks_five_per_cent_too():
    # at 2.00 the short alone would be 2.50 a share, the ineligible long 100 %
    assert held(*boxed(1000, -1000, price="2", margin_eligible=False), cash="0").requirement == 100


def test_government_debt_is_asked_no_more_than_both_sides_apart():
    # 100 × 100 of principal at par, over 20 years: 6 % each way apart; under a year 1 % each way is less than 5 %
    def both(**more):
        return held(*boxed(100, -100, kind="bond", debt_class="us_government", **more), cash="0").requirement

    assert both(matures_on=ON.replace(year=ON.year + 30)) == 500
    assert both(matures_on=ON.replace(month=12)) == 200


def test_the_house_table_raises_the_rest_and_not_the_box():
    stated = {"house": {"basic": {"long": "0.40", "short": "0.50"}}}
    assert held(*boxed(100, -60), measure="house", cash="0", **stated).requirement == 300 + 1600
    assert held(*boxed(60, -100), measure="house", cash="0", **stated).requirement == 300 + 2000


def test_the_rate_is_the_policys():
    assert held(*boxed(100, -100), box_rate="0.10", cash="0").requirement == 1000


def test_a_box_is_short_to_the_minimum_equity():
    assert held(*boxed(1, -1), measure="minimum_equity", cash="0").requirement == 2000


def test_the_explanation_names_the_rule_on_the_side_that_is_all_in_the_box():
    world = account("0", *boxed(100, -60), regimes=(regime("exchange"),))
    tree = explain(*world.arguments, 0)["regimes"][0]
    lines = [(line["quantity"], line["rule"], line["amount"]) for line in tree["requirement"]["charges"]]
    # the long is asked 25 % of all of it; the short 5 % of 6,000 less the 1,500 that its counterpart is asked
    assert lines == [("100", "finra_4210_c", "2500"), ("-60", "finra_4210_e1", "-1200")]
    assert "5 % of market value" in tree["requirement"]["charges"][1]["sentence"]
    assert [part["amount"] for part in tree["equity"]["parts"]] == ["10000", "-6000"]


# ---------------------------------------------------------------- with options


def with_options(text, long, short, cash="0"):
    options = [(row, quantity) for row, quantity in legs(text, spot="100")]
    return held((shares("100"), long), (shares("100"), short), *options, cash=cash, parts=(PART,))


def test_a_box_beside_an_option_that_needs_no_stock_asks_the_same():
    # a long option beyond what hedges: 100 both ways are worth more boxed than hedged
    assert with_options("1 C 150 @1", 100, -100).requirement == 500


def test_a_stock_is_in_the_box_or_covers_whatever_costs_less():
    # -1 call 100 @1, 200 long, 100 short at 100: 100 cover the call (25 % × 10,000), 100 are in the box (5 %)
    assert with_options("-1 C 100 @1", 200, -100).requirement == 2500 + 500
    # 100 long, 100 short: boxed beside a naked call 500 + 100 + 2,000; a covered call beside a short 2,500 + 3,000
    assert with_options("-1 C 100 @1", 100, -100).requirement == 500 + 2100


def test_a_box_of_stock_with_options_is_told_by_its_rule():
    world = account(
        "0",
        (shares("100"), 100),
        (shares("100"), -100),
        *legs("1 C 150 @1", spot="100"),
        regimes=(replace(regime("exchange"), parts=(PART,)),),
    )
    (line,) = explain(*world.arguments, 0)["regimes"][0]["requirement"]["charges"]
    assert (line["rule"], line["amount"], line["law"]) == ("box_offset", "500", "FINRA Rule 4210(e)(1)")
    assert line["sentence"] == "100 XYZ, -100 XYZ: the same security long and short, asked 500 on the 10000 long"


# ---------------------------------------------------------------- the book


XYZ = stock(D(100))
CALL = legs("1 C 150 @1", spot="100")[0][0]


@pytest.mark.parametrize(
    "positions",
    [
        [(11, 1), (11, 2)],
        [(11, -1), (11, -2)],
        [(11, 1), (11, -1), (11, 2)],
        [(1, 5), (1, -5)],
        [(1000, 1), (1000, -1)],
    ],
    ids=["two long", "two short", "three", "cash", "option"],
)
def test_anything_but_one_long_and_one_short_of_a_security_is_refused(positions):
    columns = build.instruments([*CASH, XYZ, CALL])
    with pytest.raises(BadRows, match=r"holds .* twice"):
        build.book(columns, [AccountRow(1, "USD")], [PositionRow(1, i, D(quantity)) for i, quantity in positions])


def test_two_accounts_on_two_sides_are_no_box():
    columns = build.instruments([*CASH, XYZ])
    rows = [PositionRow(1, 11, D(5)), PositionRow(2, 11, D(-5))]
    book = build.book(columns, [AccountRow(1, "USD"), AccountRow(2, "USD")], rows)
    assert len(build.boxes(book)) == 0


@pytest.mark.parametrize(
    ("change", "left"),
    [(-30, (70, -60)), (-120, (-80,)), (20, (100, -40)), (90, (130,)), (0, (100, -60))],
)
def test_a_trade_closes_its_side_of_a_box_before_it_opens_the_other(change, left):
    world = account("0", *boxed(100, -60), regimes=(regime("exchange"),))
    book, columns, *_ = world.arguments
    row = int(np.flatnonzero(columns.ids == 11)[0])
    after = alternatives.books(columns, book, 0, [{row: D(change)}])
    assert tuple(after.quantity.tolist()) == left
    assert alternatives.positions_of(after, 0)[row][0] == sum(left)


def test_a_deficit_of_a_box_is_cured_by_selling_what_is_beyond_it():
    # 100 long, 60 short, owes 3,600: equity 400, asked 1,300; one share less releases 25 and 36 do it
    world = account("-3600", *boxed(100, -60), regimes=(regime("exchange"),))
    found = sizing.plan(*world.arguments, regime="exchange")
    assert [(trade.instrument_id, trade.quantity) for trade in found.trades] == [(11, -36)]
    assert found.is_enough


BOXES = st.tuples(
    st.decimals("0.01", "500", places=2), st.decimals("0.001", "900", places=3), st.decimals("0.001", "900", places=3)
)


@settings(max_examples=60, deadline=None)
@given(boxes=st.lists(BOXES, min_size=1, max_size=3), backwards=st.booleans())
def test_boxes_cost_what_their_three_pieces_cost_in_any_order_of_rows(boxes, backwards):
    rows = [stock(price, id=11 + k, code=f"S{k}") for k, (price, *_) in enumerate(boxes)]
    positions = [
        PositionRow(7, row.id, quantity)
        for row, (_, long, short) in zip(rows, boxes, strict=True)
        for quantity in (long, -short)
    ]
    if backwards:
        positions.reverse()
    world = World((*CASH, *rows), (AccountRow(7, "USD"),), tuple(positions), (regime("exchange"),))
    expected = D(0)
    with exactly():
        for price, long, short in boxes:
            both = min(long, short)
            per_short = max(D("2.50"), price) if price < 5 else max(D(5), D("0.30") * price)
            expected += D("0.05") * price * both + D("0.25") * price * (long - both) + per_short * (short - both)
    assessed = assess(*world.arguments)
    with exactly():
        levels, _ = assessed.exact(0, 0, np.array([0]))
    assert levels.requirement[0] == expected
    assert sum(list_charges(*world.arguments, np.array([0])).amount, D(0)) == expected


def test_the_sum_of_floats_agrees_with_the_exact_one():
    one = figures(account("100000", *boxed(100, -60), regimes=(regime("exchange"),)))
    assert (one.status, one.requirement) == (Status.QUIET, 1300)
