"""From columns to rows: the only way out of the engine. Accounts that matter are kept; quiet ones are counted.

An assessment keeps its inputs (holdings, marks, exchange rates) beside its figures, so that it can be recomputed
from itself; its digest is what an event's history can be compared with.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np
from django.db import transaction

from accounts.models import Account
from margin import bulk, policies, prices, snapshot
from margin.decisions import Found, cover
from margin.engine import alternatives, assess, build
from margin.engine.columns import Figures, Status
from margin.engine.wordings import Told, Wording, digits
from margin.models import Assessment, Sweep
from margin.snapshot import Snapshot

ASSESSMENT = ("id", "sweep_id", "account_id", "policy_version_id", "at", "status", "reasons", "currency", "revision",
              "holdings", "digest")  # fmt: skip
MEASURE = ("id", "assessment_id", "regime", "equity", "requirement", "restore_requirement", "severe_requirement",
           "deficit", "cover")  # fmt: skip
WORDING = ("id", "instrument_id", "code", "text", "unit")
CHARGE_LIST = ("measure_id", "wordings", "quantities", "rates")


def that_matter(found: assess.Assessments, also: Iterable[int]) -> dict[int, Found]:
    """Account id → figures, for accounts on watch or worse, unpriced, or named in `also`."""
    chosen = set(found.account[found.at_least(Status.WATCH)].tolist())
    chosen |= set(np.flatnonzero(np.isin(found.book.accounts, np.fromiter(also, np.int64))).tolist())
    rows = np.flatnonzero(np.isin(found.account, np.fromiter(chosen, np.int64)))
    grouped: dict[int, list[Figures]] = defaultdict(list)
    for account_row, figures in zip(found.account[rows].tolist(), found.figures(rows), strict=True):
        grouped[account_row].append(figures)
    return {figures[0].account_id: Found(row, tuple(figures)) for row, figures in grouped.items()}


def save(
    sweep: Sweep,
    snap: Snapshot,
    found: assess.Assessments,
    accounts: Mapping[int, Found],
    *,
    explained: Iterable[int],
    with_it: Callable[[], None],
) -> dict[int, int]:
    """Store assessments, measures and, for the accounts in `explained`, charges; returns account → assessment id.

    `with_it` writes what belongs to them in the same transaction. Everything is computed before that is opened, so
    that it is short.
    """
    ids = dict(zip(accounts, bulk.new_ids("margin_assessment", len(accounts)), strict=True))
    priced = [(ids[a], figures) for a, one in accounts.items() for figures in one.figures if not figures.reasons]
    numbered = list(zip(bulk.new_ids("margin_measure", len(priced)), priced, strict=True))
    measures = {(figures.account_id, figures.regime): pk for pk, (_, figures) in numbered}
    wanted = set(explained)
    wordings, lists = _charges(found, [one for account, one in accounts.items() if account in wanted], measures)
    rows = {
        ("margin_assessment", ASSESSMENT): _assessments(ids, sweep, snap, accounts),
        ("margin_measure", MEASURE): [_measure(pk, assessment, figures) for pk, (assessment, figures) in numbered],
        ("margin_wording", WORDING): wordings,
        ("margin_chargelist", CHARGE_LIST): lists,
    }
    with transaction.atomic():
        with_it()
        for (table, columns), listed in rows.items():
            bulk.copy(table, columns, listed)
    return ids


def stored(sweep: Sweep, snap: Snapshot, accounts: Mapping[int, Found]) -> dict[int, int]:
    """Account → what an earlier attempt at its shard stored, for those of which the same would be stored now."""
    known = Assessment.objects.filter(sweep=sweep, account__in=list(accounts)).values_list("account_id", "pk", "digest")
    return {account: pk for account, pk, digest in known if digest == digest_of(snap, accounts[account])}


def _assessments(ids: Mapping[int, int], sweep: Sweep, snap: Snapshot, new: Mapping[int, Found]) -> list[list[Any]]:
    rows = []
    for (account, one), holdings in zip(new.items(), _holdings(snap, [one.row for one in new.values()]), strict=True):
        first, version = one.figures[0], snap.reading(one.row).version_id
        status = Assessment.Status.UNPRICED if first.reasons else Assessment.Status.PRICED
        head = [ids[account], sweep.pk, account, version, snap.at, status.value, list(first.reasons)]
        seal = digest(holdings, one.figures, version)
        rows.append([*head, first.currency, first.revision, holdings, seal])
    return rows


def _holdings(snap: Snapshot, rows: Sequence[int]) -> list[str]:
    """Per account, as JSON: [instrument, quantity, cost, mark] per position, amounts as plain text. What the figures
    rest on."""
    book, chosen = snap.book, np.asarray(rows, np.int64)
    positions = build.runs(book.offsets, chosen)
    offsets = build.runs_offsets(book.offsets, chosen).tolist()
    places = book.instrument[positions].tolist()
    marks = {place: _mark(snap, place) for place in set(places)}
    columns = (book.quantity, book.decimals, book.cost, book.cost_decimals)
    listed = [
        f"[{marks[place][0]},{_quoted(quantity, decimals)},{_quoted(cost, cost_decimals)},{marks[place][1]}]"
        for place, quantity, decimals, cost, cost_decimals in zip(
            places, *(column[positions].tolist() for column in columns), strict=True
        )
    ]
    return [
        f"[{','.join(listed[start:end])}]" if len(set(places[start:end])) == end - start else _netted(snap, row, marks)
        for row, (start, end) in zip(rows, pairwise(offsets), strict=True)
    ]


def _mark(snap: Snapshot, place: int) -> tuple[int, str]:
    """(id, JSON of the mark) of the instrument in a row of the snapshot."""
    instrument = int(snap.instruments.ids[place])
    price = snap.prices.prices.get(instrument)
    return instrument, "null" if price is None or price.mark is None else f'"{plain(price.mark)}"'


def _quoted(mantissa: int, decimals: int) -> str:
    """JSON of mantissa / 10^decimals; null where it is not known."""
    return "null" if decimals < 0 else f'"{digits(mantissa, decimals)}"'


def _netted(snap: Snapshot, row: int, marks: Mapping[int, tuple[int, str]]) -> str:
    """The holdings of an account with both sides of a box, which count together."""
    held = alternatives.positions_of(snap.book, row)
    parts = []
    for place, (quantity, cost) in held.items():
        paid = "null" if cost is None else f'"{plain(cost)}"'
        parts.append(f'[{marks[place][0]},"{plain(quantity)}",{paid},{marks[place][1]}]')
    return f"[{','.join(parts)}]"


def plain(number: Decimal) -> str:
    return format(number.normalize(), "f")


def digest(holdings: str, figures: Iterable[Figures], version: int) -> str:
    """One hash over inputs and results; a replay that gives the same is equal to the cent."""
    results = ",".join(
        [f'["{f.regime}","{f.equity}","{f.requirement}","{f.restore_requirement}","{f.shortfall}"]' for f in figures]
    )
    return hashlib.sha256(f"[{holdings},[{results}],{version}]".encode()).hexdigest()


def holdings_of(snap: Snapshot, found: Found) -> list[list[Any]]:
    """What the figures of one account rest on, as an assessment keeps it."""
    (told,) = _holdings(snap, [found.row])
    listed: list[list[Any]] = json.loads(told)
    return listed


def digest_of(snap: Snapshot, found: Found) -> str:
    """The digest an assessment of this account would be stored with."""
    (holdings,) = _holdings(snap, [found.row])
    return digest(holdings, found.figures, snap.reading(found.row).version_id)


def _measure(pk: int, assessment: int, figures: Figures) -> list[Any]:
    return [
        pk,
        assessment,
        figures.regime,
        figures.equity,
        figures.requirement,
        figures.restore_requirement,
        figures.severe_requirement,
        figures.shortfall,
        cover(figures),
    ]


def _charges(
    found: assess.Assessments, accounts: Sequence[Found], measures: Mapping[tuple[int, str], int]
) -> tuple[list[list[Any]], list[list[Any]]]:
    """Rows of the accounts' charges: their wordings, each once, and a list of charges per measure that has any."""
    told = found.told(np.array([one.row for one in accounts], np.int64))
    lists = [
        (measures[figures.account_id, figures.regime], lines)
        for one in accounts
        for regime, figures in enumerate(one.figures)
        if (lines := told.get((one.row, regime)))
    ]
    wordings = list(dict.fromkeys(line.wording for _, lines in lists for line in lines))
    ids = dict(zip(wordings, map(str, bulk.new_ids("margin_wording", len(wordings))), strict=True))
    return (
        [[pk, wording.instrument, wording.code, wording.text, wording.unit] for wording, pk in ids.items()],
        [[measure, *_charge_list(lines, ids)] for measure, lines in lists],
    )


def _charge_list(lines: Sequence[Told], ids: Mapping[Wording, str]) -> tuple[str, str, str | None]:
    """The columns of a list of charges, as PostgreSQL writes arrays; no rates where all are 1."""
    wordings, quantities, rates = zip(*lines, strict=True)
    listed = ",".join([ids[wording] for wording in wordings])
    stated = None if set(rates) == {"1"} else f"{{{','.join(rates)}}}"
    return f"{{{listed}}}", f"{{{','.join(quantities)}}}", stated


# --- explain and replay -----------------------------------------------------------------------------------


def explain(account: Account, *, at: datetime, known_at: datetime | None = None) -> dict[str, Any]:
    """The whole calculation of one account at `at` as a tree; with `known_at`, from what was recorded until then.

    Raises policies.NoPolicy if no policy governs the account at that instant.
    """
    in_force = policies.in_force(at)
    policies.check_governs(account, in_force, at=at)
    past = snapshot.Past(at, known_at) if known_at else None
    snap = snapshot.take(
        prices=prices.gather(at=at, known_at=known_at),
        in_force={account.agreement: in_force[account.agreement]},
        accounts=snapshot.Accounts(ids=[account.pk]),
        past=past,
    )
    tree = assess.explain(snap.book, snap.instruments, snap.market, snap.rules, 0, with_forecast=True, with_prices=True)
    return {"code": account.code, "at": at.isoformat(), **tree}
