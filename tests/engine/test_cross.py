"""Cross margin: one pool of equity, with the profit of futures and perpetuals in it. Every number from a pencil."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from margin.engine import methodologies
from margin.engine.assess import assess, list_charges
from margin.engine.build import InstrumentRow
from margin.engine.columns import Contract, Market, PartRule, RegimeRule, Status
from margin.engine.exact import plain
from margin.engine.explain import explain
from margin.engine.groups import GroupCharge, GroupFigures, Keys, Told
from margin.engine.measures import Sentence
from margin.engine.methodologies import concentration, cross
from tests.engine.world import FX, ON, D, account, figures, stock

FUTURES = ("future", "perpetual")


class Flat:
    """A part for these tests: 1,000 a contract to hold, 1,400 to open."""

    CODE = "flat"
    GROUP_MEASURES = ("requirement",)
    KINDS = frozenset(FUTURES)

    @dataclass(frozen=True)
    class Terms:
        pass

    @staticmethod
    def group_keys(instruments, terms):
        return Keys(instruments.ids, np.ones(len(instruments), bool))

    @staticmethod
    def measure_groups(groups, market, measure, terms):
        asked = abs(groups.quantity) * 1000
        nothing, silent = asked * 0, np.full(len(groups), "", object)

        def told(group):
            legs = ((0, groups.quantity[group]),)
            return Told((GroupCharge("flat", "each", asked[group], legs, {}, Sentence("1,000 each", "a test")),))

        return GroupFigures(asked, asked * D("1.4"), nothing, silent, told)


@pytest.fixture(autouse=True)
def _flat_is_known(monkeypatch):
    monkeypatch.setattr(methodologies, "PARTS", (*methodologies.PARTS, Flat))


def future(price, *, id=31, code="CLZ4", multiplier="1000", kind="future", currency="USD", **contract):
    written = Contract(underlying=0, spot=None, **contract)
    return InstrumentRow(id, code, kind, currency, D(price), multiplier=D(multiplier), contract=written)


def pool(*parts, kinds=("equity", "crypto"), **more):
    flat = PartRule("flat", "requirement", Flat.Terms(), FUTURES)
    return RegimeRule("futures", "cross", "requirement", cross.Terms(), kinds, parts=(flat, *parts), **more)


def test_a_future_counts_by_its_profit_and_not_by_its_price():
    # three bought at 71.50, now 70.25: 3 × 1,000 × −1.25
    one = figures(account("10000", (future("70.25"), "3", "214500"), regimes=(pool(),)))
    assert (one.equity, one.requirement, one.status) == (6250, 3000, Status.QUIET)


def test_a_short_future_gains_when_its_price_falls_below_nothing():
    # sold at 10.01, settled at −37.63: 1 × 1,000 × 47.64
    one = figures(account("500", (future("-37.63"), "-1", "-10010"), regimes=(pool(),)))
    assert one.equity == 48140


def test_a_long_future_at_a_negative_price_owes_more_than_it_cost():
    one = figures(account("500", (future("-37.63"), "1", "10010"), regimes=(pool(),)))
    assert (one.equity, one.status) == (-47140, Status.DEFICIT)


def test_an_unknown_entry_price_leaves_the_account_without_a_number():
    one = figures(account("10000", (future("70.25"), "3"), regimes=(pool(),)))
    assert (one.status, one.equity) == (Status.UNPRICED, None)
    assert one.reasons == ("CLZ4: its entry price is unknown, so its profit is",)


def test_an_inverse_perpetual_is_paid_in_its_coin():
    # 100 contracts of 100 USD bought at 50,000, now 62,500: 10,000/50,000 − 10,000/62,500 = 0.04 coins, at 62,500 USD
    perpetual = future("62500", kind="perpetual", multiplier="100", currency="EUR", is_inverse=True)
    world = account("0", (perpetual, "100", "-0.2"), regimes=(pool(),))
    world.fx[("EUR", "USD")] = D("62500")  # the euro plays the coin
    assert figures(world).equity == D("2500.00")


def test_profits_are_explained_position_by_position_and_add_up():
    world = account("10000", (future("70.25"), "3", "214500"), (stock("50"), "10", "400"), regimes=(pool(),))
    (regime,) = explain(*world.arguments, 0)["regimes"]
    parts = {part["code"]: (part["part"], part["amount"]) for part in regime["equity"]["parts"]}
    assert parts == {"USD": ("value", "10000"), "CLZ4": ("profit", "-3750"), "XYZ": ("value", "500")}
    assert regime["equity"]["amount"] == plain(sum((D(amount) for _, amount in parts.values()), D(0)))


def test_a_short_that_no_part_charges_has_no_number():
    one = figures(account("10000", (stock("50"), "-10", "-400"), regimes=(pool(),)))
    assert one.reasons == ("XYZ: held short, and no part of the regime charges it",)


@pytest.mark.parametrize(("restores_initial", "amount"), [(False, 3100), (True, 5100)])
def test_a_call_asks_up_to_the_initial_requirement_where_the_policy_says_so(restores_initial, amount):
    # 5 short from 70.00, now 70.20: 2,900 − 1,000 = 1,900; 5,000 is asked to hold, 7,000 to open
    rule = replace(pool(), restores_initial=restores_initial)
    one = figures(account("2900", (future("70.20"), "-5", "-350000"), regimes=(rule,)))
    assert (one.equity, one.requirement, one.initial, one.amount) == (1900, 5000, 7000, amount)


def test_the_sweep_and_the_listed_charges_agree_in_a_regime_with_profits():
    stressed = PartRule("concentration", "addition", concentration.Terms(stress_rate=D("0.20")), FUTURES)
    world = account("5000", (future("70"), "-2", "-138000"), regimes=(pool(stressed),))
    book, columns, _, rules = world.arguments
    arguments = (book, columns, Market(ON, FX), rules)
    # the worst name: 2 × 1,000 × 70 × 20 %
    (one,) = assess(*arguments).figures(np.array([0]))
    assert one.requirement == 28000 == sum(list_charges(*arguments, np.array([0])).amount)


def test_what_a_part_charges_must_count_in_the_pool():
    stressed = PartRule("concentration", "addition", concentration.Terms(stress_rate=D("0.20")), ("crypto", "future"))
    with pytest.raises(ValueError, match="concentration measures crypto; name it in the regime's kinds too"):
        methodologies.check(pool(stressed, kinds=("equity",)))
