"""What models said, kept so that a replay hears the same: float64 differs between processors in the last digits.

A model's question is its name and its inputs, bit by bit; its answer is an array. While a sweep takes *notes*, every
answer is kept; while a replay *recalls* them, a question that was asked then gets the answer of then, and is computed
once more to see that it still holds.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from io import BytesIO

import numpy as np

from margin.engine.columns import Array

TOLERANCE = 1e-9  # between an answer of then and the same computed now, absolute or relative, whichever is larger


@dataclass
class Notes:
    """Answers by the digest of their question; and, of a recall, how it went."""

    answers: dict[str, Array] = field(default_factory=dict)
    recalled: int = 0  # questions answered from the notes
    unknown: int = 0  # questions the notes do not know: computed
    beyond: int = 0  # numbers that computed now differ by more than the TOLERANCE
    worst: float = 0.0  # the greatest such difference, as a share of the tolerance's own measure

    def pack(self) -> bytes:
        """The answers as one compressed file of NumPy's; nothing is pickled."""
        if not self.answers:
            return b""
        buffer = BytesIO()
        np.savez_compressed(buffer, **self.answers)  # type: ignore[arg-type]  # its stub takes no mapping
        return buffer.getvalue()

    @classmethod
    def unpack(cls, packed: bytes) -> "Notes":
        """The notes that were packed; ValueError if they cannot be read."""
        if not packed:
            return cls()
        with np.load(BytesIO(packed), allow_pickle=False) as stored:
            return cls({digest: stored[digest] for digest in stored.files})


@dataclass(frozen=True)
class _Listening:
    notes: Notes
    recalls: bool


_LISTENING: ContextVar[_Listening | None] = ContextVar("models are noted or recalled", default=None)


@contextmanager
def noting() -> Iterator[Notes]:
    """What models say inside is noted."""
    yield from _listening(_Listening(Notes(), recalls=False))


@contextmanager
def recalling(notes: Notes) -> Iterator[Notes]:
    """Models inside say what they said then, where the notes know it."""
    yield from _listening(_Listening(notes, recalls=True))


def _listening(state: _Listening) -> Iterator[Notes]:
    token = _LISTENING.set(state)
    try:
        yield state.notes
    finally:
        _LISTENING.reset(token)


def answer(name: str, compute: Callable[..., Array], *columns: Array) -> Array:
    """compute(*columns), noted or recalled if anybody listens. The columns are arrays of numbers."""
    state = _LISTENING.get()
    if state is None:
        return compute(*columns)
    token = _LISTENING.set(None)  # models inside models belong to the answer
    try:
        now = compute(*columns)
    finally:
        _LISTENING.reset(token)
    digest = _digest(name, columns)
    if not state.recalls:
        state.notes.answers[digest] = now
        return now
    if digest not in state.notes.answers:
        state.notes.unknown += 1
        return now
    then = state.notes.answers[digest]
    _compare(state.notes, then, now)
    return then.copy()


def _digest(name: str, columns: tuple[Array, ...]) -> str:
    found = hashlib.sha256(name.encode())
    for column in columns:
        found.update(f"{column.dtype.str}{column.shape}".encode())
        found.update(np.ascontiguousarray(column).tobytes())
    return found.hexdigest()[:32]


def _compare(notes: Notes, then: Array, now: Array) -> None:
    notes.recalled += 1
    apart = np.abs(then - now) / np.maximum(np.abs(then), 1.0)
    apart[(then == now) | (np.isnan(then) & np.isnan(now))] = 0.0
    apart[np.isnan(apart)] = np.inf
    notes.beyond += int((apart > TOLERANCE).sum())
    notes.worst = max(notes.worst, float(apart.max(initial=0.0)))
