"""What people decide besides calls, on the wire: gates, books, restrictions, waivers and policies. One address each.

The domain function judges the role (403), the person and the state (409 or 422); a repeat has one effect.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from django.db.models import Model, QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import viewsets
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import Account
from margin import calls, gate, models, policies, reconciling, restrictions, strikes
from margin.actors import Actor
from margin.hypothetical.examples import TEXT, record
from margin.restriction_terms import Effect
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


@dataclass(frozen=True)
class Control:
    """One address: on which rows, by which column they are named, who may, what is said and what is done."""

    on: str
    name: str
    label: str
    rows: type[Model]
    key: str
    roles: tuple[str, ...]
    columns: Mapping[str, strict.Column]
    deed: Callable[..., Any]
    lists: str
    makes: bool = False
    """Where there is no row of that name yet, the deed makes it and is given the name."""

    @property
    def address(self) -> str:
        return f"{self.on}/<{'int:id' if self.key == 'pk' else 'path:code'}>/{self.name}/"


def _approve(policy: models.Policy, *, number: int, at: Any, actor: Actor) -> models.PolicyVersion:
    version = policy.versions.filter(number=number).first()
    if version is None:
        raise calls.Refused(f"policy {policy.code} has no version {number}")
    return policies.approve(version, at=at, actor=actor)


def _publish(code: str, **said: Any) -> models.PolicyVersion:
    try:
        return policies.publish(code, **said)
    except policies.BadTerms as wrong:
        raise strict.refuse("terms", str(wrong)) from None


def _place(account: Account, *, effect: str, **said: Any) -> models.Restriction:
    return restrictions.place(account, effect=Effect(effect), **said)


def _decide(waiver: models.Waiver, *, finding: str, **said: Any) -> models.Waiver:
    return strikes.decide(waiver, is_granted=finding == "granted", **said)


REASON = strict.column(strict.words, length=400)
WHY = {"reason": REASON}
VERSION = {
    "effective_at": strict.column(strict.instant),
    "note": strict.column(strict.words, length=400, optional=True, default=""),
}
CONTROLS = (
    Control(
        "gates", "release", "Let held calls go out", models.StormGate, "pk", gate.MAY_RELEASE, WHY, gate.release,
        "gates",
    ),
    Control(
        "accounts", "reconcile", "Confirm the book as whole", Account, "code", reconciling.MAY_CONFIRM, WHY,
        reconciling.confirm, "reconciliations",
    ),
    Control(
        "accounts", "restrict", "Place a restriction", Account, "code", restrictions.PLACERS,
        {
            "effect": strict.column(strict.choice, of=tuple(effect.value for effect in Effect)),
            "ends_at": strict.column(strict.instant, optional=True),
            **WHY,
        },
        _place, "restrictions",
    ),
    Control(
        "restrictions", "lift", "Lift a restriction", models.Restriction, "pk", restrictions.PLACERS, WHY,
        restrictions.lift, "restrictions",
    ),
    Control(
        "restrictions", "waive", "Propose a waiver", models.Restriction, "pk", strikes.WAIVERS, WHY, strikes.waive,
        "waivers",
    ),
    Control(
        "waivers", "decide", "Decide a waiver", models.Waiver, "pk", strikes.WAIVERS,
        {"finding": strict.column(strict.choice, of=("granted", "denied")), **WHY}, _decide, "waivers",
    ),
    Control(
        "policies", "publish", "Publish a version", models.Policy, "code", ("Risk",), VERSION, _publish, "policies",
        makes=True,
    ),
    Control(
        "policies", "approve", "Approve a version", models.Policy, "code", ("Risk",),
        {"number": strict.column(strict.integer, lowest=1, highest=2**31 - 1)}, _approve, "policies",
    ),
)  # fmt: skip
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
        named = made.policy.code if isinstance(made, models.PolicyVersion) else made.pk
        return Response({"list": one.lists, "id": named})


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
