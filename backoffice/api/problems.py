"""Every refusal as one shape, application/problem+json (RFC 9457): what happened, to which row, what to do."""

import logging
import uuid
from http import HTTPStatus
from typing import Any

import psycopg2
import structlog
from django.core.exceptions import PermissionDenied
from django.core.signals import got_request_exception
from django.db import DataError, IntegrityError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.urls import Resolver404, resolve
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from accounts import ledgers
from margin import calls
from market import clock
from market.strict import Problem, Refused

MEDIA_TYPE = "application/problem+json"
MOST_ERRORS = 101
AWAY = (OperationalError, InterfaceError, psycopg2.OperationalError, psycopg2.InterfaceError)
log = logging.getLogger(__name__)


def respond(error: Exception, context: dict[str, Any]) -> Response:
    """The reply to any exception of an API view. Only what nobody foresaw is a 500, logged with its reference."""
    set_rollback()
    headers: dict[str, str] = {}
    if isinstance(error, Http404):
        error = exceptions.NotFound("There is no such row.")
    if isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied(str(error) or None)
    if isinstance(error, exceptions.APIException):
        if header := getattr(error, "auth_header", None):
            headers["WWW-Authenticate"] = header
        if wait := getattr(error, "wait", None):
            headers["Retry-After"] = str(int(wait))
        body = _of_api_exception(error)
    elif isinstance(error, ledgers.Conflict):
        body = problem(409, "conflict", "Nothing was taken; a reference is used for something else.", error.problems)
    elif isinstance(error, Refused):
        body = problem(422, "rows_refused", "Nothing was taken; correct the rows and send all again.", error.problems)
    elif isinstance(error, calls.CallError | clock.SkewedClock):
        body = _not_done(error)
    elif isinstance(error, IntegrityError):
        body = problem(409, "conflict", f"Nothing was taken. The database refused: {_constraint(error)}. Reload first.")
    elif isinstance(error, DataError):
        body = problem(422, "value_refused", f"Nothing was taken. The database refused a value: {_first_line(error)}.")
    elif _database_is_away(error):
        headers["Retry-After"] = "2"
        body = problem(503, "try_again", "Nothing was taken: the database is busy or away. Send the same again.")
        log.warning("database refused an API request", extra={"reference": body["reference"]}, exc_info=error)
    else:
        body = problem(500, "fault", "This is our fault; nothing was taken. Tell us the reference.")
        log.error("fault in the API, reference %s", body["reference"], exc_info=error)
        got_request_exception.send(sender=None, request=context["request"]._request)
    return Response(body, status=body["status"], headers=headers, content_type=MEDIA_TYPE)


def _not_done(error: Exception) -> dict[str, Any]:
    """What the door said to an act."""
    told = f"Nothing was done: {error}"
    if isinstance(error, calls.StaleCall):
        return problem(409, "stale_call", told)
    if isinstance(error, calls.IllegalMove):
        return problem(409, "illegal_move", told)
    if isinstance(error, calls.CallError):
        return problem(422, "move_refused", told)
    return problem(503, "try_again", told)


def problem(status: int, code: str, detail: str, problems: tuple[Problem, ...] = ()) -> dict[str, Any]:
    """One problem document, with at most MOST_ERRORS lines. `reference` is also in our log."""
    if len(problems) > MOST_ERRORS:
        problems = (*problems[:MOST_ERRORS], Problem(0, "", f"and {len(problems) - MOST_ERRORS} more"))
    return {
        "type": f"urn:margin-desk:problem:{code.replace('_', '-')}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "errors": [{"row": row or None, "field": field or None, "reason": reason} for row, field, reason in problems],
        "reference": str(structlog.contextvars.get_contextvars().get("request_id") or uuid.uuid4())[:64],
    }


def not_found(request: HttpRequest, rest: str = "") -> HttpResponse:
    """Anything else under /api/: the address with its slash, or a problem instead of a page."""
    try:
        if not request.path_info.endswith("/") and resolve(request.path_info + "/").url_name != "not-found":
            query = request.META.get("QUERY_STRING", "")
            moved = HttpResponseRedirect(f"{request.path}/{'?' * bool(query)}{query}")
            moved.status_code = HTTPStatus.PERMANENT_REDIRECT
            return moved
    except Resolver404:
        pass
    body = problem(404, "not_found", "There is nothing at this address; /api/docs lists every address.")
    return JsonResponse(body, status=404, content_type=MEDIA_TYPE)


def _database_is_away(error: BaseException | None) -> bool:
    """Whether a cut, a time-out or a deadlock is behind it. COPY raises the driver's own errors, or wraps them."""
    seen = 0
    while error is not None and seen < 10:
        if isinstance(error, AWAY):
            return True
        error, seen = error.__cause__ or error.__context__, seen + 1
    return False


def _of_api_exception(error: exceptions.APIException) -> dict[str, Any]:
    if isinstance(error, exceptions.ValidationError):
        found = tuple(_problems(error.detail))
        return problem(error.status_code, "request_refused", "The request cannot be answered as asked.", found)
    codes = error.get_codes()
    return problem(error.status_code, codes if isinstance(codes, str) else "refused", str(error.detail))


def _problems(detail: Any, field: str = "") -> list[Problem]:
    if isinstance(detail, dict):
        return [found for name, inner in detail.items() for found in _problems(inner, str(name))]
    if isinstance(detail, list):
        return [found for inner in detail for found in _problems(inner, field)]
    return [Problem(0, "" if field == "non_field_errors" else field, str(detail))]


def _constraint(error: IntegrityError) -> str:
    name = getattr(getattr(error.__cause__, "diag", None), "constraint_name", None)
    return str(name or "a rule of its own").replace("_", " ")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
