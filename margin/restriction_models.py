"""Rights that accounts lost, the strikes that cost them, and the waivers of two people. Imported by `margin.models`.

Every row comes and changes with its event (migration `0015_restrictions`), so the registers can be rebuilt from
the history alone (`margin.restrictions.rebuilt`).
"""

from datetime import datetime, timedelta
from typing import Any, Self

from django.conf import settings
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateTimeRangeField, RangeOperators
from django.db import models
from django.db.models import F, Func, Q

from accounts.models import Account
from margin.confidence import WordsField
from margin.restriction_terms import Effect, StrikeKind

LONG = timedelta(days=90)  # a restriction of a person that is as long as a rule's takes two to lift


class InstantRange(Func):
    function = "TSTZRANGE"
    output_field = DateTimeRangeField()


def _person(**options: Any) -> "models.ForeignKey[Any, Any]":
    return models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", **options)


class RestrictionQuerySet(models.QuerySet["Restriction"]):
    def unlifted(self) -> Self:
        return self.filter(lifted_at=None)

    def in_force(self, at: datetime) -> Self:
        """Placed, not lifted and not past their end: expiry does not wait for the clock that writes it down."""
        begun = Q(starts_at__lte=at) & (Q(ends_at=None) | Q(ends_at__gt=at))
        return self.filter(begun, Q(lifted_at=None) | Q(lifted_at__gt=at))

    def expired(self, at: datetime) -> Self:
        return self.unlifted().filter(ends_at__lte=at)


class Restriction(models.Model):
    """Something that an account may not do for a while, or until what caused it is over."""

    class Origin(models.TextChoices):
        CALL = "call", "a call"
        STRIKE = "strike", "strikes"
        RULE = "rule", "a rule"
        PERSON = "person", "a person"

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="restrictions")
    effect = models.CharField(max_length=24, choices=Effect.choices())
    origin = models.CharField(max_length=8, choices=Origin)
    source = models.CharField(max_length=64, help_text="What caused it, such as call:812 or strike:4:schedule")
    call = models.ForeignKey("MarginCall", on_delete=models.PROTECT, null=True, blank=True, related_name="restrictions")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True, help_text="Empty: until what caused it is over")
    reason = WordsField()
    placed_by = models.CharField(max_length=150)
    placed_seq = models.BigIntegerField(help_text="Event that placed it: its name in the account's history")
    lifted_at = models.DateTimeField(null=True, blank=True)
    lifted_by = models.CharField(max_length=150, blank=True)
    lift_reason = WordsField(blank=True)
    seq = models.BigIntegerField(help_text="Event that wrote it last")

    objects = RestrictionQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(fields=("account", "placed_seq"), name="restriction_is_placed_by_one_event"),
            ExclusionConstraint(
                name="restriction_does_not_overlap_its_like",
                expressions=[
                    ("account", RangeOperators.EQUAL),
                    ("effect", RangeOperators.EQUAL),
                    ("source", RangeOperators.EQUAL),
                    (InstantRange(F("starts_at"), F("lifted_at")), RangeOperators.OVERLAPS),
                ],
            ),
            models.CheckConstraint(
                condition=Q(effect__in=[effect.value for effect in Effect]), name="restriction_effect_is_known"
            ),
            models.CheckConstraint(
                condition=Q(ends_at=None) | Q(ends_at__gt=F("starts_at")), name="restriction_ends_after_it_starts"
            ),
            models.CheckConstraint(
                condition=Q(lifted_at=None, lifted_by="")
                | Q(lifted_at__gte=F("starts_at")) & ~Q(lifted_by="") & ~Q(lift_reason=""),
                name="lifted_restriction_says_who_and_why",
            ),
            models.CheckConstraint(condition=~Q(reason="") & ~Q(source=""), name="restriction_says_why"),
            models.CheckConstraint(
                condition=~Q(origin="strike") | Q(ends_at__isnull=False), name="restriction_of_strikes_ends"
            ),
        )
        indexes = (models.Index(fields=("account",), condition=Q(lifted_at=None), name="restriction_unlifted"),)

    def __str__(self) -> str:
        return f"{self.get_effect_display()} on {self.account}"

    @property
    def takes_two_to_lift(self) -> bool:
        """Whether lifting it early is a waiver: what a call, a strike or a rule placed, and long ones of people."""
        if self.origin != self.Origin.PERSON:
            return True
        return self.ends_at is None or self.ends_at - self.starts_at >= LONG


class Strike(models.Model):
    """A call that its client did not meet in time by own means, append only."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="strikes")
    call = models.OneToOneField("MarginCall", on_delete=models.PROTECT, related_name="strike")
    kind = models.CharField(max_length=10, choices=StrikeKind.choices())
    regime = models.CharField(max_length=16)
    at = models.DateTimeField(help_text="When the call closed")
    reason = models.CharField(max_length=400)
    seq = models.BigIntegerField(help_text="Event that wrote it")

    class Meta:
        ordering = ("-at", "-id")
        constraints = (
            models.UniqueConstraint(fields=("account", "seq"), name="strike_is_recorded_by_one_event"),
            models.CheckConstraint(
                condition=Q(kind__in=[kind.value for kind in StrikeKind]), name="strike_kind_is_known"
            ),
        )

    def __str__(self) -> str:
        return f"{self.get_kind_display()} strike for {self.call}"


class Waiver(models.Model):
    """Two people's written word that a restriction ends before its time: kept for audit, whatever was decided."""

    class State(models.TextChoices):
        OPEN = "open", "open"
        GRANTED = "granted", "granted"
        DENIED = "denied", "denied"

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="waivers")
    restriction = models.ForeignKey(Restriction, on_delete=models.PROTECT, related_name="waivers")
    state = models.CharField(max_length=8, choices=State, default=State.OPEN)
    reason = WordsField()
    proposed_by = _person()
    proposed_at = models.DateTimeField()
    decided_by = _person(null=True, blank=True)
    decided_at = models.DateTimeField(null=True, blank=True)
    decision = WordsField(blank=True)
    seq = models.BigIntegerField(help_text="Event that wrote it last")

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(
                fields=("restriction",), condition=Q(state="open"), name="waiver_is_open_once_per_restriction"
            ),
            models.CheckConstraint(
                condition=Q(decided_by=None) | ~Q(decided_by=F("proposed_by")), name="waiver_needs_two_people"
            ),
            models.CheckConstraint(
                condition=Q(state="open", decided_by=None, decided_at=None)
                | ~Q(state="open") & Q(decided_by__isnull=False, decided_at__isnull=False) & ~Q(decision=""),
                name="decided_waiver_names_who_when_and_why",
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="waiver_is_asked_in_writing"),
        )

    def __str__(self) -> str:
        return f"waiver of {self.restriction}"

    @property
    def is_open(self) -> bool:
        return self.state == self.State.OPEN
