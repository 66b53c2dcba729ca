"""What we tell clients: one notice per event and recipient, and what became of it."""

from django.db import models
from django.db.models import Q

from accounts.models import Contact
from margin.models import Event
from market import facts


class Notice(models.Model):
    """One message to one recipient about one event. The event is the outbox; the lease and the attempts live here."""

    class State(models.TextChoices):
        """In order of rank; a later report never lowers it (settled.md 30)."""

        QUEUED = "queued", "queued"
        SENT = "sent", "sent"
        DEFERRED = "deferred", "deferred"
        DELIVERED = "delivered", "delivered"
        OPENED = "opened", "opened"
        COMPLAINED = "complained", "complained"
        FAILED = "failed", "failed"
        REJECTED = "rejected", "rejected"
        BOUNCED = "bounced", "bounced"

    event = models.ForeignKey(Event, on_delete=models.PROTECT, related_name="notices")
    contact = models.ForeignKey(
        Contact,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="notices",
        help_text="Empty: nobody",
    )
    kind = models.CharField(max_length=48)
    locale = models.CharField(max_length=8)
    to_address = models.CharField(max_length=254, blank=True)
    subject = models.CharField(max_length=200)
    text = models.TextField()
    html = models.TextField()
    template_version = models.CharField(max_length=64)
    content_hash = models.CharField(max_length=64)
    message_id = models.CharField(max_length=120, unique=True)
    state = models.CharField(max_length=10, choices=State, default=State.QUEUED)
    prepared_at = models.DateTimeField()
    send_after = models.DateTimeField()
    urgent_by = models.DateTimeField(null=True, blank=True, help_text="Due instant of its call: sent in this order")
    lease_until = models.DateTimeField(null=True, blank=True)
    lease_token = models.UUIDField(null=True, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    sent_at = models.DateTimeField(null=True, blank=True)
    last_error = models.TextField(blank=True)

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(fields=("event", "contact"), name="notice_is_one_per_event_and_recipient"),
            models.UniqueConstraint(
                fields=("event",), condition=Q(contact=None), name="notice_without_recipient_is_one_per_event"
            ),
        )
        indexes = (models.Index(fields=("urgent_by", "id"), condition=Q(state="queued"), name="notice_waiting"),)

    def __str__(self) -> str:
        return self.subject


class Attempt(models.Model):
    """One try to send a notice, and what the mail server answered; append only."""

    class Outcome(models.TextChoices):
        SENT = "sent", "sent"
        DEFERRED = "deferred", "deferred"
        REFUSED = "refused", "refused"
        UNKNOWN = "unknown", "unknown"

    notice = models.ForeignKey(Notice, on_delete=models.PROTECT, related_name="tries")
    outcome = models.CharField(max_length=8, choices=Outcome)
    answer = models.TextField(blank=True)
    at = models.DateTimeField()

    class Meta:
        ordering = ("notice", "id")

    def __str__(self) -> str:
        return f"{self.outcome} {self.notice_id}"


class Delivery(models.Model):
    """One report of the mail provider, stored as it came (duplicates once); append only."""

    notice = models.ForeignKey(Notice, on_delete=models.PROTECT, null=True, blank=True, related_name="deliveries")
    provider = models.CharField(max_length=32)
    provider_event = models.CharField(max_length=160)
    message_id = models.CharField(max_length=160, blank=True)
    state = models.CharField(max_length=12)
    at = models.DateTimeField()
    report = models.JSONField(default=dict)
    recorded_at = facts.recorded_at()

    class Meta:
        verbose_name_plural = "deliveries"
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(fields=("provider", "provider_event"), name="delivery_report_is_stored_once"),
        )

    def __str__(self) -> str:
        return f"{self.state} {self.notice_id}"


class Horizon(models.Model):
    """Up to which transaction a reader has seen every event (never "id greater than the last one")."""

    name = models.CharField(max_length=32, primary_key=True)
    transaction_id = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.name} up to {self.transaction_id}"
