"""CSV files, read whole or not at all: bounded, exact, with control totals (docs/formats.md)."""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from market.strict.problems import Problem, Problems, Refused, Row, refuse, shown
from market.strict.records import Column, record
from market.strict.values import EXACT, decimal

File = BinaryIO | bytes | Path

MAX_BYTES = 256 * 1024 * 1024
MAX_LINE_BYTES = 16 * 1024
MAX_ROWS = 5_000_000
TRAILER = re.compile(r"#rows=([0-9]{1,9})(?:,total=([^,]+))?")


@dataclass(frozen=True)
class Control:
    """What the sender says the file holds; None: not said. A trailer line `#rows=3,total=12.5` says it in the file."""

    rows: int | None = None
    total: Decimal | None = None


@dataclass
class Trailer:
    """The trailer line as read; `row` 0: none."""

    row: int = 0
    rows: int | None = None
    total: str | None = None


def rows(file: File, columns: Sequence[str], *, optional: Sequence[str] = ()) -> Iterator[Row]:
    """The lines of a CSV file as texts by column, row 1 being the header; raises Refused at the first wrong line.

    The header names every column of `columns` and any of `optional`, exactly and once, in any order.
    """
    problems = Problems()
    for row in _read(file, columns, optional, problems, Trailer()):
        problems.check()
        yield row
    problems.check()


def table(
    file: File,
    columns: Mapping[str, Column],
    *,
    key: Sequence[str] = (),
    control: Control | None = None,
    total_of: str = "",
) -> list[Row]:
    """Every row of the file, read and checked, or Refused with what is wrong: all or nothing.

    `key` names the columns that may not repeat together; `total_of` the column whose sum the control total checks.
    """
    needed = [name for name, how in columns.items() if not how.optional]
    allowed = [name for name, how in columns.items() if how.optional]
    problems, trailer = Problems(), Trailer()
    found: list[Row] = []
    seen: dict[tuple[Any, ...], int] = {}
    for number, texts in _read(file, needed, allowed, problems, trailer):
        try:
            values = record(texts, columns, row=number)
        except Refused as refusal:
            problems.take(number, refusal)
            continue
        identity = tuple(values[name] for name in key)
        if key and seen.setdefault(identity, number) != number:
            named = " ".join(map(str, identity))
            problems.add(number, key[0], f"{shown(named)} was given in row {seen[identity]} already")
        found.append(Row(number, values))
    problems.check()
    if not found:
        raise refuse("", "the file holds a header but no row")
    _check_control(found, trailer, control or Control(), total_of)
    return found


def _read(
    file: File, needed: Sequence[str], optional: Sequence[str], problems: Problems, trailer: Trailer
) -> Iterator[Row]:
    """Yield the honest lines; note the others in `problems`. A wrong header or unreadable bytes end the reading."""
    lines = _lines(file)
    first = next(lines, None)
    if first is None:
        raise refuse("", "the file is empty; its first line must be the header")
    try:
        header = _header(_split(first[1]), needed, optional)
    except Refused as refusal:
        raise Refused(problem._replace(row=1) for problem in refusal.problems) from None
    for number, line in lines:
        if trailer.row:
            problems.add(number, "", "comes after the trailer line")
        elif line.startswith("#"):
            trailer.row = number
            match = TRAILER.fullmatch(line)
            if match is None:
                problems.add(number, "", f"{shown(line)} is no trailer; write #rows=3,total=12.5")
            else:
                trailer.rows, trailer.total = int(match[1]), match[2]
        else:
            try:
                fields = _split(line)
            except Refused as refusal:
                problems.take(number, refusal)
                continue
            if len(fields) == len(header):
                yield Row(number, dict(zip(header, fields, strict=True)))
            else:
                problems.add(number, "", f"has {len(fields)} fields where the header names {len(header)}")


def _lines(file: File) -> Iterator[tuple[int, str]]:
    """Numbered lines without their ends; raises Refused where the bytes are not an honest UTF-8 text."""
    if isinstance(file, Path):
        with file.open("rb") as opened:
            yield from _lines(opened)
        return
    stream = BytesIO(file) if isinstance(file, bytes) else file
    size = number = 0
    while raw := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        size += len(raw)
        if size > MAX_BYTES:
            raise refuse("", f"the file is larger than {MAX_BYTES} bytes")
        if number > MAX_ROWS:
            raise refuse("", f"the file has more than {MAX_ROWS} lines")
        yield number, _line(raw, number)


def _line(raw: bytes, number: int) -> str:
    def fault(reason: str) -> Refused:
        return Refused([Problem(number, "", reason)])

    if number == 1:
        if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise fault("the file is UTF-16; save it as UTF-8")
        if raw.startswith(b"\x1f\x8b") or raw.startswith(b"PK\x03\x04"):
            raise fault("the file is compressed or a workbook; send plain CSV")
        raw = raw.removeprefix(b"\xef\xbb\xbf")
    if len(raw) > MAX_LINE_BYTES:
        raise fault(f"is longer than {MAX_LINE_BYTES} bytes")
    if not raw.endswith(b"\n"):
        raise fault("the last line has no line end: the file may have been cut off")
    if b"\x00" in raw:
        raise fault("holds the character U+0000")
    try:
        return raw[:-1].removesuffix(b"\r").decode("utf-8")
    except UnicodeDecodeError as error:
        raise fault(f"is not UTF-8 at byte {error.start + 1}") from None


def _split(line: str) -> list[str]:
    if "\r" in line:
        raise refuse("", "holds a carriage return inside the line")
    if '"' not in line:
        return line.split(",")
    try:
        return next(csv.reader([line], strict=True))
    except (csv.Error, StopIteration) as error:
        raise refuse("", f"is not CSV ({error}); a field never spans lines") from None


def _header(names: list[str], needed: Sequence[str], optional: Sequence[str]) -> list[str]:
    expected = [*needed, *optional]
    repeated = sorted({name for name in names if names.count(name) > 1}) if len(names) <= 200 else ["…"]
    unknown = [name for name in names if name not in expected][:5]
    missing = [name for name in needed if name not in names]
    for found, what in ((repeated, "repeats"), (unknown, "has unknown"), (missing, "lacks")):
        if found:
            listed = ", ".join(shown(name) for name in found)
            raise refuse("", f"the header {what} {listed}; the columns are {', '.join(expected)}")
    return names


def _check_control(found: list[Row], trailer: Trailer, control: Control, total_of: str) -> None:
    """Compare the file with what `control` and its own trailer say of it."""
    problems = Problems()
    for place, announced in ((0, control.rows), (trailer.row, trailer.rows)):
        if announced is not None and announced != len(found):
            problems.add(place, "rows", f"{announced} rows were announced, the file holds {len(found)}")
    totals = [(0, control.total)] if control.total is not None else []
    try:
        if trailer.total is not None:
            totals.append((trailer.row, decimal(trailer.total, field="total", digits=56, places=18)))
    except Refused as refusal:
        problems.take(trailer.row, refusal)
    if totals and not total_of:
        raise refuse("total", "this file has no column to total; announce rows only")
    sum_of_rows = Decimal(0)
    for row in found if totals else ():
        sum_of_rows = EXACT.add(sum_of_rows, row.values[total_of] or Decimal(0))
    for place, said in totals:
        if said != sum_of_rows:
            problems.add(place, "total", f"{said:f} was announced for {total_of}, the file adds up to {sum_of_rows:f}")
    problems.check()
