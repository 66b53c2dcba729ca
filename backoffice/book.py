"""An account on one page: what it holds, what it is worth, what is required and why, its calls and its history."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.html import format_html

from accounts.admin import RECENT, holdings, movements
from accounts.models import Account
from backoffice import sheets
from backoffice.badges import state_badge
from margin.admin import measured
from margin.models import Assessment, MarginCall, SmaEntry
from market import figures
from market.faces import ReadOnlyAdmin, Table, column, link


@admin.register(Account)
class AccountAdmin(ReadOnlyAdmin):
    list_display = (
        "code",
        column("client", lambda row: row.client.name, ordering="client__name"),
        "agreement",
        "base_currency",
        "opened_on",
        "closed_on",
    )
    list_filter = ("agreement", "base_currency")
    search_fields = ("code", "name", "client__name", "client__code")
    list_select_related = ("client",)
    change_form_template = "desk/account.html"

    def get_urls(self) -> list[URLPattern]:
        guard = self.admin_site.admin_view
        return [
            path("forms/<slug:name>/", guard(sheets.show), name="sheet"),
            path("<str:code>/explain/", guard(explain), name="accounts_account_explain"),
            *super().get_urls(),
        ]

    def tables(self, request: HttpRequest, obj: Account) -> list[Table]:
        stands = [*latest_assessment(request, obj), holdings(request, obj), account_calls(request, obj), *kept(obj)]
        return [*together(request, obj), *stands, *memorandum(request, obj), *movements(obj)]


def kept(account: Account) -> list[Table]:
    """What its client wants sold last; nothing where there is no wish."""
    if not account.liquidate_last:
        return []
    rows = [(one["keep"], figures.instant(datetime.fromisoformat(one["since"])), one["by"])
            for one in account.liquidate_last]  # fmt: skip
    note = "The first is kept the longest; the policy says whether this is honoured."
    return [Table("To be sold last", ("instrument or kind", "since", "stated by"), rows, note=note)]


def together(request: HttpRequest, account: Account) -> list[Table]:
    """With which accounts it is margined as one; nothing where it stands by itself."""
    if account.margined_with is not None:
        note = format_html("Measured with {}: its figures and calls are there", link(request, account.margined_with))
        return [Table("Margined together", ("account",), [], empty="It is not assessed by itself.", note=note)]
    members = account.members.select_related("client")
    if not members:
        return []
    rows = [(link(request, member, member.code), member.client.name, member.base_currency) for member in members]
    said = "What these accounts hold is measured as one with this account; calls are issued here"
    return [Table("Margined together", ("account", "client", "base currency"), rows, empty="", note=said)]


def latest_assessment(request: HttpRequest, account: Account) -> list[Table]:
    found = Assessment.objects.filter(account=account).select_related("sweep").order_by("-id").first()
    if found is None:
        quiet = "No sweep has kept figures of this account: it was quiet whenever it was assessed, or never assessed."
        return [Table("Latest assessment", ("regime",), [], empty=f"{quiet} Explain computes them now.")]
    table = measured(found, list(found.measures.all()))
    note = format_html("{}, assessed {}", link(request, found.sweep), figures.instant(found.at, seconds=True))
    if found.status != Assessment.Status.PRICED:
        note = format_html("{} · {}: {}", note, found.get_status_display(), "; ".join(map(str, found.reasons)))
    return [Table("Latest assessment kept", table.heads, table.rows, empty=table.empty, note=note)]


def account_calls(request: HttpRequest, account: Account) -> Table:
    calls = MarginCall.objects.filter(account=account).order_by("-id")[:50]
    return Table(
        "Margin calls",
        ("call", "regime", "state", "called", "outstanding", "due"),
        [
            (
                link(request, call),
                call.get_regime_display(),
                state_badge(call),
                figures.amount(call.amount_called, call.currency),
                figures.amount(call.amount_outstanding, call.currency),
                figures.instant(call.due_at),
            )
            for call in calls
        ],
        empty="This account was never called.",
    )


def memorandum(request: HttpRequest, account: Account) -> list[Table]:
    """SMA of an account that has any, and what Regulation T calls: shown only, no margin call is issued from it."""
    entries = list(SmaEntry.objects.filter(account=account).order_by("-number")[:RECENT])
    if not entries:
        return []
    currency = account.base_currency
    heads = ("posted", "kind", "amount", "SMA after", "called after", "reference")
    rows = [
        (
            figures.instant(entry.at),
            entry.get_kind_display(),
            figures.amount(entry.amount, currency),
            figures.amount(entry.balance, currency),
            figures.amount(entry.called, currency),
            link(request, entry, entry.reference),
        )
        for entry in entries
    ]
    note = format_html(
        "SMA {} · called by Regulation T {}",
        figures.amount(entries[0].balance, currency),
        figures.amount(entries[0].called, currency),
    )
    return [Table("Special memorandum account", heads, rows, empty="", note=note)]


def explain(request: HttpRequest, code: str) -> HttpResponse:
    """The requirement of an account at an instant, as the sum of its charges, recomputed while you wait."""
    from margin import assessments  # the engine: not needed to start

    if not request.user.has_perm("margin.view_assessment"):
        raise PermissionDenied("Your role does not see assessments.")
    account = Account.objects.select_related("client").filter(code=code).first()
    if account is None:
        raise Http404(f"There is no account {code}.")
    asked = request.GET.get("at", "").strip()
    at, problem = moment(asked)
    tree: dict[str, Any] = {}
    if not problem:
        try:
            tree = assessments.explain(account, at=at, known_at=at if asked else None)
        except (ValueError, LookupError) as error:
            problem = str(error)
    context = {
        **admin.site.each_context(request),
        "title": f"Why: {account.code} · {account.client.name}",
        "account": account,
        "asked": asked,
        "at": at,
        "problem": problem,
        "regimes": [regime_page(regime, tree["currency"]) for regime in tree.get("regimes", [])],
        "unpriced": tree.get("unpriced", []),
        "policy": tree.get("policy", ""),
        "tree": branches(tree),
        "back": reverse("admin:accounts_account_change", args=(account.pk,)),
    }
    return TemplateResponse(request, "desk/explain.html", context)


def regime_page(regime: dict[str, Any], currency: str) -> dict[str, Any]:
    """One regime of an explanation in the desk's figures, every charge as a sentence."""
    if "equity" not in regime:
        return {"name": regime["regime"], "status": regime["status"], "unpriced": regime.get("unpriced", [])}
    rounded = regime["rounding"]
    levels = {"equity": rounded["equity"], "requirement": rounded["requirement"], "deficit": rounded["deficit"]}
    return {
        "name": regime["regime"],
        "status": regime["status"],
        "figures": [(name, figures.amount(value, currency)) for name, value in levels.items()],
        "called": figures.amount(rounded["amount"], currency),
        "levels": [(name, figures.amount(value, currency)) for name, value in regime["levels"].items()],
        "rounding": rounded["sentence"],
        "forecast": [
            f"{change['on']}: {exact(change['amount'], currency)} more needed at these prices: {change['reason']}"
            for change in regime.get("forecast", [])
        ],
        "charges": Table(
            "Charges: their sum is the requirement",
            ("on", "why", "rule", "exact amount"),
            [
                (subject(charge, "the account"), charge["sentence"], charge["law"], exact(charge["amount"], currency))
                for charge in regime["requirement"]["charges"]
            ],
            empty="Nothing is charged.",
        ),
        "equity": Table(
            "Equity: what it is made of",
            ("what", "quantity", "price", "part", "exact amount"),
            [
                (
                    part["code"],
                    figures.quantity(Decimal(part["quantity"])),
                    figures.price(Decimal(part["price"]), part["currency"]),
                    part["part"].replace("_", " "),
                    exact(part["amount"], currency),
                )
                for part in regime["equity"]["parts"]
            ],
            empty="The account holds nothing.",
        ),
        "prices": Table(
            "Prices: how far each may go by itself before a call",
            ("what", "quantity", "price", "covered"),
            [
                (
                    price["code"],
                    figures.quantity(Decimal(price["quantity"])),
                    figures.price(Decimal(price["price"]), price["currency"]),
                    covered(price),
                )
                for price in regime["prices"]
            ],
            empty="Nothing that has a price counts here.",
        ),
    }


def covered(price: dict[str, Any]) -> Any:
    """To which price of one position, all others standing still, its regime asks for no more than there is."""
    if price["reason"]:
        return f"not told: {price['reason']}"
    if price["covered_to"] is None:
        return "at every price"
    return format_html("{} to {}", price["direction"], figures.price(Decimal(price["covered_to"]), price["currency"]))


def subject(charge: dict[str, Any], otherwise: str) -> str:
    """What a charge is on: an instrument, the legs that are charged together, or the whole account."""
    return charge.get("code") or ", ".join(leg["code"] for leg in charge.get("legs", ())) or otherwise


def exact(amount: str, currency: str) -> Any:
    """An amount with all its digits: rounding comes after the sum."""
    return figures.price(Decimal(amount), currency)


def moment(asked: str) -> tuple[datetime, str]:
    """The instant asked for, now if none; wall times without a zone are the desk's."""
    at = timezone.now()
    if not asked:
        return at, ""
    try:
        found = parse_datetime(asked.replace(" ", "T", 1))
    except ValueError:
        found = None
    if found is None:
        return at, f"“{asked}” is not an instant; write 2026-11-20 16:00 (desk time) or 2026-11-20T21:00:00Z."
    found = timezone.make_aware(found) if timezone.is_naive(found) else found
    return (found, "") if found <= at else (at, f"{asked} is in the future; nothing is known of it yet.")


def branches(tree: Any) -> list[dict[str, Any]]:
    """A nested dict as rows of a page: {name, text} for leaves, {name, children} for dicts and lists of dicts."""
    if isinstance(tree, dict):
        return [branch(str(name).replace("_", " "), value) for name, value in tree.items()]
    return [branch(str(number), value) for number, value in enumerate(tree, start=1)]


def branch(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, dict | list | tuple) and value:
        return {"name": title(value) or name, "children": branches(value)}
    empty = value is None or value == "" or value in ([], {}, ())
    return {"name": name, "text": figures.missing("empty") if empty else value}


def title(value: Any) -> str:
    """What a branch is about, where it says so."""
    if not isinstance(value, dict):
        return ""
    return str(value.get("sentence") or value.get("regime") or value.get("name") or "")
