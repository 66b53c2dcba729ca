"""The regulator's desk: registers of any days, on the page, as CSV and as PDF. Reads only."""

from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.views.decorators.http import require_GET

from backoffice import papers, register_files
from backoffice.audit import readers_only
from margin import register_sheets, registers
from market import figures

LONGEST = timedelta(days=366)
SHOWN = 200  # rows of a register on the page; files hold all
TITLES = {
    "daily": "Daily record",
    "extensions": "Extensions",
    "restrictions": "Restrictions",
    "waivers": "Waivers",
    "liquidations": "Liquidations",
    "aging": "Aging",
    "documents": "Agreements and disclosures",
}


@require_GET
def register(request: HttpRequest, name: str = "daily") -> HttpResponse:
    """One register, of today or of the days asked for."""
    span, problem = _span(request)
    sheet = _sheet(request, name, span)
    return TemplateResponse(
        request,
        "audit/register.html",
        {
            **admin.site.each_context(request),
            "title": "Regulator's desk",
            "registers": TITLES,
            "name": name,
            "span": span,
            "problem": problem,
            "sheet": sheet,
            "rows": [[_shown(value) for value in row] for row in sheet.rows[:SHOWN]],
            "left_out": max(0, len(sheet.rows) - SHOWN),
        },
    )


@require_GET
def download(request: HttpRequest, name: str, form: str) -> HttpResponse:
    """The same register as a file, whole."""
    span, problem = _span(request)
    if problem:
        raise Http404(problem)
    sheet = _sheet(request, name, span)
    if form == "csv":
        answer = HttpResponse(register_files.as_csv(sheet), content_type="text/csv; charset=utf-8")
    else:
        answer = HttpResponse(register_files.as_pdf(sheet, at=timezone.now()), content_type="application/pdf")
    answer["Content-Disposition"] = f'attachment; filename="{name}-{span.first}-{span.last}.{form}"'
    return answer


def _sheet(request: HttpRequest, name: str, span: register_sheets.Span) -> register_sheets.Sheet:
    readers_only(request)
    if name not in registers.REGISTERS:
        raise Http404(f"There is no register {name!r}")
    return registers.REGISTERS[name](span)


def _span(request: HttpRequest) -> tuple[register_sheets.Span, str]:
    """The days asked for, or today, and what is wrong with the question."""
    zone = ZoneInfo(timezone.get_current_timezone_name())
    today = timezone.now().astimezone(zone).date()
    whole = register_sheets.Span(today, today, zone)
    try:
        first = date.fromisoformat(request.GET.get("first") or today.isoformat())
        last = date.fromisoformat(request.GET.get("last") or max(first, today).isoformat())
    except ValueError:
        return whole, "Write days as 2026-03-02; today is shown."
    if not timedelta(0) <= last - first <= LONGEST:
        return whole, "The first day must not be after the last, and at most a year before it; today is shown."
    return register_sheets.Span(first, last, zone), ""


def _shown(value: Any) -> Any:
    if hasattr(value, "astimezone"):
        return figures.instant(value)
    return papers.words(value) or figures.missing()
