"""The two formats of a file drop, CSV and JSON: our messages out, the venue's reports in (docs/venues.md)."""

import csv
import io
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from margin.venues.checks import CLIENT_ORDER_ID, plain
from margin.venues.interface import Order, Report, Told
from market import strict

FORMATS = ("csv", "json")
MAX_ROWS = 100_000
MESSAGE = ("message", "message_id", "client_order_id", "account", "instrument", "side", "quantity", "limit", "currency")
COLUMNS = {
    "report_id": strict.column(strict.code, length=64),
    "client_order_id": strict.column(strict.code, length=32),
    "told": strict.column(strict.choice, of=tuple(Told)),
    "at": strict.column(strict.instant),
    "quantity": strict.column(strict.decimal, optional=True, default=Decimal(0), digits=38, places=18),
    "price": strict.column(strict.decimal, optional=True, default=Decimal(0), digits=38, places=18),
    "fee": strict.column(strict.decimal, optional=True, default=Decimal(0), digits=38, places=18),
    "refers_to": strict.column(strict.code, optional=True, default="", length=64),
    "venue_order_id": strict.column(strict.code, optional=True, default="", length=64),
    "text": strict.column(strict.words, optional=True, default="", length=500),
}
EXECUTIONS = (Told.FILLED, Told.CORRECTED)
REFERRING = (Told.BUSTED, Told.CORRECTED, Told.NEVER_HEARD)
END_LINE = re.compile(rb"(?:\A|\n)#rows=[0-9]{1,9}\r?\n\Z")


# --- out ------------------------------------------------------------------------------------------------------


def message(kind: str, message_id: str, order: Order, *, at: datetime, form: str) -> bytes:
    """One file's bytes: `kind` is new, cancel or ask."""
    values = {
        "message": kind,
        "message_id": message_id,
        "client_order_id": order.client_order_id,
        "account": order.account,
        "instrument": order.instrument,
        "side": str(order.side),
        "quantity": plain(order.quantity),
        "limit": "" if order.limit is None else plain(order.limit),
        "currency": order.currency,
        "at": at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
    }
    if form == "json":
        return (json.dumps({"rows": 1, "messages": [values]}, indent=1) + "\n").encode("ascii")
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(values)
    lines.writerow(values.values())
    return (text.getvalue() + "#rows=1\n").encode("ascii")


# --- in -------------------------------------------------------------------------------------------------------


def is_whole(content: bytes, *, form: str) -> bool:
    """Whether the writer has finished: a CSV file ends with its line `#rows=N`, a JSON file parses."""
    if form == "csv":
        return END_LINE.search(content) is not None
    try:
        json.loads(content)
    except (ValueError, RecursionError):
        return False
    return True


def reports(content: bytes, *, form: str, venue: str) -> list[Report]:
    """Every report of a file, or strict.Refused naming each wrong row and field: all or nothing."""
    rows = _csv_rows(content) if form == "csv" else _json_rows(content)
    problems = strict.Problems()
    seen: dict[str, int] = {}
    for row in rows:
        for problem in _faults(row.values):
            problems.add(row.number, *problem)
        first = seen.setdefault(row.values["report_id"], row.number)
        if first != row.number:
            problems.add(row.number, "report_id", f"was given in row {first} already")
    problems.check()
    return [Report(venue=venue, **{**row.values, "told": Told(row.values["told"])}) for row in rows]


def _csv_rows(content: bytes) -> list[strict.Row]:
    if not END_LINE.search(content):
        raise strict.refuse("", "the file does not end with its line #rows=N: it may have been cut off")
    if content.count(b"\n") > MAX_ROWS + 2:
        raise strict.refuse("", f"the file has more than {MAX_ROWS} rows")
    return strict.table(content, COLUMNS)


def _json_rows(content: bytes) -> list[strict.Row]:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise strict.refuse("", f"is not UTF-8 at byte {error.start + 1}") from None
    found = strict.json_object(text, field="file")
    if set(found) != {"rows", "reports"} or not isinstance(found["reports"], list):
        raise strict.refuse("", 'the file must hold {"rows": N, "reports": [...]} and nothing else')
    listed = found["reports"]
    if type(found["rows"]) is not int or found["rows"] != len(listed):
        raise strict.refuse("rows", f"{found['rows']} rows were announced, the file holds {len(listed)}")
    if not 0 < len(listed) <= MAX_ROWS:
        raise strict.refuse("reports", f"holds {len(listed)} rows; a file has 1 to {MAX_ROWS}")
    problems, rows = strict.Problems(), []
    for number, values in enumerate(listed, start=1):
        if not isinstance(values, dict):
            problems.add(number, "", "is not a JSON object")
            continue
        try:
            rows.append(strict.Row(number, strict.record(values, COLUMNS, row=number)))
        except strict.Refused as refusal:
            problems.take(number, refusal)
    problems.check()
    return rows


def _faults(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is wrong in a row whose fields are each well written: (field, reason)."""
    told, found = Told(values["told"]), []
    if not CLIENT_ORDER_ID.fullmatch(values["client_order_id"]):
        found.append(("client_order_id", "is no client order id of ours"))
    if told in EXECUTIONS and values["quantity"] <= 0:
        found.append(("quantity", f"must be positive where told is {told}"))
    if told not in EXECUTIONS:
        found += [(name, f"belongs to executions; told is {told}") for name in ("quantity", "price") if values[name]]
    if told in REFERRING and not values["refers_to"]:
        what = "the message_id of the question" if told is Told.NEVER_HEARD else "the report_id of the execution"
        found.append(("refers_to", f"is missing; name {what}"))
    if told not in REFERRING and values["refers_to"]:
        found.append(("refers_to", f"refers to nothing where told is {told}"))
    return found
