"""An account's calls and cures as of any instant, rebuilt from its events, on a page for auditors. Reads only."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.views.decorators.http import require_GET

from backoffice import audit, book
from margin import as_of


@require_GET
def account(request: HttpRequest, code: str) -> HttpResponse:
    """The rows that the account's events leave at the instant asked for; now, if none is."""
    audit.readers_only(request)
    owner = audit.find(code)
    asked = request.GET.get("at", "").strip()
    at, problem = book.moment(asked)
    found = as_of.instant(owner.pk, at=at)
    lines = [(call, [cure for cure in found.cures if cure.call_id == call.pk]) for call in found.calls]
    return TemplateResponse(
        request,
        "audit/as_of.html",
        {
            **admin.site.each_context(request),
            "title": f"{owner.code} as of an instant",
            "account": owner,
            "asked": asked,
            "problem": problem,
            "at": at,
            "found": found,
            "lines": lines,
        },
    )
