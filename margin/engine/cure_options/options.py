"""Options: what is told of every way that meets the calls, and of those that do not."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from margin.engine.chances import Cushion
from margin.engine.columns import CASH as CASH_KIND
from margin.engine.cure_options.trials import Standing, Trials
from margin.engine.cure_options.tries import Counts, Tries
from margin.engine.exact import ZERO, exactly, round_down, round_up

REPAYMENT = "repayment"


@dataclass(frozen=True)
class Step:
    """One thing to do: `quantity` is what the holding changes by, `amount` what it is worth, or the money paid, both in
    the instrument's currency and not negative but for the sign of the quantity."""

    kind: str
    instrument_id: int
    quantity: Decimal
    amount: Decimal
    fee: Decimal


@dataclass(frozen=True)
class Option:
    """Steps that together meet the calls asked about, re-tested. Amounts are in the account's base currency.

    `excess` is equity beyond the restore level by regime of the policy, `left` what remains beyond what each open call
    asks; both rounded down. `breaches` are regimes without an open call that it would take below their requirement.
    Proven: no smaller number of its last line, or cheaper mix, was left untried by assumption.
    """

    steps: tuple[Step, ...]
    value: Decimal
    fee: Decimal
    excess: Mapping[str, Decimal]
    left: Mapping[str, Decimal]
    clears: tuple[str, ...]
    clears_all: bool
    breaches: tuple[str, ...]
    is_proven: bool = True


@dataclass(frozen=True)
class Asked:
    """One open call: what cash alone meets it, its excess now (None where no regime measures it), and its ways."""

    key: str
    regime: str
    cash: Decimal
    excess: Decimal | None
    ways: tuple[str, ...]
    market_cures: bool


@dataclass(frozen=True)
class Value:
    """Market value of other securities that meets the calls where they are margined at these rates, by call."""

    rates: Mapping[str, Fraction]
    value: Decimal


@dataclass(frozen=True)
class Refused:
    """A way that does not meet the calls: of one instrument, or (instrument_id 0) of all. `missing` after all of it."""

    way: str
    instrument_id: int
    why: str
    missing: Decimal | None = None


@dataclass(frozen=True)
class Options:
    """Every way that meets the calls asked about, each list by cost: fees, then turnover, then the older instrument.

    `cash` is in the base currency first, then in the others asked for. Where the client has money, `cash` says what is
    needed in all, and `trades`, `deposits` and `mixes` complete it. `cushions` are for whoever knows the worlds to come
    (`margin.engine.chances`): the cash that also keeps the account clear for a while.
    """

    currency: str
    have: Decimal
    asked: tuple[Asked, ...]
    is_clear: bool
    cash: tuple[Option, ...] = ()
    deposits: tuple[Option, ...] = ()
    values: tuple[Value, ...] = ()
    trades: tuple[Option, ...] = ()
    mixes: tuple[Option, ...] = ()
    refused: tuple[Refused, ...] = ()
    cushions: tuple[Cushion, ...] = ()

    @property
    def cheapest(self) -> Option | None:
        """The way of closing positions that costs the least, alone or mixed."""
        ways = [*self.trades, *self.mixes]
        return min(ways, key=lambda option: (option.fee, option.value, len(option.steps)), default=None)


def of_counts(tries: Tries, counts: Counts, *, is_proven: bool) -> Option:
    """An option of so many steps of each line, as it was tried."""
    (standing,) = tries.standings([counts])
    steps = [step for k, n in counts.items() for step in _steps(tries, k, n)]
    cost, given = tries.cost(counts), _given(tries)
    money = sum((step.amount for step in given), ZERO)
    told = figures(tries.trials, standing, value=cost.turnover, fee=cost.fee, money=money)
    return Option(steps=(*given, *steps), is_proven=is_proven, **told)


def _steps(tries: Tries, k: int, n: int) -> list[Step]:
    account, line = tries.trials.account, tries.lines[k]
    return [
        Step(
            kind=line.kind,
            instrument_id=int(account.instruments.ids[row]),
            quantity=quantity,
            amount=abs(account.proceeds(row, quantity)),
            fee=ZERO if line.is_deposit else account.fee(row, quantity),
        )
        for row, quantity in line.quantities(n).items()
    ]


def _given(tries: Tries) -> list[Step]:
    return [paid(tries.trials, row, amount) for row, amount in tries.trials.given.items() if amount]


def paid(trials: Trials, row: int, amount: Decimal) -> Step:
    """Money paid in: a loan is repaid where it is owed in that currency and nothing but loans is asked for."""
    instruments = trials.account.instruments
    if instruments.kind[row] != CASH_KIND:
        raise ValueError(f"{instruments.codes[row]} is not cash")
    owed, _ = trials.held.get(row, (ZERO, None))
    is_loan = owed < 0 and all(demand.regime == "loan" for demand in trials.demands)
    return Step(REPAYMENT if is_loan else "cash", int(instruments.ids[row]), amount, amount, ZERO)


def figures(trials: Trials, standing: Standing, *, value: Decimal, fee: Decimal, money: Decimal) -> dict[str, Any]:
    """What an option leads to, rounded: costs up, what is left down. `money` is what is paid in, in base currency."""
    account, demands = trials.account, trials.demands
    exponent = account.instruments.minor_exponent(account.base)
    rules = account.rules.policies[int(account.book.policy[account.row])].regimes
    clears = tuple(
        demand.key
        for demand, left in zip(demands, standing.left, strict=True)
        if (money >= demand.outstanding if left is None else left >= 0)
    )
    called = {demand.regime for demand in demands}
    newly = zip(rules, trials.before.breached, standing.breached, strict=False)
    return {
        "value": round_up(value, exponent),
        "fee": round_up(fee, exponent),
        "excess": {rule.regime: round_down(left, exponent) for rule, left in zip(rules, standing.excess, strict=False)},
        "left": {
            demand.key: round_down(left, exponent)
            for demand, left in zip(demands, standing.left, strict=True)
            if left is not None
        },
        "clears": clears,
        "clears_all": len(clears) == len(demands),
        "breaches": tuple(rule.regime for rule, was, now in newly if now and not was and rule.regime not in called),
    }


def missing(trials: Trials, least: Decimal) -> Decimal:
    """What is still missing, in base currency, rounded up."""
    account = trials.account
    with exactly():
        return round_up(max(-least, ZERO), account.instruments.minor_exponent(account.base))
