"""What proves the history, on pages for auditors: seals, digests of sweeps, epochs of the database."""

from django.contrib import admin

from margin.models import Seal, SweepDigest, SystemEpoch
from market import figures
from market.faces import ReadOnlyAdmin, at_column, column


@admin.register(Seal)
class SealAdmin(ReadOnlyAdmin):
    list_display = (
        "number",
        at_column("sealed_at", "sealed"),
        column("figure_events", lambda row: row.size, description="events"),
        column("key", lambda row: f"{row.key_id} → {row.next_key}" if row.next_key else row.key_id),
        "digest",
        "mac",
    )
    search_fields = ("mac", "digest", "key_id")


@admin.register(SweepDigest)
class SweepDigestAdmin(ReadOnlyAdmin):
    list_display = ("sweep", "digest")
    list_select_related = ("sweep",)


@admin.register(SystemEpoch)
class SystemEpochAdmin(ReadOnlyAdmin):
    list_display = (
        "number",
        at_column("began_at", "began"),
        "cause",
        column("state", lambda row: figures.badge("held", look="bad") if row.is_held else "released"),
        column("compared_by", lambda row: row.compared_by or figures.missing("nobody")),
        column("released_by", lambda row: row.released_by or figures.missing("nobody")),
        "reason",
    )
    list_select_related = ("compared_by", "released_by")
