"""Closed vocabularies of calls, stored as text. Pure."""

from enum import StrEnum


class Words(StrEnum):
    """A closed vocabulary, stored as text."""

    @classmethod
    def choices(cls) -> list[tuple[str, str]]:
        return [(word.value, word.value.replace("_", " ")) for word in cls]


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
    DAY_TRADE = "day_trade"
    CONCENTRATION = "concentration"


class Cause(Words):
    """Why a call escalated (settled.md 27)."""

    DEADLINE = "deadline"
    SEVERITY = "severity"
    UNDELIVERABLE = "undeliverable"
    PERSON = "person"


class Resolution(Words):
    """How a call closed: the "manner satisfied" of FINRA 4220."""

    CASH = "cash"
    SECURITIES = "securities"
    SALE = "sale"
    MARKET = "market"
    MIXED = "mixed"
    REQUIREMENT_CHANGE = "requirement_change"
    RETRACTION = "retraction"
    LIQUIDATION = "liquidation"


RUNG = "warn"
"""The rung of warnings at the policy's warning level; a policy may state further ones by name."""
