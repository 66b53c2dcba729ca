"""Cure options on the wire: `GET /api/v1/calls/{id}/cure-options/?have=5000`. Reads; never writes."""

from decimal import Decimal

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import exceptions, serializers
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from margin import cure_options
from margin.hypothetical.examples import AMOUNT, TEXT, TEXTS, many, or_null, record
from margin.models import MarginCall

YES_NO = {"type": "boolean"}
AMOUNTS = {"type": "object", "additionalProperties": AMOUNT}
STEP = record(kind=TEXT, instrument=TEXT, quantity=AMOUNT, amount=AMOUNT, fee=AMOUNT)
OPTION = record(
    steps=many(STEP), value=AMOUNT, fee=AMOUNT, excess=AMOUNTS, left=AMOUNTS, clears=TEXTS, clears_all=YES_NO,
    breaches=TEXTS, is_proven=YES_NO,
)  # fmt: skip
ASKED = record(call=TEXT, regime=TEXT, cash=AMOUNT, excess=AMOUNT, ways=TEXTS, market_cures=YES_NO)
OPTIONS = record(
    is_clear=YES_NO,
    calls=many(ASKED),
    cash=many(OPTION),
    deposits=many(OPTION),
    trades=many(OPTION),
    mixes=many(OPTION),
    values=many(record(value=AMOUNT, rates=AMOUNTS)),
    refused=many(record(way=TEXT, instrument=or_null(TEXT), why=TEXT, missing=AMOUNT)),
    cushions=many(record(regime=TEXT, probability=AMOUNT, cash=AMOUNT)),
)
ANSWER = record(
    call=TEXT, account=TEXT, at={"type": "string", "format": "date-time"}, currency=TEXT, have=AMOUNT,
    this_call=OPTIONS, all_calls=or_null(OPTIONS),
)  # fmt: skip


class CureQuestion(serializers.Serializer[None]):
    """What may be asked besides."""

    have = serializers.DecimalField(
        max_digits=20,
        decimal_places=8,
        min_value=Decimal(0),
        default=Decimal(0),
        help_text="Money the client brings in, in the account's currency; the other ways then complete it",
    )
    currency = serializers.ListField(
        child=serializers.CharField(max_length=12),
        default=list,
        max_length=5,
        help_text="Also the cash in these currencies; repeat the parameter",
    )
    cushion = serializers.BooleanField(
        default=False, help_text="Also the cash that likely keeps the account clear until the deadline; takes longer"
    )


class CureOptions(APIView):
    """What meets an open call, and all open calls of its account together, tried through the engine."""

    only_computes = True
    http_method_names = ("get",)
    queryset = MarginCall.objects.all()  # whose view permission a member of staff needs

    @extend_schema(parameters=[CureQuestion], responses={200: ANSWER})
    def get(self, request: Request, id: int) -> Response:
        """Cash, securities, closings and mixes that meet the call at the prices of now; 400 says why there are none."""
        call = get_object_or_404(MarginCall, pk=id)
        asked = CureQuestion(data=request.query_params)
        asked.is_valid(raise_exception=True)
        said, at = asked.validated_data, timezone.now()
        worlds = cure_options.until_due(call, at=at) if said["cushion"] else None
        try:
            found = cure_options.of_call(call, at=at, have=said["have"], currencies=said["currency"], worlds=worlds)
        except cure_options.NotSizable as error:
            raise exceptions.ValidationError({"non_field_errors": [str(error)]}) from None
        return Response(cure_options.tree(found))
