"""A room's POST, guarded by the hall: for the key's own sources or in a person's role, once per Idempotency-Key."""

from functools import wraps
from typing import Any, Protocol

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ReadOnlyModelViewSet

from backoffice import idempotency, keys


class Writes(Protocol):
    """A room's viewset that takes batches."""

    write_scope: str

    def create(self, request: Request) -> Response: ...


def guarded(rows: type[Writes]) -> type[ReadOnlyModelViewSet[Any]]:
    """The same viewset; its `create` runs in one transaction with the reply that is kept for repeats."""

    @wraps(rows.create)
    def create(view: Any, request: Request) -> Response:
        keys.require_sources(keys.of(request), view.write_scope, request.data)
        return idempotency.once(request, lambda: rows.create(view, request))

    return type(rows.__name__, (rows,), {"create": create, "__doc__": rows.__doc__, "__module__": rows.__module__})


def acting(view: type[Any]) -> type[Any]:
    """The same view; its `get`, `post` or `create` is told who acts, and what writes has one effect under its key."""
    name = next(name for name in ("create", "post", "get") if hasattr(view, name))
    deed = getattr(view, name)

    @wraps(deed)
    def act(self: Any, request: Request, **names: Any) -> Response:
        actor = keys.actor(request)
        if name == "get":
            return deed(self, request, actor=actor, **names)
        return idempotency.once(request, lambda: deed(self, request, actor=actor, **names))

    return type(view.__name__, (view,), {name: act, "__doc__": view.__doc__, "__module__": view.__module__})
