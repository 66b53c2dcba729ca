"""Every test runs on a real PostgreSQL: a throw-away cluster of our own, or the server that DATABASE_URL names.

* Default connection: the owner role, which is no superuser. `db` works as ever in pytest-django.
* `committed_db`: a clone of the migrated database for tests that commit, use threads or start processes.
* `as_application`, `as_owner`, `superuser`: connections in another role, for tests of the bolts.
* `broker`: a real Valkey. `live_house`: the web server on a clone. `chromium`: a real browser.
"""

import os
import secrets
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dj_database_url
import psycopg2
import psycopg2.extensions
import pytest
import pytest_django.fixtures
from django.conf import settings
from django.db import connections
from django.test.utils import setup_databases, teardown_databases
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from psycopg2 import sql

from backoffice import database, embedded, grants

Connect = Callable[[], psycopg2.extensions.connection]
# pytest-django makes the database only where a collected test carries its mark; tests on clones need it as well.
pytest_django.fixtures._get_databases_for_setup = lambda items: ({"default"}, set())
OUTER_URL = os.environ.get("DATABASE_URL", "")
ONE_ROLE = "one-role server"
CHROMIUM_FLAGS = [
    *("--headless", "--no-sandbox", "--no-first-run", "--disable-gpu", "--disable-quic"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]

# How fast a machine draws examples says nothing about the house.
hypothesis_settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("house")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="also run the tests that take minutes")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--long"):
        config.hook.pytest_deselected(items=[item for item in items if "long" in item.keywords])
        items[:] = [item for item in items if "long" not in item.keywords]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Skips by cause: a cause nobody expected must not hide among the dots."""
    skipped = terminalreporter.stats.get("skipped", [])
    causes = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped if report.longrepr)
    for cause, number in sorted(causes.items()):
        terminalreporter.write_line(f"skipped for want of: {cause} ({number} tests)")


@dataclass
class Server:
    """The server under test. An empty URL means that the server gives us no such role."""

    owner_url: str
    application_url: str
    superuser_url: str
    roles_we_made: list[str] = field(default_factory=list)


def temporary_folder() -> Path:
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="margin-test-", dir=memory if os.access(memory, os.W_OK) else None))
    folder.chmod(0o755)  # as root the servers run as another user; what they own inside stays private
    return folder


@contextmanager
def own_cluster() -> Iterator[Server]:
    folder = temporary_folder()
    cluster = embedded.start_postgresql(folder / "postgresql", log=folder / "postgresql.log", throw_away=True)
    try:
        with connected(cluster.url(embedded.SUPERUSER, "postgres")) as connection:
            grants.create_role(connection, embedded.OWNER_ROLE, creates_databases=True)
            grants.create_role(connection, embedded.APPLICATION_ROLE)
        roles = (embedded.OWNER_ROLE, embedded.APPLICATION_ROLE, embedded.SUPERUSER)
        yield Server(*(cluster.url(role, "postgres") for role in roles))
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(cluster.sockets, ignore_errors=True)


@contextmanager
def outer_server(url: str) -> Iterator[Server]:
    """A server of somebody else's: our roles have names and passwords of this run and go when it ends."""
    suffix, password = f"{os.getpid()}_{secrets.token_hex(2)}", secrets.token_urlsafe(24)
    with connected(url) as connection:
        standing = grants.standing(connection)
        if not standing.can_create_databases:
            pytest.exit(f"DATABASE_URL's role {standing.role!r} may not create databases: ALTER ROLE … CREATEDB.", 2)
        server = Server(owner_url=url, application_url="", superuser_url=url if standing.is_superuser else "")
        if standing.can_create_roles:
            application = f"margin_test_app_{suffix}"
            grants.create_role(connection, application, password=password)
            server.application_url = as_role(url, application, password)
            server.roles_we_made.append(application)
        if standing.is_superuser:  # a superuser ignores every grant: the tests' owner is a plain role
            owner = f"margin_test_owner_{suffix}"
            grants.create_role(connection, owner, password=password, creates_databases=True)
            server.owner_url = as_role(url, owner, password)
            server.roles_we_made.append(owner)
    try:
        yield server
    finally:
        with connected(url) as connection, connection.cursor() as cursor:
            for role in server.roles_we_made:
                cursor.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))


def as_role(url: str, role: str, password: str) -> str:
    parts = psycopg2.extensions.parse_dsn(url)
    return database.as_url({**parts, "user": role, "password": password})


connected = database.connected


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with outer_server(OUTER_URL) if OUTER_URL else own_cluster() as running:
        yield running


@pytest.fixture(scope="session")
def django_db_modify_db_settings(server: Server) -> None:
    """Point Django at the server under test. Changed in place: the connections of all threads share the settings."""
    settings.HISTORY_KEYS = settings.HISTORY_ANCHOR_FILE = ""  # not those of a house that runs from this checkout
    found = dj_database_url.parse(server.owner_url)
    options = settings.DATABASES["default"]["OPTIONS"]
    # A test may think longer inside its transaction than a process of the house ever does.
    patient = options["options"].replace(
        "idle_in_transaction_session_timeout=15s", "idle_in_transaction_session_timeout=5min"
    )
    kept = {"OPTIONS": {**options, "options": patient}, "NAME": f"margin_desk_{os.getpid()}"}
    settings.DATABASES["default"].update({**found, **kept, "CONN_MAX_AGE": 0})
    if server.application_url:
        settings.DATABASE_APPLICATION_ROLE = psycopg2.extensions.parse_dsn(server.application_url)["user"]
    else:
        settings.DATABASE_APPLICATION_ROLE = ""


@pytest.fixture(scope="session")
def django_db_setup(
    django_test_environment: None, django_db_blocker: Any, django_db_modify_db_settings: None, server: Server
) -> Iterator[None]:
    """The migrated database with its grants, and a template nobody connects to, so that clones can be made at any time.

    pytest-django's own fixture makes the database only if a test asks for `db`; ours also serves `committed_db` alone.
    """
    with django_db_blocker.unblock():
        made = setup_databases(verbosity=0, interactive=False, aliases={"default"})
        grants.grant(connections["default"], application_role=settings.DATABASE_APPLICATION_ROLE)
        connections["default"].close()
    source = settings.DATABASES["default"]["NAME"]
    clone(server, source, f"{source}_template")
    yield
    drop(server, f"{source}_template")
    with django_db_blocker.unblock():
        teardown_databases(made, verbosity=0)


def clone(server: Server, source: str, target: str) -> None:
    """A copy that the owner owns, with every table's rights."""
    with connected(server.owner_url) as connection, connection.cursor() as cursor:
        names = {"source": sql.Identifier(source), "target": sql.Identifier(target)}
        cursor.execute(sql.SQL("CREATE DATABASE {target} TEMPLATE {source}").format(**names))


def drop(server: Server, database: str) -> None:
    """Drop a database, cutting off whoever is left; other roles, which only a superuser may cut off, are waited for."""
    statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database))
    deadline = time.monotonic() + 10
    while True:
        try:
            with connected(server.superuser_url or server.owner_url) as connection, connection.cursor() as cursor:
                cursor.execute(statement)
            return
        except psycopg2.errors.InsufficientPrivilege:  # a connection that was closed, its process not yet gone
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@dataclass(frozen=True)
class CommittedDatabase:
    """A clone that outlives transactions; subprocesses get `environment`. One-role servers: empty application_url."""

    name: str
    owner_url: str
    application_url: str

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "DATABASE_URL": self.application_url or self.owner_url,
            "DATABASE_OWNER_URL": self.owner_url,
            "DATABASE_APPLICATION_ROLE": settings.DATABASE_APPLICATION_ROLE,
            "HISTORY_KEYS": settings.HISTORY_KEYS,
            "HISTORY_ANCHOR_FILE": settings.HISTORY_ANCHOR_FILE,
        }


@contextmanager
def committed_clone(server: Server, django_db_blocker: Any) -> Iterator[CommittedDatabase]:
    """Django's default connection, in every thread, leads to a fresh clone of the migrated database until the end."""
    base = settings.DATABASES["default"]["NAME"]
    name = f"{base}_{secrets.token_hex(4)}"
    clone(server, f"{base}_template", name)
    urls = [in_database(url, name) for url in (server.owner_url, server.application_url)]
    with django_db_blocker.unblock():
        connections["default"].close()
        settings.DATABASES["default"]["NAME"] = name
        try:
            yield CommittedDatabase(name, *urls)
        finally:
            connections.close_all()
            settings.DATABASES["default"]["NAME"] = base
            drop(server, name)


@pytest.fixture
def committed_db(django_db_setup: None, django_db_blocker: Any, server: Server) -> Iterator[CommittedDatabase]:
    """A clone for one test that commits; a module whose tests share one makes a fixture with `committed_clone`."""
    with committed_clone(server, django_db_blocker) as made:
        yield made


def in_database(url: str, name: str) -> str:
    return database.as_url({**psycopg2.extensions.parse_dsn(url), "dbname": name}) if url else ""


@contextmanager
def connections_of(url: str) -> Iterator[Connect]:
    """A factory of connections to the database Django uses at this moment, all closed at the end."""
    if not url:
        pytest.skip(ONE_ROLE)
    opened: list[psycopg2.extensions.connection] = []

    def connect() -> psycopg2.extensions.connection:
        opened.append(psycopg2.connect(in_database(url, settings.DATABASES["default"]["NAME"])))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.close()


@pytest.fixture
def as_application(django_db_setup: None, server: Server) -> Iterator[Connect]:
    """`as_application()` is a psycopg2 connection in the application role; it sees what committed_db committed."""
    with connections_of(server.application_url) as connect:
        yield connect


@pytest.fixture
def as_owner(django_db_setup: None, server: Server) -> Iterator[Connect]:
    """`as_owner()` is a psycopg2 connection in the role that owns the tables."""
    with connections_of(server.owner_url) as connect:
        yield connect


@pytest.fixture
def superuser(django_db_setup: None, server: Server) -> Iterator[Connect]:
    """`superuser()` is a psycopg2 connection that no bolt can stop."""
    with connections_of(server.superuser_url) as connect:
        yield connect


@pytest.fixture
def django_as_application(committed_db: CommittedDatabase, server: Server) -> Iterator[CommittedDatabase]:
    """As committed_db, but Django itself, in every thread, connects as the application role: what production does."""
    if not server.application_url:
        pytest.skip(ONE_ROLE)
    default = settings.DATABASES["default"]
    owner = {"USER": default["USER"], "PASSWORD": default["PASSWORD"]}
    application = dj_database_url.parse(server.application_url)
    connections["default"].close()
    default.update(USER=application["USER"], PASSWORD=application["PASSWORD"])
    try:
        yield committed_db
    finally:
        connections["default"].close()
        default.update(owner)


@pytest.fixture(scope="session")
def broker() -> Iterator[embedded.Broker]:
    """A real Valkey on a Unix socket; `broker.url` is its CELERY_BROKER_URL."""
    folder = temporary_folder()
    running = embedded.start_broker(folder / "valkey", log=folder / "valkey.log", throw_away=True)
    yield running
    running.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """One real browser for all tests of a process; the tests that need it skip where there is none."""
    binary = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if not binary:
        pytest.skip("no Chromium")
    from playwright.sync_api import sync_playwright

    os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "1")  # playwright's loop is in this thread; ours is synchronous
    # From here on Django keeps this thread's connection under the loop; a process forked later has no loop and would
    # find the one of before, still open to the database of an earlier test.
    connections.close_all()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def live_house(committed_db: CommittedDatabase) -> Iterator[str]:
    """The address of the real site, served by threads on a clone. Commit rows before asking for pages."""
    from django.contrib.staticfiles.handlers import StaticFilesHandler
    from django.test.testcases import LiveServerThread

    thread = LiveServerThread("127.0.0.1", StaticFilesHandler)
    thread.daemon = True
    allowed = settings.ALLOWED_HOSTS
    settings.ALLOWED_HOSTS = ["*"]
    thread.start()
    thread.is_ready.wait()
    try:
        if thread.error:
            raise thread.error
        yield f"http://127.0.0.1:{thread.port}"
    finally:
        thread.terminate()
        settings.ALLOWED_HOSTS = allowed
