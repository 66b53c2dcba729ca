"""What clients have: who they are, what they hold, and every movement that led there.

Positions change only through fills, cash movements, adjustments and book loads (`positions`, `cash`), and every
change leaves a `PositionFact` in the same transaction. Cash is a position in a cash instrument.
"""

import pghistory
from django.conf import settings
from django.db import models
from django.db.models import F, Q

from market import facts, fields
from market.models import Instrument


@pghistory.track(model_name="ClientChange")
class Client(models.Model):
    """A person or firm with accounts."""

    code = models.CharField(max_length=24, unique=True)
    name = models.CharField(max_length=160)
    language = models.CharField(max_length=8, default="en")
    time_zone = models.CharField(max_length=64, default="America/New_York", help_text="IANA name")
    is_counterparty = models.BooleanField(
        default=False, help_text="A clearing house, broker or lender with accounts of ours: its calls are on us"
    )
    created_at = models.DateTimeField(db_default=facts.StatementClock(), editable=False)

    class Meta:
        ordering = ("code",)

    def __str__(self) -> str:
        return self.name


@pghistory.track(model_name="ContactChange")
class Contact(models.Model):
    """Somebody who is told. Exactly one valid address; notices go to those who receive them."""

    client = models.ForeignKey(Client, on_delete=models.PROTECT, related_name="contacts")
    name = models.CharField(max_length=120)
    email = models.EmailField(max_length=254)
    phone = models.CharField(max_length=40, blank=True)
    language = models.CharField(max_length=8, blank=True, help_text="Empty: the client's language")
    receives_notices = models.BooleanField(default=True)

    class Meta:
        ordering = ("client", "name")
        constraints = (models.UniqueConstraint(fields=("client", "email"), name="contact_is_one_per_address"),)

    def __str__(self) -> str:
        return f"{self.name} <{self.email}>"


@pghistory.track(model_name="AccountChange")
class Account(models.Model):
    """Where positions are held and margin is measured."""

    code = models.CharField(max_length=24, unique=True)
    client = models.ForeignKey(Client, on_delete=models.PROTECT, related_name="accounts")
    name = models.CharField(max_length=160, blank=True)
    base_currency = models.CharField(max_length=12, default="USD")
    agreement = models.CharField(
        max_length=48, db_index=True, help_text="Code of the agreement; the margin policy of the same code governs"
    )
    margined_with = models.ForeignKey(
        "self",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="members",
        help_text="The lead account with which this one is measured as one; calls are issued on the lead",
    )
    opened_on = models.DateField()
    closed_on = models.DateField(null=True, blank=True)
    alert_rate = fields.rate(
        null=True, blank=True, help_text="The client is warned below this equity ÷ requirement; empty: by the policy"
    )
    liquidate_last = models.JSONField(
        default=list, blank=True, help_text="What the client wants sold last, the first the longest (accounts.wishes)"
    )

    class Meta:
        ordering = ("code",)
        constraints = (
            models.CheckConstraint(
                condition=Q(alert_rate=None) | Q(alert_rate__gt=1, alert_rate__lte=100),
                name="account_alert_is_above_a_call",
            ),
            models.CheckConstraint(
                condition=Q(margined_with=None) | ~Q(margined_with=F("id")), name="account_is_not_margined_with_itself"
            ),
            models.CheckConstraint(
                condition=Q(closed_on=None) | Q(closed_on__gte=F("opened_on")), name="account_closes_after_it_opens"
            ),
        )

    def __str__(self) -> str:
        return self.code


class Revision(models.Model):
    """How often an account's holdings changed: a decision made on an older revision is refused (fault C5)."""

    account = models.OneToOneField(Account, on_delete=models.PROTECT, primary_key=True, related_name="revision")
    number = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.account_id} r{self.number}"


class Cause(models.TextChoices):
    BOOK = "book", "book load"
    FILL = "fill", "fill"
    CASH = "cash", "cash movement"
    ADJUSTMENT = "adjustment", "adjustment"


class Position(models.Model):
    """What an account holds of an instrument now; negative is short, or borrowed cash."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="positions", db_index=False)
    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT, related_name="positions")
    quantity = fields.quantity()
    cost = fields.amount(
        null=True, blank=True, help_text="Paid for what is still held, in its currency; empty: unknown"
    )

    class Meta:
        ordering = ("account", "instrument")
        constraints = (
            models.UniqueConstraint(fields=("account", "instrument"), name="position_is_one_per_account_instrument"),
        )

    def __str__(self) -> str:
        return f"{self.account_id} {self.quantity} of {self.instrument_id}"


class PositionFact(models.Model):
    """Every change of a position, append only: also the change log that sweeps and replays read."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="position_facts", db_index=False)
    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT, related_name="+", db_index=False)
    change = fields.quantity()
    quantity = fields.quantity(help_text="Held after the change")
    cost = fields.amount(null=True, blank=True)
    cause = models.CharField(max_length=10, choices=Cause)
    reference = models.CharField(max_length=120, help_text="The fill, movement, adjustment or book that caused it")
    effective_at = models.DateTimeField()
    recorded_at = facts.recorded_at()
    transaction_id = facts.transaction_id()

    class Meta:
        indexes = (
            models.Index(fields=("account", "instrument", "-effective_at", "-id"), name="position_fact_by_position"),
            models.Index(fields=("transaction_id",), name="position_fact_by_transaction"),
        )

    def __str__(self) -> str:
        return f"{self.account_id} {self.change} of {self.instrument_id}"


class Fill(models.Model):
    """An executed trade, append only; it moves the instrument and its cash. A bust is a fill that reverses another."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="fills")
    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT, related_name="+")
    source = models.CharField(max_length=32)
    external_reference = models.CharField(max_length=80)
    quantity = fields.quantity(help_text="Bought is positive, sold is negative")
    price = fields.price()
    fee = fields.amount(default=0)
    traded_at = models.DateTimeField()
    settles_on = models.DateField(null=True, blank=True)
    reverses = models.OneToOneField("self", on_delete=models.PROTECT, null=True, blank=True, related_name="reversed_by")
    recorded_at = facts.recorded_at()
    transaction_id = facts.transaction_id()

    class Meta:
        ordering = ("-traded_at", "-id")
        constraints = (
            models.UniqueConstraint(fields=("source", "external_reference"), name="fill_reference_is_used_once"),
            models.CheckConstraint(condition=~Q(quantity=0), name="fill_moves_something"),
            models.CheckConstraint(condition=Q(fee__gte=0), name="fill_fee_is_not_negative"),
        )

    def __str__(self) -> str:
        return f"{self.account_id} {self.quantity} of {self.instrument_id} at {self.price}"


class CashMovement(models.Model):
    """Money in or out of an account, append only, each external reference once."""

    class Kind(models.TextChoices):
        DEPOSIT = "deposit", "deposit"
        WITHDRAWAL = "withdrawal", "withdrawal"
        INTEREST = "interest", "interest"
        DIVIDEND = "dividend", "dividend"
        FEE = "fee", "fee"
        FUNDING = "funding", "funding"
        SETTLEMENT = "settlement", "settlement"
        CORRECTION = "correction", "correction"

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="cash_movements")
    currency = models.ForeignKey(
        Instrument, on_delete=models.PROTECT, related_name="+", limit_choices_to={"kind": "cash"}
    )
    kind = models.CharField(max_length=10, choices=Kind)
    amount = fields.amount(help_text="Into the account is positive")
    source = models.CharField(max_length=32)
    external_reference = models.CharField(max_length=80)
    effective_at = models.DateTimeField()
    reverses = models.OneToOneField("self", on_delete=models.PROTECT, null=True, blank=True, related_name="reversed_by")
    note = models.CharField(max_length=200, blank=True)
    recorded_at = facts.recorded_at()
    transaction_id = facts.transaction_id()

    class Meta:
        ordering = ("-effective_at", "-id")
        constraints = (
            models.UniqueConstraint(
                fields=("source", "external_reference"), name="cash_movement_reference_is_used_once"
            ),
            models.CheckConstraint(condition=~Q(amount=0), name="cash_movement_moves_something"),
            models.CheckConstraint(
                condition=~Q(kind="deposit", reverses=None) | Q(amount__gt=0), name="deposit_is_positive"
            ),
            models.CheckConstraint(
                condition=~Q(kind="withdrawal", reverses=None) | Q(amount__lt=0), name="withdrawal_is_negative"
            ),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.amount} to {self.account_id}"


class Adjustment(models.Model):
    """A change of a position that is no trade: a corporate action, a delivery or a correction by hand, append only."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="adjustments")
    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT, related_name="+")
    change = fields.quantity()
    is_delivery = models.BooleanField(default=False, help_text="Brought in or taken out free of payment by the client")
    reason = models.CharField(max_length=200)
    external_reference = models.CharField(max_length=120, unique=True)
    effective_at = models.DateTimeField()
    entered_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    recorded_at = facts.recorded_at()
    transaction_id = facts.transaction_id()

    class Meta:
        ordering = ("-effective_at", "-id")

    def __str__(self) -> str:
        return f"{self.account_id} {self.change} of {self.instrument_id}"


class BookLoad(models.Model):
    """One accepted book file: its hash and control totals."""

    file_name = models.CharField(max_length=200)
    sha256 = models.CharField(max_length=64, unique=True)
    row_count = models.PositiveIntegerField()
    quantity_total = fields.ExactField(max_digits=38, decimal_places=12)
    effective_at = models.DateTimeField()
    loaded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    recorded_at = facts.recorded_at()

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return self.file_name


# Tables from a module of their own, found by Django here.
from accounts.document_models import Document, DocumentReceipt  # noqa: E402, F401
