"""Loads instruments and the names the world gives them, all or nothing; finds instruments by name and day.

An instrument's contract terms never change once loaded: a changed strike is another instrument, or a corporate action.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction
from django.db.backends.postgresql.psycopg_any import DateRange

from market import contracts, strict
from market.models import Alias, Calendar, DebtClass, Instrument, Kind, MarginClass, Right, Scheme, Style
from market.strict import Column, Control, File, Problems, Row, column

LONGEST_CHAIN = 5

ONE = Decimal(1)
PRICE = {"digits": 32, "places": 12}
RATE = {"digits": 24, "places": 12}
COLUMNS: dict[str, Column] = {
    "code": column(strict.code, length=48),
    "name": column(strict.words, length=160),
    "kind": column(strict.choice, of=Kind.values),
    "currency": column(strict.code, length=12),
    "price_divisor": column(strict.integer, optional=True, default=1, lowest=1, highest=1_000_000),
    "multiplier": column(strict.decimal, optional=True, default=ONE, **PRICE),
    "minor_exponent": column(strict.integer, optional=True, lowest=0, highest=12),
    "lot_size": column(strict.decimal, optional=True, default=ONE, **PRICE),
    "tick_size": column(strict.decimal, optional=True, **PRICE),
    "calendar": column(strict.code, optional=True, length=32),
    "may_be_negative": column(strict.boolean, optional=True, default=False),
    "jump_limit_rate": column(strict.decimal, optional=True, default=Decimal("0.25"), **RATE),
    "max_age_seconds": column(strict.integer, optional=True, default=900, lowest=1, highest=31_536_000),
    "margin_eligible": column(strict.boolean, optional=True, default=True),
    "leverage": column(strict.decimal, optional=True, default=ONE, **RATE),
    "sector": column(strict.words, optional=True, default="", length=48),
    "issuer": column(strict.words, optional=True, default="", length=80),
    "daily_volume": column(strict.decimal, optional=True, **PRICE),
    "margin_class": column(strict.choice, optional=True, default=MarginClass.EQUITY, of=MarginClass.values),
    "index": column(strict.code, optional=True, length=48),
    "index_scale": column(strict.decimal, optional=True, default=ONE, **RATE),
    "underlying": column(strict.code, optional=True, length=48),
    "right": column(strict.choice, optional=True, default="", of=Right.values),
    "strike": column(strict.decimal, optional=True, **PRICE),
    "style": column(strict.choice, optional=True, default="", of=Style.values),
    "expires_at": column(strict.instant, optional=True),
    "cash_settled": column(strict.boolean, optional=True, default=False),
    "inverse": column(strict.boolean, optional=True, default=False),
    "deliverable": column(strict.json_object, optional=True, default={}),
    "debt_class": column(strict.choice, optional=True, default="", of=DebtClass.values),
    "matures_on": column(strict.date, optional=True),
    "coupon_rate": column(strict.decimal, optional=True, **RATE),
    "terms": column(strict.json_object, optional=True, default={}),
    "listed_on": column(strict.date, optional=True),
    "ticker": column(strict.code, optional=True, length=64),
    "isin": column(strict.code, optional=True, length=64),
    "figi": column(strict.code, optional=True, length=64),
}
ALIAS_COLUMNS: dict[str, Column] = {
    "instrument": column(strict.code, length=48),
    "scheme": column(strict.choice, of=Scheme.values),
    "symbol": column(strict.code, length=64),
    "valid_from": column(strict.date, optional=True),
    "valid_until": column(strict.date, optional=True),
}
NEEDED: dict[str, tuple[str, ...]] = {
    Kind.OPTION: ("underlying", "right", "strike", "style", "expires_at"),
    Kind.FUTURE_OPTION: ("underlying", "right", "strike", "style", "expires_at"),
    Kind.FUTURE: ("expires_at",),
    Kind.WARRANT: ("underlying",),
    Kind.BOND: ("matures_on", "debt_class"),
    Kind.CASH: ("minor_exponent",),
}
PARENTS = ("underlying", "index")  # instruments that must be there first
NAMES = (Scheme.TICKER, Scheme.ISIN, Scheme.FIGI)
# What a later load may change; everything else is what the contract is.
MUTABLE = (
    "name",
    "lot_size",
    "tick_size",
    "calendar",
    "may_be_negative",
    "jump_limit_rate",
    "max_age_seconds",
    "margin_eligible",
    "sector",
    "issuer",
    "daily_volume",
    "margin_class",
    "debt_class",
    "listed_on",
)
FIXED = tuple(name for name in COLUMNS if name not in (*MUTABLE, *NAMES, "code"))


@dataclass(frozen=True)
class Loaded:
    """How many instruments came, changed, or were the same already, and how many names were added."""

    added: int = 0
    changed: int = 0
    same: int = 0
    names: int = 0


def load(file: File, *, control: Control | None = None) -> Loaded:
    """Load instruments from CSV (docs/formats.md), all or nothing; the same file again changes nothing.

    Raises strict.Refused with row, field and reason.
    """
    return load_rows(strict.table(file, COLUMNS, key=("code",), control=control))


@transaction.atomic
def load_rows(rows: Sequence[Row]) -> Loaded:
    """As `load`, from rows read with COLUMNS."""
    problems = Problems()
    wanted = {row.values["code"]: row for row in rows}
    known = {one.code: one for one in Instrument.objects.select_for_update().filter(code__in=wanted).order_by("pk")}
    calendars = {one.code: one for one in Calendar.objects.all()}
    for row in rows:
        _check(row, calendars, problems)
    problems.check()
    waiting = [row for row in rows if row.values["code"] not in known]
    changed = [row for row in rows if row.values["code"] in known]
    underlyings = {row.values[name] for row in rows for name in PARENTS} - {None}
    outside = {one.code: one for one in Instrument.objects.filter(code__in=underlyings - set(wanted))}
    known |= outside | _add(waiting, known | outside, calendars, problems)
    updated = sum(_update(row, known, calendars, problems) for row in changed)
    problems.check()
    names = [Row(row.number, _alias(row, scheme)) for row in rows for scheme in NAMES if row.values[scheme] is not None]
    return Loaded(len(waiting), updated, len(changed) - updated, _add_names(names, known))


def _check(row: Row, calendars: Mapping[str, Calendar], problems: Problems) -> None:
    """What the database would refuse too, said in words and with the row."""
    values, number = row.values, row.number
    kind = values["kind"]
    for name in NEEDED.get(kind, ()):
        if values[name] in (None, ""):
            problems.add(number, name, f"is missing; every {kind} has one")
    if kind != Kind.CASH and values["minor_exponent"] is not None:
        problems.add(number, "minor_exponent", f"belongs to cash alone, not to {kind}")
    if kind == Kind.CASH and values["code"] not in (values["currency"], f"{values['currency']}-CASH"):
        problems.add(number, "currency", f"the cash instrument {values['code']} must be its own currency")
    for name in ("multiplier", "lot_size", "leverage", "jump_limit_rate", "index_scale"):
        if values[name] <= 0:
            problems.add(number, name, f"{values[name]} is not positive")
    try:
        contracts.read(values["terms"], values["deliverable"])
    except ValueError as error:
        name, _, reason = str(error).partition(": ")
        problems.add(number, name.split(".")[0], f"{name}: {reason}")
    if values["calendar"] is not None and values["calendar"] not in calendars:
        code = values["calendar"]
        problems.add(number, "calendar", f"{code} is not loaded; run manage.py load_calendars {code} first")


def _add(
    rows: Sequence[Row],
    known: Mapping[str, Instrument],
    calendars: Mapping[str, Calendar],
    problems: Problems,
) -> dict[str, Instrument]:
    """Insert new instruments, underlyings before what derives from them, one statement per generation."""
    added: dict[str, Instrument] = {}
    waiting = list(rows)
    for _ in range(LONGEST_CHAIN):
        there = {**known, **added}
        ready = [row for row in waiting if not _missing_parent(row, there)]
        waiting = [row for row in waiting if _missing_parent(row, there)]
        made = [Instrument(**_terms(row, there, calendars)) for row in ready]
        added |= {one.code: one for one in Instrument.objects.bulk_create(made, batch_size=1000)}
    for row in waiting:
        name = _missing_parent(row, {**known, **added})
        problems.add(row.number, name, f"{row.values[name]} is neither in this file nor loaded, or derives from itself")
    return added


def _missing_parent(row: Row, there: Mapping[str, Instrument]) -> str:
    """The first field that names an instrument which is not there yet, else ''."""
    return next((name for name in PARENTS if row.values[name] is not None and row.values[name] not in there), "")


def _terms(row: Row, known: Mapping[str, Instrument], calendars: Mapping[str, Calendar]) -> dict[str, Any]:
    terms = {name: value for name, value in row.values.items() if name not in NAMES}
    for name in PARENTS:
        terms[name] = known[terms[name]] if terms[name] else None
    terms["calendar"] = calendars[terms["calendar"]] if terms["calendar"] else None
    return terms


def _update(row: Row, known: Mapping[str, Instrument], calendars: Mapping[str, Calendar], problems: Problems) -> bool:
    """Bring one known instrument to the row; True if something changed. A changed contract term is a problem."""
    instrument = known[row.values["code"]]
    missing = _missing_parent(row, known)
    if missing:
        problems.add(row.number, missing, f"{row.values[missing]} is not loaded")
        return False
    fresh = Instrument(**_terms(row, known, calendars))
    for name in FIXED:
        was, now = _stored(instrument, name), _stored(fresh, name)
        if was != now:
            problems.add(row.number, name, f"is {was} and never changes; {now} would be another instrument")
    differing = [name for name in MUTABLE if _stored(instrument, name) != _stored(fresh, name)]
    for name in differing:
        setattr(instrument, name, getattr(fresh, name))
    if differing and not problems.found:
        instrument.save(update_fields=differing)
    return bool(differing)


def _stored(instrument: Instrument, name: str) -> Any:
    """A field as its column holds it: the key of a related row rather than the row."""
    return getattr(instrument, f"{name}_id" if name in ("calendar", *PARENTS) else name)


# --- names --------------------------------------------------------------------------------------------------


def load_aliases(file: File, *, control: Control | None = None) -> int:
    """Load names with their days from CSV (docs/formats.md), all or nothing; returns how many are new."""
    rows = strict.table(file, ALIAS_COLUMNS, key=("scheme", "symbol", "valid_from"), control=control)
    codes = {row.values["instrument"] for row in rows}
    with transaction.atomic():
        return _add_names(rows, {one.code: one for one in Instrument.objects.filter(code__in=codes)})


def _alias(row: Row, scheme: str) -> dict[str, Any]:
    """The name an instrument's own row gives it, valid since its listing."""
    return {
        "instrument": row.values["code"],
        "scheme": scheme,
        "symbol": row.values[scheme],
        "valid_from": row.values["listed_on"],
        "valid_until": None,
    }


def _add_names(rows: Sequence[Row], known: Mapping[str, Instrument]) -> int:
    """Insert the names that are not there; a name that means another instrument on one of the days is refused."""
    problems = Problems()
    symbols = {row.values["symbol"] for row in rows}
    there: dict[tuple[str, str], list[Alias]] = {}
    for alias in Alias.objects.select_related("instrument").filter(symbol__in=symbols):
        there.setdefault((alias.scheme, alias.symbol), []).append(alias)
    fresh: list[Alias] = []
    for number, values in rows:
        if values["instrument"] not in known:
            problems.add(number, "instrument", f"{values['instrument']} is not an instrument of ours; load it first")
            continue
        first, until = values["valid_from"], values["valid_until"]
        if first and until and first >= until:
            problems.add(number, "valid_until", f"{until} does not come after {first}")
            continue
        alias = Alias(
            instrument=known[values["instrument"]],
            scheme=values["scheme"],
            symbol=values["symbol"],
            valid=DateRange(first, until),
        )
        others = there.setdefault((alias.scheme, alias.symbol), [])
        clash = next((other for other in others if overlap(other.valid, alias.valid)), None)
        if clash is None:
            others.append(alias)
            fresh.append(alias)
        elif clash.instrument_id != alias.instrument_id:
            named = f"{alias.scheme} {alias.symbol} means {clash.instrument.code} on some of these days"
            problems.add(number, "symbol", f"{named}; close that name's days first")
    problems.check()
    try:
        with transaction.atomic():
            Alias.objects.bulk_create(fresh, batch_size=1000)
    except IntegrityError:
        raise strict.refuse("symbol", "another load gave one of these names at the same moment; load again") from None
    return len(fresh)


def end_names(instrument: Instrument, *, on: date, schemes: Sequence[str] = tuple(Scheme.values)) -> list[Alias]:
    """Close the instrument's names that would still hold on that day; returns them. A name not yet begun is dropped."""
    ended = []
    for alias in instrument.aliases.filter(scheme__in=schemes).select_for_update():
        if alias.valid.upper is not None and alias.valid.upper <= on:
            continue
        if alias.valid.lower is not None and alias.valid.lower >= on:
            alias.delete()
            continue
        alias.valid = DateRange(alias.valid.lower, on)
        alias.save(update_fields=["valid"])
        ended.append(alias)
    return ended


def overlap(one: DateRange, other: DateRange) -> bool:
    """Whether two ranges of days share a day; an open end has no limit."""
    starts = [day for day in (one.lower, other.lower) if day is not None]
    ends = [day for day in (one.upper, other.upper) if day is not None]
    return not starts or not ends or max(starts) < min(ends)


@dataclass(frozen=True)
class Names:
    """What symbols meant on which days; pure once gathered."""

    ranges: Mapping[str, tuple[tuple[date, date, str], ...]]

    def on(self, symbol: str, day: date) -> str | None:
        """The code of the instrument that had this name that day; None: nobody."""
        found = (code for first, until, code in self.ranges.get(symbol, ()) if first <= day < until)
        return next(found, None)


def names(symbols: Iterable[str], *, scheme: str = Scheme.TICKER) -> Names:
    """Gather what these symbols ever meant in a scheme (one query)."""
    ranges: dict[str, list[tuple[date, date, str]]] = {}
    aliases = Alias.objects.filter(scheme=scheme, symbol__in=list(symbols)).select_related("instrument")
    for alias in aliases:
        days = (alias.valid.lower or date.min, alias.valid.upper or date.max, alias.instrument.code)
        ranges.setdefault(alias.symbol, []).append(days)
    return Names({symbol: tuple(sorted(found)) for symbol, found in ranges.items()})
