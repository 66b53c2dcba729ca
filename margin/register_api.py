"""Registers for the regulator on the wire: the same sheets as on the page, row by row."""

from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import exceptions, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from margin import register_sheets, registers
from margin.models import Event
from market import wire

LONGEST = 366  # days


class RegisterQuestion(serializers.Serializer[None]):
    """Days of the house's time zone."""

    first = serializers.DateField(required=False, help_text="First day; left out: today")
    last = serializers.DateField(required=False, help_text="Last day, included; left out: the first")


class RegisterAnswer(serializers.Serializer[None]):
    name = serializers.CharField()
    title = serializers.CharField()
    columns = serializers.ListField(child=serializers.CharField())
    rows = serializers.ListField(child=serializers.DictField(), help_text="By column; amounts are text")


class Registers(APIView):
    """What a regulator asks to see."""

    http_method_names = ("get",)
    queryset = Event.objects.all()  # whose view permission a member of staff needs

    @extend_schema(
        operation_id="registers_retrieve",
        parameters=[
            RegisterQuestion,
            OpenApiParameter("name", OpenApiTypes.STR, OpenApiParameter.PATH, enum=sorted(registers.REGISTERS)),
        ],
        responses={200: RegisterAnswer},
    )
    def get(self, request: Request, name: str) -> Response:
        """The daily record of margin calls, extensions, restrictions, waivers, liquidations, or the aging of calls."""
        if name not in registers.REGISTERS:
            raise exceptions.NotFound(f"There is no register {name!r}; there are {', '.join(registers.REGISTERS)}")
        asked = RegisterQuestion(data=request.query_params)
        asked.is_valid(raise_exception=True)
        zone = ZoneInfo(settings.TIME_ZONE)
        first = asked.validated_data.get("first") or timezone.now().astimezone(zone).date()
        last = asked.validated_data.get("last") or first
        if not 0 <= (last - first).days <= LONGEST:
            raise exceptions.ValidationError({"last": [f"must be at most {LONGEST} days after `first`, not before it"]})
        sheet = registers.REGISTERS[name](register_sheets.Span(first, last, zone))
        rows = [{column: _plain(value) for column, value in zip(sheet.columns, row, strict=True)} for row in sheet.rows]
        return Response({"name": sheet.name, "title": sheet.title, "columns": sheet.columns, "rows": rows})


def _plain(value: register_sheets.Cell) -> str | int | None:
    if isinstance(value, Decimal):
        return wire.plain(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    return value
