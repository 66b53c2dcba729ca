"""What people say about a client is kept in the history under a key of the client's own: without it nobody reads it.

Each key is a file of its own beside the keys of the seals, outside the database. Events hold the words encrypted
(AES-256-GCM, the client's number authenticated), so that chain, seals and exports stay as they are when the key is
destroyed; what was hashed was never the words themselves.
"""

import base64
import os
import re
import secrets
from collections.abc import Collection
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.db import models

from accounts.models import Account
from margin import history_keys

PERSONAL = ("who", "title")
"""Of an event's details, those in which people write what they like; its reason is the other place."""
TOKEN = re.compile(r"sealed:(\d{1,18}):([A-Za-z0-9_-]{38,}={0,2})")
NONCE = 12  # bytes, of NIST SP 800-38D


class Erased(Exception):
    """The client was erased: nothing more is written about a person who asked to be forgotten."""


def is_kept() -> bool:
    """Whether words are encrypted here; not where no folder of keys is named, which production refuses."""
    return bool(settings.HISTORY_KEYS)


def clients(account_ids: Collection[int]) -> dict[int, int]:
    """Account → client, where words are encrypted; else nothing."""
    if not is_kept():
        return {}
    return dict(Account.objects.filter(pk__in=account_ids).values_list("pk", "client_id"))


def keep(event: dict[str, Any], *, client_id: int) -> dict[str, Any]:
    """The event with its words encrypted under the client's key. Raises Erased, history_keys.KeysMissing."""
    kept = dict(event)
    if kept.get("reason"):
        kept["reason"] = sealed(client_id, kept["reason"])
    details = kept.get("details") or {}
    words = {name: sealed(client_id, details[name]) for name in PERSONAL if details.get(name)}
    return {**kept, "details": {**details, **words}} if words else kept


class Sealed(str):
    """Words that were encrypted, as they are stored; a type of its own, since people may type what looks like it."""


def sealed(client_id: int, words: str) -> Sealed:
    """The words encrypted under the client's key; what is that already stays, so that a row and its event can say the
    same. Raises Erased, history_keys.KeysMissing."""
    return words if isinstance(words, Sealed) else Sealed(encrypted(client_id, words))


def opened(body: dict[str, Any]) -> dict[str, Any]:
    """An event's body with its words readable, or with what became of them in their place."""
    details = body.get("details") or {}
    words = {name: readable(details[name]) for name in PERSONAL if isinstance(details.get(name), str)}
    read = {**body, "details": {**details, **words}} if words else dict(body)
    if isinstance(read.get("reason"), str):
        read["reason"] = readable(read["reason"])
    return read


def encrypted(client_id: int, words: str) -> str:
    nonce = secrets.token_bytes(NONCE)
    hidden = AESGCM(_key(client_id)).encrypt(nonce, words.encode(), str(client_id).encode())
    return f"sealed:{client_id}:{base64.urlsafe_b64encode(nonce + hidden).decode()}"


def readable(words: str) -> str:
    """The words, if they were encrypted: read anew each time, so that no process still knows a key that is gone."""
    token = TOKEN.fullmatch(words)
    if token is None:
        return words
    client_id = int(token[1])
    key = _read(_file(client_id)) if is_kept() else None
    if key is None:
        erased = erased_at(client_id)
        return f"erased on {erased:%Y-%m-%d}" if erased else "not readable here: the client's key is missing"
    hidden = base64.urlsafe_b64decode(token[2])
    try:
        return AESGCM(key).decrypt(hidden[:NONCE], hidden[NONCE:], token[1].encode()).decode()
    except InvalidTag:
        return "not readable: it is not what the client's key encrypted"


class WordsField(models.TextField):
    """What somebody said of a client, in a row beside the history: stored as `sealed` gave it, read with its words
    readable or with what became of them. Saving what was read would write the words in clear: name the fields."""

    def from_db_value(self, value: str | None, expression: object, connection: object) -> str | None:
        return value if value is None else readable(value)


def destroy(client_id: int, *, at: datetime) -> None:
    """Destroy the client's key for good, and keep the instant in its place; again changes nothing."""
    history_keys.folder()
    _write(_stone(client_id), at.isoformat())
    file = _file(client_id)
    if file.exists():
        gone = file.with_suffix(".gone")  # first, so that nobody reads it half overwritten
        file.replace(gone)
        with gone.open("r+b") as stream:
            stream.write(b"0" * gone.stat().st_size)
            stream.flush()
            os.fsync(stream.fileno())
        gone.unlink()
    _settle(file.parent)


def erased_at(client_id: int) -> datetime | None:
    """When the client's key was destroyed; None if it was not."""
    stone = _stone(client_id)
    return datetime.fromisoformat(stone.read_text().strip()) if is_kept() and stone.exists() else None


def erased_clients() -> frozenset[int]:
    """Every client whose key was destroyed, as the folder says, whatever a restored database has forgotten."""
    if not is_kept():
        return frozenset()
    return frozenset(int(stone.stem.split("-")[1]) for stone in history_keys.folder().glob("subject-*.erased"))


def has_key(client_id: int) -> bool:
    return is_kept() and _file(client_id).exists()


# --- the files --------------------------------------------------------------------------------------------


def _key(client_id: int) -> bytes:
    """The client's key, made with the first word about the client."""
    file = history_keys.folder() / _file(client_id).name
    if _stone(client_id).exists():
        raise Erased(f"client {client_id} was erased; nothing more is written about it")
    key = _read(file)
    if key is None:
        _write(file, secrets.token_bytes(32).hex())
        key = _read(file)
    if key is None:
        raise Erased(f"client {client_id} is being erased; nothing more is written about it")
    return key


def _read(file: Path) -> bytes | None:
    try:
        return bytes.fromhex(file.read_text().strip())
    except FileNotFoundError:
        return None


def _file(client_id: int) -> Path:
    return Path(settings.HISTORY_KEYS) / f"subject-{client_id}.key"


def _stone(client_id: int) -> Path:
    return Path(settings.HISTORY_KEYS) / f"subject-{client_id}.erased"


def _write(file: Path, text: str) -> None:
    """Write a file whole or not at all; one that is there already stays, whoever made it."""
    draft = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    try:
        os.link(draft, file)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    _settle(file.parent)


def _settle(folder: Path) -> None:
    """A file's name is on the disk once its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
