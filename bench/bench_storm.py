"""How long a storm takes: all accounts of a house fall into deficit in one sweep, beside a bare COPY of a million rows.

    .venv/bin/python -m bench.bench_storm --accounts 10000 --runs 5

All prices fall by more than a quarter after a calm sweep; then, round by round and each time in a fresh copy of that
database: a bare COPY, the sweep that calls every account, and the COPY once more. Nothing counts unless every call
is there with its event, its assessment and charges that add up. Then a million rows of the sweep's own assessments are
copied likewise, the notices of a part of the calls are prepared, and the queue is shown.

The yardstick is the bare COPY in of a million assessment rows as the goals define it: account_id bigint; equity, im, mm
and excess numeric(20, 4); status smallint, sweep_id bigint, as_of timestamptz; binary, encoded beforehand, into a
logged table without keys or indexes, fsync on. Two things are held against it: the door, which is the 10,000 calls with
outbox and history alone, and the storm, which is the whole sweep from its first query to its last. Waiting for a core
counts in seconds; the processor time of Python and of its PostgreSQL backend does not have it.
"""

import argparse
import io
import logging
import os
import platform
import statistics
import time
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from bench import database
from bench.bench_sweep import timed, watched

Seconds = dict[str, float]
ROWS = 1_000_000
HEADER = 19  # bytes of a binary COPY stream before its first row
FALLS = (Decimal("0.90"), Decimal("0.80"))  # in two steps, so that no guard takes them for a mistake
ASSESSMENT_ROWS = f"""
SELECT n::bigint AS account_id, (n * 1.37 + 0.01)::numeric(20, 4) AS equity, (n * 1.41 + 0.02)::numeric(20, 4) AS im,
       (n * 1.39 + 0.02)::numeric(20, 4) AS mm, (n * -0.02 - 0.01)::numeric(20, 4) AS excess, 4::smallint AS status,
       7::bigint AS sweep_id, '2026-03-02 17:00:00+00'::timestamptz AS as_of
FROM generate_series(1, {ROWS}) AS n
"""

ADD_UP = """
SELECT count(*) FROM margin_measure m JOIN margin_assessment a ON a.id = m.assessment_id
WHERE a.sweep_id = %s
  AND m.requirement = ceil(100 * (SELECT sum(c.amount) FROM margin_charge c WHERE c.measure_id = m.id)) / 100
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=10_000)
    parser.add_argument("--positions", type=int, default=10)
    parser.add_argument("--instruments", type=int, default=5_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--notices", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    with database.opened():
        from margin.engine import kernels

        started = time.perf_counter()
        _build(chosen)
        print(f"house of {chosen.accounts:,} accounts built in {time.perf_counter() - started:.0f} s", flush=True)
        kernels.warm()
        rows = _encoded()
        _round(chosen, rows, 0)  # not counted: caches fill
        rounds = [_round(chosen, rows, number) for number in range(1, chosen.runs + 1)]
    _report(rounds, chosen)


def _build(chosen: argparse.Namespace) -> None:
    """The house, one calm sweep, and the fall of all prices."""
    from bench import house
    from margin import sweep
    from market import quotes
    from market.guard import Incoming
    from market.models import Quote

    house.build(accounts=chosen.accounts, positions=chosen.positions, instruments=chosen.instruments, seed=chosen.seed)
    sweep.run("securities", at=house.PRICED_AT)
    marks = dict(Quote.objects.values_list("instrument__code", "mark"))
    for hour, rate in enumerate(FALLS, start=1):
        at = house.PRICED_AT + timedelta(hours=hour)
        fallen = [Incoming(code, "bench", at, (mark * rate).quantize(Decimal("0.01"))) for code, mark in marks.items()]
        for start in range(0, len(fallen), 10_000):
            recorded = quotes.record(fallen[start : start + 10_000], at=at)
            if recorded.held:
                raise SystemExit(f"a guard holds {len(recorded.held)} prices: {recorded.held[0]}")


def _encoded() -> bytes:
    """The million rows as PostgreSQL's own binary COPY stream."""
    from django.db import connection

    stream = io.BytesIO()
    with connection.cursor() as cursor:
        cursor.copy_expert(f"COPY ({ASSESSMENT_ROWS}) TO STDOUT (FORMAT binary)", stream)
    return stream.getvalue()


def _bare_copy(rows: bytes) -> float:
    """The rows into a logged table without keys, committed; the table is empty and there before the clock starts."""
    with database.owner() as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE bench_rows AS {ASSESSMENT_ROWS} LIMIT 0")
        seconds = timed(
            lambda: cursor.copy_expert("COPY bench_rows FROM STDIN (FORMAT binary)", io.BytesIO(rows), 1 << 20)
        )
        cursor.execute("DROP TABLE bench_rows")
    return seconds


class Repeated(io.RawIOBase):
    """A binary COPY stream whose rows come so many times."""

    def __init__(self, stream: bytes, times: int) -> None:
        head, rows = stream[:HEADER], stream[HEADER:-2]
        self.parts = iter((head, *(rows for _ in range(times)), stream[-2:]))

    def read(self, size: int = -1) -> bytes:
        return next(self.parts, b"")


def _own_copy(accounts: int) -> float:
    """The same with the sweep's own rows of `margin_assessment`, holdings and all, repeated up to a million."""
    from django.db import connection

    stream = io.BytesIO()
    with connection.cursor() as cursor:
        cursor.execute("SELECT max(sweep_id) FROM margin_assessment")
        cursor.copy_expert(
            f"COPY (SELECT * FROM margin_assessment WHERE sweep_id = {cursor.fetchone()[0]}) TO STDOUT (FORMAT binary)",
            stream,
        )
    rows = Repeated(stream.getvalue(), ROWS // accounts)
    with database.owner() as owner, owner.cursor() as cursor:
        cursor.execute("CREATE TABLE bench_own AS SELECT * FROM margin_assessment LIMIT 0")
        seconds = timed(lambda: cursor.copy_expert("COPY bench_own FROM STDIN (FORMAT binary)", rows, 1 << 20))
        cursor.execute("SELECT count(*) FROM bench_own")
        if cursor.fetchone()[0] != ROWS // accounts * accounts:
            raise SystemExit("the sweep's own rows were not all copied")
        cursor.execute("DROP TABLE bench_own")
    return seconds


def _round(chosen: argparse.Namespace, rows: bytes, number: int) -> Seconds:
    with database.copied(f"storm_{number}"):
        before = _bare_copy(rows)
        storm = _storm(chosen, number)
        after = _bare_copy(rows)
        own = {"COPY of its own rows": _own_copy(chosen.accounts)}
        found = {"bare COPY": (before + after) / 2, **own, **storm, **_notices(chosen), **_queue()}
    print(f"round {number}: storm {found['storm in all']:.2f} s, COPY {found['bare COPY']:.2f} s", flush=True)
    return found


def _storm(chosen: argparse.Namespace, number: int) -> Seconds:
    from bench.house import PRICED_AT
    from margin import sweep

    at = PRICED_AT + timedelta(hours=len(FALLS), seconds=1 + number)
    worked, served = time.process_time(), _served()
    with watched() as spent:
        total = timed(lambda: sweep.run("securities", at=at))
    processor = {"processor, Python": time.process_time() - worked, "processor, PostgreSQL": _served() - served}
    _check(chosen.accounts, sweep.Sweep.objects.get(slot_at=at))
    return {**spent, "storm in all": total, **processor}


def _served() -> float:
    """Seconds of processor time that this connection's PostgreSQL backend has used."""
    from django.db import connection

    connection.ensure_connection()
    stated = Path(f"/proc/{connection.connection.info.backend_pid}/stat").read_text().rpartition(")")[2].split()
    return (int(stated[11]) + int(stated[12])) / os.sysconf("SC_CLK_TCK")


def _check(accounts: int, done: Any) -> None:
    """Every account called once, and every requirement the exact sum of its charges."""
    from django.db import connection

    from margin.models import Event, MarginCall

    figures = (MarginCall.objects.open().count(), Event.objects.filter(kind="call.issued").count())
    with connection.cursor() as cursor:
        cursor.execute(ADD_UP, [done.pk])
        added_up = cursor.fetchone()[0]
    if done.state != "complete" or figures != (accounts, accounts) or added_up != accounts:
        raise SystemExit(f"the sweep is {done.state}, {figures} calls and events, {added_up} added up: {done.counts}")


def _notices(chosen: argparse.Namespace) -> Seconds:
    """Seconds to prepare one notice, over about as many as were asked for."""
    from bench.house import PRICED_AT
    from notifications import notices

    at, written, started = PRICED_AT + timedelta(hours=len(FALLS), minutes=1), 0, time.perf_counter()
    while written < chosen.notices:
        made = notices.prepare(at=at, seconds=0.1)
        if not made:
            break
        written += made
    return {"prepare, per notice": (time.perf_counter() - started) / max(1, written)}


def _queue() -> Seconds:
    """The queue's first page as a supervisor sees it, warm; its rows must come in the order in which they are due."""
    from django.contrib.auth.models import Group, User
    from django.test import Client
    from django.urls import reverse

    logging.disable(logging.WARNING)
    desk, _ = User.objects.get_or_create(username="bench.desk", is_staff=True)
    desk.groups.add(Group.objects.get(name="Supervisor"))
    client = Client(SERVER_NAME="localhost")
    client.force_login(desk, "django.contrib.auth.backends.ModelBackend")
    pages: list[Any] = []
    address = reverse("admin:margin_margincall_changelist")
    times = sorted(timed(lambda: pages.append(client.get(address, {"work": "open"}))) for _ in range(4))
    if pages[-1].status_code != 200:
        raise SystemExit(f"the queue answers {pages[-1].status_code}")
    due = [call.due_at for call in pages[-1].context_data["cl"].result_list]
    if due != sorted(due):
        raise SystemExit("the queue is not in the order of its deadlines")
    return {"queue page": statistics.median(times[:3])}


def _report(rounds: list[Seconds], chosen: argparse.Namespace) -> None:
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    print(f"{chosen.accounts:,} calls of one sweep, {chosen.positions} positions each; median of {len(rounds)}, "
          f"{platform.machine()}, Python {platform.python_version()}, load {load}")  # fmt: skip
    for name in rounds[0]:
        figures = sorted(one[name] for one in rounds)
        print(f"  {name:<30} {statistics.median(figures):8.4f} s   ({figures[0]:.4f} … {figures[-1]:.4f})")
    ratios = (
        ("storm in all", "bare COPY", "goal 1.0, aim 0.5"),
        ("door", "bare COPY", "the calls with outbox and history: goal 0.5"),
        ("storm in all", "COPY of its own rows", "a million of them"),
    )
    for ours, theirs, goal in ratios:
        found = sorted(one[ours] / one[theirs] for one in rounds)
        shown = f"{ours} ÷ {theirs}"
        print(f"  {shown:<37} {statistics.median(found):8.3f}     ({found[0]:.3f} … {found[-1]:.3f}; {goal})")


if __name__ == "__main__":
    main()
