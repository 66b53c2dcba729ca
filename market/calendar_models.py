"""What changes about days: closures and openings out of turn, and how long trades take to settle. Append only."""

from django.db import models
from django.db.models import F, Q

from market import facts


class DayChange(models.Model):
    """A day of a calendar closed or opened out of turn; the newest `id` counts, and the sessions follow it."""

    calendar = models.ForeignKey("market.Calendar", on_delete=models.PROTECT, related_name="changes", db_index=False)
    on = models.DateField()
    is_open = models.BooleanField()
    opens_at = models.DateTimeField(help_text="The session's hours: those it gets, or those it lost")
    closes_at = models.DateTimeField()
    break_starts_at = models.DateTimeField(null=True, blank=True)
    break_ends_at = models.DateTimeField(null=True, blank=True)
    reason = models.CharField(max_length=200)
    source = models.CharField(max_length=32)
    recorded_at = facts.recorded_at()
    transaction_id = facts.transaction_id()

    class Meta:
        ordering = ("calendar", "on", "id")
        indexes = (models.Index(fields=("calendar", "-on", "-id"), name="day_change_by_calendar"),)
        constraints = (
            models.CheckConstraint(condition=~Q(reason=""), name="day_change_has_a_reason"),
            models.CheckConstraint(condition=Q(closes_at__gt=F("opens_at")), name="day_change_closes_after_it_opens"),
        )

    def __str__(self) -> str:
        return f"{self.calendar} {self.on} {'opened' if self.is_open else 'closed'}"


class SettlementCycle(models.Model):
    """How many business days trades of a market take to settle, from a trade date on; the newest `id` of a day counts.

    A change announced for a later day is a row already: nothing else has to happen on that day.
    """

    code = models.CharField(max_length=16, help_text="The market, such as US")
    effective_on = models.DateField(help_text="The first trade date that settles so")
    days = models.PositiveSmallIntegerField()
    source = models.CharField(max_length=200)
    recorded_at = facts.recorded_at()
    transaction_id = facts.transaction_id()

    class Meta:
        ordering = ("code", "effective_on", "id")
        indexes = (models.Index(fields=("code", "effective_on", "id"), name="settlement_cycle_by_code"),)
        constraints = (
            models.CheckConstraint(condition=~Q(source=""), name="settlement_cycle_has_a_source"),
            models.CheckConstraint(condition=Q(days__lte=5), name="settlement_cycle_is_at_most_a_week"),
        )

    def __str__(self) -> str:
        return f"{self.code} T+{self.days} from {self.effective_on}"
