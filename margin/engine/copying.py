"""Positions from PostgreSQL's COPY … (FORMAT binary): exact, without a Python object per row."""

import numpy as np

from margin.engine import kernels
from margin.engine.build import BadRows, Columns

_SIGNATURE = b"PGCOPY\n\xff\r\n\0"
_KEYS = 2 + 2 * (4 + 8)  # field count and two bigints
_REASONS = {1: "is missing", 2: "is NaN", 3: "is infinite", 4: "has too many digits"}


def positions(stream: bytes | bytearray | memoryview, *, with_cost: bool) -> Columns:
    """Decode COPY (SELECT account_id, instrument_id, quantity[, cost] …) TO STDOUT (FORMAT binary).

    Both ids are bigint, both numbers numeric; a cost may be NULL. A number that cannot be held exactly (NaN,
    infinity, NULL quantity, more than 63 bits) refuses its account, by name. A damaged stream raises BadRows with
    the row's number.
    """
    view = memoryview(stream)
    if bytes(view[: len(_SIGNATURE)]) != _SIGNATURE or bytes(view[11:19]) != bytes(8):
        raise BadRows("This is not a COPY BINARY stream without options")
    columns = 2 if with_cost else 1
    capacity = len(view) // (_KEYS + 4 * columns) + 1
    account, instrument = np.empty(capacity, np.int64), np.empty(capacity, np.int64)
    mantissa = np.zeros((columns, capacity), np.int64)
    decimals, fault = np.zeros((columns, capacity), np.int8), np.zeros((columns, capacity), np.int8)
    rows, problem = kernels.rows().decode(np.frombuffer(view, np.uint8), account, instrument, mantissa, decimals, fault)
    if problem:
        _raise(rows, problem, columns)
    cost, cost_decimals = np.zeros(rows, np.int64), np.full(rows, -1, np.int8)
    if with_cost:
        is_known = fault[1, :rows] != kernels.rows().NULL
        cost, cost_decimals = mantissa[1, :rows].copy(), np.where(is_known, decimals[1, :rows], -1).astype(np.int8)
        fault[1, :rows][~is_known] = 0
    return Columns(
        account=account[:rows].copy(),
        instrument=instrument[:rows].copy(),
        quantity=mantissa[0, :rows].copy(),
        decimals=decimals[0, :rows].copy(),
        cost=cost,
        cost_decimals=cost_decimals,
        refused=tuple(
            (int(account[row]), f"instrument {int(instrument[row])}: {name} {_REASONS[int(code)]}")
            for column, name in enumerate(("quantity", "cost")[:columns])
            for row, code in _faults(fault[column, :rows])
        ),
    )


def _faults(codes: np.ndarray) -> list[tuple[int, int]]:
    return [(int(row), int(codes[row])) for row in np.flatnonzero(codes)]


def _raise(row: int, problem: int, columns: int) -> None:
    rows = kernels.rows()
    what = {
        rows.TRUNCATED: "the stream ends or breaks off here",
        rows.WRONG_FIELDS: f"{2 + columns} fields are expected: bigint, bigint and {columns} numeric",
        rows.NULL_KEY: "an account or instrument id is NULL or not a bigint",
    }[problem]
    raise BadRows(f"Row {row + 1} of the COPY stream: {what}")
