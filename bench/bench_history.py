"""How fast the history grows and how fast it is proved: events appended by writers, sealed, and verified again.

    .venv/bin/python -m bench.bench_history --events 1000000

The writers call `margin_append_events` one event a transaction, each on accounts of its own, with fsync on: what a
house does when nothing can be batched. The rest of the events comes in batches. Then all of them are sealed, and
`history.verify_all` and the stand-alone verifier read everything.
"""

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench import database

AT = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
BATCH = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--accounts", type=int, default=5_000)
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=10.0, help="that the single writers write")
    parser.add_argument("--alone", action="store_true", help="also the stand-alone verifier, on an export")
    chosen = parser.parse_args()
    with database.opened(), tempfile.TemporaryDirectory() as folder:
        from django.conf import settings

        settings.HISTORY_KEYS, settings.HISTORY_ANCHOR_FILE = f"{folder}/keys", f"{folder}/anchors.txt"
        accounts = _accounts(chosen.accounts)
        single = _appended_singly(accounts, chosen)
        print(f"appended one a transaction, {chosen.writers} writers: {single:,.0f} events/s", flush=True)
        _fill(accounts, chosen.events)
        _seal()
        _verify(Path(folder), chosen.alone)
    print(f"load {os.getloadavg()[0]:.1f}")


def _accounts(number: int) -> list[int]:
    from accounts.models import Account, Client

    client = Client.objects.create(code="BENCH", name="Bench")
    made = [Account(code=f"B{n}", client=client, agreement="bench", opened_on=AT.date()) for n in range(number)]
    return [account.pk for account in Account.objects.bulk_create(made, batch_size=5000)]


def _entry(account: int, number: int) -> dict[str, object]:
    """An event without a call, as long as most are: about 500 bytes once it is hashed."""
    at = (AT + timedelta(seconds=number)).isoformat().replace("+00:00", "Z")
    words = {"effect": "no opening trades", "cause": "a call is escalated", "text": "x" * 240, "number": number}
    head = {"account": account, "call": None, "kind": "restriction.placed", "at": at, "actor": "sweep 1"}
    return {**head, "role": "system", "details": words}


def _append(accounts: list[int], number: int) -> None:
    from django.db import transaction

    from margin import chain

    with transaction.atomic():
        chain.lock(accounts)
        chain.append([_entry(account, number) for account in accounts])


def _appended_singly(accounts: list[int], chosen: argparse.Namespace) -> float:
    """Events a second of all writers together, each a process as a worker is."""
    from django.db import connections

    for start in range(0, len(accounts), BATCH):  # a house whose accounts have a history, and whose tables are known
        _append(accounts[start : start + BATCH], 0)
    with database.owner() as connection, connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE margin_chain, margin_event")
    connections.close_all()
    shares = [(accounts[place :: chosen.writers], chosen.seconds) for place in range(chosen.writers)]
    with multiprocessing.get_context("fork").Pool(chosen.writers) as pool:
        return sum(pool.starmap(_write, shares, chunksize=1)) / chosen.seconds


def _write(own: list[int], seconds: float) -> int:
    written, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        written += 1
        _append([own[written % len(own)]], written)
    return written


def _fill(accounts: list[int], wanted: int) -> None:
    from margin.models import Event

    started, before = time.perf_counter(), Event.objects.count()
    number, left = 1_000_000, wanted - before
    while left > 0:
        for start in range(0, len(accounts), BATCH):
            batch = accounts[start : start + min(BATCH, left)]
            if not batch:
                break
            _append(batch, number)
            left -= len(batch)
        number += 1
    seconds = time.perf_counter() - started
    print(f"appended {BATCH} a transaction, one writer: {(wanted - before) / seconds:,.0f} events/s", flush=True)


def _seal() -> None:
    from margin import sealing

    started = time.perf_counter()
    made = sealing.seal(at=AT + timedelta(days=30))
    sealing.anchor(at=AT + timedelta(days=30))
    print(f"sealed {made.size if made else 0:,} events: {time.perf_counter() - started:.1f} s", flush=True)


def _verify(folder: Path, is_alone: bool) -> None:
    from margin import exports, history

    started = time.perf_counter()
    verdict = history.verify_all()
    seconds = time.perf_counter() - started
    print(f"verified {verdict.events:,} events, {len(verdict.faults)} faults: {seconds:.1f} s", flush=True)
    if verdict.faults:
        raise SystemExit("\n".join(map(str, verdict.faults[:20])))
    if is_alone:
        started = time.perf_counter()
        exports.write(folder / "export.zip", at=AT, with_snapshots=True)
        print(f"exported: {time.perf_counter() - started:.1f} s", flush=True)
        started = time.perf_counter()
        words = [folder / "export.zip", "--keys", folder / "keys", "--anchors", folder / "anchors.txt"]
        subprocess.run([sys.executable, "-I", "-S", database.ROOT / "verifier" / "verify.py", *words], check=True)
        print(f"verified alone: {time.perf_counter() - started:.1f} s", flush=True)


if __name__ == "__main__":
    main()
