"""What `bin/start` says to the person in front of it: steps with their time, refusals, ends of logs."""

import time
from pathlib import Path


class Refusal(Exception):
    """Why the house cannot open, and what to do."""


def say(line: str = "") -> None:
    print(line, flush=True)


class step:  # noqa: N801  reads as a sentence: with step("Starting PostgreSQL")
    """Print what is being done and, at its end, how long it took."""

    def __init__(self, doing: str) -> None:
        self.doing = doing

    def __enter__(self) -> None:
        self.began = time.monotonic()
        print(f"· {self.doing} …", end="", flush=True)

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        say(f" {time.monotonic() - self.began:.1f} s" if kind is None else " stopped")


def tail(log: Path, lines: int = 25) -> str:
    """The last lines of a log, with its path, for a person who must find the cause."""
    if not log.exists():
        return f"({log} does not exist)"
    last = log.read_text(errors="replace").splitlines()[-lines:]
    return "\n".join([f"--- the end of {log}", *last])
