"""Reads what strangers send: exact text to exact values, or a refusal that names the row, the field and the reason.

Files come in through `table` (all rows or none), JSON bodies through `record`, single values through the small
readers (`decimal`, `instant`, `date`, ...). Nothing is guessed, trimmed or rounded. Pure: no Django, no clock.

    COLUMNS = {
        "instrument": column(code, length=48),
        "price": column(decimal, digits=32, places=12),
        "bid": column(decimal, optional=True, digits=32, places=12),
    }
    for row in table(file, COLUMNS, key=("instrument",), control=Control(rows=3), total_of="price"):
        row.number, row.values["price"]
"""

from market.strict.files import Control, File, rows, table
from market.strict.problems import Problem, Problems, Refused, Row, numbered, refuse, shown
from market.strict.records import Column, column, record
from market.strict.values import (
    boolean,
    choice,
    code,
    date,
    decimal,
    exact,
    instant,
    integer,
    json_object,
    words,
)

__all__ = [
    "Column",
    "Control",
    "File",
    "Problem",
    "Problems",
    "Refused",
    "Row",
    "boolean",
    "choice",
    "code",
    "column",
    "date",
    "decimal",
    "exact",
    "instant",
    "integer",
    "json_object",
    "numbered",
    "record",
    "refuse",
    "rows",
    "shown",
    "table",
    "words",
]
