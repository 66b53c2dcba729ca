"""The rules of `reg_t` and `loan` once more, as plainly as possible: one account, one position, fractions.

Written from the rule texts (margin_rules_us.md §3, margin_rules_derivatives.md §0), sharing nothing with the engine but
the rows.
"""

from decimal import Context
from fractions import Fraction

F = Fraction


class NoRateError(LookupError):
    """The account cannot be measured."""


def rate(fx, base, quoted):
    if base == quoted:
        return F(1)
    if (base, quoted) in fx:
        return F(fx[base, quoted])
    if (quoted, base) in fx:
        return F(Context(prec=12).divide(1, fx[quoted, base]))  # an inverted rate has twelve digits
    raise NoRateError(f"{base}/{quoted}")


def exchange_charge(row, quantity, fx):
    """FINRA 4210(c) for one stock position, in the stock's currency."""
    price, leverage, size = F(row.price), F(row.leverage), abs(F(quantity))
    if quantity > 0:
        return size * price * (min(F(1), F("0.25") * leverage) if row.margin_eligible else 1)
    local = rate(fx, "USD", row.currency)
    if price < 5 * local:
        return size * max(F("2.50") * local, price)
    return size * max(5 * local, min(F(1), F("0.30") * leverage) * price)


def house_charge(row, quantity, fx, house):
    """The greater of SRO and house."""
    side = "long" if quantity > 0 else "short"
    rates = [house.get("basic", {}).get(side, 0)]
    rates += [house.get(table, {}).get(key, {}).get(side, 0) for table, key in _keys(row)]
    return max(exchange_charge(row, quantity, fx), abs(F(quantity)) * F(row.price) * max(map(F, rates)))


def _keys(row):
    return (("kinds", row.kind), ("sectors", row.sector), ("instruments", row.code))


def initial_charge(row, quantity, maintenance):
    share = F(1, 2) if quantity < 0 or row.margin_eligible else F(1)
    return max(share * abs(F(quantity)) * F(row.price), maintenance)


def holdings(world, account):
    rows = {row.id: row for row in world.instruments}
    return [(rows[p.instrument], p) for p in world.positions if p.account == account.id and p.quantity]


def reg_t(world, account, house):
    """measure → (equity, requirement, initial); None where the cost of a long security is unknown and matters."""
    equity, sums = F(0), {"exchange": [F(0), F(0)], "house": [F(0), F(0)]}
    debit, short, cost, cost_known = F(0), F(0), F(0), True
    for row, position in holdings(world, account):
        fx = rate(world.fx, row.currency, account.currency)
        quantity = position.quantity
        if row.kind == "cash":
            equity += F(quantity) * fx
            debit += max(-F(quantity), 0) * fx
            continue
        equity += F(quantity) * F(row.price) * fx
        short += max(-F(quantity), 0) * F(row.price) * fx
        if quantity > 0:
            cost_known &= position.cost is not None
            cost += F(position.cost or 0) * fx
        for name, amounts in sums.items():
            charge = exchange_charge(row, quantity, world.fx)
            if name == "house":
                charge = house_charge(row, quantity, world.fx, house)
            amounts[0] += charge * fx
            amounts[1] += initial_charge(row, quantity, charge) * fx
    minimum = 2000 * rate(world.fx, "USD", account.currency)
    if not debit and not short:
        minimum = F(0)
    elif not short:
        minimum = min(minimum, cost) if cost_known else None
    found = {name: (equity, *amounts) for name, amounts in sums.items()}
    return {**found, "minimum_equity": None if minimum is None else (equity, minimum, minimum)}


def loan(world, account, haircuts):
    """(loan, collateral after haircuts)."""
    owed, collateral = F(0), F(0)
    for row, position in holdings(world, account):
        value = F(position.quantity) * (1 if row.kind == "cash" else F(row.price))
        value *= rate(world.fx, row.currency, account.currency)
        if value < 0:
            owed -= value
        else:
            collateral += value * (1 - F(haircuts.get(row.code, 0)))
    return owed, collateral
