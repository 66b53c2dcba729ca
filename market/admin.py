"""The desk's pages of market rows: instruments, quotes and their age, quarantine, corporate actions, rates."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from market import figures
from market.faces import ReadOnlyAdmin, Table, at_column, column
from market.models import Alias, Calendar, Close, FxRate, Instrument, Quote, QuoteFact, Rate, Session

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
