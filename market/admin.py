"""The desk's pages of market rows: instruments, quotes and their age, quarantine, corporate actions, rates."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html

from market import action_pages, figures  # noqa: F401 - it registers its pages
from market.faces import Button, ReadOnlyAdmin, Table, act, at_column, column, may, require
from market.models import (
    Alias,
    Calendar,
    Close,
    DayChange,
    FxRate,
    HeldQuote,
    Instrument,
    ParameterSet,
    Quote,
    QuoteFact,
    Rate,
    Session,
    SettlementCycle,
)

code = column("instrument", lambda row: row.instrument.code, ordering="instrument__code")


def mark(row: Any) -> Any:
    return figures.price(row.mark, row.instrument.currency)


def quote_age(quote: Quote) -> Any:
    """Wall-clock age; whether it is stale in trading time is the sweep's to say."""
    return figures.age(quote.as_of, timezone.now(), limit_seconds=quote.instrument.max_age_seconds)


def held_mark(instrument: Any) -> Any:
    quote = getattr(instrument, "quote", None)
    return figures.price(quote.mark if quote else None, instrument.currency, why="no quote was ever accepted")


def held_age(instrument: Any) -> Any:
    quote = getattr(instrument, "quote", None)
    return quote_age(quote) if quote else figures.missing("no quote was ever accepted")


@admin.register(Instrument)
class InstrumentAdmin(ReadOnlyAdmin):
    list_display = (
        "code",
        "name",
        "kind",
        "currency",
        column("figure_mark", held_mark),
        column("age", held_age),
        "calendar",
        column("figure_jump_limit", lambda row: figures.percent(row.jump_limit_rate), ordering="jump_limit_rate"),
        "margin_eligible",
        at_column("ended_at"),
    )
    list_filter = ("kind", "currency", "margin_eligible", "calendar")
    search_fields = ("code", "name", "aliases__symbol")
    list_select_related = ("quote", "calendar")

    def tables(self, request: HttpRequest, obj: Instrument) -> list[Table]:
        aliases = Alias.objects.filter(instrument=obj).order_by("scheme", "valid")
        facts = QuoteFact.objects.filter(instrument=obj).order_by("-as_of", "-id")[:20]
        return [
            Table(
                "Names the world used",
                ("scheme", "symbol", "from", "until"),
                [
                    (a.get_scheme_display(), a.symbol, a.valid.lower or "ever", a.valid.upper or "further notice")
                    for a in aliases
                ],
                empty="No alias: only our own code names it.",
            ),
            Table(
                "Latest quotes",
                ("as of", "source", "mark", "recorded"),
                [
                    (
                        figures.instant(fact.as_of, seconds=True),
                        fact.source,
                        figures.price(fact.mark, obj.currency),
                        figures.instant(fact.recorded_at, seconds=True),
                    )
                    for fact in facts
                ],
                empty="No quote was ever accepted; accounts that hold it are unpriced.",
            ),
        ]


@admin.register(Quote)
class QuoteAdmin(ReadOnlyAdmin):
    list_display = (
        code,
        column("figure_bid", lambda row: figures.price(row.bid, row.instrument.currency, why="no bid")),
        column("figure_ask", lambda row: figures.price(row.ask, row.instrument.currency, why="no ask")),
        column("figure_mark", mark, ordering="mark"),
        column("age", quote_age, ordering="as_of"),
        at_column("as_of"),
        "source",
    )
    list_filter = ("source", "instrument__kind")
    search_fields = ("instrument__code", "instrument__name")
    list_select_related = ("instrument",)


@admin.register(Close)
class CloseAdmin(ReadOnlyAdmin):
    list_display = (
        code,
        "on",
        column("figure_price", lambda row: figures.price(row.price, row.instrument.currency), ordering="price"),
        "source",
        at_column("recorded_at"),
    )
    list_filter = ("source",)
    search_fields = ("instrument__code",)
    list_select_related = ("instrument",)
    date_hierarchy = "on"


@admin.register(FxRate)
class FxRateAdmin(ReadOnlyAdmin):
    list_display = (
        "base",
        "quoted",
        column("figure_value", lambda row: figures.quantity(row.value), ordering="value"),
        at_column("as_of"),
        "source",
        at_column("recorded_at"),
    )
    list_filter = ("base", "quoted", "source")
    search_fields = ("base", "quoted")


@admin.register(Rate)
class RateAdmin(ReadOnlyAdmin):
    list_display = (
        "kind",
        column("subject", lambda row: row.instrument.code if row.instrument else row.currency),
        "venue",
        column("figure_per_year", lambda row: figures.percent(row.value), ordering="value"),
        at_column("effective_at", "effective"),
        "source",
    )
    list_filter = ("kind", "venue", "currency")
    search_fields = ("currency", "instrument__code", "venue")
    list_select_related = ("instrument",)


@admin.register(ParameterSet)
class ParameterSetAdmin(ReadOnlyAdmin):
    list_display = ("name", "kind", "effective_on", "source", column("sha256", lambda row: row.digest[:12]))
    list_filter = ("kind", "source")
    search_fields = ("name", "digest")
    date_hierarchy = "effective_on"
    left_out = ("document",)

    def tables(self, request: HttpRequest, obj: ParameterSet) -> list[Table]:
        contents = [
            (key, len(value) if isinstance(value, dict | list) else value) for key, value in obj.document.items()
        ]
        return [Table("Contents", ("key", "entries, or what it says"), contents[:200], empty="")]

    def get_queryset(self, request: HttpRequest) -> QuerySet[ParameterSet]:
        return super().get_queryset(request).defer("document")


@admin.register(Calendar)
class CalendarAdmin(ReadOnlyAdmin):
    list_display = ("code", "name", "zone", "always_open", "known_from", "known_until")
    search_fields = ("code", "name")

    def tables(self, request: HttpRequest, obj: Calendar) -> list[Table]:
        today = timezone.localdate()
        coming = Session.objects.filter(calendar=obj, on__gte=today).order_by("on")[:20]
        return [
            Table(
                "Next sessions",
                ("day", "opens", "closes"),
                [
                    (session.on, figures.instant(session.opens_at), figures.instant(session.closes_at))
                    for session in coming
                ],
                empty="No session is known from today on, and a calendar is never guessed: fill it.",
            )
        ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Calendar]:
        return super().get_queryset(request).order_by("code")


@admin.register(DayChange)
class DayChangeAdmin(ReadOnlyAdmin):
    """Days closed or opened out of turn, and why."""

    list_display = ("calendar", "on", "is_open", "reason", "source", at_column("recorded_at"))
    list_filter = ("calendar", "is_open")
    search_fields = ("reason",)
    date_hierarchy = "on"
    list_select_related = ("calendar",)


@admin.register(SettlementCycle)
class SettlementCycleAdmin(ReadOnlyAdmin):
    """How long trades take to settle, by market and trade date."""

    list_display = ("code", "effective_on", "days", "source", at_column("recorded_at"))
    list_filter = ("code",)
    search_fields = ("code", "source")


# --- quarantine -------------------------------------------------------------------------------------


HELD_LOOKS = {"held": "warn", "confirmed": "good", "rejected": "cancelled"}


def held_state(held: HeldQuote) -> Any:
    decider = held.decided_by or held.decided_source
    pill = figures.badge(held.state, look=HELD_LOOKS[held.state])
    return format_html('{} <span class="quiet">by {}</span>', pill, decider) if decider else pill


@admin.register(HeldQuote)
class HeldQuoteAdmin(ReadOnlyAdmin):
    """Quarantine: a held price is not used until a second source or a person says it is real."""

    list_display = (
        code,
        column("state", held_state, ordering="state"),
        column("figure_mark", mark, ordering="mark"),
        column("figure_last_accepted", lambda row: figures.price(row.previous_mark, row.instrument.currency)),
        at_column("as_of"),
        "reason",
    )
    list_filter = ("state", "source")
    search_fields = ("instrument__code", "instrument__name", "reason")
    list_select_related = ("instrument", "decided_by")

    def get_list_display(self, request: HttpRequest) -> Any:
        shown = super().get_list_display(request)
        return (*shown, column("decide", decide_buttons)) if may(request, "market.change_heldquote") else shown

    def get_urls(self) -> list[URLPattern]:
        guard = self.admin_site.admin_view
        return [
            path("<int:held_id>/confirm/", guard(confirm), name="market_heldquote_confirm"),
            path("<int:held_id>/reject/", guard(reject), name="market_heldquote_reject"),
            *super().get_urls(),
        ]

    def buttons(self, request: HttpRequest, obj: HeldQuote) -> list[Button]:
        if obj.state != HeldQuote.State.HELD or not may(request, "market.change_heldquote"):
            return []
        return [
            Button(
                "Confirm: the move is real",
                reverse("admin:market_heldquote_confirm", args=(obj.pk,)),
                look="primary",
                hint="it becomes the current quote, with all in quarantine that agree with it",
            ),
            Button("Reject", reverse("admin:market_heldquote_reject", args=(obj.pk,)), field="reason"),
        ]


def decide_buttons(held: HeldQuote) -> Any:
    """In the list: confirm at once; rejecting takes a reason, so it leads to the page."""
    if held.state != HeldQuote.State.HELD:
        return ""
    return format_html(
        '<button class="button" type="submit" formaction="{}">Confirm</button> <a class="link" href="{}">Reject…</a>',
        reverse("admin:market_heldquote_confirm", args=(held.pk,)),
        reverse("admin:market_heldquote_change", args=(held.pk,)),
    )


def find_held(held_id: int) -> HeldQuote:
    held = HeldQuote.objects.select_related("instrument").filter(pk=held_id).first()
    if held is None:
        raise Http404(f"There is no quote {held_id} in quarantine.")
    return held


def confirm(request: HttpRequest, held_id: int) -> HttpResponse:
    from market import quotes

    require(request, "market.change_heldquote")
    held = find_held(held_id)
    return act(
        request,
        back=f"{reverse('admin:market_heldquote_changelist')}?state__exact=held",
        done=f"{held.instrument.code} at {figures.separated(held.mark)} is confirmed; sweeps use it from now on.",
        deed=lambda: quotes.confirm(held, at=timezone.now(), person=request.user),
        refusals=(quotes.CannotDecide,),
    )


def reject(request: HttpRequest, held_id: int) -> HttpResponse:
    from market import quotes

    require(request, "market.change_heldquote")
    held = find_held(held_id)
    return act(
        request,
        back=f"{reverse('admin:market_heldquote_changelist')}?state__exact=held",
        done=f"{held.instrument.code} at {figures.separated(held.mark)} is rejected; the last accepted quote stays.",
        deed=lambda: quotes.reject(held, at=timezone.now(), person=request.user, reason=request.POST.get("reason", "")),
        refusals=(quotes.CannotDecide,),
    )
