"""What holds records of clients, and which clients were erased, on pages for auditors."""

from django.contrib import admin

from margin.models import Erasure, LegalHold
from market import figures
from market.faces import ReadOnlyAdmin, at_column, column


@admin.register(LegalHold)
class LegalHoldAdmin(ReadOnlyAdmin):
    list_display = (
        column("client", lambda row: row.client.code, ordering="client__code"),
        at_column("placed_at", "placed"),
        "placed_by",
        "reason",
        at_column("lifted_at", "lifted"),
        column("lifted_by", lambda row: row.lifted_by or figures.badge("stands", look="bad")),
        "lift_reason",
    )
    list_filter = (("lifted_at", admin.EmptyFieldListFilter),)
    search_fields = ("client__code",)
    list_select_related = ("client", "placed_by", "lifted_by")


@admin.register(Erasure)
class ErasureAdmin(ReadOnlyAdmin):
    list_display = (
        column("client", lambda row: row.client.code, ordering="client__code"),
        at_column("asked_at", "asked"),
        "asked_by",
        "retained_until",
        at_column("done_at", "erased"),
        column("approved_by", lambda row: row.approved_by or figures.missing("nobody yet")),
        "reason",
    )
    list_filter = (("done_at", admin.EmptyFieldListFilter),)
    search_fields = ("client__code",)
    list_select_related = ("client", "asked_by", "approved_by")
