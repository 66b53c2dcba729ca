"""The cheapest lawful cover of option legs: against published samples, against every cover there is, and its laws."""

import random
from dataclasses import replace
from datetime import date
from decimal import Decimal
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import option_books
from margin.engine import cover, kernels
from margin.engine.cover import Cover, Leg, NoCover, Piece, Problem
from tests.engine import cover_oracles

D = Decimal
MARCH, APRIL, MAY, JUNE, JULY = (date(2026, month, 19) for month in (3, 4, 5, 6, 7))


def leg(right: str, strike: float, contracts: int, expires_on: date = JUNE, **changes) -> Leg:
    return Leg(right, D(str(strike)), expires_on, contracts, changes.pop("size", D(100)), (0,), **changes)


def problem(*legs: Leg, naked: float = 1_000_000, stocks: tuple = (), pieces: tuple = ()) -> Problem:
    """Every short contract naked at a cost that is never cheapest unless a test says so."""
    alone = [Piece(((k, 1),), (), D(str(naked))) for k, each in enumerate(legs) if each.contracts < 0]
    return Problem(legs, stocks, (*alone, *pieces))


def check(asked: Problem, found: Cover) -> None:
    """A cover is one: all shorts taken exactly, no more than there is, sets lawful, the cost the sum of its parts."""
    used, held = [0] * len(asked.legs), [D(0)] * len(asked.stocks)
    cost = D(0)
    for k, count in found.pieces:
        assert count > 0
        for each, contracts in asked.pieces[k].legs:
            used[each] += count * contracts
        for stock, units in asked.pieces[k].stocks:
            held[stock] += count * units
        cost += count * asked.pieces[k].cost
    for spread in found.spreads:
        legs = [(asked.legs[k], count) for k, count in spread.legs]
        assert all(spread.family in each.families and count > 0 for each, count in legs)
        assert cover_oracles.is_lawful(legs)
        assert spread.loss == cover_oracles.most_lost(legs)
        assert spread.loss == max(D(0), -cover_oracles.worth(legs, spread.worst_at))
        assert spread.cost == cover_oracles.set_cost(legs)
        cost += spread.cost
        for k, count in spread.legs:
            used[k] += count
    for each, count in zip(asked.legs, used, strict=True):
        assert count == -each.contracts if each.contracts < 0 else count <= each.contracts
    assert all(units <= there for units, there in zip(held, asked.stocks, strict=True))
    assert found.cost == cost


def cost(asked: Problem) -> D:
    found = cover.cheapest(asked)
    check(asked, found)
    return found.cost


# Published samples; the cost of longs, which the cover leaves out, is taken off.


def test_two_verticals_margined_as_one_set_cost_nothing():
    """Apart they are a debit spread at 0 and a credit spread at 1,000; together no price loses (margin_rules §9.2)."""
    assert cost(problem(leg("call", 100, 1), leg("call", 110, -1), leg("call", 190, -1), leg("call", 200, 1))) == 0


def test_a_condor_of_unequal_sides_costs_the_worse_side():
    """Cboe Margin Manual p. 36: 5 put spreads of 10 points and 10 call spreads of 5 points, 5,000."""
    legs = leg("put", 60, 5), leg("put", 70, -5), leg("call", 85, -10), leg("call", 90, 10)
    assert cost(problem(*legs)) == 5000
    assert cost(problem(*legs[:3], leg("call", 92, 10))) == 7000  # by pencil: 10 calls of 7 points


def test_put_and_call_spreads_of_different_expiries_are_one_condor():
    """Cboe Margin Manual p. 37: the call side expires a month later; only the wider side counts."""
    puts = leg("put", 60, 1), leg("put", 70, -1)
    calls = leg("call", 85, -1, JULY), leg("call", 90, 1, JULY)
    assert cost(problem(*puts, *calls)) == 1000


def test_shorts_of_march_and_may_are_matched_to_longs_of_april_and_june():
    """Cboe Margin Manual p. 38, butterfly with four expirations: maximum potential loss 0."""
    legs = (
        leg("call", 45, 10, APRIL),
        leg("call", 55, -10, MARCH),
        leg("call", 55, -10, MAY),
        leg("call", 60, 10, JUNE),
    )
    assert cost(problem(*legs)) == 0
    late = replace(legs[2], expires_on=JULY)  # now the second short outlives every long
    assert cost(problem(legs[0], legs[1], late, legs[3], naked=900)) == 9000


def test_a_short_that_outlives_its_long_is_naked():
    """Cboe Margin Manual p. 42-43: a short calendar or diagonal is no spread."""
    assert cost(problem(leg("call", 100, -1, JULY), leg("call", 100, 1, JUNE), naked=2000)) == 2000
    assert cost(problem(leg("call", 100, -1, JUNE), leg("call", 100, 1, JULY), naked=2000)) == 0


def test_a_very_wide_spread_is_margined_naked():
    """Short 150 call at 5, long 300 call, underlying 150: naked 3,500, potential loss 15,000."""
    found = cover.cheapest(problem(leg("call", 150, -1), leg("call", 300, 1), naked=3500))
    assert (found.cost, found.pieces, found.spreads) == (3500, ((0, 1),), ())


def test_a_short_leg_is_split_between_a_spread_and_naked():
    """1 × 150 call, −5 × 155 call, underlying 150: one debit spread, four naked at 2,700 (with the long, 11,300)."""
    found = cover.cheapest(problem(leg("call", 150, 1), leg("call", 155, -5), naked=2700))
    assert (found.cost, found.pieces) == (10_800, ((0, 4),))
    assert [spread.legs for spread in found.spreads] == [((0, 1), (1, 1))]


def test_a_backspread_costs_the_width():
    """Short 1 × 150 call, long 5 × 155 call: 500, at 155."""
    found = cover.cheapest(problem(leg("call", 150, -1), leg("call", 155, 5), naked=3500))
    assert (found.cost, found.spreads[0].worst_at) == (500, 155)


def test_ten_reduced_value_contracts_offset_one_of_full_size():
    """Cboe Margin Manual p. 44: long 10 reduced-value 45 calls, short one 450 call; strikes and sizes on one axis."""
    assert cost(problem(leg("call", 450, 10, JULY, size=D(10)), leg("call", 450, -1))) == 0
    assert cost(problem(leg("call", 450, 9, JULY, size=D(10)), leg("call", 450, -1), naked=7000)) == 7000


def test_a_put_ratio_leaves_one_put_naked():
    """+1 × 100 put, −2 × 80 put: the pair loses nothing, and at zero the other put is bare."""
    assert cost(problem(leg("put", 100, 1), leg("put", 80, -2), naked=2400)) == 2400


# Pieces and stock, by pencil.


def test_pairs_of_short_put_and_short_call_are_assigned_to_save_most():
    """Naked 100 each; pairs cost 110, 150, 120 and 200: the diagonal 150 + 120 beats 110 + 200."""
    legs = leg("put", 90, -1), leg("put", 95, -1), leg("call", 105, -1), leg("call", 110, -1)
    pairs = [
        Piece(((p, 1), (c, 1)), (), D(each))
        for (p, c), each in zip(product((0, 1), (2, 3)), (110, 150, 120, 200), strict=True)
    ]
    assert cost(problem(*legs, naked=170, pieces=tuple(pairs))) == 270


def pieces_of(found: Cover) -> int:
    return sum(count for _, count in found.pieces)


@pytest.mark.parametrize(("pair", "pieces"), [(10, 1), (11, 2), ("9.9999", 1), ("10.0001", 2)])
def test_of_two_covers_of_one_cost_the_one_of_fewer_pieces_is_told(pair, pieces):
    both = Piece(((0, 1), (1, 1)), (), D(pair))
    found = cover.cheapest(problem(leg("put", 90, -1), leg("call", 110, -1), naked=5, pieces=(both,)))
    assert (pieces_of(found), found.cost) == (pieces, min(D(10), D(pair)))


def test_pieces_of_equal_cost_are_counted_over_all_contracts():
    # three puts and three calls at 5 each, or three pairs at 10 each
    both = Piece(((0, 1), (1, 1)), (), D(10))
    found = cover.cheapest(problem(leg("put", 90, -3), leg("call", 110, -3), naked=5, pieces=(both,)))
    assert (pieces_of(found), found.cost) == (3, 30)


@pytest.mark.parametrize("units", [100, 1000, 10_000])
def test_many_pieces_of_stock_do_not_outweigh_a_cent(units):
    """One piece for all of the stock brings a cent less than as many pieces as there are units."""
    single, whole = Piece((), ((0, D(1)),), D("-0.01")), Piece((), ((0, D(units)),), D("0.01") - D(units) / 100)
    found = cover.cheapest(problem(leg("call", 110, -1), naked=5, stocks=(D(units),), pieces=(single, whole)))
    assert found.cost == 5 - D(units) / 100


def test_a_pair_is_broken_where_a_spread_saves_more():
    """The call is worth 500 in a spread; beside the put it would save 300 only: put naked 1,000, spread 500."""
    legs = leg("put", 90, -1), leg("call", 105, -1), leg("call", 110, 1)
    assert cost(problem(*legs, naked=1000, pieces=(Piece(((0, 1), (1, 1)), (), D(1700)),))) == 1500


def test_stock_covers_whole_contracts_only():
    """250 shares cover two of three calls."""
    covered = Piece(((0, 1),), ((0, D(100)),), D(0))
    assert cost(problem(leg("call", 100, -3), naked=2000, stocks=(D(250),), pieces=(covered,))) == 2000


def test_a_long_that_releases_stock_margin_is_used_though_no_short_needs_it():
    """Two protective puts save 700 each; there is stock for both, but one put is better used against the short put."""
    legs = leg("put", 100, 2), leg("put", 105, -1)
    protective = Piece(((0, 1),), ((0, D(100)),), D(-700))
    assert cost(problem(*legs, naked=5000, stocks=(D(300),), pieces=(protective,))) == -700 + 500
    assert cost(problem(*legs, naked=1100, stocks=(D(300),), pieces=(protective,))) == -1400 + 1100


def test_using_a_long_in_a_spread_costs_the_loan_value_it_loses():
    assert cost(problem(leg("call", 100, -1), leg("call", 100, 1, spread_cost=D("812.50")), naked=900)) == D("812.50")
    assert cost(problem(leg("call", 100, -1), leg("call", 100, 1, spread_cost=D("812.50")), naked=800)) == 800


def test_spreads_do_not_cross_families():
    apart = replace(leg("call", 100, 1), families=(1,))
    both = replace(apart, families=(0, 1))
    assert cost(problem(leg("call", 100, -1), apart, naked=2000)) == 2000
    assert cost(problem(leg("call", 100, -1), both, naked=2000)) == 0


def test_costs_of_many_decimals_are_told_apart_and_summed_exactly():
    legs = leg("call", 100, -3), leg("call", D("100.0000001"), 3, size=D("100.5")), leg("put", 90, -1)
    legs = replace(legs[0], size=D("100.5")), *legs[1:]
    assert cost(problem(*legs, naked=D("0.0000300000000001"))) == 3 * D("0.00001005") + D("0.0000300000000001")
    assert cost(problem(*legs, naked=D("0.00001"))) == D("0.00004")


# Refusals.


def needs_search(asked: Problem) -> bool:
    """Whether whole numbers are found only by branching."""
    form, _, _ = cover._canonical(asked)
    members = [(k, family) for k, row in enumerate(form.legs) for family in row[6]]
    table, whole, *_, gap = kernels.cover().lay_out(*cover._arrays(form, members, cover._step(form)))
    return kernels.programs().minimise(table, whole, 0.0, gap, 1000, 1000)[3] > 0


def test_a_short_that_nothing_takes_is_named():
    with pytest.raises(NoCover, match=r"short put 90 of 2026-06-19"):
        cover.cheapest(Problem((leg("call", 100, 1), leg("put", 90, -1)), (), ()))


def test_a_short_without_a_naked_piece_is_covered_by_what_there_is():
    asked = Problem((leg("put", 90, -2), leg("put", 85, 2)), (), ())
    assert cost(asked) == 1000
    with pytest.raises(NoCover, match="nothing takes all contracts"):
        cover.cheapest(replace(asked, legs=(asked.legs[0], leg("put", 85, 1))))


def test_contracts_that_come_in_twos_cannot_cover_three():
    with pytest.raises(NoCover, match="no whole number"):
        cover.cheapest(Problem((leg("put", 90, -3),), (), (Piece(((0, 2),), (), D(100)),)))


def test_a_piece_that_uses_nothing_cannot_pay():
    with pytest.raises(ValueError, match="uses nothing"):
        cover.cheapest(problem(leg("put", 90, -1), pieces=(Piece((), (), D(-1)),)))


def test_a_search_that_is_cut_short_returns_no_cover(monkeypatch):
    book = next(b for seed in range(500) if needs_search(b := option_books.book(random.Random(seed), 12)))
    monkeypatch.setattr(cover, "_NODES", 0)
    with pytest.raises(NoCover, match="too large to solve exactly"):
        cover.cheapest(book)


def test_no_legs_cost_nothing():
    assert cover.cheapest(Problem((), (), ())) == Cover((), (), D(0))


# Against every cover there is.


@pytest.mark.parametrize("seed", range(120))
def test_the_cover_of_a_small_book_is_the_cheapest_of_all(seed):
    book = option_books.book(random.Random(seed), 2 + seed % 5, most=1 + seed % 2)
    if sum(abs(each.contracts) for each in book.legs) <= 9:
        assert cost(book) == cover_oracles.brute_force(book)


@st.composite
def problems(draw) -> Problem:
    """Up to five legs with costs that follow no price: pairs, stock, two families, two sizes, releases."""
    shape = st.tuples(
        st.sampled_from(["call", "put"]),
        st.integers(1, 6),
        st.sampled_from([MARCH, JUNE, JULY]),
        st.sampled_from([-2, -1, -1, 1, 1, 2]),
        st.sampled_from([10, 10, 10, 20]),
        st.sampled_from([(0,), (0,), (0,), (1,), (0, 1), ()]),
    )
    legs = tuple(
        Leg(right, D(strike), day, count, D(size), families, D(draw(st.integers(0, 9))) if count > 0 else D(0))
        for right, strike, day, count, size, families in draw(st.lists(shape, min_size=1, max_size=5))
    )
    shorts = [k for k, each in enumerate(legs) if each.contracts < 0]
    pieces = [Piece(((k, 1),), (), D(draw(st.integers(0, 60)))) for k in shorts]
    if len(legs) > 1:
        pair = st.lists(st.sampled_from(range(len(legs))), min_size=2, max_size=2, unique=True)
        for chosen in draw(st.lists(pair, max_size=2)):
            pieces.append(Piece(tuple((k, 1) for k in chosen), (), D(draw(st.integers(-5, 60)))))
    with_stock = draw(st.lists(st.sampled_from(range(len(legs))), max_size=2))
    pieces += [
        Piece(((k, 1),), ((0, D(draw(st.sampled_from([10, 10, 15, D("7.01")])))),), D(draw(st.integers(-20, 20))))
        for k in with_stock
    ]
    return Problem(
        legs, (D(draw(st.sampled_from([0, 9, 10, 20, 25, 35, 10_000_000]))),), tuple(draw(st.permutations(pieces)))
    )


@given(problems())
@settings(max_examples=200, deadline=None)
def test_no_cover_of_any_problem_is_cheaper(asked):
    assert cost(asked) == cover_oracles.brute_force(asked)


# Laws.

books = st.builds(
    lambda seed, legs, most: option_books.book(random.Random(seed), legs, most),
    st.integers(0, 10**9),
    st.integers(2, 10),
    st.integers(1, 10),
)


def reordered(asked: Problem, legs: list[int], pieces: list[int]) -> Problem:
    """The same problem with its legs and pieces in another order."""
    place = {old: new for new, old in enumerate(legs)}
    moved = [
        replace(asked.pieces[k], legs=tuple((place[each], count) for each, count in asked.pieces[k].legs))
        for k in pieces
    ]
    return Problem(tuple(asked.legs[k] for k in legs), asked.stocks, tuple(moved))


@given(books, st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_the_order_of_legs_and_pieces_changes_nothing(asked, choose):
    legs, pieces = list(range(len(asked.legs))), list(range(len(asked.pieces)))
    choose.shuffle(legs)
    choose.shuffle(pieces)
    first, second = cover.cheapest_of_many([asked, reordered(asked, legs, pieces)])
    assert second.cost == first.cost
    assert sorted((pieces[k], count) for k, count in second.pieces) == list(first.pieces)
    assert [sorted((legs[k], count) for k, count in spread.legs) for spread in second.spreads] == [
        list(spread.legs) for spread in first.spreads
    ]


@given(books)
@settings(max_examples=60, deadline=None)
def test_counting_pieces_never_changes_the_cost(asked):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cover, "_tie_factor", lambda form, step: 1)
        uncounted = cover.cheapest(asked)
    found = cover.cheapest(asked)
    assert found.cost == uncounted.cost
    assert pieces_of(found) <= pieces_of(uncounted)


@given(books, st.data())
@settings(max_examples=60, deadline=None)
def test_a_series_held_in_two_lots_costs_the_same(asked, data):
    k = data.draw(st.sampled_from(range(len(asked.legs))))
    whole = asked.legs[k]
    if abs(whole.contracts) < 2:
        return
    part = data.draw(st.integers(1, abs(whole.contracts) - 1)) * (1 if whole.contracts > 0 else -1)
    lots = replace(whole, contracts=part), replace(whole, contracts=whole.contracts - part)
    other = len(asked.legs)
    copies = tuple(
        replace(piece, legs=tuple((other if each == k else each, count) for each, count in piece.legs))
        for piece in asked.pieces
        if any(each == k for each, _ in piece.legs)
    )
    legs = (*asked.legs[:k], lots[0], *asked.legs[k + 1 :], lots[1])
    assert cost(Problem(legs, asked.stocks, asked.pieces + copies)) == cost(asked)


@given(books)
@settings(max_examples=60, deadline=None)
def test_a_cover_costs_at_most_what_naked_shorts_cost(asked):
    alone = [piece for piece in asked.pieces if len(piece.legs) == 1 and not piece.stocks]
    assert cost(asked) <= sum(-asked.legs[piece.legs[0][0]].contracts * piece.cost for piece in alone)


@given(
    books,
    st.sampled_from(["call", "put"]),
    st.integers(1, 40),
    st.sampled_from(option_books.EXPIRIES),
    st.integers(1, 9),
)
@settings(max_examples=60, deadline=None)
def test_one_more_long_never_costs_more(asked, right, steps, expires_on, contracts):
    longer = (*asked.legs, Leg(right, D(10) * steps, expires_on, contracts, D(100), (0,)))
    assert cost(replace(asked, legs=longer)) <= cost(asked)


@given(books, st.integers(2, 5))
@settings(max_examples=60, deadline=None)
def test_a_book_held_several_times_costs_at_most_as_many_times(asked, times):
    legs = tuple(replace(each, contracts=each.contracts * times) for each in asked.legs)
    more = Problem(legs, tuple(units * times for units in asked.stocks), asked.pieces)
    assert cost(more) <= times * cost(asked)


@given(books)
@settings(max_examples=100, deadline=None)
def test_no_greedy_matcher_finds_a_cheaper_cover(asked):
    ours = cost(asked)
    assert ours <= cover_oracles.dearest_first(asked)
    assert ours <= cover_oracles.most_legs_first(asked)


@pytest.mark.long
def test_no_greedy_matcher_beats_the_cover_on_ten_thousand_books():
    dearer = [0, 0]
    for seed in range(10_000):
        book = option_books.book(random.Random(seed), 2 + seed % 19)
        ours = cost(book)
        theirs = cover_oracles.dearest_first(book), cover_oracles.most_legs_first(book)
        assert ours <= min(theirs), seed
        dearer = [count + (ours < each) for count, each in zip(dearer, theirs, strict=True)]
    assert min(dearer) > 1000  # the books are hard enough to tell


def test_equal_problems_are_solved_once(monkeypatch):
    book = option_books.book(random.Random(5), 8)
    solved = []
    solve = cover._solve
    monkeypatch.setattr(cover, "_solve", lambda form: solved.append(form) or solve(form))
    legs = list(reversed(range(len(book.legs))))
    again = reordered(book, legs, list(reversed(range(len(book.pieces)))))
    found = cover.cheapest_of_many([book, again, replace(book), option_books.book(random.Random(6), 8)])
    assert len(solved) == 2
    assert found[0] == found[2] == cover.cheapest(book)
    assert found[1].cost == found[0].cost
