"""A cascade closes futures: the account keeps its equity, and the future moves with what it is on."""

from types import SimpleNamespace

import numpy as np

from margin.cascading import markets, selling
from margin.cascading.question import CascadeQuestion
from margin.hypothetical.books import Case
from tests.engine.test_cross import _flat_is_known, future, pool  # noqa: F401 - a part of 1,000 a contract
from tests.engine.world import D, account, stock


def case(*holdings, cash):
    book, instruments, market, rules = account(cash, *holdings, regimes=(pool(),)).arguments
    readings = (SimpleNamespace(terms=SimpleNamespace(fee_rate=D(0))),)
    return Case(book, instruments, market, rules, readings, {7: "A"})


def test_what_is_closed_leaves_equity_as_it_was():
    # 10 bought at 71.50, now 70.25: 7,500 against 10,000, so 3 are sold, and 7,500 stands against 7,000
    world = case((future("70.25"), "10", "715000"), cash="20000")
    (called,) = selling.called(world)
    depths = markets.depths(world.instruments, {}, CascadeQuestion())
    (line,) = selling.seller(world, depths, "smallest").lines(called)
    assert (called.figures.amount, line.quantity) == (2500, -3)
    after = Case(
        selling.booked(world, [line], world.instruments.price), world.instruments, world.market, world.rules,
        world.readings, world.codes,
    )  # fmt: skip
    assert selling.called(after) == []
    assert selling.figures_of(after)[0].equity == 7500


def test_a_future_moves_as_what_it_is_on():
    # the stock fell from 50 to 45, a tenth: so does the future, from 51.00
    share = stock("50", id=21)
    on_it = future("51", multiplier="100")
    on_it = type(on_it)(**{**vars(on_it), "contract": type(on_it.contract)(underlying=21, spot=D(50))})
    world = case((share, "1"), (on_it, "1", "5100"), cash="20000")
    before = world.instruments.price
    own = before.copy()
    rows = {str(code): row for row, code in enumerate(world.instruments.codes)}
    own[rows[share.code]] = D(45)
    found = markets.followed(world.instruments, before, own)
    assert found[rows[on_it.code]] == D("45.9")
    assert np.sum(found != own) == 1
