"""The whole house from one command: what `bin/start` runs once `.venv` is there.

Starts the embedded servers that no setting replaces, migrates, loads the demonstration house on the first run, starts
every process, waits until the site is ready and prints its address. Every child dies with this process.
"""

import argparse
import fcntl
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import IO, NoReturn

import environ
import psycopg2

from backoffice import children, database, embedded, grants, smoke, supervision
from backoffice.terminal import Refusal, say, step, tail

CHECKOUT = Path(__file__).resolve().parent.parent
LARGEST_LOG = 20_000_000  # bytes
OUTER_SETTINGS = (
    *("DATABASE_URL", "DATABASE_OWNER_URL", "CELERY_BROKER_URL"),
    *("EMAIL_HOST", "EMAIL_PORT", "EMAIL_BACKEND", "ANYMAIL"),
)


class House:
    """The running house: its folder, its children in order of start, and the environment they share."""

    def __init__(self, home: Path, *, port: int | None) -> None:
        self.home = home
        self.logs = home / "log"
        self.mails = home / "mail"
        self.parts: list[supervision.Part] = []
        self.commands: list[subprocess.Popen[bytes]] = []
        self.lock = _lock(home)
        for folder in (self.logs, self.mails, home / "prometheus"):
            folder.mkdir(parents=True, exist_ok=True)
        self._shorten_logs()
        self.web_socket = _listen(port)
        self.url = f"http://127.0.0.1:{self.web_socket.getsockname()[1]}"
        self.access = database.Access("", "", "")
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "backoffice.settings",
            "MARGIN_HOME": str(home),
            "SITE_URL": os.environ.get("SITE_URL", self.url),
            "PROMETHEUS_MULTIPROC_DIR": str(home / "prometheus"),
            "PYTHONUNBUFFERED": "1",
        }

    @property
    def is_demo(self) -> bool:
        return self.environment.get("MARGIN_ENVIRONMENT", "demo") == "demo"

    # --- opening, in order --------------------------------------------------------------------------

    def open(self) -> None:
        place = embedded.place(self.home)
        self._open_database(place / "postgresql")
        self._open_broker(place / "valkey")
        self._open_mail()
        kernels = self._manage("warm_kernels", owner=False)
        self._finish(self._manage("migrate", "--no-input"), "Migrating the database")
        with step("Granting the application role its rights"), database.connected(self.access.owner_url) as connection:
            grants.grant(connection, application_role=self.access.application_role)
            if self.environment.get("MARGIN_ENVIRONMENT") == "production":
                grants.keep_the_wall_clock(connection)
        self._write_environment()
        is_new = self.is_demo and not self._ask("SELECT EXISTS (SELECT 1 FROM accounts_client)")
        if is_new:
            self._load_demo()
        self._finish(kernels, "Warming the calculation kernels")
        if is_new:  # beat sweeps securities every 15 minutes; a newcomer need not wait for the first
            self._finish(self._manage("demo", "--casework", owner=False), "Sweeping the securities accounts")
        if not self.is_demo:
            self._finish(
                self._manage("check", "--deploy", "--database", "default", owner=False), "Checking the settings"
            )
        self._open_processes()
        self._wait_until_ready()

    def _open_database(self, folder: Path) -> None:
        if url := os.environ.get("DATABASE_URL"):
            say("· Database: the server DATABASE_URL names")
            names = {key: os.environ.get(key, "") for key in ("DATABASE_OWNER_URL", "DATABASE_APPLICATION_ROLE")}
            self.access = database.outside(
                url,
                owner_url=names["DATABASE_OWNER_URL"],
                application_role=names["DATABASE_APPLICATION_ROLE"],
                kept_in=self.home / "database-roles.json",
            )
        else:
            with step("Starting PostgreSQL"):
                log = self.logs / "postgresql.log"
                cluster = embedded.start_postgresql(folder, log=log)
                address = cluster.sockets
                self._keep(
                    "postgresql",
                    lambda: embedded.start_postgresql(folder, log=log, sockets=address).process,
                    cluster.process,
                    stop_signal=signal.SIGINT,
                    patience=60,
                )
                self.access = database.inside(cluster)
        self.environment.update(self.access.environment)

    def _open_broker(self, folder: Path) -> None:
        if os.environ.get("CELERY_BROKER_URL"):
            say("· Broker: the one CELERY_BROKER_URL names")
            return
        with step("Starting the broker (Valkey)"):
            log = self.logs / "valkey.log"
            broker = embedded.start_broker(folder, log=log)
            address = broker.socket.parent
            self._keep(
                "broker", lambda: embedded.start_broker(folder, log=log, sockets=address).process, broker.process
            )
            self.environment["CELERY_BROKER_URL"] = broker.url

    def _open_mail(self) -> None:
        if any(os.environ.get(name) for name in ("EMAIL_HOST", "EMAIL_BACKEND", "ANYMAIL")):
            say("· Mail: sent by the settings of the environment; mails go out")
            return
        self.mail_socket = _listen(0)
        fd = self.mail_socket.fileno()
        self._start("catcher", ("-m", "backoffice.catcher", str(fd), str(self.mails)), sockets=(fd,))
        self.environment.update(EMAIL_HOST="127.0.0.1", EMAIL_PORT=str(self.mail_socket.getsockname()[1]))
        say(f"· Mail: kept in {self.mails}, none leaves this machine")

    def _load_demo(self) -> None:
        """Build the demonstration house. One password for its logins, made here and kept in this folder alone."""
        password = self.environment["MARGIN_DEMO_PASSWORD"] = secrets.token_urlsafe(12)
        kept = self.home / "demo-password"
        kept.touch(mode=0o600)
        kept.write_text(password)  # before it is used: a kill in between must not lose it
        self._finish(self._manage("demo", owner=False), "Loading the demonstration house")
        del self.environment["MARGIN_DEMO_PASSWORD"]

    def _open_processes(self) -> None:
        fd = self.web_socket.fileno()
        gunicorn = ("-m", "gunicorn", "-c", "backoffice/gunicorn.conf.py", "backoffice.wsgi")
        celery = ("-m", "celery", "-A", "backoffice")
        with step("Starting web, worker, beat and watchdog" + (" and the price feed" if self.is_demo else "")):
            self._start("web", gunicorn, sockets=(fd,), settings={"BIND": f"fd://{fd}"})
            self._start(
                "worker",
                (*celery, "worker", "--concurrency=2", "--loglevel=INFO", "--without-gossip", "--without-mingle"),
                death_signal=signal.SIGKILL,  # leases in the database take up what a dead worker left
            )
            self._start("beat", (*celery, "beat", "--loglevel=INFO", "--pidfile="), death_signal=signal.SIGKILL)
            self._start("watchdog", ("manage.py", "watchdog"))
            if self.is_demo:
                self._start("feed", ("manage.py", "feed", "demo"))

    def _wait_until_ready(self) -> None:
        with step("Waiting until the site is ready"):
            deadline = time.monotonic() + 120
            while not _is_ready(self.url):
                self.tend()
                if time.monotonic() > deadline:
                    raise Refusal(f"The site did not become ready in 120 s.\n{tail(self.logs / 'web.log')}")
                time.sleep(0.2)

    # --- children -----------------------------------------------------------------------------------

    def _start(
        self,
        name: str,
        words: tuple[str, ...],
        *,
        death_signal: signal.Signals = signal.SIGTERM,
        sockets: tuple[int, ...] = (),
        settings: dict[str, str] | None = None,
    ) -> None:
        def begin() -> subprocess.Popen[bytes]:
            return children.spawn(
                (sys.executable, *words),
                log=self.logs / f"{name}.log",
                death_signal=death_signal,
                environment={**self.environment, "PROCESS_NAME": f"margin_{name}", **(settings or {})},
                directory=CHECKOUT,
                sockets=sockets,
            )

        self._keep(name, begin, begin())

    def _keep(
        self,
        name: str,
        begin: Callable[[], subprocess.Popen[bytes]],
        process: subprocess.Popen[bytes],
        *,
        stop_signal: signal.Signals = signal.SIGTERM,
        patience: float = 15,
    ) -> None:
        self.parts.append(supervision.Part(name, begin, process, stop_signal, patience, time.monotonic()))

    def _manage(self, *words: str, owner: bool = True) -> subprocess.Popen[bytes]:
        """Start one `manage.py` command, as the role that owns the tables unless told otherwise."""
        url = {"DATABASE_URL": self.access.owner_url} if owner else {}
        command = children.spawn(
            (sys.executable, "manage.py", *words),
            log=self.logs / f"{words[0]}.log",
            environment={**self.environment, **url},
            directory=CHECKOUT,
        )
        self.commands.append(command)
        return command

    def _finish(self, command: subprocess.Popen[bytes], doing: str) -> None:
        name = str(command.args[2])  # type: ignore[index]
        with step(doing):
            if command.wait():
                raise Refusal(f"{doing} failed: manage.py {name} said\n{tail(self.logs / f'{name}.log')}")

    def tend(self) -> None:
        supervision.tend(self.parts, logs=self.logs)

    def close(self) -> None:
        for command in self.commands:
            children.stop(command)
        supervision.close(self.parts)
        (self.home / "env").unlink(missing_ok=True)

    # --- small things -------------------------------------------------------------------------------

    def _ask(self, question: str) -> object:
        with database.connected(self.access.application_url) as connection, connection.cursor() as cursor:
            cursor.execute(question)
            row = cursor.fetchone()
            return row[0] if row else None

    def _write_environment(self) -> None:
        """Leave the addresses where `manage.py` finds them, so that its commands reach the running house."""
        names = (*OUTER_SETTINGS, "DATABASE_APPLICATION_ROLE", "SITE_URL", "MARGIN_HOME")
        lines = [f"{name}={self.environment[name]}\n" for name in names if self.environment.get(name)]
        file = self.home / "env"
        file.touch(mode=0o600)
        file.write_text("".join(lines))

    def _shorten_logs(self) -> None:
        for log in self.logs.glob("*.log"):
            if log.stat().st_size > LARGEST_LOG:
                log.replace(log.with_suffix(".log.1"))
        for gauge in (self.home / "prometheus").glob("*.db"):
            gauge.unlink()  # gauges of processes of an earlier start

    def verify_history(self) -> int:
        return self._manage("verify_history", owner=False).wait()

    def logins(self) -> list[str]:
        if not self.is_demo:
            return []
        with database.connected(self.access.application_url) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT u.username, coalesce(string_agg(g.name, ', ' ORDER BY g.name), '') FROM auth_user u"
                " LEFT JOIN auth_user_groups m ON m.user_id = u.id LEFT JOIN auth_group g ON g.id = m.group_id"
                " WHERE u.is_staff AND u.is_active GROUP BY u.id ORDER BY u.id LIMIT 12"
            )
            people = [f"{name:<12} {roles}" for name, roles in cursor.fetchall()]
        kept = self.home / "demo-password"
        password = kept.read_text() if kept.exists() else "the one printed when this house was first opened"
        return [*people, f"password of each: {password}\n"]


# --- one house at a time, one address, one way to end ------------------------------------------------


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=5) as reply:  # noqa: S310  our own address
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _listen(port: int | None) -> socket.socket:
    """A listening socket on `port` (0: any), or on 8000 or the next free one if None. Children inherit it: no race."""
    for candidate in range(8000, 8100) if port is None else (port,):
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("127.0.0.1", candidate))
        except OSError:
            listening.close()
            continue
        listening.listen(128)
        return listening
    raise Refusal(f"Port {port or '8000 to 8099'} is taken. Name a free one: bin/start --port N.")


def _lock(home: Path) -> IO[str]:
    home.mkdir(parents=True, exist_ok=True)
    lock = (home / "lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise Refusal(
            f"Margin Desk already runs from {home}. Stop it, or choose another folder in MARGIN_HOME."
        ) from None
    return lock


def _answer_signals() -> None:
    """SIGINT, SIGTERM and SIGHUP end the house once, in order; a second one does not interrupt the closing."""

    def end(number: int, frame: FrameType | None) -> NoReturn:
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)


def reset(home: Path) -> None:
    """Wipe the house after asking. Raises Refusal if it runs or the person thinks better of it."""
    lock = _lock(home)
    say(f"· This deletes everything in {home}: the database with its history, mails and logs.")
    if input("Type reset to go on: ").strip() != "reset":
        raise Refusal("Nothing was deleted.")
    shutil.rmtree(embedded.place(home) if embedded.place(home) != home else home / "postgresql", ignore_errors=True)
    for entry in home.iterdir():
        if entry.name not in ("lock", "bootstrap.lock"):
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    lock.close()
    say("· Wiped. bin/start builds it anew.")


def run(home: Path, *, port: int | None, smoke_test: bool) -> None:
    house = House(home, port=port)
    try:
        house.open()
        if smoke_test:
            smoke.wait(
                url=house.access.application_url,
                mails=house.mails,
                logs=house.logs,
                tend=house.tend,
                verify=house.verify_history,
            )
            return
        say(f"\nMargin Desk is open: {house.url}/\n")
        for login in house.logins():
            say(f"  {login}")
        say(f"Mails: {house.mails}   logs: {house.logs}   Ctrl-C closes the house.\n")
        while True:
            house.tend()
            time.sleep(0.5)
    finally:
        house.close()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bin/start", description="Open Margin Desk with everything it needs.")
    parser.add_argument("--port", type=int, help="of the site; default 8000 or the next free one")
    parser.add_argument("--smoke", action="store_true", help="a throw-away house: first call, mail, history")
    parser.add_argument("--reset", action="store_true", help="wipe the house's folder, after asking")
    chosen = parser.parse_args(arguments)
    environ.Env.read_env(CHECKOUT / ".env")
    home = Path(os.environ.get("MARGIN_HOME") or CHECKOUT / ".local").resolve()
    temporary: Path | None = None
    _answer_signals()
    try:
        if chosen.reset:
            reset(home)
            return 0
        if chosen.smoke:
            home = temporary = Path(tempfile.mkdtemp(prefix="margin-smoke-"))
            home.chmod(0o755)  # as root the servers run as another user
            for name in OUTER_SETTINGS:  # a trial writes to no foreign database and sends no mail
                os.environ.pop(name, None)
        run(home, port=chosen.port if not chosen.smoke else chosen.port or 0, smoke_test=chosen.smoke)
    except KeyboardInterrupt:
        say("· Margin Desk is closed.")
        return 130 if chosen.smoke else 0
    except (Refusal, RuntimeError, OSError, psycopg2.OperationalError) as refusal:
        say(f"\nMargin Desk cannot go on: {refusal}")
        return 1
    finally:
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
