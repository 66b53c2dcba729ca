"""The acts of `margin.verbs` on the wire: one address each, with the role of whoever asks; and the rows they leave.

The hall adds who acts and that a repeat has one effect (`backoffice.api.writing.acting`).
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, ClassVar

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import exceptions, serializers, viewsets
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import Account
from margin import acts, api, batches, calls, models, policies, reasons, requests, verbs, workflow
from margin.actors import Actor
from margin.hypothetical.examples import TEXT, many, or_null, record
from margin.models import MarginCall
from market import clock, strict, wire
from market.models import Instrument

WHOLE = "[0-9]+"
SCOPE = "calls:write"
LARGEST_RETRACTION = 500


# --- the rows -----------------------------------------------------------------------------------------


class RequestRows(wire.Rows):
    account = wire.code("account.code")
    asked_by = wire.code("asked_by.username", allow_null=True, help_text="null: the system")
    decided_by = wire.code("decided_by.username", allow_null=True)
    terms = serializers.DictField(read_only=True, help_text="What else is asked, amounts as text")

    class Meta:
        model = models.Request
        fields = (
            *("id", "account", "call", "kind", "state", "batch", "until", "before", "reason_code", "reason"),
            *("external_reference", "terms", "asked_by", "asked_at", "decided_by", "decided_at", "decision", "seq"),
        )


class RequestFilters(filters.FilterSet):
    account = filters.CharFilter("account__code")
    call = wire.IdFilter("call")
    kind = wire.one_of("kind", models.Request.Kind.choices)
    state = wire.one_of("state", models.Request.State.choices)
    batch = filters.UUIDFilter("batch")


class Requests(viewsets.ReadOnlyModelViewSet[models.Request]):
    """What one person asked and another decides or decided."""

    queryset = models.Request.objects.select_related("account", "asked_by", "decided_by")
    serializer_class = RequestRows
    filterset_class = RequestFilters
    lookup_value_regex = WHOLE
    ordering = ("-pk",)
    ordering_fields = ("asked_at", "decided_at", "until")


class DisputeRows(wire.Rows):
    account = wire.code("account.code")
    decided_by = wire.code("decided_by.username", allow_null=True)

    class Meta:
        model = models.Dispute
        fields = (
            *("id", "account", "call", "state", "reason_code", "reason", "amount", "stops_clock", "opened_by"),
            *("opened_at", "granted", "decided_by", "decided_at", "decision", "seq"),
        )


class DisputeFilters(filters.FilterSet):
    account = filters.CharFilter("account__code")
    call = wire.IdFilter("call")
    state = wire.one_of("state", models.Dispute.State.choices)


class Disputes(viewsets.ReadOnlyModelViewSet[models.Dispute]):
    """What clients say is wrong with their calls, and what was decided."""

    queryset = models.Dispute.objects.select_related("account", "decided_by")
    serializer_class = DisputeRows
    filterset_class = DisputeFilters
    lookup_value_regex = WHOLE
    ordering = ("-pk",)
    ordering_fields = ("opened_at", "decided_at", "amount")


class TaskRows(wire.Rows):
    account = wire.code("account.code")
    owner = wire.code("owner.username", allow_null=True, help_text="null: nobody took it on yet")

    class Meta:
        model = models.Task
        fields = (
            *("id", "account", "call", "kind", "title", "owner", "due_at", "opened_by", "opened_at"),
            *("closed_by", "closed_at", "outcome", "seq"),
        )


class TaskFilters(filters.FilterSet):
    account = filters.CharFilter("account__code")
    call = wire.IdFilter("call")
    kind = filters.CharFilter("kind")
    owner = filters.CharFilter("owner__username")
    open = wire.YesNoFilter(method="where_open", label="not closed yet")

    def where_open(self, rows: QuerySet[models.Task], name: str, value: bool) -> QuerySet[models.Task]:
        return rows.filter(closed_at__isnull=value)


class Tasks(viewsets.ReadOnlyModelViewSet[models.Task]):
    """What people must do about calls, those due first first."""

    queryset = models.Task.objects.select_related("account", "owner")
    serializer_class = TaskRows
    filterset_class = TaskFilters
    lookup_value_regex = WHOLE
    ordering = ("due_at", "pk")
    ordering_fields = ("due_at", "opened_at", "closed_at")


class CureOfCallRows(api.CureRows):
    class Meta(api.CureRows.Meta):
        fields: tuple[str, ...] = ("call", *api.CureRows.Meta.fields)


class CureFilters(filters.FilterSet):
    account = filters.CharFilter("call__account__code")
    call = wire.IdFilter("call")
    kind = wire.one_of("kind", models.Cure.Kind.choices)
    state = wire.one_of("state", models.Cure.State.choices)


class Cures(viewsets.ReadOnlyModelViewSet[models.Cure]):
    """What meets calls: announced, under way, settled, reversed or never found."""

    queryset = models.Cure.objects.all()
    serializer_class = CureOfCallRows
    filterset_class = CureFilters
    lookup_value_regex = WHOLE
    ordering = ("-pk",)
    ordering_fields = ("expected_at", "settled_at")


# --- one act ------------------------------------------------------------------------------------------

MADE = record(list=TEXT, id={"type": "integer"})
DONE = record(row=or_null(MADE), call=or_null({"$ref": "#/components/schemas/CallRows"}))
OFFER = record(name=TEXT, label=TEXT, address=TEXT, body={"type": "object"})
OFFERS = record(verbs=many(OFFER))


class DoesAct(APIView):
    """POST of one act; subclasses name it."""

    write_scope = SCOPE
    takes_staff = True
    http_method_names = ("post",)
    act: ClassVar[acts.Act]

    def carry_out(self, request: Request, id: int, actor: Actor) -> Response:
        act = self.act
        row = get_object_or_404(verbs.ROWS[act.on], pk=id)
        require_role(actor, act.roles(row))
        said = read(request.data, act.columns)
        made = verbs.carry_out(act, row, said, at=clock.now(), actor=actor)
        return Response(answer(made if made is not None else row))


def does(act: acts.Act) -> type[DoesAct]:
    """The view of one act, described from the table."""

    @extend_schema(
        operation_id=f"{act.on}_{act.name}",
        summary=act.label,
        request={"application/json": body_schema(act)},
        responses={200: DONE},
    )
    def post(self: DoesAct, request: Request, id: int, *, actor: Actor) -> Response:
        return self.carry_out(request, id, actor)

    post.__doc__ = f"{act.label}. Roles: {roles_in_words(act)}."
    return type("Does", (DoesAct,), {"act": act, "post": post, "queryset": verbs.ROWS[act.on].objects.all()})


class Offers(APIView):
    """What whoever asks may do with this row now, each with its address and the JSON Schema of its body."""

    http_method_names = ("get",)
    on: ClassVar[str]

    def listed(self, id: int, actor: Actor) -> Response:
        row = get_object_or_404(verbs.ROWS[self.on], pk=id)
        found = verbs.offered(self.on, row, actor, at=clock.now())
        return Response({"verbs": [offer(act, id) for act in found]})


def offers(on: str) -> type[Offers]:
    @extend_schema(operation_id=f"{on}_verbs", summary="What may be done", responses={200: OFFERS})
    def get(self: Offers, request: Request, id: int, *, actor: Actor) -> Response:
        """What whoever asks may do with it now."""
        return self.listed(id, actor)

    return type("Offers", (Offers,), {"on": on, "get": get, "queryset": verbs.ROWS[on].objects.all()})


# --- many calls, and calls by hand --------------------------------------------------------------------

BY_PRICE = {
    "instrument": strict.column(strict.code, optional=True, length=48),
    "assessed_from": strict.column(strict.instant, optional=True),
    "assessed_until": strict.column(strict.instant, optional=True),
    "price": wire.price(optional=True),
}
WHY = {
    "reason_code": strict.column(strict.choice, of=tuple(reasons.RETRACTION)),
    "reason": strict.column(strict.words, length=400),
}
IDS = {"type": "array", "items": {"type": "integer"}, "maxItems": LARGEST_RETRACTION}
BY_HAND = {
    "account": strict.column(strict.code, length=24),
    "regime": strict.column(strict.choice, of=tuple(regime.value for regime in workflow.Regime)),
    "amount": wire.amount(),
    "reason": strict.column(strict.words, length=400),
}
ASKED = record(batch={"type": ["string", "null"]}, requests={"type": "array", "items": {"type": "integer"}})


class Retractions(APIView):
    """One proposal over many calls; another person grants it whole (settled.md 29)."""

    write_scope = SCOPE
    takes_staff = True
    http_method_names = ("post",)
    queryset = models.Request.objects.all()

    @extend_schema(
        operation_id="retractions_create",
        request={
            "application/json": {
                **wire.record_schema({**BY_PRICE, **WHY}),
                "properties": {**wire.record_schema({**BY_PRICE, **WHY})["properties"], "calls": IDS},
            }
        },
        responses={201: ASKED},
    )
    def post(self, request: Request, *, actor: Actor) -> Response:
        """Ask that calls be retracted: those in `calls`, or all open ones that rest on a price of `instrument`."""
        require_role(actor, calls.MAY[workflow.Verb.PROPOSE_CANCEL])
        body = request.data if isinstance(request.data, dict) else {}
        said = read({name: value for name, value in body.items() if name != "calls"}, {**BY_PRICE, **WHY})
        listed = _named(body["calls"]) if "calls" in body else resting(said)
        why = {name: said[name] for name in WHY}
        asked = requests.ask_retraction(listed, at=clock.now(), actor=actor, **why)
        batch = asked[0].batch
        return Response({"batch": batch and str(batch), "requests": [one.pk for one in asked]}, status=201)


class Calls(api.Calls):
    __doc__ = api.Calls.__doc__
    write_scope = SCOPE
    takes_staff = True

    @extend_schema(request={"application/json": wire.record_schema(BY_HAND)}, responses={201: DONE, 202: DONE})
    def create(self, request: Request, *, actor: Actor) -> Response:
        """Call by hand: issued at once (201), or, above what the policy lets one person call, asked for (202)."""
        require_role(actor, calls.MAY[workflow.Verb.PROPOSE_ISSUE])
        said = read(request.data, BY_HAND)
        account = Account.objects.filter(code=said.pop("account")).first()
        if account is None:
            raise strict.refuse("account", "is no account of ours")
        made = by_hand(account, at=clock.now(), actor=actor, **said)
        return Response(answer(made), status=201 if isinstance(made, MarginCall) else 202)


def by_hand(account: Account, *, regime: str, amount: Decimal, **said: Any) -> MarginCall | models.Request:
    """The call, or above what the policy lets one person call the request for it. Raises calls.CallError."""
    try:
        stated = policies.governing(account, said["at"]).terms.regimes
    except policies.NoPolicy as missing:
        raise calls.Refused(str(missing)) from None
    limits = {one.regime: one.second_approval_above for one in stated}
    if regime not in limits:
        raise calls.Refused(f"the policy of account {account} has no regime {regime}; it has {', '.join(limits)}")
    deed = requests.issue if amount <= limits[regime] else requests.ask_issue
    return deed(account, regime=regime, amount=amount, **said)


def _named(ids: Any) -> list[MarginCall]:
    is_list = isinstance(ids, list) and all(isinstance(one, int) and not isinstance(one, bool) for one in ids)
    if not is_list or not 1 <= len(set(ids)) <= LARGEST_RETRACTION:
        raise strict.refuse("calls", f"must be a list of 1 to {LARGEST_RETRACTION} ids")
    found = list(MarginCall.objects.filter(pk__in=ids).order_by("pk"))
    if missing := sorted(set(ids) - {call.pk for call in found}):
        raise strict.refuse("calls", f"there is no call {missing[0]}")
    return found


def resting(said: Mapping[str, Any]) -> list[MarginCall]:
    """The open calls that rest on the price that `said` describes (BY_PRICE). Raises strict.Refused or CallError."""
    instrument = Instrument.objects.filter(code=said["instrument"]).first() if said["instrument"] else None
    if instrument is None:
        raise strict.refuse("instrument", "name calls, or an instrument of ours whose price was wrong")
    if said["assessed_from"] is None:
        raise strict.refuse("assessed_from", "say since when its price was wrong")
    found = batches.resting_on(
        instrument, since=said["assessed_from"], until=said["assessed_until"], mark=said["price"]
    )
    if not found:
        raise calls.IllegalMove(f"no open call rests on a price of {instrument} of that time")
    if len(found) > LARGEST_RETRACTION:
        raise calls.Refused(f"{len(found)} calls rest on it; narrow it to {LARGEST_RETRACTION}")
    return found


# --- how ----------------------------------------------------------------------------------------------


def read(body: Any, columns: dict[str, strict.Column]) -> dict[str, Any]:
    """The body as typed values. Raises strict.Refused with all that is wrong."""
    if not isinstance(body, dict):
        raise strict.refuse("", "must be an object")
    return strict.record(body, columns)


def require_role(actor: Actor, roles: tuple[str, ...]) -> None:
    """403 with the sentence, unless the role may."""
    if actor.role not in roles:
        role = actor.role or "no role"
        raise exceptions.PermissionDenied(f"{actor.name} ({role}) may not do this; it takes {' or '.join(roles)}.")


def answer(made: Any) -> dict[str, Any]:
    """The row that was made or changed, and its call as it stands now."""
    name = verbs.NAMES.get(type(made))
    call_id = made.pk if isinstance(made, MarginCall) else made.call_id
    call = api.Calls.queryset.filter(pk=call_id).first()
    return {
        "row": {"list": name, "id": made.pk} if name else None,
        "call": api.CallRows(call).data if call else None,
    }


def offer(act: acts.Act, row_id: int) -> dict[str, Any]:
    address = f"/api/v1/{act.on}/{row_id}/{act.name}/"
    return {"name": act.name, "label": act.label, "address": address, "body": body_schema(act)}


def body_schema(act: acts.Act) -> dict[str, Any]:
    """What the body holds, as JSON Schema, from the same columns that read it."""
    described = {field.name: ", ".join(filter(None, (field.label, field.hint))) for field in act.fields}
    return wire.record_schema(act.columns, seq="Of the row as you saw it: 409 if it moved on", **described)


def roles_in_words(act: acts.Act) -> str:
    by_kind = {act.verb} if isinstance(act.verb, workflow.Verb) else set(act.verb.values())
    return ", ".join(sorted({role for verb in by_kind for role in calls.MAY[verb]}))
