"""The OpenAPI document: what drf-spectacular cannot see for itself."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers

from backoffice import idempotency


class ProblemLine(serializers.Serializer[Any]):
    row = serializers.IntegerField(
        allow_null=True, help_text="Place in `rows`, the first is 1; null: the whole request"
    )
    field = serializers.CharField(allow_null=True)
    reason = serializers.CharField()


class ProblemDocument(serializers.Serializer[Any]):
    """application/problem+json (RFC 9457)."""

    type = serializers.CharField(help_text="urn:margin-desk:problem:rows-refused and others, listed in docs/api.md")
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField(help_text="What happened and what to do")
    errors = ProblemLine(many=True)  # type: ignore[assignment]  # a field, not the property
    reference = serializers.CharField(help_text="Tell us this one; our log has it too")


REFUSALS = {
    "400": "A parameter, the body or a header cannot be read",
    "401": "No key, or one that opens nothing",
    "403": "The key lacks the scope, or the role the right",
    "404": "No such row or page",
    "406": "Only application/json is answered",
}
WRITING_REFUSALS = {
    "400": "The body is not strict JSON, or the Idempotency-Key is missing",
    "401": REFUSALS["401"],
    "403": REFUSALS["403"],
    "409": "The same Idempotency-Key is at work (repeat), or the batch contradicts what is there",
    "413": "Larger than 5 MiB",
    "415": "Not application/json in UTF-8",
    "422": "Rows are refused, or the Idempotency-Key was used for another request: nothing was taken",
    "503": "The database is busy: repeat with the same Idempotency-Key",
}
COMPUTING_REFUSALS = {
    "400": "The body is not strict JSON, or says something that cannot be computed: the path is named",
    **{status: REFUSALS[status] for status in ("401", "403", "404", "406")},
    **{status: WRITING_REFUSALS[status] for status in ("413", "415")},
}
KEY_HEADER = OpenApiParameter(
    idempotency.HEADER,
    {"type": "string", "minLength": 1, "maxLength": idempotency.LONGEST_KEY},
    OpenApiParameter.HEADER,
    required=True,
    description="New for each batch, the same when it is repeated; the reply is kept for 72 hours.",
)


class Schema(AutoSchema):
    """Adds to every operation the problems it may answer, and to every POST that writes its Idempotency-Key."""

    def get_override_parameters(self) -> list[Any]:
        return [KEY_HEADER] if self._refusals is WRITING_REFUSALS else []

    @property
    def _refusals(self) -> dict[str, str]:
        if getattr(self.view, "only_computes", False):
            return COMPUTING_REFUSALS
        return WRITING_REFUSALS if self.method == "POST" else REFUSALS

    def _get_response_bodies(self, *args: Any, **options: Any) -> dict[str, Any]:
        responses: dict[str, Any] = super()._get_response_bodies(*args, **options)
        problem = self.resolve_serializer(ProblemDocument, "response").ref
        for status, words in self._refusals.items():
            responses[status] = {
                "description": words,
                "content": {"application/problem+json": {"schema": problem}},
            }
        return responses


class KeyScheme(OpenApiAuthenticationExtension):
    target_class = "backoffice.keys.KeyAuthentication"
    name = "ApiKey"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "mdk_<prefix>_<secret>"}


class SessionScheme(OpenApiAuthenticationExtension):
    target_class = "backoffice.keys.StaffSession"
    name = "StaffSession"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return {"type": "apiKey", "in": "cookie", "name": "sessionid", "description": "Read only"}
