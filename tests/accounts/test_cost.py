"""What a position cost: average on adding, proportional on reducing, fresh past zero. Figures by pencil."""

from decimal import Decimal

import pytest

from accounts.holdings import Change, CostRule, cost_after
from tests.accounts.world import AT

D = Decimal

CASES = [
    # held quantity, held cost, change, paid, cost after, pencil
    ("0", "0", "100", "1000", "1000", "the first purchase costs what was paid"),
    ("100", "1000", "100", "2000", "3000", "adding adds"),
    ("100", "1000", "-25", "-500", "750", "selling a quarter leaves three quarters: 1000 x 75/100"),
    ("100", "1000", "-100", "-1500", "0", "nothing is held, nothing was paid for it"),
    ("100", "1000", "-150", "-3000", "-1000", "50 short of a sale of 150 for 3000: 3000 x 50/150"),
    ("-50", "-1000", "-50", "-900", "-1900", "a short grows"),
    ("-50", "-1000", "20", "300", "-600", "covering 20 of 50 leaves 1000 x 30/50"),
    ("-50", "-1000", "80", "1600", "600", "30 long of a purchase of 80 for 1600: 1600 x 30/80"),
    ("3", "100", "-1", "-50", "66.66666667", "100 x 2/3, half-even at eight places"),
    ("100", None, "100", "2000", None, "half of it is unknown"),
    ("100", None, "-25", "-500", None, "still unknown"),
    ("100", None, "-150", "-3000", "-1000", "what is held now was sold just now"),
    ("0", "0", "100", None, None, "nobody said what was paid"),
    ("100", None, "-100", None, "0", "nothing is held"),
    ("1", "-37630", "1", "20000", "-17630", "a price may be negative"),
]


@pytest.mark.parametrize(("quantity", "cost", "change", "paid", "after", "pencil"), CASES)
def test_the_cost_after_a_trade(quantity, cost, change, paid, after, pencil):
    held = (D(quantity), None if cost is None else D(cost))
    trade = Change(1, 2, D(change), "r", AT, cost=None if paid is None else D(paid))
    assert cost_after(held, trade) == (None if after is None else D(after)), pencil


def test_a_split_leaves_the_cost_and_a_book_states_it():
    held = (D(100), D(1000))
    assert cost_after(held, Change(1, 2, D(600), "split 7:1", AT, rule=CostRule.KEEP)) == D(1000)
    assert cost_after(held, Change(1, 2, D(5), "book", AT, cost=D(77), rule=CostRule.STATE)) == D(77)


def test_digits_beyond_the_default_precision_of_28_are_kept():
    held = (D("99999999999999999999.123456789012"), D(0))
    after = cost_after(held, Change(1, 2, D(1), "r", AT, cost=D("99999999999999999998.12345678")))
    assert after == D("99999999999999999998.12345678")
