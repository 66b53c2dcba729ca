"""Exact numeric columns. PostgreSQL's numeric accepts NaN, which passes `CHECK (price > 0)`; ours do not."""

from typing import Any

from django.db import models


class ExactField(models.DecimalField):
    """A numeric column that the database itself keeps free of NaN (numeric(p, s) already refuses infinity)."""

    def db_check(self, connection: Any) -> str:
        return f"\"{self.column}\" <> 'NaN'::numeric"


def price(**options: Any) -> ExactField:
    """A price per unit, or a strike: 12 decimals, up to 10^20."""
    return ExactField(max_digits=32, decimal_places=12, **options)


def quantity(**options: Any) -> ExactField:
    """A signed number of units held: 12 decimals, up to 10^20."""
    return ExactField(max_digits=32, decimal_places=12, **options)


def amount(**options: Any) -> ExactField:
    """Money in one currency: 8 decimals, up to 10^20."""
    return ExactField(max_digits=28, decimal_places=8, **options)


def rate(**options: Any) -> ExactField:
    """A fraction (0.25, never 25) or an exchange rate: 12 decimals."""
    return ExactField(max_digits=24, decimal_places=12, **options)
