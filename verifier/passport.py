#!/usr/bin/env python3
"""Verify the passport of a margin call. Standard library alone, Python 3.9 or newer; this file is enough.

    python3 passport.py MC-1042.zip [--keys FOLDER]

Names every altered byte: by file and offset where the file's own blocks tell, by offset in the archive where it lies
between the files. Without the keys it cannot say who made the passport; with them a forged one is named. Exit code 0:
intact; 1: faults, each on its own line; 2: it could not be read.
"""

import argparse
import hashlib
import hmac
import io
import json
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

FORMAT = "margin-passport-1"
BLOCK = 256
MANIFEST, CODE = "manifest.json", "manifest.mac"
MOMENT = (1980, 1, 1, 0, 0, 0)


def pack(files: Mapping[str, bytes]) -> bytes:
    """The archive of these files, always the same bytes: stored, in the order of their names, without a date."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            member = zipfile.ZipInfo(name, MOMENT)
            member.external_attr = 0o644 << 16
            archive.writestr(member, files[name])
    return buffer.getvalue()


def blocks(content: bytes) -> list[str]:
    """A short hash of every block of a file, so that an altered byte is found and not only noticed."""
    return [hashlib.sha256(content[start : start + BLOCK]).hexdigest()[:16] for start in range(0, len(content), BLOCK)]


def entry(content: bytes) -> dict[str, Any]:
    """What the manifest says of a file."""
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest(), "blocks": blocks(content)}


def canonical(value: Any) -> bytes:
    """JSON that is always the same bytes."""
    return (json.dumps(value, sort_keys=True, ensure_ascii=False, indent=1) + "\n").encode()


def code(key: bytes, manifest: bytes) -> str:
    """The code over the manifest: HMAC-SHA256, in hexadecimal."""
    said = f"{FORMAT}\n{hashlib.sha256(manifest).hexdigest()}"
    return hmac.new(key, said.encode(), hashlib.sha256).hexdigest()


def fingerprint(key: bytes) -> str:
    """The id of a key, as the history's seals name it."""
    return "k" + hashlib.sha256(b"margin-key\n" + key).hexdigest()[:24]


def faults(archive: bytes, keys: "Mapping[str, bytes] | None") -> Iterator[str]:
    """Everything about a passport that is not as it was made. Raises ValueError if it cannot be read at all."""
    files = dict(_members(archive))
    if MANIFEST not in files or CODE not in files:
        yield f"{MANIFEST if MANIFEST not in files else CODE} is missing: nothing proves the other files"
        return
    yield from _container_faults(archive, files)
    yield from _code_faults(files[MANIFEST], files[CODE], keys)
    try:
        manifest = json.loads(files[MANIFEST])
        listed = manifest["files"]
    except (ValueError, KeyError, TypeError):
        yield f"{MANIFEST} is altered: it is no manifest any more"
        return
    if manifest.get("format") != FORMAT:
        yield f"{MANIFEST}: its format is {manifest.get('format')!r}, not {FORMAT!r}"
    for name in sorted({*files, *listed} - {MANIFEST, CODE}):
        if name not in files:
            yield f"{name} is missing"
        elif name not in listed:
            yield f"{name} was inserted: the manifest does not list it"
        else:
            try:
                yield from _file_faults(name, files[name], listed[name])
            except (KeyError, TypeError):
                yield f"{MANIFEST} is altered: what it says of {name} cannot be read any more"
    if "history.json" in files and "call.json" in files:
        yield from _history_faults(files["history.json"], files["call.json"])


def _members(archive: bytes) -> Iterator["tuple[str, bytes]"]:
    """The files as they lie in the archive. What the archive's own check sums say is not asked: ours say more."""
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            members = opened.infolist()
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        raise ValueError(f"it is no readable ZIP: {error}") from None
    for member in members:
        start = member.header_offset + 30
        lengths = archive[member.header_offset + 26 : start]
        if len(lengths) == 4:
            start += int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")
        yield member.filename, archive[start : start + member.file_size]


def _container_faults(archive: bytes, files: Mapping[str, bytes]) -> Iterator[str]:
    """Bytes of the archive itself that are not those of its files packed again."""
    again = pack(files)
    places = [place for place, (then, now) in enumerate(zip(again, archive)) if then != now]  # noqa: B905 - 3.9
    if len(again) != len(archive):
        yield f"the archive has {len(archive)} bytes, its files packed again {len(again)}"
    if places:
        yield f"the archive is altered at byte {places[0]}" + (f" and {len(places) - 1} more" if places[1:] else "")


def _code_faults(manifest: bytes, stated: bytes, keys: "Mapping[str, bytes] | None") -> Iterator[str]:
    try:
        key_id, said = stated.decode("ascii").split()
    except ValueError:
        yield f"{CODE} is altered: it is no code any more"
        return
    if stated != f"{key_id} {said}\n".encode():
        yield f"{CODE} is altered"
    if keys is None:
        return
    if key_id not in keys:
        yield f"{CODE} is altered, made with a replaced key or forged: no key {key_id} is among those given"
    elif not hmac.compare_digest(code(keys[key_id], manifest), said):
        yield f"{MANIFEST} or {CODE} is altered or forged: the code of key {key_id} is another"


def _file_faults(name: str, content: bytes, listed: Mapping[str, Any]) -> Iterator[str]:
    if hashlib.sha256(content).hexdigest() == listed["sha256"]:
        return
    if len(content) != listed["size"]:
        yield f"{name} is altered: {len(content)} bytes, it had {listed['size']}"
    found = blocks(content)
    for place, (then, now) in enumerate(zip(listed["blocks"], found)):  # noqa: B905 - 3.9
        if then != now:
            yield f"{name} is altered within bytes {place * BLOCK} to {min((place + 1) * BLOCK, len(content)) - 1}"


def _history_faults(history: bytes, call: bytes) -> Iterator[str]:
    """The chain of the account, link by link, and the call as its events leave it."""
    try:
        yield from _chain_faults(json.loads(history)["events"], json.loads(call)["call"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        yield f"history.json or call.json cannot be read any more: {error!r}"


def _chain_faults(events: "list[dict[str, Any]]", row: Mapping[str, Any]) -> Iterator[str]:
    previous, told = "", None
    for number, event in enumerate(events, start=1):
        link = hashlib.sha256(f"{event['previous_hash']}\n{event['body']}".encode()).hexdigest()
        if event["seq"] != number or event["previous_hash"] != previous or event["hash"] != link:
            yield f"history.json: event {event['seq']} does not continue the one before it"
        body = json.loads(event["body"])
        if body.get("call") == row["id"] and body.get("row") is not None and body.get("from") in OPEN:
            told = body["row"]
        previous = event["hash"]
    if told is None:
        yield f"history.json: no event made the call {row['id']}"
    elif told["state"] != row["state"]:
        yield f"call.json says {row['state']}, the history says {told['state']}"


OPEN = (None, "issued", "escalated")


def main(arguments: "list[str] | None" = None) -> int:
    parser = argparse.ArgumentParser(description="Verify the passport of a margin call.")
    parser.add_argument("passport", type=Path)
    parser.add_argument("--keys", type=Path, help="the folder of the history's keys")
    asked = parser.parse_args(arguments)
    try:
        keys = None
        if asked.keys:
            read = (bytes.fromhex(file.read_text().strip()) for file in sorted(asked.keys.glob("k*.key")))
            keys = {fingerprint(key): key for key in read}
        found = list(faults(asked.passport.read_bytes(), keys))
    except (OSError, ValueError) as error:
        print(f"{asked.passport} cannot be verified: {error}", file=sys.stderr)
        return 2
    for fault in found:
        print(fault)
    if not found:
        print("intact" if keys is not None else "intact in itself; give --keys to prove who made it")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
