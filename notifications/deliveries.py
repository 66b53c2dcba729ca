"""What mail providers report about notices: stored as it came, once, then applied by rank.

Reports come twice, late and in any order; the raw report is the fact, the notice's state is the highest rank reported
(settled.md 30), so every order ends the same. A report about an unknown message is kept and matched later (fault M6).
"""

import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models.functions import Coalesce

from notifications.models import Delivery, Notice

RANK = {state.value: rank for rank, state in enumerate(Notice.State)}  # equal ranks of settled.md 30 in a fixed order
MEANS = {"clicked": Notice.State.OPENED}  # a click proves an opening; all else not in RANK says nothing of delivery
PROVES_SENDING = (Notice.State.SENT, Notice.State.DELIVERED, Notice.State.OPENED, Notice.State.COMPLAINED)
KEPT_TRYING = timedelta(hours=24)


@dataclass(frozen=True)
class Report:
    """One report, in the terms that all providers share. `raw` is what the provider said."""

    provider: str
    state: str
    raw: Any
    event_id: str = ""
    message_id: str = ""
    recipient: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    at: datetime | None = None

    @property
    def identity(self) -> str:
        """The provider's own id of the report, else a hash of what it said: a duplicate has the same."""
        if self.event_id and len(self.event_id) <= 90:
            # One provider event may cover several recipients and states.
            return f"{self.event_id}/{self.state}/{_short_hash(self.recipient.lower())}"[:160]
        return _short_hash(self.event_id, self.state, self.recipient.lower(), _text(self.raw))


def record(report: Report, *, at: datetime) -> Delivery:
    """Store the report once and apply it to its notice, if that is known; a duplicate changes nothing.

    In one transaction: an error leaves nothing, so that the provider's next try finds a clean table (fault M8).
    """
    with transaction.atomic():
        delivery, is_new = Delivery.objects.get_or_create(
            provider=_clean(report.provider, 32),
            provider_event=_clean(report.identity, 160),
            defaults={
                "message_id": _clean(report.message_id, 160),
                "state": _clean(report.state, 12),
                "at": report.at or at,
                "report": {
                    "recipient": _clean(report.recipient, 254),
                    "notice": _clean(str(report.metadata.get("notice", "")), 160),
                    "raw": _text(report.raw),
                },
            },
        )
        if is_new:
            _apply(delivery)
    return delivery


def match(*, at: datetime) -> int:
    """Try the unmatched reports of the last 24 hours again; returns how many found their notice."""
    waiting = Delivery.objects.filter(notice=None, recorded_at__gte=at - KEPT_TRYING).exclude(state="malformed")
    with transaction.atomic():
        return sum(_apply(delivery) for delivery in waiting.select_for_update(skip_locked=True).order_by("pk")[:1000])


def keep_malformed(provider: str, body: bytes, *, at: datetime) -> None:
    """Keep a body that could not be read, for people to look at; the same body once."""
    identity = hashlib.sha256(body).hexdigest()
    text = body[:4000].decode("utf-8", "backslashreplace")
    Delivery.objects.get_or_create(
        provider=_clean(provider, 32),
        provider_event=identity,
        defaults={"state": "malformed", "at": at, "report": {"raw": text.replace("\x00", "\\x00")}},
    )


def _apply(delivery: Delivery) -> bool:
    """Find the report's notice and raise its state, never lower it."""
    notice = _notice_of(delivery)
    if notice is None:
        return False
    Delivery.objects.filter(pk=delivery.pk).update(notice=notice)
    state = MEANS.get(delivery.state, delivery.state)
    if state not in RANK:
        return True
    lower = [known for known, rank in RANK.items() if rank < RANK[state]]
    rows = Notice.objects.filter(pk=notice.pk)
    if state in PROVES_SENDING:
        rows.update(sent_at=Coalesce("sent_at", delivery.at))
    rows.filter(state__in=lower).update(state=state, lease_until=None, lease_token=None)
    return True


def _notice_of(delivery: Delivery) -> Notice | None:
    """By our own id in the metadata (once the row's number), else by Message-ID; and only if it speaks of the notice's
    recipient."""
    stated = delivery.report.get("notice", "")
    rows = Notice.objects.all()
    found = rows.filter(pk=int(stated)).first() if stated.isascii() and stated.isdigit() and len(stated) < 19 else None
    for name in (stated, delivery.message_id):
        found = found or rows.filter(message_id=f"<{name.strip().strip('<>')}>").first()
    recipient = delivery.report.get("recipient", "")
    if found is not None and recipient and recipient.lower() != found.to_address.lower():
        return None
    return found


def _clean(text: str, longest: int) -> str:
    """Without what PostgreSQL's text cannot hold."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()[:longest]


def _text(raw: Any) -> str:
    """The report as text: JSON with escapes, so that no byte of a stranger's can be refused by the database."""
    if hasattr(raw, "lists"):  # a form: QueryDict
        raw = dict(raw.lists())
    return json.dumps(raw, default=str, sort_keys=True)[:100_000]


def _short_hash(*parts: str) -> str:
    return hashlib.sha256("\x00".join(parts).encode("utf-8", "replace")).hexdigest()[:60]
