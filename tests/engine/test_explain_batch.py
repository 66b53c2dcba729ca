"""Charges told for many accounts at once are, character for character, what each account alone is told."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margin.engine import build
from margin.engine.assess import assess, explain
from margin.engine.build import AccountRow, PositionRow
from margin.engine.columns import Market, Policy, Rules
from margin.engine.exact import exactly, plain
from margin.engine.wordings import MARKS, digits, filled
from tests.engine import test_mixed, world
from tests.engine.option_world import legs
from tests.engine.test_boxes import PART, boxed
from tests.engine.test_properties import LOAN
from tests.engine.world import D, account, regime, stock

HOUSE = regime(
    "house",
    terms=world.reg_t_terms(house={"basic": {"long": "0.30", "short": "0.35"}}),
    watch_rate=D("1.25"),
    warning_rate=D("1.10"),
)
REGIMES = (HOUSE, regime("exchange"), regime("minimum_equity"))


def told_together(arguments):
    """(account row, regime) → the JSON of its charges, all accounts told at once."""
    book = arguments[0]
    found = assess(*arguments).told(np.arange(len(book)))
    return {key: [filled(one) for one in lines] for key, lines in found.items()}


def told_alone(arguments):
    """The same by the explanation of each account; unpriced accounts are not told."""
    out = {}
    for row in range(len(arguments[0])):
        tree = explain(*arguments, row)
        if not tree["unpriced"]:
            for k, of_regime in enumerate(tree["regimes"]):
                charges = of_regime.get("requirement", {}).get("charges", ())
                out[row, k] = [json.dumps(charge, ensure_ascii=False) for charge in charges]
    return out


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([REGIMES, LOAN]).flatmap(world.stock_worlds))
def test_stocks_in_every_currency_are_told_together_as_alone(made):
    assert told_together(made.arguments) == told_alone(made.arguments)


@settings(max_examples=40, deadline=None)
@given(st.lists(test_mixed.holdings, min_size=2, max_size=4))
def test_accounts_of_several_methodologies_are_told_together_as_alone(accounts):
    positions = [row for k, held in enumerate(accounts) for row in test_mixed.rows(k, held)]
    book = test_mixed.book(list(range(len(accounts))), positions)
    arguments = (book, test_mixed.COLUMNS, test_mixed.MARKET, test_mixed.RULES)
    assert told_together(arguments) == told_alone(arguments)


@pytest.mark.parametrize("text", ["-1 C 100 @1", "1 C 150 @1", "-2 P 95 @3, 1 C 110 @1"])
def test_a_box_of_stock_with_options_is_told_together_as_alone(text):
    made = account(
        "-5000", *boxed(200, -100), *legs(text, spot="100"), regimes=(replace(regime("exchange"), parts=(PART,)),)
    )
    together = told_together(made.arguments)
    assert together == told_alone(made.arguments)
    assert together[0, 0]


def two_holders(row):
    """Two accounts in the same stock, in one book."""
    columns = build.instruments((*world.CASH, row))
    held = [PositionRow(1, row.id, D("10.5")), PositionRow(2, row.id, D(-3)), PositionRow(2, world.USD.id, D(90))]
    book = build.book(columns, [AccountRow(1, "USD"), AccountRow(2, "USD")], held)
    return book, columns, Market(world.ON, dict(world.FX)), Rules((Policy("test", (HOUSE,)),))


def test_what_is_said_of_one_unit_is_worded_once():
    arguments = account("0", (stock("100"), "10"), (stock("50", id=12, code="ABC"), "-3"), regimes=(HOUSE,)).arguments
    (lines,) = assess(*arguments).told(np.array([0])).values()
    # long XYZ: 25 %, and 5 % more to the house's 30 %; short ABC: 30 %, and 5 % more to the house's 35 %
    assert [(line.wording.instrument, line.quantity, line.amount) for line in lines] == [
        (11, "10", "250"),
        (11, "10", "50"),
        (12, "-3", "45"),
        (12, "-3", "7.5"),
    ]
    assert all(mark in line.wording.text for line in lines for mark in MARKS)


@pytest.mark.parametrize("code", [f"X{MARKS[0]}Z", MARKS[3], 'X"\\Z', "\\ue000", "ÄÖ€"])
def test_names_with_the_strangest_characters_are_told_together_as_alone(code):
    arguments = two_holders(stock("41.37", code=code))
    together, alone = told_together(arguments), told_alone(arguments)
    assert {key: [json.loads(one) for one in lines] for key, lines in together.items()} == {
        key: [json.loads(one) for one in lines] for key, lines in alone.items()
    }
    assert all(json.loads(one)["code"] == code for lines in together.values() for one in lines)


@given(st.integers(-(10**40), 10**40), st.integers(0, 30))
def test_digits_are_written_as_everywhere_else(mantissa, decimals):
    with exactly():
        assert digits(mantissa, decimals) == plain(D(mantissa).scaleb(-decimals))


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_plain_digits_mean_the_same_number_and_end_without_zeros(amount):
    text = plain(amount)
    assert D(text) == amount
    assert "E" not in text
    assert text == "0" if not amount else not ("." in text and text.endswith(("0", ".")))


@pytest.mark.parametrize("amount", ["NaN", "sNaN", "Infinity", "-Infinity"])
def test_what_is_no_number_has_no_digits(amount):
    with pytest.raises(ValueError, match="not a finite number"):
        plain(D(amount))
