"""Warnings on the wire, and the level below which an account's client asked to be warned."""

from typing import Any

from django.db.models import JSONField, QuerySet
from django.db.models.expressions import RawSQL
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers, viewsets
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import alerts
from accounts.models import Account
from margin import models, verb_api, workflow
from margin.actors import Actor
from margin.hypothetical.examples import AMOUNT, TEXT, record
from market import strict, wire

DETAILS = """(
    SELECT e.body::jsonb -> 'details' FROM margin_event e
    WHERE e.account_id = margin_warning.account_id AND e.kind = 'warning.raised' AND e.at = margin_warning.raised_at
      AND e.body::jsonb ->> 'regime' = margin_warning.regime
      AND coalesce(e.body::jsonb #>> '{details,rung}', %s) = margin_warning.rung
    LIMIT 1
)"""
DISTANCES = {
    "type": "array",
    "items": record(instrument=TEXT, mark=AMOUNT, covered_to=AMOUNT),
    "description": "The largest holdings, and the last price at which each still brings no call; null: not one price",
}


class WarningRows(wire.Rows):
    account = wire.code("account.code")
    chance = serializers.SerializerMethodField(help_text="Of a call at the policy's horizon; null: not known")
    distances = serializers.SerializerMethodField()

    class Meta:
        model = models.Warning
        fields = (
            *("id", "account", "regime", "rung", "cover", "chance", "distances"),
            *("raised_at", "cleared_at", "cleared_by", "assessment"),
        )

    @extend_schema_field(AMOUNT)
    def get_chance(self, row: Any) -> str | None:
        return (row.details or {}).get("chance")

    @extend_schema_field(DISTANCES)
    def get_distances(self, row: Any) -> list[dict[str, str | None]]:
        told = (row.details or {}).get("distances", [])
        return [{"instrument": code, "mark": mark, "covered_to": last or None} for code, mark, last in told]


class WarningFilters(filters.FilterSet):
    account = filters.CharFilter("account__code")
    regime = wire.one_of("regime", workflow.Regime.choices())
    rung = filters.CharFilter("rung")
    open = wire.YesNoFilter("cleared_at", "isnull")
    raised_from = wire.since("raised_at")
    raised_before = wire.before("raised_at")


class Warnings(viewsets.ReadOnlyModelViewSet[models.Warning]):
    """Who came close to a call, how close, and what became of it; the latest first."""

    queryset = models.Warning.objects.select_related("account")
    serializer_class = WarningRows
    filterset_class = WarningFilters
    lookup_value_regex = verb_api.WHOLE
    ordering = ("-raised_at", "-pk")
    ordering_fields = ("raised_at", "cleared_at", "cover")

    def get_queryset(self) -> QuerySet[models.Warning]:
        details = RawSQL(DETAILS, [workflow.RUNG], output_field=JSONField())  # noqa: S611 - no word of it is asked
        return super().get_queryset().annotate(details=details)


# --- a client's own level -----------------------------------------------------------------------------

ASKED = {
    "level": wire.rate(optional=True),
    "reason": strict.column(strict.words, length=400),
}
ANSWER = record(account=TEXT, level=AMOUNT)


class AccountAlert(APIView):
    """The client's own warning level; who set which, and why, stays in the account's history."""

    write_scope = verb_api.SCOPE
    takes_staff = True
    http_method_names = ("post",)
    queryset = models.Warning.objects.all()  # whose view permission a member of staff needs

    @extend_schema(
        operation_id="accounts_alert",
        request={"application/json": wire.record_schema(ASKED, level="Equity ÷ requirement, above 1; null: none")},
        responses={200: ANSWER},
    )
    def post(self, request: Request, code: str, *, actor: Actor) -> Response:
        """Warn this account below a level of its client's; null leaves it to the policy alone."""
        verb_api.require_role(actor, alerts.ROLES)
        account = get_object_or_404(Account, code=code)
        said = verb_api.read(request.data, ASKED)
        try:
            stated = alerts.state(account, said["level"], reason=said["reason"], by=actor.name)
        except alerts.BadLevel as refusal:
            raise strict.refuse("level", str(refusal)) from None
        level = stated.alert_rate
        return Response({"account": stated.code, "level": None if level is None else wire.plain(level)})
