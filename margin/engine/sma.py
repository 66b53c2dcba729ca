"""The special memorandum account of Regulation T (12 CFR 220.5): credit for excess once had, kept when prices fall.

    balance after the day = max(balance before + credits − debits, Regulation T excess)

A ratchet, so it is stored and never derived. A commitment that SMA does not cover is called: the missing part is kept
beside the balance, fixed on the trade date (220.4(c)), and what comes in pays it first. Nothing here looks at a price:
whoever posts says what excess results. Amounts are exact Decimals in one currency.
"""

from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from margin.engine.account import RULE_BOOK, Rules
from margin.engine.exact import ONE, ZERO, exactly


class Kind(StrEnum):
    """What may touch SMA. Interest charged, fees and falling prices do not."""

    DEPOSIT = "deposit"
    DIVIDEND = "dividend"
    INTEREST = "interest"
    SECURITIES = "securities"  # margin securities brought in, at market value
    SALE = "sale"  # of stock held long
    COVER = "cover"  # of stock held short
    PURCHASE = "purchase"
    SHORT_SALE = "short_sale"
    CASH_PURCHASE = "cash_purchase"  # of what has no loan value
    OPTION = "option"  # net_call: gross requirement − proceeds; negative where proceeds exceed it
    REVERSAL = "reversal"  # of money that had been credited
    WITHDRAWAL = "withdrawal"
    CALL = "call"  # SMA used to meet what was called
    CLOSE = "close"  # of the day


COMMITMENTS = frozenset((Kind.PURCHASE, Kind.SHORT_SALE, Kind.CASH_PURCHASE, Kind.OPTION, Kind.REVERSAL))
USES = frozenset((Kind.WITHDRAWAL, Kind.CALL))


class Refused(ValueError):
    """SMA may not be used so; the message says what stands against it."""


@dataclass(frozen=True)
class State:
    """What stands in the memorandum account, neither part negative.

    `called`: Regulation T margin of commitments that SMA did not cover and nobody has paid yet.
    """

    balance: Decimal = ZERO
    called: Decimal = ZERO


@dataclass(frozen=True)
class Resulting:
    """The account after the entry; None is not known. `equity` only where 2,000 must stay: with a debit or a short."""

    excess: Decimal | None = None
    maintenance_excess: Decimal | None = None
    equity: Decimal | None = None


UNKNOWN = Resulting()


@dataclass(frozen=True)
class Entry:
    """`amount`: money, cost, proceeds or market value, not negative (an option's net_call may be); zero for a close."""

    kind: Kind
    amount: Decimal = ZERO
    resulting: Resulting = UNKNOWN

    def __post_init__(self) -> None:
        if not self.amount.is_finite() or (self.amount < 0 and self.kind is not Kind.OPTION):
            raise ValueError(f"a {self.kind} of {self.amount} cannot be posted; give its size")
        if self.kind is Kind.CLOSE and (self.amount or self.resulting.excess is None):
            raise ValueError("a close has no amount of its own and needs the Regulation T excess")


def effect(entry: Entry, rules: Rules = RULE_BOOK) -> Decimal:
    """What the entry credits (positive) or debits before any ratchet, 220.5(b)."""
    shares = {
        Kind.DEPOSIT: ONE,
        Kind.DIVIDEND: ONE,
        Kind.INTEREST: ONE,
        Kind.SECURITIES: ONE - rules.reg_t_long_rate,  # loan value
        Kind.SALE: rules.reg_t_long_rate,
        Kind.COVER: rules.reg_t_short_rate,
        Kind.PURCHASE: -rules.reg_t_long_rate,
        Kind.SHORT_SALE: -rules.reg_t_short_rate,
        Kind.CASH_PURCHASE: -ONE,
        Kind.OPTION: -ONE,
        Kind.REVERSAL: -ONE,
        Kind.WITHDRAWAL: -ONE,
        Kind.CALL: -ONE,
        Kind.CLOSE: ZERO,
    }
    with exactly():
        return shares[entry.kind] * entry.amount


def post(state: State, entry: Entry, rules: Rules = RULE_BOOK) -> State:
    """The state after the entry. Refused where a withdrawal, or SMA given for a call, is more than may be used."""
    with exactly():
        if entry.kind is Kind.CLOSE:
            return _ratcheted(state, entry)
        if entry.kind in USES:
            return _used(state, entry, rules)
        change = effect(entry, rules)
        after = _committed(state, -change, entry) if change < 0 else _credited(state, change)
        return _ratcheted(after, entry) if entry.kind is Kind.SALE else after


def usable(state: State, resulting: Resulting, rules: Rules = RULE_BOOK) -> Decimal:
    """What may be withdrawn now; `resulting` is the account as it is. Zero while anything is called or unknown."""
    if state.called or resulting.maintenance_excess is None:
        return ZERO
    with exactly():
        limits = [state.balance, resulting.maintenance_excess]
        if resulting.equity is not None:
            limits.append(resulting.equity - rules.minimum_equity)
        return max(min(limits), ZERO)


def _credited(state: State, amount: Decimal) -> State:
    """What was called is paid first; only what no requirement needs is credited, 220.5(b)(2)."""
    paid = min(state.called, amount)
    return State(state.balance + amount - paid, state.called - paid)


def _committed(state: State, required: Decimal, entry: Entry) -> State:
    """SMA covers what it can without leaving a maintenance deficiency; the rest is called."""
    after = entry.resulting.maintenance_excess
    deficiency = ZERO if after is None else max(-after, ZERO)
    called = min(max(required - state.balance, deficiency), required)
    return State(state.balance - (required - called), state.called + called)


def _used(state: State, entry: Entry, rules: Rules) -> State:
    if entry.amount > state.balance:
        raise Refused(f"SMA is {state.balance}, not {entry.amount}")
    if entry.resulting.maintenance_excess is None:
        raise Refused("SMA may not be used while the maintenance excess is not known")
    if entry.resulting.maintenance_excess < 0:
        raise Refused(f"it would leave a maintenance deficiency of {-entry.resulting.maintenance_excess}")
    left = State(state.balance - entry.amount, state.called)
    if entry.kind is Kind.CALL:
        if entry.amount > state.called:
            raise Refused(f"only {state.called} is called")
        return replace(left, called=state.called - entry.amount)
    if state.called:
        raise Refused(f"{state.called} of Regulation T margin is called and not yet paid")
    if entry.resulting.equity is not None and entry.resulting.equity < rules.minimum_equity:
        raise Refused(f"it would leave equity of {entry.resulting.equity}, below {rules.minimum_equity}")
    return left


def _ratcheted(state: State, entry: Entry) -> State:
    """Raised to the resulting excess where that is more; prices never lower it."""
    excess = entry.resulting.excess
    return state if excess is None else replace(state, balance=max(state.balance, excess))
