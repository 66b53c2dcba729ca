"""The table of `margin.controls` on the wire, one address each; and the rows of gates and confirmed books.

The domain function judges the role (403), the person and the state (409 or 422); a repeat has one effect.
"""

from typing import Any, ClassVar

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import viewsets
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import Contact
from margin import models
from margin.actors import Actor
from margin.controls import Control
from margin.hypothetical.examples import TEXT, record
from margin.verb_api import read, require_role
from market import clock, strict, wire

WHOLE = "[0-9]+"
SCOPE = "calls:write"


# --- the rows -----------------------------------------------------------------------------------------


class GateRows(wire.Rows):
    policy = wire.code("policy.code")
    instrument = wire.code("instrument.code", allow_null=True)
    closed_by = wire.code("closed_by.username", allow_null=True)

    class Meta:
        model = models.StormGate
        fields = (
            *("id", "policy", "sweep", "state", "calls", "accounts", "instrument", "explained", "opened_at", "until"),
            *("closed_at", "closed_by", "reason", "quiet_until"),
        )


class GateFilters(filters.FilterSet):
    policy = filters.CharFilter("policy__code")
    state = wire.one_of("state", models.StormGate.State.choices)


class Gates(viewsets.ReadOnlyModelViewSet[models.StormGate]):
    """Storms of calls that were held for a person."""

    queryset = models.StormGate.objects.select_related("policy", "instrument", "closed_by")
    serializer_class = GateRows
    filterset_class = GateFilters
    lookup_value_regex = WHOLE
    ordering = ("-pk",)
    ordering_fields = ("opened_at", "until")


class ReconciliationRows(wire.Rows):
    account = wire.code("account.code")
    confirmed_by = wire.code("confirmed_by.username")

    class Meta:
        model = models.Reconciliation
        fields = ("id", "account", "confirmed_by", "confirmed_at", "reason")


class ReconciliationFilters(filters.FilterSet):
    account = filters.CharFilter("account__code")


class Reconciliations(viewsets.ReadOnlyModelViewSet[models.Reconciliation]):
    """Books that a person confirmed as whole."""

    queryset = models.Reconciliation.objects.select_related("account", "confirmed_by")
    serializer_class = ReconciliationRows
    filterset_class = ReconciliationFilters
    lookup_value_regex = WHOLE
    ordering = ("-pk",)
    ordering_fields = ("confirmed_at",)


# --- the acts -----------------------------------------------------------------------------------------

DONE = record(list=TEXT, id={"type": ["integer", "string"]})


class Controls(APIView):
    """POST of one control; subclasses name it."""

    write_scope = SCOPE
    takes_staff = True
    http_method_names = ("post",)
    control: ClassVar[Control]

    def carry_out(self, request: Request, names: dict[str, Any], actor: Actor) -> Response:
        one, (key,) = self.control, names.values()
        require_role(actor, one.roles)
        said = _said(one, request.data)
        row = key if one.makes else get_object_or_404(one.rows, **{one.key: key})
        made = one.deed(row, at=clock.now(), actor=actor, **said)
        return Response({"list": one.lists, "id": named(made)})


def named(made: Any) -> int | str:
    """What finds the row in its list."""
    if isinstance(made, models.PolicyVersion):
        return made.policy.code
    if isinstance(made, Contact):
        return made.client.code
    return int(made.pk)


def does(one: Control) -> type[Controls]:
    """The view of one control, described from the table."""

    @extend_schema(
        operation_id=f"{one.on}_{one.name}",
        summary=one.label,
        request={"application/json": body_schema(one)},
        responses={200: DONE},
    )
    def post(self: Controls, request: Request, *, actor: Actor, **names: Any) -> Response:
        return self.carry_out(request, names, actor)

    post.__doc__ = f"{one.label}. Roles: {', '.join(one.roles)}."
    rows: QuerySet[Any] = one.rows._default_manager.all()
    return type("Does", (Controls,), {"control": one, "post": post, "queryset": rows})


def body_schema(one: Control) -> dict[str, Any]:
    """What the body holds; a policy's terms are described by docs/policy.schema.json."""
    schema = wire.record_schema(one.columns)
    if one.name == "publish":
        terms = {"type": "object", "description": "As docs/policy.schema.json says"}
        return {
            **schema,
            "properties": {**schema["properties"], "terms": terms},
            "required": [*schema["required"], "terms"],
        }
    return schema


def _said(one: Control, body: Any) -> dict[str, Any]:
    if one.name != "publish":
        return {name: value for name, value in read(body, dict(one.columns)).items() if value is not None}
    stated = body if isinstance(body, dict) else {}
    if not isinstance(stated.get("terms"), dict):
        raise strict.refuse("terms", "must be an object")
    rest = read({name: value for name, value in stated.items() if name != "terms"}, dict(one.columns))
    return {**rest, "terms": stated["terms"]}
