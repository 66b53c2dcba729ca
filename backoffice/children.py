"""Child processes that never outlive their parent.

Linux ties each child to the thread that forked it (PR_SET_PDEATHSIG): even `kill -9` of the parent leaves no orphan.
Call `spawn` from the main thread only: the signal follows the forking thread, not the process.
"""

import ctypes
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)  # loaded once, before any fork


@dataclass(frozen=True)
class SystemUser:
    """A user of this machine that servers run as when we are root (PostgreSQL refuses to run as root)."""

    name: str
    uid: int
    gid: int


def server_user() -> SystemUser | None:
    """Whom servers run as: None is ourselves; for root `postgres` if the machine has it, else `nobody`."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return SystemUser(name, entry.pw_uid, entry.pw_gid)
    raise RuntimeError("This machine has neither a user `postgres` nor `nobody`; run bin/start as an ordinary user.")


def spawn(
    command: Sequence[str | Path],
    *,
    log: Path,
    death_signal: signal.Signals = signal.SIGTERM,
    environment: Mapping[str, str] | None = None,
    user: SystemUser | None = None,
    directory: Path | None = None,
    sockets: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start one child, its output appended to `log`; it receives `death_signal` when this process dies in any way.

    `sockets` are file descriptors that the child inherits, such as a port that is bound already.
    """
    parent = os.getpid()

    def tie_to_parent() -> None:
        if sys.platform == "linux":
            LIBC.prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
            if os.getppid() != parent:  # the parent died between fork and prctl: the signal will never come
                os._exit(1)

    with log.open("ab") as output:
        return subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(os.environ if environment is None else environment),
            cwd=directory,
            pass_fds=sockets,
            preexec_fn=tie_to_parent,  # noqa: PLW1509  single-threaded here, and the only way to set the signal
            # Ctrl-C reaches the whole foreground group; only the supervisor may answer it, in its own order.
            process_group=0,
            **_identity(user),
        )


def run(
    command: Sequence[str | Path], *, user: SystemUser | None = None, directory: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a short command to its end as `user`; its output and return code come back, nothing is raised."""
    words = [str(part) for part in command]
    return subprocess.run(words, capture_output=True, text=True, cwd=directory, check=False, **_identity(user))


def _identity(user: SystemUser | None) -> dict[str, Any]:
    # Popen changes the user before it calls preexec_fn; a change afterwards would clear the death signal.
    return {} if user is None else {"user": user.uid, "group": user.gid, "extra_groups": []}


def stop(child: subprocess.Popen[bytes], *, using: signal.Signals = signal.SIGTERM, patience: float = 15) -> None:
    """Ask a child to end and wait; after `patience` seconds it is killed. A child that has ended is left alone."""
    if child.poll() is not None:
        return
    child.send_signal(using)
    try:
        child.wait(patience)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
