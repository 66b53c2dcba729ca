"""A call's passport on the wire."""

from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.views import APIView

from backoffice import passport
from margin import history_keys
from margin.models import Event, MarginCall


class Unproven(exceptions.APIException):
    """The keys that prove a passport are not there."""

    status_code = 503
    default_code = "keys_missing"


class Passport(APIView):
    """All that explains and proves a call, in one ZIP."""

    http_method_names = ("get",)
    queryset = Event.objects.all()  # whose view permission a member of staff needs

    @extend_schema(operation_id="calls_passport", responses={(200, "application/zip"): OpenApiTypes.BINARY})
    def get(self, request: Request, id: int) -> HttpResponse:
        """The archive; verifier/passport.py verifies it with the standard library alone."""
        call = get_object_or_404(MarginCall, pk=id)
        try:
            made = passport.make(call, at=timezone.now(), by=str(request.user))
        except history_keys.KeysMissing as missing:
            raise Unproven(str(missing)) from None
        answer = HttpResponse(made, content_type="application/zip")
        answer["Content-Disposition"] = f'attachment; filename="{call.number}.zip"'
        return answer
