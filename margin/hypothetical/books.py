"""From a self-contained document to the engine's columns, by the same steps as from the database. No database."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from margin import policies, policy_terms, snapshot
from margin.engine import build, columns
from margin.hypothetical.document import (
    MOST_EXPLAINED,
    MOST_POSITIONS,
    BookAccount,
    BookDocument,
    BookInstrument,
    BookPosition,
)
from margin.hypothetical.forms import NUMBER, Wrong, day
from margin.prices import Price, PriceSet
from market import contracts as terms
from market import strict
from market.instruments import NEEDED

# Decimals of the smallest unit (ISO 4217); any other currency is stated as a cash instrument.
MINOR = {
    **{"USD": 2, "EUR": 2, "GBP": 2, "CHF": 2, "CAD": 2, "AUD": 2, "NZD": 2, "SEK": 2, "NOK": 2, "DKK": 2},
    **{"SGD": 2, "HKD": 2, "CNY": 2, "MXN": 2, "ZAR": 2, "PLN": 2, "CZK": 2, "ILS": 2, "JPY": 0, "KRW": 0},
}
CLOCK = {"unit": "hours", "count": 24}  # nothing falls due in a what-if
RARE = ("venue", "guaranteed", "flex", "settles", "conversion", "exercise_price", "commodity", "adjusted",
        "asset_class", "notional")  # fmt: skip
CASH = "cash"


@dataclass(frozen=True)
class Case:
    """Accounts that may be hypothetical, as columns. Account k of the book is `codes[book.accounts[k]]`."""

    book: columns.Book
    instruments: columns.Instruments
    market: columns.Market
    rules: columns.Rules
    readings: tuple[policies.Reading, ...]
    codes: Mapping[int, str]

    @property
    def arguments(self) -> tuple[columns.Book, columns.Instruments, columns.Market, columns.Rules]:
        """What `assess` takes."""
        return self.book, self.instruments, self.market, self.rules


@dataclass(frozen=True)
class Listed:
    """An instrument with the columns of a stored one (`snapshot.INSTRUMENT_COLUMNS`)."""

    id: int
    code: str
    kind: str
    currency: str
    price_divisor: int = 1
    multiplier: Decimal = Decimal(1)
    leverage: Decimal = Decimal(1)
    lot_size: Decimal = Decimal(1)
    margin_eligible: bool = True
    sector: str = ""
    issuer: str = ""
    debt_class: str = ""
    matures_on: date | None = None
    minor_exponent: int | None = None
    ended_at: datetime | None = None
    daily_volume: Decimal | None = None
    margin_class: str = "equity"
    index_id: int | None = None
    index_scale: Decimal = Decimal(1)
    underlying_id: int | None = None
    right: str = ""
    strike: Decimal | None = None
    style: str = ""
    expires_at: datetime | None = None
    cash_settled: bool = False
    inverse: bool = False
    deliverable: Mapping[str, Any] | None = None
    terms: Mapping[str, Any] | None = None
    zone: str | None = None  # expires_at is midnight UTC of the last day


def case(document: BookDocument) -> Case:
    """The document's accounts as columns. Raises Wrong naming the path."""
    on = day(document.on, "on")
    listed = _listed(document.instruments)
    money = _money(document, listed)
    readings = _readings(document.policies)
    fx = _fx(document.fx)
    prices = PriceSet(_midnight(on), _prices(document.instruments, listed), fx, _rates(document))
    accounts, positions = _accounts(document, listed, money, {name: place for place, name in enumerate(readings)})
    stored = {row.id: row for row in (*listed.values(), *money.values())}
    try:
        instruments = build.instruments(snapshot.instrument_rows(stored, prices))
        book = build.book(instruments, accounts, positions)
    except build.BadRows as error:
        raise Wrong("", str(error)) from None
    return Case(
        book=book,
        instruments=instruments,
        market=columns.Market(
            on, {**snapshot.coin_rates(stored, prices), **fx}, dict(document.risk_free), parameters=document.parameters
        ),
        rules=columns.Rules(tuple(reading.policy for reading in readings.values())),
        readings=tuple(readings.values()),
        codes={row.id: account.code for row, account in zip(accounts, document.accounts, strict=True)},
    )


def _midnight(on: date) -> datetime:
    return datetime.combine(on, time(), UTC)


# --- instruments --------------------------------------------------------------------------------------


def _listed(rows: Sequence[BookInstrument]) -> dict[str, Listed]:
    """By code, numbered from 1 in the document's order."""
    ids = _numbered([row.code for row in rows], "instruments")
    found = {}
    for place, row in enumerate(rows):
        path = f"instruments[{place}]"
        _check_terms(row, path)
        found[row.code] = Listed(
            id=ids[row.code],
            index_id=_id_of(row.index, ids, f"{path}.index"),
            underlying_id=_id_of(row.underlying, ids, f"{path}.underlying"),
            expires_at=_midnight(day(row.expires_on, f"{path}.expires_on")) if row.expires_on else None,
            matures_on=day(row.matures_on, f"{path}.matures_on") if row.matures_on else None,
            **{name: getattr(row, name) for name in SAME},
        )
        _check_rare(row, ids, path)
    return found


SAME = (
    *("code", "kind", "currency", "price_divisor", "multiplier", "leverage", "lot_size", "margin_eligible", "sector"),
    *("issuer", "debt_class", "minor_exponent", "daily_volume", "margin_class", "index_scale", "right", "strike"),
    *("style", "cash_settled", "inverse", "deliverable", "terms"),
)


def _numbered(codes: Sequence[str], path: str) -> dict[str, int]:
    ids: dict[str, int] = {}
    for place, code in enumerate(codes):
        if code in ids:
            raise Wrong(f"{path}[{place}].code", f"{code} is listed twice")
        ids[code] = place + 1
    return ids


def _id_of(code: str, ids: Mapping[str, int], path: str) -> int | None:
    if code and code not in ids:
        raise Wrong(path, f"{code} is not among the instruments")
    return ids[code] if code else None


def _check_terms(row: BookInstrument, path: str) -> None:
    """What each kind needs (`market.instruments.NEEDED`), and what only cash may say."""
    if row.kind == CASH:
        if row.code not in (row.currency, f"{row.currency}-CASH"):
            raise Wrong(f"{path}.code", f"cash in {row.currency} is called {row.currency} or {row.currency}-CASH")
        if row.minor_exponent is None and row.currency not in MINOR:
            raise Wrong(f"{path}.minor_exponent", "missing")
        return
    if row.minor_exponent is not None:
        raise Wrong(f"{path}.minor_exponent", "belongs to cash alone")
    for name in NEEDED.get(row.kind, ()):
        stated = {"expires_at": "expires_on"}.get(name, name)
        if not getattr(row, stated):
            raise Wrong(f"{path}.{stated}", f"missing; {row.kind.replace('_', ' ')} needs it")


def _check_rare(row: BookInstrument, ids: Mapping[str, int], path: str) -> None:
    unknown = set(row.terms) - set(RARE)
    if unknown:
        raise Wrong(f"{path}.terms.{min(unknown)}", f"unknown key; known: {', '.join(RARE)}")
    try:
        rare = terms.read(row.terms, row.deliverable)
        for amount in (*rare.units.values(), rare.cash, rare.conversion, rare.exercise_price, rare.notional):
            strict.exact(amount, field="", **NUMBER)
    except strict.Refused as refusal:
        raise Wrong(f"{path}.terms", refusal.problems[0].reason) from None
    except ValueError as error:
        name, _, reason = str(error).partition(": ")
        raise Wrong(f"{path}.{name}", reason) from None
    for code in rare.units:
        _id_of(code, ids, f"{path}.deliverable.units.{code}")


def _money(document: BookDocument, listed: Mapping[str, Listed]) -> dict[str, Listed]:
    """Cash by currency: what is listed, and the main currencies that accounts use without listing them."""
    found: dict[str, Listed] = {}
    for place, row in enumerate(document.instruments):
        if row.kind == CASH and row.currency in found:
            raise Wrong(f"instruments[{place}].currency", f"there is cash in {row.currency} already")
        if row.kind == CASH:
            minor = MINOR[row.currency] if row.minor_exponent is None else row.minor_exponent
            found[row.currency] = replace(listed[row.code], minor_exponent=minor)
    for place, account in enumerate(document.accounts):
        used = {f"accounts[{place}].cash.{code}": code for code in account.cash}
        for path, code in {f"accounts[{place}].currency": account.currency, **used}.items():
            if code in found:
                continue
            if code in listed:
                raise Wrong(path, f"{code} is listed as {listed[code].kind}, not as cash")
            if code not in MINOR:
                raise Wrong(path, f"{code} is not known; list it as a cash instrument with its minor_exponent")
            number = len(document.instruments) + len(found) + 1
            found[code] = Listed(number, code, CASH, code, minor_exponent=MINOR[code])
    return found


def _prices(rows: Iterable[BookInstrument], listed: Mapping[str, Listed]) -> dict[int, Price]:
    return {
        listed[row.code].id: Price(
            row.price,
            refused=row.unpriced or ("no price" if row.price is None else ""),
            implied_volatility=row.implied_volatility,
        )
        for row in rows
        if row.kind != CASH
    }


# --- market and policies --------------------------------------------------------------------------------


def _fx(rows: Sequence[Sequence[str]]) -> dict[tuple[str, str], Decimal]:
    found = {}
    for place, row in enumerate(rows):
        path = f"fx[{place}]"
        if len(row) != 3:
            raise Wrong(path, 'base, quoted and rate are expected, as ["EUR", "USD", "1.08"]')
        try:
            rate = strict.decimal(row[2], field=path, **NUMBER)
        except strict.Refused as refusal:
            raise Wrong(f"{path}[2]", refusal.problems[0].reason) from None
        if rate <= 0:
            raise Wrong(f"{path}[2]", f"{row[2]} is not more than 0")
        if (row[0], row[1]) in found:
            raise Wrong(path, f"{row[0]}/{row[1]} is stated twice")
        found[row[0], row[1]] = rate
    return found


def _rates(document: BookDocument) -> dict[tuple[str, str], Decimal]:
    """As a sweep keeps them: dividend yields by instrument, risk-free rates by currency."""
    dividends = {("dividend", row.code): row.dividend_rate for row in document.instruments if row.dividend_rate}
    return dividends | {("risk_free", currency): rate for currency, rate in document.risk_free.items()}


def _readings(stated: Mapping[str, Any]) -> dict[str, policies.Reading]:
    if not stated:
        raise Wrong("policies", "at least one policy is needed")
    return {name: reading(name, terms, f"policies.{name}") for name, terms in stated.items()}


def reading(name: str, stated: Any, path: str) -> policies.Reading:
    """A policy from JSON terms; `sweep` and every regime's `clock` may be left out. Raises Wrong."""
    if not isinstance(stated, Mapping):
        raise Wrong(path, "an object of policy terms is expected")
    whole = {"sweep": policy_terms.SWEEPS[0], **stated}
    if isinstance(whole.get("regimes"), list):
        whole["regimes"] = [{"clock": CLOCK, **each} if isinstance(each, dict) else each for each in whole["regimes"]]
    try:
        return policies.parse(whole, code=name)
    except policies.BadTerms as error:
        raise Wrong(path, str(error).removeprefix(f"{name}: ")) from None


# --- accounts -------------------------------------------------------------------------------------------


def _accounts(
    document: BookDocument, listed: Mapping[str, Listed], money: Mapping[str, Listed], places: Mapping[str, int]
) -> tuple[list[build.AccountRow], list[build.PositionRow]]:
    if document.explain and len(document.accounts) > MOST_EXPLAINED:
        raise Wrong("explain", f"at most {MOST_EXPLAINED} accounts are explained at once")
    if sum(len(account.positions) for account in document.accounts) > MOST_POSITIONS:
        raise Wrong("accounts", f"hold more than {MOST_POSITIONS} positions")
    ids = _numbered([account.code for account in document.accounts], "accounts")
    rows: list[build.AccountRow] = []
    positions: list[build.PositionRow] = []
    for place, account in enumerate(document.accounts):
        path = f"accounts[{place}]"
        if account.policy not in places:
            raise Wrong(f"{path}.policy", f"{account.policy!r} is not among the policies")
        rows.append(build.AccountRow(ids[account.code], account.currency, places[account.policy]))
        positions += _positions(account, ids[account.code], listed, money, path)
    return rows, positions


def _positions(
    account: BookAccount, number: int, listed: Mapping[str, Listed], money: Mapping[str, Listed], path: str
) -> Iterable[build.PositionRow]:
    seen: dict[str, bool] = {}  # whether it is held long
    for place, held in enumerate(account.positions):
        here = f"{path}.positions[{place}].instrument"
        if held.instrument not in listed:
            raise Wrong(here, f"{held.instrument} is not among the instruments")
        if listed[held.instrument].kind == CASH:
            raise Wrong(here, f"{held.instrument} is cash; it belongs in cash")
        if held.instrument in seen:
            _check_box(held, listed[held.instrument].kind, seen, here)
        seen[held.instrument] = held.quantity > 0
        yield build.PositionRow(number, listed[held.instrument].id, held.quantity, held.cost)
    for currency, amount in account.cash.items():
        yield build.PositionRow(number, money[currency].id, amount)


def _check_box(held: BookPosition, kind: str, seen: Mapping[str, bool], path: str) -> None:
    """An instrument named a second time must be a security, held on the other side."""
    if kind not in build.BOXED:
        raise Wrong(path, f"{held.instrument} is held twice; one position per instrument")
    if seen[held.instrument] == (held.quantity > 0):
        raise Wrong(path, f"{held.instrument} is held twice on one side; one long and one short are meant")
