"""What machines ask the house: does it live, is it ready, do the sweeps keep time, what are its figures."""

import secrets
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

MIGRATED: set[str] = set()  # remembered by this process: migrations are never taken back under a running one


@require_safe
@never_cache
def healthz(request: HttpRequest) -> HttpResponse:
    """The process answers. Asks nothing else: a restart cures only the process."""
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
@never_cache
def readyz(request: HttpRequest) -> JsonResponse:
    """Send traffic here? 200 if database, migrations and broker are in order, else 503 and the reason of each."""
    answers = {name: _reason(ask) for name, ask in (("database", _database), ("migrations", _migrations))}
    answers["broker"] = _reason(_broker)
    ready = all(answer == "ok" for answer in answers.values())
    return JsonResponse({"ready": ready, **answers}, status=200 if ready else 503)


@require_safe
@never_cache
def sweeps(request: HttpRequest) -> JsonResponse:
    """Per kind of sweep the age of the last complete one, and its limit; 503 if one is too old."""
    ages = sweep_ages()
    late = any(not age["ok"] for age in ages.values())
    return JsonResponse(ages, status=503 if late else 200)


@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus' text. In production it asks for `Authorization: Bearer METRICS_TOKEN`."""
    if settings.ENVIRONMENT == "production" and not _has_token(request):
        return HttpResponse("Send the METRICS_TOKEN as a bearer token.\n", status=401, content_type="text/plain")
    from django_prometheus.exports import ExportToDjangoView

    response = ExportToDjangoView(request)
    response.content += _sweep_gauges().encode()
    return response


def sweep_ages() -> dict[str, dict[str, Any]]:
    """`{kind: {last_complete_at, age_seconds, limit_seconds, expected, ok}}`, as the watchdog sees it."""
    from margin import watch

    return {
        kind: {
            "last_complete_at": age.last_complete_at,
            "age_seconds": age.age_seconds,
            "limit_seconds": age.limit_seconds,
            "expected": age.is_expected,
            "ok": age.is_ok,
        }
        for kind, age in watch.ages(timezone.now()).items()
    }


def _sweep_gauges() -> str:
    name = "margin_sweep_age_seconds"
    lines = [f"# HELP {name} Age of the last complete sweep; compare with the limit.", f"# TYPE {name} gauge"]
    for kind, age in sweep_ages().items():
        if age["age_seconds"] is not None:
            lines.append(f'{name}{{kind="{kind}",limit="{age["limit_seconds"]}"}} {age["age_seconds"]}')
    return "\n".join(lines) + "\n"


def _has_token(request: HttpRequest) -> bool:
    sent = request.headers.get("Authorization", "").removeprefix("Bearer ")
    return bool(settings.METRICS_TOKEN) and secrets.compare_digest(sent.encode(), settings.METRICS_TOKEN.encode())


def _reason(ask: Callable[[], None]) -> str:
    try:
        ask()
    except Exception as error:  # whatever is wrong, the answer is a sentence, not a page of errors
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no further word'}"
    return "ok"


def _database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _migrations() -> None:
    if MIGRATED:
        return
    executor = MigrationExecutor(connection)
    waiting = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if waiting:
        raise DatabaseError(f"{len(waiting)} migrations are not applied, the first is {waiting[0][0]}; run migrate")
    MIGRATED.add("all")


def _broker() -> None:
    from backoffice.celery import app

    with app.connection_for_write(connect_timeout=2, transport_options={"socket_timeout": 2}) as broker:
        broker.ensure_connection(max_retries=0, timeout=2)
