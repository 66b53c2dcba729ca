"""The special memorandum account as stored: one row per posting, never changed. Imported by `margin.models`."""

from django.db import models
from django.db.models import F, Q

from accounts.models import Account, CashMovement, Fill
from margin.engine.sma import Kind
from market import facts, fields


class SmaEntry(models.Model):
    """One posting to an account's SMA, append only, with what stood after it. Written by `margin.sma` alone.

    Amounts are in the account's base currency, whole in its smallest unit.
    """

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="sma_entries", db_index=False)
    number = models.PositiveBigIntegerField(help_text="Counts the account's postings from 1")
    kind = models.CharField(max_length=16, choices=[(kind.value, kind.value.replace("_", " ")) for kind in Kind])
    amount = fields.amount(help_text="Money, cost, proceeds or market value posted; zero for a close")
    excess = fields.amount(null=True, blank=True, help_text="Regulation T excess seen; empty: not known")
    balance = fields.amount(help_text="SMA after the posting")
    called = fields.amount(help_text="Regulation T margin that SMA did not cover and nobody has paid yet")
    reference = models.CharField(max_length=120, help_text="What was posted: each once per account")
    movement = models.ForeignKey(CashMovement, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    fill = models.ForeignKey(Fill, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    sweep = models.ForeignKey("margin.Sweep", on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    at = models.DateTimeField()
    recorded_at = facts.recorded_at()
    transaction_id = facts.transaction_id()

    class Meta:
        verbose_name = "SMA entry"
        verbose_name_plural = "SMA entries"
        ordering = ("account", "-number")
        constraints = (
            models.UniqueConstraint(fields=("account", "number"), name="sma_entry_number_is_used_once"),
            models.UniqueConstraint(fields=("account", "reference"), name="sma_entry_is_one_per_source"),
            models.UniqueConstraint(fields=("movement",), name="movement_counts_in_sma_once"),
            models.UniqueConstraint(fields=("fill",), name="fill_counts_in_sma_once"),
            models.CheckConstraint(condition=Q(number__gte=1), name="sma_entry_number_starts_at_one"),
            models.CheckConstraint(condition=Q(kind__in=[kind.value for kind in Kind]), name="sma_kind_is_known"),
            models.CheckConstraint(condition=Q(balance__gte=0, called__gte=0), name="sma_is_not_negative"),
            models.CheckConstraint(condition=Q(amount__gte=0) | Q(kind="option"), name="sma_amount_is_a_size"),
            models.CheckConstraint(
                condition=~Q(kind="close")
                | Q(amount=0, excess__isnull=False, balance__gte=F("excess"), movement=None, fill=None),
                name="sma_closes_no_lower_than_the_excess",
            ),
            models.CheckConstraint(condition=Q(movement=None) | Q(fill=None), name="sma_entry_has_one_source"),
            models.CheckConstraint(condition=~Q(reference=""), name="sma_entry_names_its_source"),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.account_id}/{self.number}"
