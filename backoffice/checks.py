"""System checks: what the house refuses to run with. `manage.py check --deploy --database default` runs them all.

Errors of production (E001 … E011) also stop the web server at once: `backoffice.wsgi` calls `refuse_unsafe`.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, connections

from backoffice import grants
from margin.models import WallClock

WEBHOOK_SECRET = "WEBHOOK_SECRET"  # noqa: S105  the name of a setting


@checks.register
def the_database_is_postgresql(**kwargs: Any) -> list[checks.CheckMessage]:
    engine = settings.DATABASES["default"]["ENGINE"]
    if engine == "django.db.backends.postgresql":
        return []
    return [_error("E004", f"The database engine is {engine}.", "PostgreSQL is the only database: set DATABASE_URL.")]


@checks.register(checks.Tags.security)
def production_is_safe(**kwargs: Any) -> list[checks.CheckMessage]:
    """What needs no database. Outside production everything passes."""
    if settings.ENVIRONMENT != "production":
        return []
    found: list[checks.CheckMessage] = []
    if settings.SECRET_KEY == settings.DEMO_SECRET_KEY:
        found.append(
            _error("E001", "SECRET_KEY is the demonstration's, known to all.", "Set a long random SECRET_KEY.")
        )
    if settings.DEBUG:
        found.append(_error("E002", "DEBUG shows settings and code to visitors.", "Set DEBUG=false."))
    if not settings.ALLOWED_HOSTS or "*" in settings.ALLOWED_HOSTS:
        found.append(_error("E003", "ALLOWED_HOSTS takes any name.", "Name the desk's own host names."))
    if _sends_by_provider() and not settings.ANYMAIL.get(WEBHOOK_SECRET):
        hint = f'Add "{WEBHOOK_SECRET}": "user:password" to ANYMAIL and to the provider\'s webhook address.'
        found.append(_error("E006", "Anybody could report deliveries: the webhook has no secret.", hint))
    if urlsplit(settings.SITE_URL).scheme != "https":
        found.append(_error("E007", f"SITE_URL {settings.SITE_URL} is not https.", "Links in mails must be https."))
    if not settings.HISTORY_KEYS or not settings.HISTORY_ANCHOR_FILE:
        hint = "Set HISTORY_KEYS (a folder) and HISTORY_ANCHOR_FILE, both outside the database's machine and backups."
        found.append(_error("E010", "Nothing outside the database proves the history.", hint))
    if _is_plain_remote(settings.CELERY_BROKER_URL):
        found.append(_error("E008", "The broker is reached over the network in plain.", "Use rediss:// or amqps://."))
    return found


@checks.register(checks.Tags.database)
def the_application_role_is_humble(databases: Sequence[str] | None = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """E005: a superuser passes every bolt. W001: one role runs and owns all, so it can take the bolts off."""
    found: list[checks.CheckMessage] = []
    for alias in databases or ():
        standing = grants.standing(connections[alias])
        has_two_roles = grants.role_exists(connections[alias], settings.DATABASE_APPLICATION_ROLE)
        if standing.is_superuser:
            hint = "Connect as a role of its own; docs/operations.md makes margin_owner and margin_app."
            found.append(_error("E005", f"The database role {standing.role!r} is a superuser.", hint))
        elif _owns_the_history(alias) and not has_two_roles:
            text = f"One-role mode: {standing.role!r} runs the processes and owns the tables."
            hint = "Run migrations as an owner role and set DATABASE_URL to an application role (docs/operations.md)."
            found.append(checks.Warning(text, hint=hint, id="margin.W001"))
    return found


@checks.register(checks.Tags.database, deploy=True)  # migrate comes before grant_roles and runs the others
def the_database_keeps_its_clock(databases: Sequence[str] | None = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """E011: in production the database must refuse orders, and what lets them leave, dated at another time."""
    if settings.ENVIRONMENT != "production" or all(_keeps_its_clock(alias) for alias in databases or ()):
        return []
    hint = "Run `manage.py grant_roles` as the owner with MARGIN_ENVIRONMENT=production."
    return [_error("E011", "The database takes approvals and orders dated at any time.", hint)]


def refuse_unsafe() -> None:
    """Raise ImproperlyConfigured, naming every error, if production would run unsafely. Called before serving."""
    if settings.ENVIRONMENT != "production":
        return
    found = the_database_is_postgresql() + production_is_safe()
    with suppress(OperationalError):  # a database that is away for a moment is /readyz's matter
        found += the_application_role_is_humble(databases=["default"]) + the_server_is_not_the_owner()
        found += the_database_keeps_its_clock(databases=["default"])
    connections.close_all()  # gunicorn forks after this: a connection must not be shared
    errors = [message for message in found if message.is_serious()]
    if errors:
        raise ImproperlyConfigured("Margin Desk refuses to start. " + _sentences(errors))


def the_server_is_not_the_owner() -> list[checks.CheckMessage]:
    """E009: the application role exists, yet this process connects as the owner. Commands such as migrate may."""
    if not _owns_the_history("default") or not grants.role_exists(
        connections["default"], settings.DATABASE_APPLICATION_ROLE
    ):
        return []
    hint = f"Set DATABASE_URL to the role {settings.DATABASE_APPLICATION_ROLE!r}."
    return [_error("E009", "The web server connects as the role that owns the tables.", hint)]


def _keeps_its_clock(alias: str) -> bool:
    is_migrated = WallClock._meta.db_table in connections[alias].introspection.table_names()
    return is_migrated and WallClock.objects.using(alias).exists()


def _owns_the_history(alias: str) -> bool:
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_tables WHERE tablename = 'margin_event' AND tableowner = current_user")
        return bool(cursor.fetchone()[0])


def _sentences(messages: Iterable[checks.CheckMessage]) -> str:
    return " ".join(f"{message.id}: {message.msg} {message.hint}" for message in messages)


def _error(number: str, text: str, hint: str) -> checks.Error:
    return checks.Error(text, hint=hint, id=f"margin.{number}")


def _sends_by_provider() -> bool:
    """Through an anymail provider, which reports deliveries by webhook; SMTP, console and files do not."""
    silent = ("anymail.backends.console.", "anymail.backends.test.")
    return settings.EMAIL_BACKEND.startswith("anymail.") and not settings.EMAIL_BACKEND.startswith(silent)


def _is_plain_remote(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("redis", "amqp") and parts.hostname not in ("127.0.0.1", "localhost", "::1", None)
