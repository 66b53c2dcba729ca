"""A register as a file: CSV that no spreadsheet runs, or PDF."""

import csv
from datetime import date, datetime
from decimal import Decimal
from io import StringIO

from backoffice import papers
from margin.register_sheets import Cell, Sheet

FORMULA = frozenset("=+-@＝＋－＠")


def inert(text: str) -> str:
    """A cell that no spreadsheet runs as a formula (reliability.md S8)."""
    return f"'{text}" if text.lstrip()[:1] in FORMULA or text[:1] in ("\t", "\r", "\n") else text


def as_csv(sheet: Sheet) -> str:
    """The sheet with its head; amounts are plain numbers, instants ISO 8601."""
    text = StringIO()
    writer = csv.writer(text)
    writer.writerow(sheet.columns)
    writer.writerows([_cell(value) for value in row] for row in sheet.rows)
    return text.getvalue()


def _cell(value: Cell) -> str | int:
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return format(value.normalize(), "f")
    if isinstance(value, datetime | date):
        return value.isoformat()
    return inert(value) if isinstance(value, str) else value


def as_pdf(sheet: Sheet, *, at: datetime) -> bytes:
    """The sheet as wide pages; `at` is when it was printed."""
    content = [papers.heading(sheet.title)]
    if sheet.note:
        content.append(papers.sentence(sheet.note))
    if sheet.rows:
        content.append(papers.table(sheet.columns, sheet.rows))
    else:
        content.append(papers.sentence("Nothing to list."))
    return papers.document(sheet.title, content, footer=f"Margin Desk · printed {papers.words(at)}", is_wide=True)
