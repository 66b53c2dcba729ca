"""Children that are kept alive: begun again when they end, and stopped in the reverse order of their start."""

import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from backoffice import children
from backoffice.terminal import say, step

STEADY_SECONDS = 60  # a child that ran this long failed for a new reason: its delays start again
LONGEST_DELAY = 30  # seconds


@dataclass
class Part:
    """One child: how it starts, how it is asked to stop, and how it fared. Instants are monotonic seconds."""

    name: str
    begin: Callable[[], subprocess.Popen[bytes]]
    process: subprocess.Popen[bytes]
    stop_signal: signal.Signals
    patience: float
    began: float
    failures: int = 0
    again_at: float = 0  # 0 while it runs


def tend(parts: Sequence[Part], *, logs: Path) -> None:
    """Look at every child once; begin again those that ended, each failure doubling the delay."""
    now = time.monotonic()
    for part in parts:
        if part.again_at:
            if now >= part.again_at:
                part.again_at, part.began = 0, now
                _begin_again(part)
        elif part.process.poll() is not None:
            part.failures = 1 if now - part.began > STEADY_SECONDS else part.failures + 1
            delay = min(LONGEST_DELAY, 2 ** (part.failures - 1))
            part.again_at = now + delay
            ended = f"{part.name} ended ({part.process.returncode})"
            say(f"· {ended}; starting it again in {delay} s, see {logs}/{part.name}.log")


def _begin_again(part: Part) -> None:
    try:
        part.process = part.begin()
    except (RuntimeError, OSError) as error:  # a server that does not come up: said, and tried again later
        say(f"· {part.name} did not start: {str(error).splitlines()[0]}")


def close(parts: Sequence[Part]) -> None:
    """Stop every child, the last started first, so that nothing loses what it stands on."""
    for part in reversed(parts):
        if part.process.poll() is None:
            with step(f"Stopping {part.name}"):
                children.stop(part.process, using=part.stop_signal, patience=part.patience)
