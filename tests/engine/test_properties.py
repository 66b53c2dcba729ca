"""What must hold for every book: the oracle's figures to the last digit, and no dependence on order or shards."""

import math
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from margin.engine import build
from margin.engine.assess import assess, explain, list_charges
from margin.engine.columns import Market, Policy, Rules, Status
from margin.engine.exact import exactly, round_down, round_up
from tests.engine import oracle, world
from tests.engine.world import D, decimals, loan_regime, loan_terms, reg_t_terms, regime

HOUSE = {
    "basic": {"long": "0.30", "short": "0.35"},
    "sectors": {"biotech": {"long": "0.45", "short": "0.60"}},
    "instruments": {"S10": {"long": "0.4125"}},
}
TERMS = reg_t_terms(house=HOUSE)
MEASURES = ("exchange", "house", "minimum_equity")
REGIMES = tuple(
    regime(m, terms=TERMS, kinds=("equity", "etf"), watch_rate=D("1.3"), warning_rate=D("1.1"), severe_rate=D("0.4"))
    for m in MEASURES
)
HAIRCUTS = {"S10": "0.05", "S11": "0.2"}
LOAN = (loan_regime(loan_terms(haircuts=HAIRCUTS), kinds=("equity", "etf")),)


def exact_rows(arguments):
    """(account id, regime) → (status, equity, requirement, initial) as Fractions. One policy."""
    found = assess(*arguments)
    out = {}
    with exactly():
        for index, rule in enumerate(arguments[3].policies[0].regimes):
            rows = np.flatnonzero(found.regime == index)
            levels, _ = found.exact(0, index, found.account[rows])
            columns = (found.account_ids(rows), found.status[rows], levels.equity, levels.requirement, levels.initial)
            for account, status, *amounts in zip(*columns, strict=True):
                out[int(account), rule.regime] = (Status(int(status)), *map(Fraction, amounts))
    return out


def status_of(equity, requirement, applies=True):
    """The status that REGIMES give, with fractions."""
    if not applies:
        return Status.QUIET
    if equity < requirement:
        return Status.SEVERE if equity < requirement * Fraction("0.4") else Status.DEFICIT
    if equity < requirement * Fraction("1.1"):
        return Status.WARNING
    return Status.WATCH if equity < requirement * Fraction("1.3") else Status.QUIET


@settings(max_examples=80, deadline=None)
@given(world.stock_worlds(REGIMES))
def test_reg_t_equals_the_oracle_to_the_last_digit(made):
    found = exact_rows(made.arguments)
    for account in made.accounts:
        try:
            told = oracle.reg_t(made, account, HOUSE)
        except oracle.NoRateError:
            assert {found[account.id, measure][0] for measure in MEASURES} == {Status.UNPRICED}
            continue
        for measure, expected in told.items():
            status, *amounts = found[account.id, measure]
            if expected is None:
                assert status in (Status.UNPRICED, Status.QUIET)
                continue
            assert tuple(amounts) == expected
            applies = measure != "minimum_equity" or expected[1] > 0 or expected[0] < 0
            assert status == status_of(expected[0], expected[1], applies)


@settings(max_examples=50, deadline=None)
@given(world.stock_worlds(LOAN))
def test_the_loan_ladder_equals_the_oracle_to_the_last_digit(made):
    found = exact_rows(made.arguments)
    for account in made.accounts:
        status, equity, requirement, _ = found[account.id, "loan"]
        try:
            owed, collateral = oracle.loan(made, account, HAIRCUTS)
        except oracle.NoRateError:
            assert status == Status.UNPRICED
            continue
        assert equity == collateral - owed
        assert requirement == (collateral * (1 - Fraction("0.7")) if owed else 0)
        rungs = [("0.8", Status.SEVERE), ("0.7", Status.DEFICIT), ("0.6", Status.WARNING)]
        reached = [level for rate, level in rungs if owed and owed >= Fraction(rate) * collateral]
        assert status == (reached or [Status.QUIET])[0]


@settings(max_examples=25, deadline=None)
@given(world.stock_worlds(REGIMES), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(made, random):
    shuffled = [list(rows) for rows in (made.instruments, made.accounts, made.positions)]
    for rows in shuffled:
        random.shuffle(rows)
    other = replace(made, instruments=shuffled[0], accounts=shuffled[1], positions=shuffled[2])
    assert exact_rows(made.arguments) == exact_rows(other.arguments)
    assert made.figures() == other.figures()


@settings(max_examples=25, deadline=None)
@given(world.stock_worlds(REGIMES))
def test_shards_do_not_matter(made):
    whole = made.figures()
    for account in made.accounts:
        shard = replace(
            made, accounts=(account,), positions=tuple(p for p in made.positions if p.account == account.id)
        )
        book, *_ = shard.arguments
        _, columns, market, rules = made.arguments
        # all currencies stay listed, as they do in a sharded sweep
        rows = build.book(columns, shard.accounts, shard.positions)
        found = assess(rows, columns, market, rules)
        assert len(book) == 1
        for figures in found.figures(np.arange(len(found))):
            assert figures == whole[figures.account_id, figures.regime]


@settings(max_examples=50, deadline=None)
@given(st.sampled_from([REGIMES, LOAN]).flatmap(world.stock_worlds))
def test_listed_charges_add_up_to_the_requirement_of_every_account(made):
    book, columns, market, rules = made.arguments
    found = assess(book, columns, market, rules)
    charges = list_charges(book, columns, market, rules, np.arange(len(book)))
    sums = dict.fromkeys(zip(found.account.tolist(), found.regime.tolist(), strict=True), Fraction(0))
    for k in range(len(charges)):
        sums[int(charges.account[k]), int(charges.regime[k])] += Fraction(charges.amount[k])
        assert charges.position[k] == -1 or book.offsets[charges.account[k]] <= charges.position[k]
    exact = exact_rows(made.arguments)
    for row, (key, total) in enumerate(sums.items()):
        status, _, requirement, _ = exact[int(book.accounts[key[0]]), found.rule(row).regime]
        assert total == (0 if status == Status.UNPRICED else requirement)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([REGIMES, LOAN]).flatmap(world.stock_worlds))
def test_an_explanation_adds_up_and_agrees_with_the_figures(made):
    book, columns, market, rules = made.arguments
    figures = made.figures()
    for row in range(len(book)):
        tree = explain(book, columns, market, rules, row)
        for told in tree["regimes"]:
            found = figures[tree["account"], told["regime"]]
            assert told["status"] == found.status.name.lower()
            if found.status == Status.UNPRICED:
                assert told["unpriced"]
                continue
            for part, key in (("equity", "parts"), ("requirement", "charges")):
                lines = sum((Fraction(line["amount"]) for line in told[part][key]), Fraction(0))
                assert lines == Fraction(told[part]["amount"])
            assert D(told["rounding"]["equity"]) == found.equity
            assert D(told["rounding"]["requirement"]) == found.requirement
            assert D(told["rounding"]["deficit"]) == found.deficit
            assert D(told["rounding"]["amount"]) == found.amount


@settings(max_examples=25, deadline=None)
@given(world.stock_worlds(REGIMES))
def test_no_amount_is_ever_nan_and_no_unpriced_account_has_one(made):
    unquoted = replace(made.instruments[-1], price=None)
    worlds = [made, replace(made, instruments=(*made.instruments[:-1], unquoted)), replace(made, fx={})]
    for one in worlds:
        found = assess(*one.arguments)
        priced = found.status != Status.UNPRICED
        assert np.isfinite(found.equity[priced]).all()
        assert np.isfinite(found.requirement[priced]).all()
        assert np.isnan(found.equity[~priced]).all()
        for figures in found.figures(np.arange(len(found))):
            amounts = [getattr(figures, name) for name in ("equity", "requirement", "deficit", "amount", "initial")]
            if figures.status == Status.UNPRICED:
                assert amounts == [None] * 5
                assert figures.reasons
            else:
                assert all(amount.is_finite() for amount in amounts)
                assert not figures.reasons


@settings(max_examples=25, deadline=None)
@given(world.stock_worlds(REGIMES), st.sampled_from(MEASURES))
def test_a_position_without_a_price_makes_its_holders_unpriced_and_nobody_else(made, measure):
    victim = made.instruments[-1]
    holders = {p.account for p in made.positions if p.instrument == victim.id and p.quantity}
    before = made.figures()
    after = replace(made, instruments=(*made.instruments[:-1], replace(victim, price=None))).figures()
    for account in made.accounts:
        key = (account.id, measure)
        if account.id in holders:
            assert f"{victim.code}: no price" in after[key].reasons
        else:
            assert after[key] == before[key]


@given(decimals("-1000000", "1000000", 12), st.sampled_from([0, 2, 8]))
def test_rounding_goes_up_for_requirements_and_down_for_equity_by_less_than_one_unit(amount, exponent):
    up, down, unit = round_up(amount, exponent), round_down(amount, exponent), D(1).scaleb(-exponent)
    assert down <= amount <= up
    assert Fraction(up) - Fraction(amount) < Fraction(unit)
    assert Fraction(amount) - Fraction(down) < Fraction(unit)
    assert up == Decimal(math.ceil(Fraction(amount) * 10**exponent)).scaleb(-exponent)
    assert not str(up).startswith("-0.00") or up < 0


@settings(max_examples=25, deadline=None)
@given(
    st.integers(-(10**4), 10**4),
    st.integers(1, 10**6),
    st.sampled_from([0, 1, -1]),
)
def test_a_status_at_the_very_edge_is_the_exact_one(shares, price, nudge):
    # equity exactly at, one unit above or one unit below the requirement: 10^-12 in a million, beyond any float
    row = world.stock(D(price).scaleb(-3))
    value = D(abs(shares)) * row.price
    cash = -value * D("0.75") + D(nudge).scaleb(-12)
    made = world.account(cash, (row, abs(shares)), regimes=(regime("exchange"),))
    expected = Status.DEFICIT if nudge < 0 and (shares or cash) else Status.QUIET
    columns = made.columns
    book = build.book(columns, made.accounts, made.positions)
    found = assess(book, columns, Market(world.ON), Rules((Policy("edge", made.regimes),)))
    assert found.status[0] == expected
