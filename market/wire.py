"""How rows cross the wire: figures as text, instants in UTC, batches read strictly. Shared by every room's `api`."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeVar

from django import forms
from django.core.exceptions import ValidationError
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field
from rest_framework import serializers

from market import strict
from market.fields import ExactField

LARGEST_BATCH = 10_000
Deed = TypeVar("Deed", bound=Callable[..., Any])


# --- rows out -----------------------------------------------------------------------------------------


def plain(value: Decimal) -> str:
    """Every digit that counts and no other, never an exponent: 71728.00000000 is "71728"."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


@extend_schema_field({"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$", "examples": ["-1234.5"]})
class Figure(serializers.DecimalField):
    """An exact number as text: JSON numbers pass through floats."""

    def to_representation(self, value: Decimal) -> str:
        return plain(value)


class Instant(serializers.DateTimeField):
    """In UTC: 2026-11-20T15:30:00Z."""

    def to_representation(self, value: datetime) -> str:
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


class Rows(serializers.ModelSerializer[Any]):
    """Rows of a model, read only; subclasses name every field."""

    serializer_field_mapping = {
        **serializers.ModelSerializer.serializer_field_mapping,
        ExactField: Figure,
        **{
            field: Instant
            for field, shown in serializers.ModelSerializer.serializer_field_mapping.items()
            if shown is serializers.DateTimeField
        },
    }

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        fields = super().get_fields()
        for field in fields.values():
            field.read_only = True
        return fields


def code(source: str, **options: Any) -> serializers.CharField:
    """The code of a related row, such as `account.code`."""
    return serializers.CharField(source=source, read_only=True, **options)


# --- filters ------------------------------------------------------------------------------------------


class InstantField(forms.CharField):
    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        if not text:
            return None
        try:
            return strict.instant(text, field="")
        except strict.Refused as refusal:
            reason = refusal.problems[0].reason
            hint = "; a + in an address is written %2B" if re.search(r" [0-9]{2}:[0-9]{2}$", text) else ""
            raise ValidationError(f"{reason}{hint}") from None


@extend_schema_field(OpenApiTypes.DATETIME)
class InstantFilter(filters.Filter):
    """`…_from` includes its instant, `…_before` does not."""

    field_class = InstantField


@extend_schema_field(OpenApiTypes.INT64)
class IdFilter(filters.Filter):
    field_class = forms.IntegerField

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, min_value=0, max_value=2**63 - 1, **options)


@extend_schema_field(OpenApiTypes.BOOL)
class YesNoFilter(filters.TypedChoiceFilter):
    """`true` or `false`, nothing else."""

    def __init__(self, *args: Any, **options: Any) -> None:
        choices = (("true", "true"), ("false", "false"))
        super().__init__(*args, choices=choices, coerce=lambda text: text == "true", **options)


def since(field: str) -> InstantFilter:
    return InstantFilter(field, "gte", label=f"{field} at or after")


def before(field: str) -> InstantFilter:
    return InstantFilter(field, "lt", label=f"{field} before")


def one_of(field: str, choices: Sequence[tuple[str, str]]) -> filters.MultipleChoiceFilter:
    """May be given several times: any of them."""
    return filters.MultipleChoiceFilter(field_name=field, choices=choices)


# --- batches in ---------------------------------------------------------------------------------------


def price(**options: Any) -> strict.Column:
    """A column as wide as `market.fields.price`."""
    return strict.column(strict.decimal, digits=32, places=12, **options)


def quantity(**options: Any) -> strict.Column:
    return strict.column(strict.decimal, digits=32, places=12, **options)


def amount(**options: Any) -> strict.Column:
    return strict.column(strict.decimal, digits=28, places=8, **options)


def rate(**options: Any) -> strict.Column:
    return strict.column(strict.decimal, digits=24, places=12, **options)


def batch(
    body: Any, columns: Mapping[str, strict.Column], about: Mapping[str, strict.Column] | None = None
) -> tuple[list[strict.Row], dict[str, Any]]:
    """The rows of `{"rows": [{…}, …]}`, numbered from 1, and what is said of them all beside `rows`.

    Raises strict.Refused with everything that is wrong.
    """
    problems, said = strict.Problems(), {}
    if isinstance(body, dict):
        try:
            said = strict.record({name: value for name, value in body.items() if name != "rows"}, about or {})
        except strict.Refused as refusal:
            problems.take(0, refusal)
    rows = body.get("rows") if isinstance(body, dict) else None
    if not isinstance(rows, list):
        problems.add(0, "rows", 'is missing; send {"rows": [{...}, ...]}')
        rows = []
    elif not 1 <= len(rows) <= LARGEST_BATCH:
        problems.add(0, "rows", f"holds {len(rows)} rows; send 1 to {LARGEST_BATCH}")
        rows = []
    found = []
    for number, values in enumerate(rows, start=1):
        try:
            if not isinstance(values, dict):
                raise strict.refuse("", "must be an object")
            found.append(strict.Row(number, strict.record(values, columns, row=number)))
        except strict.Refused as refusal:
            problems.take(number, refusal)
    problems.check()
    return found, said


def documented(
    columns: Mapping[str, strict.Column],
    *,
    about: Mapping[str, strict.Column] | None = None,
    answer: type[serializers.Serializer[Any]],
    sent: dict[str, Any],
    answered: dict[str, Any],
    **descriptions: str,
) -> Callable[[Deed], Deed]:
    """Describe a `create` in OpenAPI: what it takes, what it answers, and an example of either."""
    return extend_schema(
        request={"application/json": batch_schema(columns, about, **descriptions)},
        responses={201: answer},
        examples=[
            OpenApiExample("Sent", request_only=True, value=sent),
            OpenApiExample("Answered", response_only=True, status_codes=["201"], value=answered),
        ],
    )


def batch_schema(
    columns: Mapping[str, strict.Column], about: Mapping[str, strict.Column] | None = None, **descriptions: str
) -> dict[str, Any]:
    """The JSON Schema of such a batch, derived from the same columns that read it."""
    schema = record_schema(about or {}, **descriptions)
    rows = {"type": "array", "minItems": 1, "maxItems": LARGEST_BATCH, "items": record_schema(columns, **descriptions)}
    schema["properties"]["rows"] = rows
    schema["required"].append("rows")
    return schema


def record_schema(columns: Mapping[str, strict.Column], **descriptions: str) -> dict[str, Any]:
    """The JSON Schema of one record, derived from the same columns that read it."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [name for name, how in columns.items() if not how.optional],
        "properties": {name: _field_schema(how, descriptions.get(name, "")) for name, how in columns.items()},
    }


def _field_schema(how: strict.Column, description: str) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string", **_FORMATS.get(how.read, lambda options: {})(how.options)}
    if how.optional:
        schema["type"] = [schema["type"], "null"]
        if "enum" in schema:
            schema["enum"] = [*schema["enum"], None]
    return {**schema, **({"description": description} if description else {})}


def _decimal_schema(options: Mapping[str, Any]) -> dict[str, Any]:
    whole, places = options["digits"] - options["places"], options["places"]
    return {"pattern": rf"^-?(0|[1-9][0-9]{{0,{whole - 1}}})(\.[0-9]{{1,{places}}})?$"}


_FORMATS = {
    strict.decimal: _decimal_schema,
    strict.instant: lambda options: {"format": "date-time"},
    strict.date: lambda options: {"format": "date"},
    strict.choice: lambda options: {"enum": list(options["of"])},
    strict.code: lambda options: {"minLength": 1, "maxLength": options["length"]},
    strict.words: lambda options: {"minLength": 1, "maxLength": options["length"]},
    strict.boolean: lambda options: {"type": "boolean"},
    strict.integer: lambda options: {
        "type": "integer",
        "minimum": options["lowest"],
        "maximum": options["highest"],
    },
}
