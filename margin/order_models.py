"""What turns an approved plan into orders: releases, orders and what venues said of them, and what holds them back.

Every promise here is kept by the database (migration `bolts_of_orders`): who may approve is read again at release,
an order needs a release, a fill needs a report of an order, and no venue is sent a line twice.
"""

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from margin.venues.interface import Told
from market import facts, fields

DESK = "desk"
"""The venue of orders that people work by hand."""


def person(**options: Any) -> "models.ForeignKey[Any, Any]":
    """A member of staff; history keeps people, so they are never deleted."""
    return models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", **options)


def two_people(first: str, second: str, name: str) -> models.CheckConstraint:
    """The second is nobody yet, or another than the first."""
    return models.CheckConstraint(condition=Q(**{second: None}) | ~Q(**{second: F(first)}), name=name)


def says_who(name: str) -> models.CheckConstraint:
    """Approved by somebody at some instant, or neither."""
    nobody, somebody = Q(approved_by=None, approved_at=None), Q(approved_by__isnull=False, approved_at__isnull=False)
    return models.CheckConstraint(condition=nobody | somebody, name=name)


class StandingApproval(models.Model):
    """Two people's yes beforehand to what the system sells round the clock under one policy version, within caps.

    A release cites it; the caps are in the call's currency and counted by the database.
    """

    policy_version = models.ForeignKey("PolicyVersion", on_delete=models.PROTECT, related_name="standing_approvals")
    regime = models.CharField(max_length=16)
    currency = models.CharField(max_length=12)
    per_order = fields.amount()
    per_account = fields.amount(help_text="A day")
    per_day = fields.amount(help_text="Over all accounts")
    reason = models.CharField(max_length=400)
    proposed_by = person()
    proposed_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    approved_by = person(null=True, blank=True)
    approved_at = models.DateTimeField(null=True, blank=True)
    revoked_by = person(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)
        constraints = (
            two_people("proposed_by", "approved_by", "standing_approval_needs_two_people"),
            says_who("standing_approval_says_who_approved_it"),
            models.CheckConstraint(
                condition=Q(per_order__gt=0, per_account__gt=0, per_day__gt=0), name="standing_approval_has_caps"
            ),
        )

    def __str__(self) -> str:
        return f"standing approval {self.pk}"

    @property
    def is_given(self) -> bool:
        return self.approved_by_id is not None and self.revoked_at is None


class LiquidationCap(models.Model):
    """The most that liquidations of accounts in one currency may order; two people change it, the latest counts."""

    currency = models.CharField(max_length=12)
    per_order = fields.amount()
    per_account = fields.amount(help_text="A day")
    per_day = fields.amount(help_text="Over all accounts")
    per_minute = models.PositiveIntegerField(
        null=True, blank=True, help_text="Orders that may leave within a minute; empty: as many as there are"
    )
    reason = models.CharField(max_length=400)
    proposed_by = person()
    proposed_at = models.DateTimeField()
    approved_by = person(null=True, blank=True)
    approved_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)
        constraints = (
            two_people("proposed_by", "approved_by", "cap_needs_two_people"),
            says_who("cap_says_who_approved_it"),
            models.CheckConstraint(
                condition=Q(per_order__gt=0, per_account__gt=0, per_day__gt=0), name="cap_is_positive"
            ),
            models.CheckConstraint(condition=Q(per_minute=None) | Q(per_minute__gt=0), name="cap_lets_orders_leave"),
        )

    def __str__(self) -> str:
        return f"caps in {self.currency}"


class WallClock(models.Model):
    """Its one row says that the house runs by the wall clock: the database refuses orders, and what lets them leave,
    under an instant of another time. `manage.py grant_roles` writes it in production; the application role cannot.
    """

    since = models.DateTimeField(db_default=facts.StatementClock(), editable=False)

    class Meta:
        constraints = (models.CheckConstraint(condition=Q(id=1), name="wall_clock_is_there_once"),)

    def __str__(self) -> str:
        return f"wall clock since {self.since:%Y-%m-%d}"


class KillSwitch(models.Model):
    """Pulled by one person with a reason: no order leaves until two others said that it may. Rows stay."""

    is_pulled = models.BooleanField(default=True)
    reason = models.CharField(max_length=400)
    pulled_by = person()
    pulled_at = models.DateTimeField()
    cancels_working = models.BooleanField(default=False, help_text="Orders that left already are asked back")
    release_reason = models.CharField(max_length=400, blank=True)
    release_asked_by = person(null=True, blank=True)
    release_asked_at = models.DateTimeField(null=True, blank=True)
    released_by = person(null=True, blank=True)
    released_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)
        verbose_name_plural = "kill switches"
        constraints = (
            models.UniqueConstraint(
                fields=("is_pulled",), condition=Q(is_pulled=True), name="kill_switch_is_pulled_once"
            ),
            two_people("release_asked_by", "released_by", "kill_switch_needs_two_people"),
            models.CheckConstraint(condition=~Q(reason=""), name="kill_switch_says_why"),
            models.CheckConstraint(
                condition=Q(is_pulled=True, released_at=None)
                | Q(is_pulled=False, released_at__isnull=False, release_asked_by__isnull=False),
                name="kill_switch_names_who_released_it",
            ),
        )

    def __str__(self) -> str:
        return "kill switch pulled" if self.is_pulled else "kill switch released"


class Release(models.Model):
    """One plan let out, once: on the approvals that the proposer's kind asks for, or on a standing approval."""

    plan = models.OneToOneField("Plan", on_delete=models.PROTECT, primary_key=True, related_name="release")
    content_hash = models.CharField(max_length=64)
    creator = models.BigIntegerField(help_text="Who proposed; 0: the system")
    first = models.ForeignKey("Approval", on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    second = models.ForeignKey("Approval", on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    standing = models.ForeignKey(
        StandingApproval, on_delete=models.PROTECT, null=True, blank=True, related_name="releases"
    )
    venue = models.CharField(max_length=24)
    currency = models.CharField(max_length=12)
    notional = fields.amount(help_text="At prices of now, in the call's currency")
    largest = fields.amount(help_text="Of its orders, in the call's currency")
    released_by = person(null=True, blank=True)
    released_at = models.DateTimeField()
    recorded_at = facts.recorded_at()

    class Meta:
        ordering = ("-released_at",)
        constraints = (
            models.CheckConstraint(
                condition=Q(standing__isnull=False, creator=0, first=None, second=None)
                | Q(standing=None, creator__gt=0, first__isnull=False, second=None)
                | Q(standing=None, creator=0, first__isnull=False, second__isnull=False, first__lt=F("second")),
                name="release_needs_two_people",
            ),
            models.CheckConstraint(condition=Q(notional__gte=0, largest__gte=0), name="release_is_valued"),
        )

    def __str__(self) -> str:
        return f"release of plan {self.plan_id}"


class Order(models.Model):
    """One line of a released plan on its way. It arrives at its venue at most once, whatever dies."""

    class State(models.TextChoices):
        NEW = "new", "new"
        SENDING = "sending", "sending"
        SENT = "sent", "sent"
        UNKNOWN = "unknown", "unknown"
        WORKING = "working", "working"
        FILLED = "filled", "filled"
        CANCELLED = "cancelled", "cancelled"
        REJECTED = "rejected", "rejected"

    line = models.OneToOneField("PlanLine", on_delete=models.PROTECT, primary_key=True, related_name="order")
    release = models.ForeignKey(Release, on_delete=models.PROTECT, related_name="orders")
    client_order_id = models.CharField(max_length=32, unique=True)
    venue = models.CharField(max_length=24)
    quantity = fields.quantity(help_text="Sold is negative")
    limit_price = fields.price(null=True, blank=True, help_text="The worst price that is acceptable")
    reference_price = fields.price(null=True, blank=True, help_text="Last good price, from which the collar is")
    reference_at = models.DateTimeField(null=True, blank=True)
    currency = models.CharField(max_length=12)
    state = models.CharField(max_length=9, choices=State, default=State.NEW)
    token = models.UUIDField(null=True, blank=True, help_text="Of whoever is sending it")
    lease_until = models.DateTimeField(null=True, blank=True, help_text="Half a minute after it last began to leave")
    attempts = models.PositiveIntegerField(default=0)
    asks = models.PositiveIntegerField(default=0, help_text="Times the venue was asked what became of it")
    asked_at = models.DateTimeField(null=True, blank=True)
    cancel_wanted_at = models.DateTimeField(null=True, blank=True)
    cancel_reason = models.CharField(max_length=200, blank=True)
    cancel_asked_at = models.DateTimeField(null=True, blank=True)
    last_error = models.CharField(max_length=400, blank=True)
    created_at = models.DateTimeField()
    moved_at = models.DateTimeField()

    class Meta:
        ordering = ("line",)
        constraints = (
            models.CheckConstraint(
                condition=Q(
                    state__in=("new", "sending", "sent", "unknown", "working", "filled", "cancelled", "rejected")
                ),
                name="order_state_is_known",
            ),
            models.CheckConstraint(
                condition=~Q(state="sending") | Q(token__isnull=False, lease_until__isnull=False),
                name="sending_order_is_leased",
            ),
        )
        indexes = (models.Index(fields=("currency", "lease_until"), name="order_left_lately"),)

    def __str__(self) -> str:
        return f"order {self.client_order_id}"

    @property
    def is_over(self) -> bool:
        return self.state in OVER


OVER = (Order.State.FILLED, Order.State.CANCELLED, Order.State.REJECTED)
OUTSIDE = (Order.State.SENDING, Order.State.SENT, Order.State.UNKNOWN, Order.State.WORKING)
"""States in which a venue has the order, or may have it."""


def client_order_id(line_id: int, content_hash: str) -> str:
    """Follows from the plan line alone: number and content, so that numbers given again after a restore differ."""
    return f"MD{line_id}-{content_hash[:12]}"


class OrderReport(models.Model):
    """One thing a venue, or for the desk a person, said of an order. Said twice it is kept once; append only."""

    venue = models.CharField(max_length=24)
    report_id = models.CharField(max_length=120)
    client_order_id = models.CharField(max_length=32)
    order = models.ForeignKey(Order, on_delete=models.PROTECT, null=True, blank=True, related_name="reports")
    told = models.CharField(max_length=16, choices=[(one.value, one.value.replace("_", " ")) for one in Told])
    at = models.DateTimeField()
    quantity = fields.quantity(default=0, help_text="Of this execution, positive")
    price = fields.price(default=0)
    fee = fields.amount(default=0)
    refers_to = models.CharField(max_length=120, blank=True)
    venue_order_id = models.CharField(max_length=64, blank=True)
    text = models.CharField(max_length=400, blank=True)
    recorded_at = facts.recorded_at()

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(fields=("venue", "report_id"), name="report_is_kept_once"),
            models.CheckConstraint(condition=Q(quantity__gte=0), name="report_quantity_is_positive"),
        )

    def __str__(self) -> str:
        return f"{self.told} {self.client_order_id}"


class RightsChange(models.Model):
    """A change of who may do what, written by the database itself, whoever makes it. `told_at`: staff were alarmed."""

    relation = models.CharField(max_length=63)
    act = models.CharField(max_length=6)
    subject = models.CharField(max_length=200)
    change = models.CharField(max_length=400)
    role = models.CharField(max_length=63, help_text="Of the database's session")
    recorded_at = facts.recorded_at()
    told_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.subject}: {self.change}"
