"""The history as files that `verifier/verify.py` reads without us: one JSON object a line, all of one instant."""

import json
import zipfile
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from margin import history, seals
from margin.models import Seal
from verifier import verify

SNAPSHOT_ROWS = """
SELECT d.sweep_id, r.line FROM margin_sweepdigest d CROSS JOIN LATERAL margin_sweep_rows(d.sweep_id) r
ORDER BY d.sweep_id, r.part, r.place
"""
CHAINS = "SELECT account_id, seq, head FROM margin_chain ORDER BY account_id"
DIGESTS = "SELECT sweep_id, digest FROM margin_sweepdigest ORDER BY sweep_id"
Lines = Iterator[dict[str, Any]]


def write(place: Path, *, at: datetime, with_snapshots: bool) -> dict[str, Any]:
    """Write the ZIP `place`; returns its manifest. `with_snapshots` adds prices and assessments of sealed sweeps."""
    counted: dict[str, int] = {}
    with history.one_instant(), zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
        parts: dict[str, Lines] = {
            "events": _events(),
            "chains": _named(("account", "seq", "head"), history.stream(CHAINS)),
            "calls": _rows(history.calls_of(history.EVERYBODY)),
            "cures": _rows(history.cures_of(history.EVERYBODY)),
            "seals": (seals.stated(row)._asdict() for row in Seal.objects.order_by("number").iterator()),
            "sweeps": _named(("sweep", "digest"), history.stream(DIGESTS)),
            "snapshots": _named(("sweep", "row"), history.stream(SNAPSHOT_ROWS) if with_snapshots else ()),
        }
        for name, lines in parts.items():
            counted[name] = _write(archive, f"{name}.jsonl", lines)
        manifest = {"format": verify.FORMAT, "exported_at": seals.instant(at), **counted}
        archive.writestr("manifest.json", json.dumps(manifest, indent=1) + "\n")
    return manifest


def _write(archive: zipfile.ZipFile, name: str, lines: Lines) -> int:
    number = 0
    with archive.open(name, "w", force_zip64=True) as stream:
        for line in lines:
            stream.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
            number += 1
    return number


def _events() -> Lines:
    for row in history.stream(history.EVENTS, history.EVERYBODY):
        event = verify.Event._make(row)
        instants = {name: seals.instant(getattr(event, name)) for name in verify.INSTANTS}
        yield {**event._asdict(), **instants}


def _rows(found: Iterable[tuple[int, int, dict[str, Any]]]) -> Lines:
    for account, number, row in found:
        yield {"account": account, "id": number, **row}


def _named(names: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> Lines:
    for row in rows:
        yield dict(zip(names, row, strict=True))
