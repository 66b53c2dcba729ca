"""What holds decisions back until a person looked: storms of calls, and books that seem to lack positions."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from accounts.models import Account
from market.models import Instrument


class StormGate(models.Model):
    """So many new calls of one policy at once that a person should look before clients are told.

    Nothing is dropped: each sweep decides anew on the prices of its moment, and after `until` the calls go out by
    themselves. A release lasts until `quiet_until`, so that the same storm is not held twice.
    """

    class State(models.TextChoices):
        OPEN = "open", "open"
        RELEASED = "released", "released"
        LAPSED = "lapsed", "released by time"
        PASSED = "passed", "passed by itself"

    policy = models.ForeignKey("Policy", on_delete=models.PROTECT, related_name="gates")
    sweep = models.ForeignKey("Sweep", on_delete=models.PROTECT, related_name="+", help_text="That found the storm")
    state = models.CharField(max_length=8, choices=State, default=State.OPEN)
    calls = models.PositiveIntegerField(help_text="New calls that the sweep would have issued")
    accounts = models.PositiveIntegerField(help_text="Accounts of the policy that it evaluated")
    instrument = models.ForeignKey(
        Instrument, on_delete=models.PROTECT, null=True, blank=True, related_name="+",
        help_text="Whose price moved most in the largest number of them",
    )  # fmt: skip
    explained = models.PositiveIntegerField(default=0, help_text="Calls that this instrument explains")
    last_sweep = models.ForeignKey(
        "Sweep", on_delete=models.PROTECT, null=True, blank=True, related_name="+",
        help_text="The newest that found the storm still there",
    )  # fmt: skip
    opened_at = models.DateTimeField()
    until = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)
    closed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    reason = models.CharField(max_length=400, blank=True)
    quiet_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(
                fields=("policy",), condition=Q(state="open"), name="storm_gate_is_open_once_per_policy"
            ),
            models.CheckConstraint(
                condition=Q(state="open", closed_at=None) | ~Q(state="open") & Q(closed_at__isnull=False),
                name="closed_gate_has_its_instant",
            ),
            models.CheckConstraint(
                condition=~Q(state="released") | Q(closed_by__isnull=False) & ~Q(reason=""),
                name="released_gate_names_who_and_why",
            ),
        )

    def __str__(self) -> str:
        return f"{self.calls} calls of {self.policy} at once"


class Reconciliation(models.Model):
    """A person says that an account's book is whole, though positions went without a trade; append only."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="reconciliations")
    confirmed_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    confirmed_at = models.DateTimeField()
    reason = models.CharField(max_length=400)

    class Meta:
        ordering = ("-id",)
        constraints = (models.CheckConstraint(condition=~Q(reason=""), name="reconciliation_says_why"),)

    def __str__(self) -> str:
        return f"{self.account} is whole"
