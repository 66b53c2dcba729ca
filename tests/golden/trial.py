"""The trial's account-days, worked out by hand from recorded closes: `trial.csv` beside this file.

Per row: what one sweep must have found and what the history must say after it, with the arithmetic written out. The
closes are those of the shared data folder; nothing here comes from the engine.
"""

import ast
import csv
import operator
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from pathlib import Path

CENT = Decimal("0.01")
OPERATIONS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul}


@dataclass(frozen=True)
class Day:
    """One account in one regime after one sweep. Figures are None where the account is unpriced."""

    trial: str
    account: str
    at: datetime
    regime: str
    state: str
    equity: Decimal | None
    requirement: Decimal | None
    called: Decimal | None
    outstanding: Decimal | None
    equity_is: str
    requirement_is: str
    called_is: str
    why: str

    def __str__(self) -> str:
        return f"{self.account} {self.regime} {self.at:%Y-%m-%d}"


def days(trial: str = "") -> list[Day]:
    """The account-days of one trial, or of all."""
    with (Path(__file__).parent / "trial.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if trial in ("", row["trial"])]
    return [
        Day(
            **{
                **row,
                "at": datetime.fromisoformat(row["at"]),
                **{
                    name: Decimal(row[name]) if row[name] else None
                    for name in ("equity", "requirement", "called", "outstanding")
                },
            }
        )
        for row in rows
    ]


def worked_out(arithmetic: str) -> Decimal:
    """The value of written arithmetic: numbers, +, −, × and brackets, exactly."""
    return _value(ast.parse(arithmetic.replace("×", "*").replace("−", "-"), mode="eval").body, arithmetic)


def _value(node: ast.expr, arithmetic: str) -> Decimal:
    match node:
        case ast.Constant():
            return Decimal(ast.get_source_segment(arithmetic.replace("×", "*").replace("−", "-"), node))
        case ast.BinOp():
            return OPERATIONS[type(node.op)](_value(node.left, arithmetic), _value(node.right, arithmetic))
    raise ValueError(f"{arithmetic!r} is more than numbers, +, −, × and brackets")


def up(amount: Decimal) -> Decimal:
    """Requirements and amounts called are rounded up to the cent."""
    return amount.quantize(CENT, ROUND_CEILING)


def down(amount: Decimal) -> Decimal:
    """Equity is rounded down to the cent."""
    return amount.quantize(CENT, ROUND_FLOOR)
