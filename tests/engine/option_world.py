"""Groups of options and stock written as people write them: "-1 C 120 @8.4 m2, 100 S @128.5"."""

import re
from dataclasses import replace
from datetime import date
from decimal import Decimal

import numpy as np

from margin.engine import build
from margin.engine.build import InstrumentRow
from margin.engine.columns import KINDS, Contract, Market, RegimeRule
from margin.engine.exact import exactly
from margin.engine.groups import arrange
from margin.engine.methodologies import option_strategies, reg_t
from margin.engine.methodologies.option_strategies.legs import months_later
from margin.engine.methodologies.option_strategies.opening import openings
from margin.engine.tables import governed_units
from tests.engine.world import USD

D = Decimal
ON = date(2024, 6, 3)
STOCK, INDEX = 100, 900
INDEXED = {"margin_class": "broad_index", "style": "european", "is_cash_settled": True, "underlying": INDEX}
_LEG = re.compile(
    r"(?P<quantity>-?[\d.]+) (?P<what>[CPS])(?: (?P<strike>[\d.]+))?(?: @(?P<price>[\d.]+))?(?: m(?P<months>\d+))?"
)


def terms(**changes):
    return option_strategies.Terms.from_json({**option_strategies.RULE_BOOK, **changes})


def legs(text, *, spot=None, of_stock=None, **contract):
    """(InstrumentRow, quantity) of each leg; `contract` goes into every option's Contract, m2 is two months to go."""
    found = []
    for k, part in enumerate(text.split(", ")):
        leg = _LEG.fullmatch(part)
        price = None if leg["price"] is None else D(leg["price"])
        if leg["what"] == "S":
            found.append((stock(price, **(of_stock or {})), D(leg["quantity"])))
        else:
            row = option(
                "call" if leg["what"] == "C" else "put",
                leg["strike"],
                price,
                id=1000 + k,
                spot=spot,
                months=int(leg["months"] or 2),
                **contract,
            )
            found.append((row, D(leg["quantity"])))
    return found


def stock(price, *, id=STOCK, code="XYZ", kind="equity", **more):
    return InstrumentRow(id, code, kind, "USD", None if price is None else D(price), **more)


def option(right, strike, price, *, id, spot, months=2, multiplier=100, expires_on=None, currency="USD", **contract):
    written = Contract(
        **{
            "underlying": STOCK,
            "spot": None if spot is None else D(spot),
            "right": right,
            "strike": D(strike),
            "style": "american",
            "expires_on": expires_on or months_later(ON, months),
            **contract,
        }
    )
    price = None if price is None else D(price)
    code = f"{right[0].upper()}{strike}/{id}"
    return InstrumentRow(id, code, "option", currency, price, multiplier=D(multiplier), contract=written)


def groups(held, *, on=ON, of_terms=None, base=None, kinds=KINDS):
    """(Groups of one account, Market); the regime's own methodology governs `kinds`."""
    columns = build.instruments([USD, *(row for row, _ in held)])
    market = Market(on)
    rates = reg_t.Terms.from_json({**reg_t.RULE_BOOK, **(base or {})})
    quantities = np.empty(len(held), object)
    quantities[:] = [quantity for _, quantity in held]
    count = len(held)
    made = arrange(
        instruments=columns,
        base=governed_units(columns, market, RegimeRule("house", "reg_t", "house", rates, kinds)),
        keys=option_strategies.group_keys(columns, of_terms or terms()),
        account=np.zeros(count, np.int64),
        base_currency=np.zeros(1, np.int32),
        position=np.arange(count),
        instrument=np.arange(1, count + 1),
        quantity=lambda chosen: quantities[chosen],
        convert=lambda own, target: D(1),
    )
    return made, market


def opened(held, **changes):
    """The Opening of the only group."""
    made, market = groups(held)
    (found,) = openings(made, market, terms(**changes))
    return found


def measured(held, *, on=ON, base=None, **changes):
    """(requirement, initial, equity) of the only group, after a look at its explanation; its refusal if it has one."""
    made, market = groups(held, on=on, base=base, of_terms=terms(**changes))
    assert len(made) == 1
    figures = option_strategies.measure_groups(made, market, "maintenance", terms(**changes))
    if figures.refused[0]:
        return figures.refused[0]
    told = figures.told(0)
    with exactly():
        assert sum((charge.amount for charge in told.charges), D(0)) == figures.requirement[0]
        assert sum((part.amount for part in told.equity), D(0)) == figures.equity[0]
    return figures.requirement[0], figures.initial[0], figures.equity[0]


def charges(held, **changes):
    """The charges of the only group."""
    made, market = groups(held, of_terms=terms(**changes))
    return option_strategies.measure_groups(made, market, "maintenance", terms(**changes)).told(0).charges


def rewritten(held, **contract):
    """The same legs with other words in every option's contract."""
    return [
        (replace(row, contract=replace(row.contract, **contract)) if row.kind == "option" else row, quantity)
        for row, quantity in held
    ]


def index_call(strike, price, spot):
    return option("call", strike, price, id=11, spot=spot, **INDEXED)


def fund(price, **more):
    return stock(price, id=901, code="FUND", kind="etf", index=INDEX, margin_class="etf_broad", **more)


def convertible(price, **contract):
    written = Contract(underlying=STOCK, spot=D(80), **{"conversion": D(4), **contract})
    return InstrumentRow(
        50,
        "CONV",
        "bond",
        "USD",
        D(price),
        multiplier=D(1),
        debt_class="convertible",
        contract=written,
        matures_on=contract.pop("matures_on", date(2030, 1, 1)),
    )


def warrant(price, exercise_price, months=6):
    written = Contract(
        underlying=STOCK,
        spot=D(80),
        conversion=D(1),
        exercise_price=D(exercise_price),
        expires_on=months_later(ON, months),
    )
    return InstrumentRow(60, "WARR", "warrant", "USD", D(price), contract=written)
