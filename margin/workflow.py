"""The life of a margin call: states, legal transitions, what to do next. Pure: no Django, no clock."""

from enum import StrEnum
from typing import Self


class Words(StrEnum):
    """A closed vocabulary, stored as text."""

    @classmethod
    def choices(cls) -> list[tuple[str, str]]:
        return [(word.value, word.value.replace("_", " ")) for word in cls]

    @classmethod
    def read(cls, text: str) -> Self:
        return cls(text)


class Regime(Words):
    HOUSE = "house"
    EXCHANGE = "exchange"
    REG_T = "reg_t"
    MINIMUM_EQUITY = "minimum_equity"
    INTRADAY = "intraday"
    PORTFOLIO = "portfolio"
    FUTURES = "futures"
    CSA = "csa"
    LOAN = "loan"


class State(Words):
    ISSUED = "issued"
    MET = "met"
    ESCALATED = "escalated"
    LIQUIDATED = "liquidated"
    CANCELLED = "cancelled"


class Cause(Words):
    """Why a call escalated (settled.md 27)."""

    DEADLINE = "deadline"
    SEVERITY = "severity"
    UNDELIVERABLE = "undeliverable"
    PERSON = "person"


class Resolution(Words):
    """How a call closed: the "manner satisfied" of FINRA 4220."""

    CASH = "cash"
    SALE = "sale"
    MARKET = "market"
    MIXED = "mixed"
    REQUIREMENT_CHANGE = "requirement_change"
    RETRACTION = "retraction"
    LIQUIDATION = "liquidation"


TRANSITIONS: dict[State | None, frozenset[State]] = {
    None: frozenset({State.ISSUED}),
    State.ISSUED: frozenset({State.MET, State.ESCALATED, State.CANCELLED}),
    State.ESCALATED: frozenset({State.MET, State.LIQUIDATED, State.CANCELLED}),
    State.MET: frozenset(),
    State.LIQUIDATED: frozenset(),
    State.CANCELLED: frozenset(),
}
OPEN_STATES: tuple[State, ...] = (State.ISSUED, State.ESCALATED)


def is_legal(before: State | None, after: State) -> bool:
    """True where a call may go from `before` (None: no call yet) to `after`, or stay open as it is."""
    return after in TRANSITIONS[before] or (after == before and after in OPEN_STATES)
