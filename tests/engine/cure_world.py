"""Random books with open calls, and a judge of cures that shares nothing with the search but `assess`.

The judge trades by its own arithmetic, builds the book anew from rows and asks `assess` for its figures.
"""

import random
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, ROUND_FLOOR

import numpy as np

from margin.engine import build
from margin.engine.assess import assess
from margin.engine.build import AccountRow, PositionRow
from margin.engine.columns import Market, PartRule, Policy, Rules, Status
from margin.engine.cure_options import Demand
from margin.engine.exact import exactly
from margin.engine.methodologies import concentration
from tests.engine.option_world import option, terms
from tests.engine.option_world import stock as shares
from tests.engine.test_cross import future, pool
from tests.engine.world import CASH, FX, ON, D, loan_regime, loan_terms, reg_t_terms, regime, stock

KINDS = ("equity", "etf", "bond", "option")
MINOR = {"USD": 2, "EUR": 2, "JPY": 0}
RATES = {"USD": D(1), "EUR": FX["EUR", "USD"]}


@dataclass(frozen=True)
class Case:
    """One account in US dollars, its calls, and what trading costs."""

    held: tuple  # (InstrumentRow, quantity, cost or None)
    cash: dict  # currency → amount
    regimes: tuple
    demands: tuple
    fee_rate: D

    def arguments(self, changes=({},)):
        """What `assess` takes: the account once per change (instrument id or currency → added)."""
        rows = {row.id: row for row in (*CASH, *(row for row, *_ in self.held))}
        columns = build.instruments(rows.values(), {"USD"})
        ids = {row.currency: row.id for row in CASH}
        positions = []
        for k, change in enumerate(changes):
            for row, quantity, cost in self.held:
                after = quantity + change.get(row.id, D(0))
                if after:
                    kept = None if cost is None or abs(after) > abs(quantity) else cost * after / quantity
                    positions.append(PositionRow(k, row.id, after, kept and kept.quantize(D("1e-8"), ROUND_CEILING)))
            for currency, id in ids.items():
                amount = self.cash.get(currency, D(0)) + change.get(currency, D(0))
                if amount:
                    positions.append(PositionRow(k, id, amount))
        book = build.book(columns, [AccountRow(k, "USD") for k in range(len(changes))], positions)
        return book, columns, Market(ON, FX), Rules((Policy("test", self.regimes),))

    def figures(self, changes):
        """Per change, regime → Figures."""
        found = assess(*self.arguments(changes))
        out = [{} for _ in changes]
        for figures in found.figures(np.arange(len(found))):
            out[figures.account_id][figures.regime] = figures
        return out

    def trade(self, quantities):
        """(changes, fee, value, Regulation T release) of trades by instrument id, booked in whole cents."""
        change, fees, value, released = {}, D(0), D(0), D(0)
        for id, quantity in quantities.items():
            row, held, cost = next(entry for entry in self.held if entry[0].id == id)
            unit = D(1).scaleb(-MINOR[row.currency])
            exact = -quantity * row.price * row.multiplier
            gross = exact.quantize(unit, ROUND_FLOOR)
            fee = (abs(gross) * self.fee_rate).quantize(unit, ROUND_CEILING)
            paid = gross
            if row.kind == "future":  # only the profit is realised
                kept = cost * (held + quantity) / held
                paid = (exact - (cost - kept)).quantize(unit, ROUND_FLOOR)
            change[id] = quantity
            change[row.currency] = change.get(row.currency, D(0)) + paid - fee
            rate = RATES[row.currency]
            fees, value = fees + fee * rate, value + abs(gross) * rate
            share = D(1) if not row.margin_eligible and quantity < 0 else D("0.5")
            released += (abs(exact) * share - (exact - gross) - fee) * rate
        return change, fees, value, released

    def clears(self, wanted):
        """Per (changes, Regulation T release): whether every call is met."""
        found = assess(*self.arguments([change for change, _ in wanted]))
        rows = np.arange(len(wanted))
        assert not (found.status == Status.UNPRICED).any()
        enough = np.ones(len(wanted), bool)
        with exactly():
            for demand in self.demands:
                if demand.regime == "reg_t":
                    enough &= [released >= demand.outstanding for _, released in wanted]
                else:
                    regime = [rule.regime for rule in self.regimes].index(demand.regime)
                    levels, limits = found.exact(0, regime, rows)
                    asks_nothing = ~levels.applies & (levels.equity >= 0).astype(bool)
                    enough &= (limits.restore <= levels.equity).astype(bool) | asks_nothing
        return enough.tolist()


def random_case(seed):
    """A book that is called in every regime asked about; None where the draw has no call."""
    rng = random.Random(seed)
    make = rng.choice([_stocks, _stocks, _options, _options, _loan, _futures, _concentrated])
    held, cash, regimes, of_trades = make(rng)
    case = Case(tuple(held), cash, tuple(regimes), (), D(rng.choice(["0", "0.001", "0.0025", "0.02"])))
    case = _called(rng, case)
    short = [of for of in case.figures([{}])[0].values() if of.shortfall and of.status >= 3]
    demands = [Demand(of.regime, of.regime, of.shortfall) for of in short]
    if of_trades and rng.random() < 0.5:
        demands.append(Demand("reg_t", "reg_t", D(rng.randint(100, 5000)), market_cures=False))
    return replace(case, demands=tuple(demands)) if demands else None


def _called(rng, case):
    """The account with so much cash drawn that its first regime misses a share of what is required."""
    of = case.figures([{}])[0][case.regimes[0].regime]
    drawn = of.equity - of.requirement * (1 - D(rng.randint(5, 400)) / 1000)
    return replace(case, cash={**case.cash, "USD": case.cash.get("USD", D(0)) - drawn.quantize(D("0.01"))})


def _price(rng, low=1, high=200):
    if rng.random() < 0.1:
        return D(rng.choice(["2.49", "5", "16.67"]))
    return D(rng.randint(low * 100, high * 100)) / 100


def _lots(rng):
    return D(rng.choice([1, 1, 1, 5, 10])), rng.randint(2, 60)


def _stocks(rng):
    held, cash = [], {}
    for k in range(rng.randint(1, 4)):
        lot, count = _lots(rng)
        row = stock(
            str(_price(rng)),
            id=20 + k,
            code=f"S{k}",
            kind=rng.choice(["equity", "etf"]),
            currency=rng.choice(["USD", "USD", "EUR"]),
            lot=lot,
            margin_eligible=rng.random() < 0.85,
        )
        if row.kind == "etf" and rng.random() < 0.4:
            row = replace(row, leverage=D(rng.choice([2, 3])))
        broken = rng.choice([D(0), D("0.5")]) if lot > 1 else D(0)
        size = lot * count + broken
        held.append((row, size if rng.random() < 0.75 else -size, None))
    if rng.random() < 0.3:
        cash["EUR"] = D(rng.randint(-500000, 500000)) / 100
    raised = reg_t_terms(house={"basic": {"long": rng.choice(["0.30", "0.40", "0.75"])}})
    rules = [regime("house", terms=raised), regime("exchange")]
    return held, cash, rules[: rng.randint(1, 2)], all(row.leverage == 1 for row, *_ in held)


def _options(rng):
    spot = D(rng.randint(40, 160))
    held = []
    strikes = rng.sample(range(40, 161, 5), 4)
    for k in range(rng.randint(1, 4)):
        right = rng.choice(["call", "put"])
        inner = max(spot - strikes[k] if right == "call" else strikes[k] - spot, D(0))
        row = option(right, str(strikes[k]), str(inner + D(rng.randint(1, 800)) / 100), id=40 + k, spot=str(spot))
        held.append((row, D(rng.choice([-1, -1, 1]) * rng.randint(1, 6)), None))
    if rng.random() < 0.7:
        lots, lot = rng.choice([(rng.randint(1, 60), D(10)), (rng.randint(20, 400), D(1))])
        held.append((shares(str(spot), lot=lot), rng.choice([1, 1, -1]) * lots * lot, None))
    if rng.random() < 0.4:
        held.append((stock(str(_price(rng)), id=30, code="OTHER"), D(rng.randint(5, 60)), None))
    part = PartRule("option_strategies", "maintenance", terms(), KINDS)
    raised = reg_t_terms(house={"basic": {"long": "0.40"}})
    rules = [replace(regime("exchange", kinds=KINDS[:3]), parts=(part,))]
    if rng.random() < 0.3:
        rules.append(replace(regime("house", terms=raised, kinds=KINDS[:3]), parts=(part,)))
    return held, {}, rules, False


def _loan(rng):
    held = []
    for k in range(rng.randint(1, 3)):
        lot = D(rng.choice(["0.01", "0.1", "1"]))
        row = stock(str(_price(rng, 10, 3000)), id=50 + k, code=f"C{k}", kind="crypto", lot=lot)
        held.append((row, lot * rng.randint(5, 80), None))
    stated = loan_terms(restore="0.65", warn="0.6", kind_haircuts={"crypto": rng.choice(["0", "0.1"])})
    return held, {}, [loan_regime(stated)], False


def _futures(rng):
    held = []
    for k in range(rng.randint(1, 3)):
        price = _price(rng, 20, 90)
        count = rng.choice([1, -1]) * rng.randint(1, 40)
        row = future(str(price), id=31 + k, code=f"F{k}", multiplier=rng.choice(["10", "100", "1000"]))
        cost = (price + D(rng.randint(-300, 300)) / 100) * row.multiplier * count
        held.append((row, D(count), cost))
    return held, {}, [pool()], False


def _concentrated(rng):
    held, cash, _, _ = _stocks(rng)
    steps = [{"above": "0.30", "rate": "0.40"}, {"above": "0.60", "rate": "0.60"}]
    part = PartRule("concentration", "addition", concentration.Terms.from_json({"share": steps}), KINDS)
    return held, cash, [replace(regime("exchange"), parts=(part,))], False
