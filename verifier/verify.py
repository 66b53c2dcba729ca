#!/usr/bin/env python3
"""Verify an exported history of margin calls. Standard library alone, Python 3.9 or newer; this file is enough.

    python3 verify.py EXPORT [--keys FOLDER] [--anchors FILE]

EXPORT is the folder or ZIP that `manage.py export_history` wrote. Without the keys the seals' codes cannot be computed,
only their order and what they cover; without the anchors a history cut short at its end looks whole. Exit code 0:
intact; 1: faults, each on its own line; 2: it could not be read.

How the figures are made is in docs/history.md; nothing here is shared with the program that wrote the history, which
uses this file too.
"""

import argparse
import hashlib
import hmac
import json
import sys
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, Optional

FORMAT = "margin-history-1"
SEAL = "margin-seal-1"
LONGEST_UNSEALED = timedelta(minutes=15)
OPTIONAL: Mapping[str, Any] = {
    "held_until": None,
    "paused_until": None,
    "disputed": "0",
    "clock_stopped_at": None,
    "is_provisional": False,
    "reminded_at": None,
}
"""Columns of a call that an event leaves out while they are what they usually are."""
INSTANTS = ("at", "recorded_at")
OPEN = (None, "issued", "escalated")


class Event(NamedTuple):
    """One link of an account's chain, column by column; instants are aware."""

    id: int
    account: int
    seq: int
    call: Optional[int]  # noqa: UP045 - Python 3.9 reads this file
    kind: str
    at: datetime
    recorded_at: datetime
    transaction: int
    body: str
    previous_hash: str
    hash: str


class Seal(NamedTuple):
    """A code over a batch of events and finished sweeps, made with a key that the database does not hold."""

    number: int
    sealed_at: str
    system: str
    horizon: int
    events: str
    """Event ids as ranges without their upper end: {[1,61),[63,64)}."""
    sweeps: str
    size: int
    digest: str
    key_id: str
    next_key: str
    """The key that the seals after this one are made with, where it changes."""
    previous_mac: str
    mac: str


class Fault(NamedTuple):
    """One thing that is not as it was written. Account 0: it is about no single account."""

    account_id: int
    seq: int
    what: str
    where: str = ""

    def __str__(self) -> str:
        return f"{self.where or f'account {self.account_id}, event {self.seq}'}: {self.what}"


# --- the arithmetic ---------------------------------------------------------------------------------------


def link(previous_hash: str, body: str) -> str:
    """The hash of an event: sha256(previous hash, newline, body), in hexadecimal."""
    return hashlib.sha256(f"{previous_hash}\n{body}".encode()).hexdigest()


def event_line(number: int, digest: str) -> bytes:
    """What an event adds to the digest of its seal; its hash is of its body and of all before it."""
    return f"event {number} {digest}\n".encode()


def sweep_line(number: int, digest: str) -> bytes:
    """What a finished sweep adds, after all events: the digest of its prices and of what it found."""
    return f"sweep {number} {digest}\n".encode()


def seal_text(seal: Seal) -> str:
    """What is signed: every column but the code itself, one a line."""
    return "\n".join([SEAL, *(str(value) for value in seal[:-1])])


def mac(key: bytes, seal: Seal) -> str:
    """The code of a seal: HMAC-SHA256, in hexadecimal."""
    return hmac.new(key, seal_text(seal).encode(), hashlib.sha256).hexdigest()


def fingerprint(key: bytes) -> str:
    """The id of a key, which says nothing of the key: no other key has it."""
    return "k" + hashlib.sha256(b"margin-key\n" + key).hexdigest()[:24]


def ranges(text: str) -> list[tuple[int, int]]:
    """The ranges of a seal, each with its first id and the one after its last."""
    inner = text.strip("{}")
    if not inner:
        return []
    pairs = (part.strip("[)").split(",") for part in inner.replace("),[", ")|[").split("|"))
    return [(int(low), int(high)) for low, high in pairs]


def read_keys(folder: Path) -> tuple[dict[str, bytes], list[Fault]]:
    """The keys of a folder by id, and those whose file holds another key than its name says."""
    keys, faults = {}, []
    for file in sorted(folder.glob("k*.key")):
        key = bytes.fromhex(file.read_text().strip())
        if fingerprint(key) == file.stem:
            keys[file.stem] = key
        else:
            faults.append(Fault(0, 0, "replaced key: the file holds another key than its name says", file.name))
    return keys, faults


# --- a chain ----------------------------------------------------------------------------------------------

Rows = dict[int, tuple[int, dict[str, Any]]]
"""Call or cure id → the event that wrote its row last, and the row as the events say it."""


class Replay:
    """The rows that the events of one account leave."""

    def __init__(self) -> None:
        self.calls: Rows = {}
        self.cures: Rows = {}

    def take(self, seq: int, told: Mapping[str, Any]) -> None:
        row, call = told.get("row"), told["call"]
        if row is not None and told.get("from") in OPEN:
            known = self.calls.get(call, (0, {}))[1]
            self.calls[call] = (seq, {**known, **OPTIONAL, **row})
        if told.get("cure"):
            cure = dict(told["cure"])
            self.cures[cure.pop("id")] = (seq, cure)


def chain_faults(
    account: int,
    events: Iterable[Event],
    head: Optional[tuple[int, str]],  # noqa: UP045
    replay: Optional[Replay] = None,  # noqa: UP045
) -> Iterator[Fault]:
    """The faults of one account's chain; what its events say is put into `replay`."""
    previous_hash, seq, at = "", 0, None
    for event in events:
        if event.seq > seq + 1:
            yield Fault(account, event.seq, f"deleted: events {seq + 1} to {event.seq - 1} before it are missing")
        elif event.seq <= seq:
            yield Fault(account, event.seq, "inserted: it stands twice, or not in its place")
        if event.previous_hash != previous_hash:
            yield Fault(account, event.seq, "does not continue the event before it: one was put in or taken out")
        if event.hash != link(event.previous_hash, event.body):
            yield Fault(account, event.seq, "changed: its body is not what was hashed")
        told, wrong = _told(event)
        for column in wrong:
            yield Fault(account, event.seq, f"changed or reordered: its column {column} is not what its body says")
        if at is not None and event.at < at:
            yield Fault(account, event.seq, "happened before the event before it")
        if replay is not None and told is not None:
            replay.take(event.seq, told)
        previous_hash, seq, at = event.hash, event.seq, event.at
    if head is None:
        yield Fault(account, seq, "the chain has no head")
    elif head != (seq, previous_hash):
        what = f"the head stands at {head[0]}, the last event is {seq}"
        yield Fault(account, head[0], f"truncated: {what}" if head[0] > seq else what)


def _told(event: Event) -> tuple[Optional[dict[str, Any]], list[str]]:  # noqa: UP045
    """The body, and the columns that say otherwise."""
    try:
        told = json.loads(event.body)
        stated = (
            told["id"],
            told["account"],
            told["seq"],
            told["call"],
            told["kind"],
            datetime.fromisoformat(told["at"].replace("Z", "+00:00")),
            datetime.fromisoformat(told["recorded_at"].replace("Z", "+00:00")),
            int(told["transaction"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None, ["body"]
    if stated == event[:8]:
        return told, []
    return told, [name for name, said, column in zip(Event._fields, stated, event) if said != column]  # noqa: B905


NOTHING_SAID = (None, "", "0", False)
"""What an export may leave out."""


def row_faults(account: int, what: str, told: Rows, found: Mapping[int, Mapping[str, Any]]) -> Iterator[Fault]:
    """Rows of calls or cures that are not what the account's events say. `found` has `seq` beside the columns."""
    for number in sorted({*told, *found}):
        where = f"{what} {number} of account {account}"
        if number not in told:
            yield Fault(account, 0, "row without event: no event made it", where)
        elif number not in found:
            yield Fault(account, told[number][0], "deleted: its events are there and the row is not", where)
        else:
            seq, row = told[number]
            wrong = [name for name, value in found[number].items() if {**row, "seq": seq}.get(name) != value]
            wrong += [name for name, said in row.items() if name not in found[number] and said not in NOTHING_SAID]
            if wrong:
                said = f"row changed without event: its {', '.join(wrong)} is not what event {seq} says"
                yield Fault(account, seq, said, where)


# --- the seals --------------------------------------------------------------------------------------------


def seal_faults(
    seals: Sequence[Seal],
    *,
    keys: Optional[Mapping[str, bytes]],  # noqa: UP045
    events: Iterable[tuple[int, str, datetime]],
    sweeps: Mapping[int, str],
) -> Iterator[Fault]:
    """What the seals say against the events (id, hash, recorded at; by id) and the digests of sweeps."""
    yield from _code_faults(seals, keys)
    digests = [hashlib.sha256() for _ in seals]
    broken: set[int] = set()
    newest = datetime.fromisoformat(seals[-1].sealed_at.replace("Z", "+00:00")) if seals else None
    covered = sorted((low, high, place) for place, seal in enumerate(seals) for low, high in ranges(seal.events))
    yield from _twice(covered, seals)
    spans = iter([*covered, (1 << 63, 1 << 63, -1)])
    low, high, place = next(spans)
    expected = low
    for number, digest, recorded_at in events:
        while number >= high:
            if expected < high:
                broken.add(place)
                yield _missing(seals[place], expected, high)
            low, high, place = next(spans)
            expected = low
        if number < low:
            if newest is not None and newest - recorded_at > LONGEST_UNSEALED:
                yield Fault(0, 0, "inserted: no seal covers it, though later ones were made", f"event id {number}")
            continue
        if number > expected:
            broken.add(place)
            yield _missing(seals[place], expected, number)
        digests[place].update(event_line(number, digest))
        expected = number + 1
    while place >= 0:
        if expected < high:
            broken.add(place)
            yield _missing(seals[place], expected, high)
        low, high, place = next(spans)
        expected = low
    for place, seal in enumerate(seals):
        for number in (each for low, high in ranges(seal.sweeps) for each in range(low, high)):
            if number not in sweeps:
                broken.add(place)
                yield Fault(0, 0, f"deleted: the digest of sweep {number} that it sealed is missing", _name(seal))
            digests[place].update(sweep_line(number, sweeps.get(number, "")))
        if place not in broken and digests[place].hexdigest() != seal.digest:
            said = f"recomputed: its {seal.size} events or its sweeps are not those that were sealed"
            yield Fault(0, 0, said, _name(seal))


def _code_faults(seals: Sequence[Seal], keys: Optional[Mapping[str, bytes]]) -> Iterator[Fault]:  # noqa: UP045
    """Numbers, order, keys and codes of the seals themselves."""
    number, previous_mac, key_id = 0, "", ""
    for seal in seals:
        if seal.number != number + 1:
            yield Fault(0, 0, f"deleted: seals {number + 1} to {seal.number - 1} are missing", _name(seal))
        elif seal.previous_mac != previous_mac:
            yield Fault(0, 0, "does not continue the seal before it", _name(seal))
        if key_id and seal.key_id != key_id:
            yield Fault(0, 0, f"replaced key: it is made with {seal.key_id} where {key_id} was due", _name(seal))
        if keys is not None and seal.key_id not in keys:
            yield Fault(0, 0, f"replaced key: there is no key {seal.key_id}", _name(seal))
        elif keys is not None and not hmac.compare_digest(mac(keys[seal.key_id], seal), seal.mac):
            yield Fault(0, 0, "changed seal: its code is not that of what it says", _name(seal))
        if sum(high - low for low, high in ranges(seal.events)) != seal.size:
            yield Fault(0, 0, "changed seal: it does not cover as many events as it says", _name(seal))
        number, previous_mac, key_id = seal.number, seal.mac, seal.next_key or seal.key_id


def _twice(covered: Sequence[tuple[int, int, int]], seals: Sequence[Seal]) -> Iterator[Fault]:
    for (_, high, _), (low, _, place) in zip(covered, covered[1:]):  # noqa: B905, RUF007 - 3.9
        if low < high:
            yield Fault(0, 0, f"changed seal: event id {low} is in another seal too", _name(seals[place]))


def _missing(seal: Seal, low: int, high: int) -> Fault:
    one = f"event id {low} is" if high == low + 1 else f"event ids {low} to {high - 1} are"
    return Fault(0, 0, f"deleted or truncated: {one} sealed and missing", _name(seal))


def _name(seal: Seal) -> str:
    return f"seal {seal.number} of {seal.sealed_at}"


def excuse(key: bytes, epoch: int, kept: int, key_id: str, newest: str, system: str) -> str:
    """An anchor line that says, under a code, which seals a restore lost: those after `kept`, up to the code `newest`.

    Put once more behind later anchors it excuses none of them.
    """
    said = f"margin-epoch-1\n{epoch}\n{kept}\n{key_id}\n{newest}\n{system}".encode()
    return f"epoch {epoch} {kept} {key_id} {newest} {hmac.new(key, said, hashlib.sha256).hexdigest()} {system}"


def unexcused(lines: Iterable[str]) -> list[str]:
    """The lines of seals that no later line declares lost."""
    left: list[str] = []
    for line in lines:
        if line.startswith("epoch "):
            kept, newest = int(line.split()[2]), line.split()[4]
            end = 1 + max((place for place, each in enumerate(left) if each.split()[2] == newest), default=-1)
            left = [each for place, each in enumerate(left) if place >= end or int(each.split()[0]) <= kept]
        elif line.strip():
            left.append(line)
    return left


def anchor_faults(
    lines: Sequence[str],
    seals: Sequence[Seal],
    keys: Optional[Mapping[str, bytes]] = None,  # noqa: UP045
) -> Iterator[Fault]:
    """What was written down elsewhere (number, instant, code, system; one seal a line) against the seals."""
    codes = {seal.number: seal.mac for seal in seals}
    try:
        declared = [line.split() for line in lines if line.startswith("epoch ")]
        excuses = [(int(epoch), int(kept), key_id, newest, end) for _, epoch, kept, key_id, newest, _, end in declared]
        left = unexcused(lines)
        stated = [(int(number), at, code) for number, at, code, *_ in (line.split() for line in left)]
    except (ValueError, IndexError):
        yield Fault(0, 0, "a line is not a seal's number, instant and code", "anchors")
        return
    for number, at, code in stated:
        where = f"anchor of seal {number}"
        if number not in codes:
            yield Fault(0, 0, f"truncated: the seal of {at} is missing; the history is shorter than it was", where)
        elif codes[number] != code:
            yield Fault(0, 0, f"recomputed: the seal had another code at {at}", where)
    for words, (epoch, kept, key_id, newest, system) in zip(declared, excuses):  # noqa: B905 - 3.9
        known = None if keys is None else keys.get(key_id)
        made = known and excuse(known, epoch, kept, key_id, newest, system)
        if keys is not None and made != " ".join(words):
            yield Fault(0, 0, "changed: nobody with a key declared these seals lost", f"anchor of epoch {epoch}")


# --- an export --------------------------------------------------------------------------------------------


class Export:
    """The folder or ZIP of an exported history."""

    def __init__(self, place: Path) -> None:
        self.archive = zipfile.ZipFile(place) if place.is_file() else None
        self.folder = place
        self.manifest = json.loads("".join(self._text("manifest.json")))
        if self.manifest.get("format") != FORMAT:
            raise ValueError(f"{place} is not an export of the format {FORMAT}")
        self.counted: dict[str, int] = {}
        """Lines read of each part."""

    def _text(self, name: str) -> Iterator[str]:
        if self.archive is not None:
            with self.archive.open(name) as stream:
                for line in stream:
                    yield line.decode()
        else:
            with (self.folder / name).open(encoding="utf-8") as lines:
                yield from lines

    def lines(self, name: str) -> Iterator[Any]:
        part = name.partition(".")[0]
        self.counted[part] = 0
        for line in self._text(name):
            self.counted[part] += 1
            yield json.loads(line)

    def events(self) -> Iterator[Event]:
        for told in self.lines("events.jsonl"):
            at, recorded_at = (datetime.fromisoformat(told[name].replace("Z", "+00:00")) for name in INSTANTS)
            yield Event(**{**told, "at": at, "recorded_at": recorded_at})


def export_faults(
    export: Export,
    *,
    keys: Optional[Mapping[str, bytes]],  # noqa: UP045
    anchors: Iterable[str],
) -> Iterator[Fault]:
    """Every fault of an export."""
    heads = {told["account"]: (told["seq"], told["head"]) for told in export.lines("chains.jsonl")}
    rows = {name: _by_account(export.lines(f"{name}.jsonl")) for name in ("calls", "cures")}
    sealed: list[tuple[int, str, datetime]] = []
    seen = set()
    for account, events in groupby(export.events(), key=lambda event: event.account):
        seen.add(account)
        replay, chain = Replay(), list(events)
        sealed += [(event.id, event.hash, event.recorded_at) for event in chain]
        yield from chain_faults(account, chain, heads.get(account), replay)
        yield from row_faults(account, "call", replay.calls, rows["calls"].pop(account, {}))
        yield from row_faults(account, "cure", replay.cures, rows["cures"].pop(account, {}))
    for account in sorted({*heads, *rows["calls"], *rows["cures"]} - seen):
        yield from chain_faults(account, [], heads.get(account))
        yield from row_faults(account, "call", {}, rows["calls"].get(account, {}))
        yield from row_faults(account, "cure", {}, rows["cures"].get(account, {}))
    sweeps = {told["sweep"]: told["digest"] for told in export.lines("sweeps.jsonl")}
    if export.manifest["snapshots"]:
        yield from _snapshot_faults(export.lines("snapshots.jsonl"), sweeps)
    seals = [Seal(**told) for told in export.lines("seals.jsonl")]
    yield from seal_faults(seals, keys=keys, events=sorted(sealed), sweeps=sweeps)
    yield from anchor_faults(list(anchors), seals, keys)
    for name, number in export.counted.items():
        if export.manifest.get(name) != number:
            said = f"has {number} lines where its manifest says {export.manifest.get(name)}"
            yield Fault(0, 0, said, f"{name}.jsonl")


def _by_account(lines: Iterable[Any]) -> dict[int, dict[int, dict[str, Any]]]:
    found: dict[int, dict[int, dict[str, Any]]] = {}
    for told in lines:
        row = dict(told)
        found.setdefault(row.pop("account"), {})[row.pop("id")] = row
    return found


def _snapshot_faults(lines: Iterable[Any], sweeps: Mapping[int, str]) -> Iterator[Fault]:
    """Prices and assessments of the exported sweeps against their digests: sha256 over the sha256 of each row."""
    left = dict(sweeps)
    for sweep, rows in groupby(lines, key=lambda told: told["sweep"]):
        each = "".join(hashlib.sha256(told["row"].encode()).hexdigest() for told in rows)
        if sweep not in sweeps:
            yield Fault(0, 0, "inserted snapshot: no such sweep was digested", f"sweep {sweep}")
        elif hashlib.sha256(each.encode()).hexdigest() != left.pop(sweep, ""):
            yield Fault(
                0, 0, "changed snapshot: its prices or assessments are not those that were sealed", f"sweep {sweep}"
            )
    for sweep, digest in left.items():
        if digest != hashlib.sha256(b"").hexdigest():
            yield Fault(0, 0, "deleted snapshot: its prices and assessments are missing", f"sweep {sweep}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("export", type=Path)
    parser.add_argument("--keys", type=Path, help="folder of the seals' keys")
    parser.add_argument("--anchors", type=Path, help="the file of anchors, kept elsewhere")
    chosen = parser.parse_args()
    try:
        keys, faults = read_keys(chosen.keys) if chosen.keys else (None, [])
        anchors = chosen.anchors.read_text().splitlines() if chosen.anchors else []
        export = Export(chosen.export)
        faults += export_faults(export, keys=keys, anchors=anchors)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        sys.stderr.write(f"cannot be read: {type(error).__name__}: {error}\n")
        return 2
    for fault in faults:
        sys.stdout.write(f"{fault}\n")
    said = ", ".join(f"{export.manifest[name]:,} {name}" for name in ("chains", "events", "seals"))
    without = [] if chosen.keys else ["without keys the seals' codes were not computed"]
    if not chosen.keys and any(line.startswith("epoch ") for line in anchors):
        without.append("seals that the anchors declare lost were taken at their word")
    if not export.manifest["snapshots"]:
        without.append("without snapshots prices and assessments were not compared with their digests")
    without += [] if chosen.anchors else ["without anchors a history cut short at its end looks whole"]
    sys.stdout.write(
        f"{f'{len(faults)} faults' if faults else 'intact'}: {said}{''.join(f'; {one}' for one in without)}\n"
    )
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
