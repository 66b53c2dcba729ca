"""Rights on the wire: the registers, and the question that other systems ask before an order or a withdrawal."""

# ruff: noqa: RUF009  `said` is dataclasses.field
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import exceptions, viewsets
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import Account
from margin import models, rights
from margin.hypothetical import forms
from margin.hypothetical.examples import AMOUNT, TEXT, TEXTS, many, or_null, record
from margin.hypothetical.forms import said
from margin.restriction_terms import Effect, StrikeKind
from market import strict, wire

WHOLE = "[0-9]+"


# --- the registers ----------------------------------------------------------------------------------


class RestrictionRows(wire.Rows):
    account = wire.code("account.code")

    class Meta:
        model = models.Restriction
        fields = (
            *("id", "account", "effect", "origin", "source", "call", "starts_at", "ends_at", "reason", "placed_by"),
            *("placed_seq", "lifted_at", "lifted_by", "lift_reason", "seq"),
        )


class RestrictionFilters(filters.FilterSet):
    account = filters.CharFilter("account__code")
    call = wire.IdFilter("call")
    effect = wire.one_of("effect", Effect.choices())
    origin = wire.one_of("origin", models.Restriction.Origin.choices)
    in_force = wire.YesNoFilter(method="where_in_force", label="neither lifted nor past its end")

    def where_in_force(
        self, rows: QuerySet[models.Restriction], name: str, value: bool
    ) -> QuerySet[models.Restriction]:
        now = models.Restriction.objects.in_force(timezone.now()).values("pk")
        return rows.filter(pk__in=now) if value else rows.exclude(pk__in=now)


class Restrictions(viewsets.ReadOnlyModelViewSet[models.Restriction]):
    """What accounts may not do, since when, until when and why."""

    queryset = models.Restriction.objects.select_related("account")
    serializer_class = RestrictionRows
    filterset_class = RestrictionFilters
    lookup_value_regex = WHOLE
    ordering = ("-pk",)
    ordering_fields = ("starts_at", "ends_at", "lifted_at")


class StrikeRows(wire.Rows):
    account = wire.code("account.code")

    class Meta:
        model = models.Strike
        fields = ("id", "account", "call", "kind", "regime", "at", "reason", "seq")


class StrikeFilters(filters.FilterSet):
    account = filters.CharFilter("account__code")
    kind = wire.one_of("kind", StrikeKind.choices())
    at_from = wire.since("at")
    at_before = wire.before("at")


class Strikes(viewsets.ReadOnlyModelViewSet[models.Strike]):
    """Calls that were not met in time by the client's own means."""

    queryset = models.Strike.objects.select_related("account")
    serializer_class = StrikeRows
    filterset_class = StrikeFilters
    lookup_value_regex = WHOLE
    ordering = ("-pk",)
    ordering_fields = ("at",)


class WaiverRows(wire.Rows):
    account = wire.code("account.code")
    proposed_by = wire.code("proposed_by.username")
    decided_by = wire.code("decided_by.username", allow_null=True)

    class Meta:
        model = models.Waiver
        fields = (
            *("id", "account", "restriction", "state", "reason", "proposed_by", "proposed_at", "decided_by"),
            *("decided_at", "decision", "seq"),
        )


class WaiverFilters(filters.FilterSet):
    account = filters.CharFilter("account__code")
    restriction = wire.IdFilter("restriction")
    state = wire.one_of("state", models.Waiver.State.choices)


class Waivers(viewsets.ReadOnlyModelViewSet[models.Waiver]):
    """What two people wrote to end a restriction before its time, granted or denied."""

    queryset = models.Waiver.objects.select_related("account", "proposed_by", "decided_by")
    serializer_class = WaiverRows
    filterset_class = WaiverFilters
    lookup_value_regex = WHOLE
    ordering = ("-pk",)
    ordering_fields = ("proposed_at", "decided_at")


# --- the question -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class OrderAsked:
    """An order somebody wants to send."""

    instrument: str = said("Its code", code=48)
    quantity: Decimal = said("Bought is positive, sold negative")
    price: Decimal | None = said("As quoted; null: at the market", default=None)


@dataclass(frozen=True)
class WithdrawalAsked:
    """Money somebody wants to take out."""

    currency: str = said("Its code", code=12)
    amount: Decimal = said("In that currency", positive=True)


@dataclass(frozen=True)
class Question:
    """Exactly one of the two."""

    order: OrderAsked | None = said("An order", default=None)
    withdrawal: WithdrawalAsked | None = said("A withdrawal", default=None)

    @property
    def action(self) -> rights.Action:
        if self.order is not None and self.withdrawal is None:
            return rights.Order(self.order.instrument, self.order.quantity, self.order.price)
        if self.withdrawal is not None and self.order is None:
            return rights.Withdrawal(self.withdrawal.currency, self.withdrawal.amount)
        raise forms.Wrong("", "ask about an order or about a withdrawal, one of them")


INSTANT = {"type": "string", "format": "date-time"}
IN_FORCE = record(
    id={"type": "integer"},
    effect={"enum": [effect.value for effect in Effect]},
    starts_at=INSTANT,
    ends_at=or_null(INSTANT),
    reason=TEXT,
)
ANSWER = record(
    account=TEXT,
    at=INSTANT,
    allowed={"type": "boolean"},
    reasons=TEXTS,
    restrictions=many(IN_FORCE),
    may_leave={**AMOUNT, "description": "Of a withdrawal: the most that margin lets leave, in `currency`"},
    currency=TEXT,
)
ASKED = {"order": {"instrument": "AIG", "quantity": "-100", "price": "4.76"}}


class AccountCheck(APIView):
    """Asked by POST, because the question has a body; nothing is written."""

    only_computes = True
    http_method_names = ("post",)
    queryset = models.Restriction.objects.all()  # whose view permission a member of staff needs

    @extend_schema(
        request={"application/json": forms.schema(Question)},
        responses={200: ANSWER},
        examples=[OpenApiExample("Sent", request_only=True, value=ASKED)],
    )
    def post(self, request: Request, code: str) -> Response:
        """May this order or this withdrawal go ahead? 200 with `allowed`, and every reason where it may not."""
        account = get_object_or_404(Account.objects.select_related("margined_with"), code=code)
        at = timezone.now()
        try:
            found = rights.check(account, action=forms.read(Question, request.data).action, at=at)
        except forms.Wrong as error:
            raise exceptions.ValidationError({error.path or "non_field_errors": [error.reason]}) from None
        except strict.Refused as refusal:
            raise exceptions.ValidationError({one.field: [one.reason] for one in refusal.problems}) from None
        return Response(told(account, found, at))


def told(account: Account, found: rights.Answer, at: datetime) -> dict[str, Any]:
    """The answer as plain values."""
    lead = account.margined_with or account
    instant = wire.Instant()
    return {
        "account": account.code,
        "at": instant.to_representation(at),
        "allowed": found.is_allowed,
        "reasons": list(found.reasons),
        "restrictions": [
            {
                "id": row.pk,
                "effect": row.effect,
                "starts_at": instant.to_representation(row.starts_at),
                "ends_at": None if row.ends_at is None else instant.to_representation(row.ends_at),
                "reason": row.reason,
            }
            for row in found.restrictions
        ],
        "may_leave": None if found.may_leave is None else wire.plain(found.may_leave),
        "currency": lead.base_currency,
    }
