"""What people ask, dispute and take on about a call. Every change of a row has its event in the same transaction."""

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from accounts.models import Account
from market import fields


def _person(**options: Any) -> "models.ForeignKey[Any, Any]":
    return models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", **options)


class Request(models.Model):
    """What one person asks and another decides: more time, a hold, less time, a retraction, a call by hand."""

    class Kind(models.TextChoices):
        EXTENSION = "extension", "extension"
        HOLD = "hold", "hold"
        ACCELERATION = "acceleration", "acceleration"
        RETRACTION = "retraction", "retraction"
        ISSUE = "issue", "call by hand"

    class State(models.TextChoices):
        OPEN = "open", "open"
        GRANTED = "granted", "granted"
        DENIED = "denied", "denied"
        WITHDRAWN = "withdrawn", "withdrawn"

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="requests")
    call = models.ForeignKey("MarginCall", on_delete=models.PROTECT, null=True, blank=True, related_name="requests")
    kind = models.CharField(max_length=12, choices=Kind)
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    batch = models.UUIDField(null=True, blank=True, help_text="One proposal over many calls")
    until = models.DateTimeField(null=True, blank=True, help_text="The deadline or the end of the hold asked for")
    before = models.DateTimeField(null=True, blank=True, help_text="The deadline it would replace")
    reason_code = models.CharField(max_length=32, blank=True)
    reason = models.CharField(max_length=400)
    external_reference = models.CharField(max_length=80, blank=True, help_text="Of the examining authority")
    terms = models.JSONField(default=dict, blank=True, help_text="What else is asked, amounts as text")
    asked_by = _person(null=True, blank=True)
    asked_at = models.DateTimeField()
    decided_by = _person(null=True, blank=True)
    decided_at = models.DateTimeField(null=True, blank=True)
    decision = models.CharField(max_length=400, blank=True)
    seq = models.BigIntegerField(help_text="Event that wrote it last")

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(
                fields=("call", "kind"), condition=Q(state="open"), name="request_is_open_once_per_call_and_kind"
            ),
            models.CheckConstraint(
                condition=~Q(state__in=("granted", "denied")) | Q(asked_by=None) | ~Q(asked_by=F("decided_by")),
                name="request_needs_two_people",
            ),
            models.CheckConstraint(
                condition=Q(state="open", decided_at=None) | ~Q(state="open") & Q(decided_at__isnull=False),
                name="decided_request_has_its_instant",
            ),
            models.CheckConstraint(condition=~Q(kind="hold") | Q(until__isnull=False), name="hold_always_has_an_end"),
        )
        indexes = (models.Index(fields=("state", "kind"), name="request_by_state_and_kind"),)

    def __str__(self) -> str:
        return f"{self.get_kind_display()} asked for {self.call or self.account}"

    @property
    def is_open(self) -> bool:
        return self.state == self.State.OPEN


class Dispute(models.Model):
    """The client says that a call, or part of it, is wrong."""

    class State(models.TextChoices):
        OPEN = "open", "open"
        UPHELD = "upheld", "upheld"
        PARTLY = "partly", "upheld in part"
        REJECTED = "rejected", "rejected"

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="disputes")
    call = models.ForeignKey("MarginCall", on_delete=models.PROTECT, related_name="disputes")
    state = models.CharField(max_length=8, choices=State, default=State.OPEN)
    reason_code = models.CharField(max_length=32)
    reason = models.CharField(max_length=400, blank=True)
    amount = fields.amount(help_text="Disputed, at most what is outstanding")
    stops_clock = models.BooleanField(help_text="Whether the deadline of the disputed part waits for the decision")
    opened_by = models.CharField(max_length=150, help_text="The client's contact, or who wrote it down")
    opened_at = models.DateTimeField()
    granted = fields.amount(default=0, help_text="By how much the call was wrong")
    decided_by = _person(null=True, blank=True)
    decided_at = models.DateTimeField(null=True, blank=True)
    decision = models.CharField(max_length=400, blank=True)
    seq = models.BigIntegerField(help_text="Event that wrote it last")

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(fields=("call",), condition=Q(state="open"), name="dispute_is_open_once_per_call"),
            models.CheckConstraint(condition=Q(amount__gt=0), name="disputed_amount_is_positive"),
            models.CheckConstraint(condition=Q(granted__gte=0, granted__lte=F("amount")), name="no_more_than_disputed"),
            models.CheckConstraint(
                condition=Q(state="open", decided_at=None) | ~Q(state="open") & Q(decided_at__isnull=False),
                name="decided_dispute_has_its_instant",
            ),
        )

    def __str__(self) -> str:
        return f"dispute of {self.amount} of {self.call}"


class Task(models.Model):
    """Something a person must do about an account or its call, by when, and who took it on."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="tasks")
    call = models.ForeignKey("MarginCall", on_delete=models.PROTECT, null=True, blank=True, related_name="tasks")
    kind = models.CharField(max_length=32, help_text="verify_payment, phone_client, escalation …")
    title = models.CharField(max_length=200)
    owner = _person(null=True, blank=True)
    due_at = models.DateTimeField()
    opened_by = models.CharField(max_length=150)
    opened_at = models.DateTimeField()
    closed_by = models.CharField(max_length=150, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=400, blank=True)
    seq = models.BigIntegerField(help_text="Event that wrote it last")

    class Meta:
        ordering = ("due_at", "id")
        constraints = (
            models.UniqueConstraint(
                fields=("call", "kind"), condition=Q(closed_at=None), name="task_is_open_once_per_call_and_kind"
            ),
            models.CheckConstraint(condition=Q(closed_at=None) | ~Q(closed_by=""), name="closed_task_names_who"),
        )
        indexes = (models.Index(fields=("due_at",), condition=Q(closed_at=None), name="task_open_by_due"),)

    def __str__(self) -> str:
        return self.title
