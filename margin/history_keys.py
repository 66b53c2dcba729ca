"""The keys of the history, in a folder outside the database: whoever can rewrite the tables must not have them.

Each key is 32 random bytes in a file of its own, named after its fingerprint, readable by its owner alone. The newest
seal says which of them the next one is made with (`margin.seals`).
"""

import os
import secrets
from pathlib import Path

from django.conf import settings

from verifier import verify


class KeysMissing(Exception):
    """A key is not where it must be; the message says which, and what to do."""


def folder() -> Path:
    """The folder that HISTORY_KEYS names, made on first use in a demonstration. Raises KeysMissing."""
    place = Path(settings.HISTORY_KEYS)
    if not settings.HISTORY_KEYS or (settings.IN_PRODUCTION and not place.is_dir()):
        raise KeysMissing(
            f"the history's keys are not in {settings.HISTORY_KEYS or 'HISTORY_KEYS (which names no folder)'}; "
            "put back the folder from where it is kept, or make an empty one before the first start"
        )
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    return place


def make() -> str:
    """A new key for seals; its id. It is on the disk when this returns."""
    key = secrets.token_bytes(32)
    write(folder() / f"{verify.fingerprint(key)}.key", key)
    return verify.fingerprint(key)


def read(key_id: str) -> bytes:
    """The key of that id. Raises KeysMissing."""
    keys, _ = verify.read_keys(folder())
    if key_id not in keys:
        raise KeysMissing(f"there is no key {key_id} in {settings.HISTORY_KEYS}; nothing is sealed without it")
    return keys[key_id]


def first() -> str:
    """The id of the key for the very first seal: the only one there is, or a new one."""
    keys, _ = verify.read_keys(folder())
    return min(keys) if keys else make()


def write(file: Path, key: bytes) -> None:
    """Write a key once and for all; one that is there already stays."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(descriptor, "w") as stream:
        stream.write(key.hex() + "\n")
        stream.flush()
        os.fsync(stream.fileno())
