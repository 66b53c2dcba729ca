"""Pages, filters and order of lists. A parameter that means nothing is refused: a typo must not widen the answer."""

from typing import Any

from django.db.models import QuerySet
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.exceptions import ValidationError
from rest_framework.filters import OrderingFilter
from rest_framework.pagination import PageNumberPagination
from rest_framework.request import Request

PAGING = ("page", "page_size", "ordering")


class Pages(PageNumberPagination):
    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 500

    def get_page_size(self, request: Request) -> int:
        text = request.query_params.get("page_size", str(self.page_size))
        if not (text.isascii() and text.isdigit() and len(text) < 5 and 1 <= int(text) <= self.max_page_size):
            raise ValidationError({"page_size": [f"must be a whole number from 1 to {self.max_page_size}"]})
        return int(text)

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """As OpenAPI 3.1 writes what may be null."""
        described: dict[str, Any] = super().get_paginated_response_schema(schema)
        for name in ("next", "previous"):
            described["properties"][name] = {"type": ["string", "null"], "format": "uri"}
        return described


class Filters(DjangoFilterBackend):
    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        filters = self.get_filterset_class(view, queryset) if view.action == "list" else None
        offered = sorted({*(filters.base_filters if filters else ()), *(PAGING if view.action == "list" else ())})
        _check_parameters(request, offered)
        filterset = filters and filters(request.query_params, queryset, request=request)
        if not filterset:
            return queryset
        if not filterset.is_valid():
            raise ValidationError({name: list(reasons) for name, reasons in filterset.errors.items()})
        return filterset.qs


def _check_parameters(request: Request, offered: list[str]) -> None:
    problems = {}
    for name, values in request.query_params.lists():
        if name not in offered:
            problems[name[:40]] = [f"is no parameter here; there are: {', '.join(offered) or 'none'}"]
        elif not all(value.strip() for value in values):
            problems[name] = ["is empty; leave it out or give a value"]
        elif len(values) > 1 and name in PAGING:
            problems[name] = ["is given twice"]
    if problems:
        raise ValidationError(problems)


class Ordering(OrderingFilter):
    """Over the view's `ordering_fields` alone; the primary key breaks ties, so that no row is on two pages."""

    def get_ordering(self, request: Request, queryset: QuerySet[Any], view: Any) -> list[str]:
        given = [name.strip() for name in request.query_params.get("ordering", "").split(",") if name.strip()]
        offered = tuple(view.ordering_fields)
        for name in given:
            if name.removeprefix("-") not in offered:
                raise ValidationError({"ordering": [f"{name[:40]!a} is not one of {', '.join(offered)}"]})
        ordering = given or list(view.ordering)
        return ordering if {"pk", "-pk"} & set(ordering) else [*ordering, "pk"]
