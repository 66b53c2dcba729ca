"""What is sent and what is answered, for the OpenAPI document: examples that are read, and schemas of the answers."""

from typing import Any

AMOUNT = {"type": ["string", "null"], "pattern": r"^-?[0-9]+(\.[0-9]+)?$"}
TEXT = {"type": "string"}
TEXTS = {"type": "array", "items": TEXT}
COUNT = {"type": "integer", "minimum": 0}


def record(**properties: Any) -> dict[str, Any]:
    """An object with exactly these fields."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(properties),
        "properties": properties,
    }


def many(item: dict[str, Any]) -> dict[str, Any]:
    """A list of these."""
    return {"type": "array", "items": item}


def or_null(one: dict[str, Any]) -> dict[str, Any]:
    """That, or null."""
    return {"anyOf": [one, {"type": "null"}]}


STATUS = {"enum": ["quiet", "watch", "warning", "deficit", "severe", "unpriced"]}
FIGURES = ("equity", "requirement", "excess", "deficit", "initial")
LEVELS = ("warning_requirement", "restore_requirement", "severe_requirement", "amount_called")
REGIME = record(
    regime=TEXT, status=STATUS, **dict.fromkeys(FIGURES, AMOUNT), **dict.fromkeys(LEVELS, AMOUNT), unpriced=TEXTS
)
ACCOUNT = record(code=TEXT, currency=TEXT, policy=TEXT, unpriced=TEXTS, regimes=many(REGIME))
EXPLANATION = {"type": "object", "description": "With `explain` alone: the tree that manage.py explain prints"}


def explained(answer: dict[str, Any]) -> dict[str, Any]:
    """The same with an explanation that may be there."""
    return {**answer, "properties": {**answer["properties"], "explanation": EXPLANATION}}


BOOK_ANSWER = record(on={"type": "string", "format": "date"}, accounts=many(explained(ACCOUNT)))
CHANGE = record(**dict.fromkeys((*FIGURES, "funds_needed", "amount_called"), AMOUNT))
OPENING = record(
    regime=TEXT, trades=TEXTS, currency=TEXT, gross=AMOUNT, proceeds=AMOUNT, net_call=AMOUNT, unpriced=TEXTS
)
ACCOUNT_ANSWER = explained(
    record(
        code=TEXT,
        at={"type": "string", "format": "date-time"},
        currency=TEXT,
        policy=record(before=TEXT, after=TEXT),
        unpriced=record(before=TEXTS, after=TEXTS),
        regimes=many(
            record(
                regime=TEXT,
                before=or_null(REGIME),
                after=or_null(REGIME),
                change=or_null(CHANGE),
                open_call={"type": ["string", "null"], "description": "Number of the open call in this regime"},
            )
        ),
        openings=many(OPENING),
    )
)
SHOCKS = {"price_shock": AMOUNT, "volatility_shock": AMOUNT}
SUMS = dict.fromkeys(("equity", "requirement", "excess", "deficit"), AMOUNT)
CELL = record(**SHOCKS, **SUMS, calls=COUNT, amount_called=AMOUNT, unpriced=COUNT)
STRESS_ANSWER = record(
    at={"type": "string", "format": "date-time"},
    accounts=COUNT,
    price_shocks=TEXTS,
    volatility_shocks=TEXTS,
    regimes=many(record(regime=TEXT, currency=TEXT, cells=many(CELL), worst=CELL)),
    worst_accounts=many(record(code=TEXT, regime=TEXT, currency=TEXT, **SHOCKS, **SUMS, amount_called=AMOUNT)),
)
BOOK: dict[str, Any] = {
    "on": "2026-06-03",
    "instruments": [{"code": "COIN", "kind": "crypto", "currency": "USD", "price": "10000"}],
    "policies": {
        "loan": {
            "regimes": [
                {
                    "regime": "loan",
                    "methodology": "loan",
                    "measure": "ltv",
                    "kinds": ["crypto"],
                    "terms": {"warn": "0.60", "call": "0.70", "liquidate": "0.80", "restore": "0.65"},
                    "at_or_beyond": True,
                }
            ]
        }
    },
    "accounts": [
        {
            "code": "L-1",
            "currency": "USD",
            "policy": "loan",
            "positions": [{"instrument": "COIN", "quantity": "18"}],
            "cash": {"USD": "-150000"},
        }
    ],
}
HYPOTHESES: dict[str, Any] = {
    "trades": [{"instrument": "AIG", "quantity": "-500", "price": "4.80"}],
    "price_shifts": {"AIG": "-0.20"},
    "cash": {"USD": "1000"},
}
GRID: dict[str, Any] = {"price_shocks": ["-0.25", "0", "0.25"], "volatility_shocks": ["0", "0.10"]}
