"""Terms from JSON are read strictly, and every refusal names the key."""

import pytest

from margin.engine.methodologies import METHODOLOGIES, by_code, loan, reg_t
from tests.engine.world import D

LADDER = {"call": "0.7", "liquidate": "0.8", "restore": "0.6", "warn": "0.65"}


def test_the_rule_book_is_a_complete_document():
    terms = reg_t.Terms.from_json(reg_t.RULE_BOOK)
    assert (terms.long_rate, terms.short_floor, terms.minimum_equity) == (D("0.25"), D(5), D(2000))


def test_numbers_may_be_written_as_whole_numbers():
    assert reg_t.Terms.from_json({**reg_t.RULE_BOOK, "minimum_equity": 2000}).minimum_equity == 2000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"long_rate": None}, "long_rate: a number in quotes"),
        ({"long_rate": 0.25}, "long_rate: a number in quotes"),
        ({"long_rate": True}, "long_rate: a number in quotes"),
        ({"long_rate": "a quarter"}, "long_rate: 'a quarter' is not a number"),
        ({"long_rate": "NaN"}, "long_rate: 'NaN' is not a finite number"),
        ({"long_rate": "Infinity"}, "not a finite number"),
        ({"long_rate": "0.2_5"}, "long_rate: '0.2_5' is not a plain number"),
        ({"long_rate": " 0.25"}, "not a plain number"),
        ({"long_rate": "25e-2"}, "not a plain number"),
        ({"long_rate": "٠.٢٥"}, "not a plain number"),
        ({"long_rate": "-0.1"}, "long_rate must not be negative"),
        ({"long_rat": "0.25"}, "long_rat: unknown key"),
        ({"currency": 5}, "currency: a string is expected"),
        ({"zero_coupon_years": "5"}, "zero_coupon_years: a whole number"),
        ({"zero_coupon_years": True}, "zero_coupon_years: a whole number"),
        ({"government": {}}, "government: a list is expected"),
        ({"government": [{"rate": "0.01", "years": 1}]}, "government: brackets must rise"),
        ({"government": [{"years": 3}, {"rate": "0.06"}]}, r"government\[0\].rate: missing"),
        ({"house": []}, "house: an object is expected"),
        ({"house": {"kinds": {"shares": {}}}}, "house.*unknown kinds shares"),
        ({"house": {"kinds": {"etf": {"lng": "1"}}}}, "house.kinds.etf.lng: unknown key"),
        ({"house": {"kinds": {"etf": "1"}}}, "house.kinds.etf: an object is expected"),
        ({"house": {"basic": {"long": "-1"}}}, "must not be negative"),
    ],
)
def test_bad_reg_t_terms_are_refused_by_key(change, message):
    with pytest.raises(ValueError, match=message):
        reg_t.Terms.from_json({**reg_t.RULE_BOOK, **change})


@pytest.mark.parametrize("key", sorted(set(reg_t.RULE_BOOK) - {"box_rate"}))  # versions older than it go on being read
def test_every_parameter_must_be_stated(key):
    with pytest.raises(ValueError, match=f"{key}: missing"):
        reg_t.Terms.from_json({name: value for name, value in reg_t.RULE_BOOK.items() if name != key})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"restore": "0.7"}, "restore < call"),
        ({"liquidate": "0.7"}, "call < liquidate"),
        ({"liquidate": "1.01"}, "<= 1"),
        ({"restore": "0"}, "0 < restore"),
        ({"warn": "0.7"}, "warn"),
        ({"haircuts": {"BTC": "1.2"}}, "haircut of BTC"),
        ({"haircuts": {"BTC": 0.1}}, "haircuts.BTC: a number in quotes"),
        ({"haircuts": {1: "0.1"}}, "keys must be strings"),
        ({"kind_haircuts": {"coin": "0.1"}}, "unknown kinds coin"),
    ],
)
def test_bad_loan_terms_are_refused_by_key(change, message):
    with pytest.raises(ValueError, match=message):
        loan.Terms.from_json({**LADDER, **change})


@pytest.mark.parametrize("document", [None, [], "x", 5])
def test_terms_are_an_object(document):
    with pytest.raises(ValueError, match="an object is expected"):
        loan.Terms.from_json(document)


def test_methodologies_are_found_by_code():
    assert [by_code(m.CODE) for m in METHODOLOGIES] == list(METHODOLOGIES)
    with pytest.raises(ValueError, match="known: reg_t, cross, loan"):
        by_code("guess")
