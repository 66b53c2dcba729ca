"""A day's postings to SMA, taken together: what they are posted as, so that the day ends as Regulation T computes it.

    SMA after the day = max(SMA before + credits − debits, Regulation T excess at the close)

All transactions of a day are combined, and only the deficiency that they create is called (12 CFR 220.4(c)(1)). So a
commitment may use what the market gave before it, also where no close has raised SMA to it yet: SMA is first raised to
what the excess would be without the day's postings, excess − (credits − debits), and then posted to in order. The sum
telescopes: planning the rest of a day that was half posted ends the same. Pure; amounts are exact Decimals.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from margin.engine.account import RULE_BOOK, Rules
from margin.engine.exact import ZERO, exactly, round_down, round_up
from margin.engine.sma import Entry, Kind, Refused, Resulting, State, effect, post


@dataclass(frozen=True)
class Plan:
    """`raised_to`: the excess to raise SMA to before the first entry, None if it stands no lower. `entries` in order.

    A withdrawal that SMA does not allow has left all the same; it stands as a reversal, and what SMA lacks is called.
    """

    raised_to: Decimal | None
    entries: tuple[Entry, ...]


def plan(state: State, entries: Sequence[Entry], close: Resulting, exponent: int, rules: Rules = RULE_BOOK) -> Plan:
    """The entries with what they may use. `close` is the account at the close, all known; `exponent` its decimals.

    A maintenance deficiency at the close keeps SMA from being used for the day's net debits, the last ones first: what
    the day credited, it may use again (a sale and a purchase of the same amount ask nothing in either order).
    """
    if close.excess is None or close.maintenance_excess is None:
        raise ValueError("a day is planned on a known excess and maintenance excess")
    with exactly():
        effects = [round_down(effect(entry, rules), exponent) for entry in entries]
        net = sum(effects, ZERO)
        before = round_down(close.excess, exponent) - net
        raised_to = before if before > state.balance and min(effects, default=ZERO) < 0 else None
        shares = _shares(effects, min(max(-close.maintenance_excess, ZERO), max(-net, ZERO)))
        stands = state if raised_to is None else replace(state, balance=raised_to)
        planned = []
        for entry, share in zip(entries, shares, strict=True):
            resulting = Resulting(None, -share if share else max(close.maintenance_excess, ZERO), close.equity)
            chosen, stands = _posted(stands, replace(entry, resulting=resulting), rules)
            stands = State(round_down(stands.balance, exponent), round_up(stands.called, exponent))
            planned.append(chosen)
    return Plan(raised_to, tuple(planned))


def _shares(effects: Sequence[Decimal], deficiency: Decimal) -> list[Decimal]:
    """How much each debit is kept from using, the last ones first; zero for credits.

    A credit pays what was called before it, so the debits before it answer for as much more.
    """
    if not deficiency:
        return [ZERO] * len(effects)
    shares = []
    for change in reversed(effects):
        share = min(deficiency, max(-change, ZERO))
        deficiency += max(change, ZERO) - share
        shares.append(share)
    return shares[::-1]


def _posted(state: State, entry: Entry, rules: Rules) -> tuple[Entry, State]:
    """The entry and the state after it; a withdrawal that is refused, as a reversal."""
    try:
        return entry, post(state, entry, rules)
    except Refused:
        taken = replace(entry, kind=Kind.REVERSAL)
        return taken, post(state, taken, rules)
