"""The desk's pages of what clients were told: each notice as it was sent, its tries, and what became of it."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from margin import calls
from margin.actors import person
from market import figures
from market.faces import Button, ReadOnlyAdmin, Table, act, at_column, column, link, may, require
from notifications import notices
from notifications.models import Delivery, Notice

LOOKS = {
    "queued": "issued",
    "sent": "issued",
    "deferred": "warn",
    "delivered": "good",
    "opened": "good",
    "complained": "bad",
    "failed": "bad",
    "rejected": "bad",
    "bounced": "bad",
}
SEND_AGAIN = "notifications.change_notice"


def state(notice: Any) -> Any:
    return figures.badge(notice.state, look=LOOKS[notice.state])


def recipient(notice: Notice) -> Any:
    return notice.to_address or figures.missing("no contact receives notices: phone the client")


@admin.register(Notice)
class NoticeAdmin(ReadOnlyAdmin):
    list_display = (
        at_column("prepared_at", "prepared"),
        "subject",
        column("state", state, ordering="state"),
        column("client", lambda row: row.event.account.client.name, ordering="event__account__client__name"),
        column("account", lambda row: row.event.account.code, ordering="event__account__code"),
        column("to", recipient, ordering="to_address"),
        at_column("sent_at", "sent"),
        column("figure_tries", lambda row: figures.quantity(row.attempts), ordering="attempts"),
        column("error", lambda row: row.last_error or figures.missing("no error")),
    )
    list_filter = ("state", "kind", "locale")
    search_fields = ("subject", "to_address", "=message_id", "event__account__code", "event__account__client__name")
    list_select_related = ("event__account__client",)
    date_hierarchy = "prepared_at"
    change_form_template = "notices/notice.html"
    left_out = ("subject", "text", "html", "lease_token", "lease_until")

    def get_urls(self) -> list[URLPattern]:
        guard = self.admin_site.admin_view
        return [
            path("<int:notice_id>/again/", guard(send_again), name="notifications_notice_again"),
            *super().get_urls(),
        ]

    def buttons(self, request: HttpRequest, obj: Notice) -> list[Button]:
        if obj.state not in notices.FAILED or not may(request, SEND_AGAIN):
            return []
        hint = "to the address that the contact has now"
        return [Button("Send again", reverse("admin:notifications_notice_again", args=(obj.pk,)), "primary", hint=hint)]

    def tables(self, request: HttpRequest, obj: Notice) -> list[Table]:
        return [
            Table(
                "Tries",
                ("when", "outcome", "what the mail server answered"),
                [(figures.instant(one.at, seconds=True), one.outcome, one.answer) for one in obj.tries.all()],
                empty="Not sent yet, or stopped while sending; the most urgent notices go first.",
            ),
            Table(
                "Reports of the mail provider",
                ("when", "state", "provider", "report"),
                [
                    (figures.instant(one.at, seconds=True), one.state, one.provider, link(request, one, "as it came"))
                    for one in obj.deliveries.order_by("at", "id")
                ],
                empty="None came. A plain mail server sends no reports; a mail provider does.",
                note='"opened" is weak evidence: a program may have opened the mail.',
            ),
        ]


def send_again(request: HttpRequest, notice_id: int) -> HttpResponse:
    require(request, SEND_AGAIN)
    notice = get_object_or_404(Notice, pk=notice_id)
    return act(
        request,
        back=reverse("admin:notifications_notice_change", args=(notice_id,)),
        done="It waits to be sent again.",
        deed=lambda: notices.send_again(notice, at=timezone.now(), actor=person(request.user)),
        refusals=(calls.CallError,),
    )


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    list_display = (
        at_column("at"),
        "state",
        "provider",
        column("notice", lambda row: row.notice or figures.missing("about no notice that we know, so far")),
        at_column("recorded_at", "recorded"),
    )
    list_filter = ("state", "provider", ("notice", admin.EmptyFieldListFilter))
    search_fields = ("provider_event", "message_id", "notice__subject")
    list_select_related = ("notice",)
