"""What we compute and decide: policies, sweeps, assessments, warnings, margin calls, plans, and the event chains.

`Event`, `Chain` and `MarginCall` are bolted by the database (migration `bolts`): a call changes only through
`calls`, and nothing in a chain is ever updated or deleted.
"""

from datetime import datetime, timedelta
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import F, Func, Q, Value
from django.db.models.functions import Coalesce

from accounts.models import Account, Adjustment, CashMovement, Fill
from margin import workflow
from margin.confidence import WordsField
from market import facts, fields
from market.models import Instrument


def person(**options: Any) -> "models.ForeignKey[Any, Any]":
    """A member of staff; history keeps people, so they are never deleted."""
    return models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", **options)


# --- policies ---------------------------------------------------------------------------------------


class Policy(models.Model):
    """The margin rules of one agreement; the rules themselves are in its versions."""

    code = models.CharField(max_length=48, unique=True, help_text="Equals Account.agreement of those it governs")
    name = models.CharField(max_length=160)

    class Meta:
        verbose_name_plural = "policies"
        ordering = ("code",)

    def __str__(self) -> str:
        return self.code


class PolicyVersion(models.Model):
    """One version of a policy: published by one person, approved by another, never edited once approved."""

    policy = models.ForeignKey(Policy, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    terms = models.JSONField(help_text="docs/policy.schema.json")
    note = models.CharField(max_length=200, blank=True)
    effective_at = models.DateTimeField(help_text="In force from this instant, once approved")
    published_by = person()
    published_at = models.DateTimeField()
    approved_by = person(null=True, blank=True)
    approved_at = models.DateTimeField(null=True, blank=True)
    recorded_at = facts.recorded_at()

    class Meta:
        ordering = ("policy", "-number")
        constraints = (
            models.UniqueConstraint(fields=("policy", "number"), name="policy_version_number_is_unique"),
            models.CheckConstraint(
                condition=Q(approved_by=None) | ~Q(approved_by=F("published_by")), name="policy_needs_two_people"
            ),
            models.CheckConstraint(
                condition=Q(approved_by=None, approved_at=None)
                | Q(approved_by__isnull=False, approved_at__isnull=False),
                name="policy_approval_has_person_and_instant",
            ),
        )

    def __str__(self) -> str:
        return f"{self.policy.code} v{self.number}"


# --- sweeps and assessments -------------------------------------------------------------------------


class Sweep(models.Model):
    """One run over all accounts of a kind, claimed as a slot: (kind, slot_at) exists once."""

    class State(models.TextChoices):
        RUNNING = "running", "running"
        COMPLETE = "complete", "complete"
        INCOMPLETE = "incomplete", "incomplete"
        SUPERSEDED = "superseded", "superseded"

    kind = models.CharField(max_length=16)
    slot_at = models.DateTimeField()
    at = models.DateTimeField(help_text="The instant at which accounts are assessed")
    state = models.CharField(max_length=10, choices=State, default=State.RUNNING)
    fx = models.JSONField(default=list, blank=True, help_text="[[base, quoted, rate], …] as strings")
    rates = models.JSONField(default=list, blank=True, help_text="[[kind, currency or instrument, rate], …] as strings")
    parameters = models.JSONField(default=dict, blank=True, help_text="sha256 of the published parameters by name")
    previous = models.ForeignKey("self", on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    eligible = models.PositiveIntegerField(default=0)
    evaluated = models.PositiveIntegerField(default=0)
    unpriced = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    counts = models.JSONField(default=dict, blank=True, help_text="Outcomes and decisions by name")
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-slot_at", "-id")
        constraints = (
            models.UniqueConstraint(fields=("kind", "slot_at"), name="sweep_claims_its_slot"),
            models.CheckConstraint(
                condition=~Q(state="complete") | Q(eligible=F("evaluated") + F("unpriced"), failed=0),
                name="complete_sweep_saw_every_account",
            ),
        )

    def __str__(self) -> str:
        return f"sweep {self.pk} ({self.kind} {self.slot_at:%Y-%m-%d %H:%M} UTC)"


class Shard(models.Model):
    """A range of accounts of a sweep, recorded once; a dead shard's lease lapses and it is taken again."""

    sweep = models.ForeignKey(Sweep, on_delete=models.CASCADE, related_name="shards")
    number = models.PositiveIntegerField()
    first_account = models.BigIntegerField()
    last_account = models.BigIntegerField()
    account_ids = models.JSONField(null=True, blank=True, help_text="Exactly these, where given")
    lease_until = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveIntegerField(default=0, help_text="Fencing: only the latest attempt may finish it")
    visible = models.TextField(blank=True, help_text="pg_current_snapshot() of the positions read, for exact replay")
    said = models.BinaryField(default=b"", blank=True, help_text="What models answered, packed, for exact replay")
    done_at = models.DateTimeField(null=True, blank=True)
    counts = models.JSONField(default=dict, blank=True)
    last_error = models.TextField(blank=True)

    class Meta:
        ordering = ("sweep", "number")
        constraints = (models.UniqueConstraint(fields=("sweep", "number"), name="shard_is_one_per_number"),)

    def __str__(self) -> str:
        return f"shard {self.number} of sweep {self.sweep_id}"


class SweepPrice(models.Model):
    """A price a sweep used, stored only where it differs from the sweep before (`Sweep.previous`)."""

    sweep = models.ForeignKey(Sweep, on_delete=models.CASCADE, related_name="prices")
    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT, related_name="+")
    mark = fields.price(null=True)
    as_of = models.DateTimeField(null=True)
    source = models.CharField(max_length=32, blank=True)
    refused = models.CharField(max_length=200, blank=True, help_text="Why it could not be used")
    implied_volatility = fields.rate(null=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("sweep", "instrument"), name="sweep_price_is_one_per_instrument"),
        )
        indexes = (models.Index(fields=("instrument", "-sweep"), name="sweep_price_by_instrument"),)

    def __str__(self) -> str:
        return f"{self.instrument_id} {self.mark}"


class Assessment(models.Model):
    """What one sweep found for one account that matters: a deficit, a warning, an open call, or no price."""

    class Status(models.TextChoices):
        PRICED = "priced", "priced"
        UNPRICED = "unpriced", "unpriced"
        FAILED = "failed", "failed"

    sweep = models.ForeignKey(Sweep, on_delete=models.PROTECT, related_name="assessments")
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="assessments")
    policy_version = models.ForeignKey(PolicyVersion, on_delete=models.PROTECT, null=True, related_name="+")
    at = models.DateTimeField()
    status = models.CharField(max_length=8, choices=Status)
    reasons = models.JSONField(default=list, blank=True, help_text="Why it is unpriced or failed")
    currency = models.CharField(max_length=12)
    revision = models.BigIntegerField(default=0, help_text="Account revision the figures rest on")
    holdings = models.JSONField(default=list, help_text="[[instrument, quantity, cost, mark], …] as text")
    digest = models.CharField(max_length=64, blank=True, help_text="sha256 of inputs and results")

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(fields=("sweep", "account"), name="assessment_is_one_per_sweep_and_account"),
            models.CheckConstraint(condition=Q(status="priced") | ~Q(reasons=[]), name="unpriced_assessment_says_why"),
        )
        indexes = (models.Index(fields=("account", "-id"), name="assessment_by_account"),)

    def __str__(self) -> str:
        return f"assessment {self.pk} of {self.account_id}"


class Measure(models.Model):
    """One regime's figures within an assessment, in the account's currency."""

    assessment = models.ForeignKey(Assessment, on_delete=models.PROTECT, related_name="measures")
    regime = models.CharField(max_length=16, choices=workflow.Regime.choices())
    equity = fields.amount()
    requirement = fields.amount(help_text="At the trigger level")
    restore_requirement = fields.amount(help_text="At the level a cure must restore")
    severe_requirement = fields.amount(null=True, blank=True, help_text="Below this, escalation does not wait")
    deficit = fields.amount(help_text="What restores the target now; zero where there is none")
    cover = fields.ExactField(max_digits=20, decimal_places=8, null=True, blank=True, help_text="equity ÷ requirement")

    class Meta:
        ordering = ("assessment", "regime")
        constraints = (
            models.UniqueConstraint(fields=("assessment", "regime"), name="measure_is_one_per_regime"),
            models.CheckConstraint(condition=Q(deficit__gte=0), name="deficit_is_not_negative"),
        )

    def __str__(self) -> str:
        return f"{self.regime}: {self.equity} against {self.requirement}"


# --- the chain --------------------------------------------------------------------------------------


class Chain(models.Model):
    """The head of an account's event chain. Written by the database functions alone."""

    account = models.OneToOneField(Account, on_delete=models.PROTECT, primary_key=True, related_name="chain")
    seq = models.BigIntegerField(default=0)
    head = models.CharField(max_length=64, default="")
    at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"chain of {self.account_id} at {self.seq}"


class Event(models.Model):
    """One link of an account's history: `hash = sha256(previous_hash + "\\n" + body)`.

    Written by `margin_append_events` alone; every column is also inside `body`, so no byte is outside the hash.
    """

    id = models.BigIntegerField(primary_key=True)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="events", db_index=False)
    seq = models.BigIntegerField()
    call = models.ForeignKey("MarginCall", on_delete=models.PROTECT, null=True, related_name="events")
    kind = models.CharField(max_length=48)
    at = models.DateTimeField()
    recorded_at = models.DateTimeField()
    transaction_id = models.BigIntegerField(db_index=True)
    body = models.TextField()
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)

    class Meta:
        ordering = ("account", "seq")
        constraints = (
            models.UniqueConstraint(fields=("account", "seq"), name="event_seq_is_unique_in_its_chain"),
            models.CheckConstraint(condition=Q(seq__gte=1), name="event_seq_starts_at_one"),
        )

    def __str__(self) -> str:
        return f"{self.kind} ({self.account_id}/{self.seq})"


# --- warnings and calls -----------------------------------------------------------------------------


class Warning(models.Model):
    """An account came close to a call. Never itself a call; one open per account, regime and rung."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="warnings")
    regime = models.CharField(max_length=16, choices=workflow.Regime.choices())
    rung = models.CharField(max_length=16, default=workflow.RUNG, help_text="warn: the policy's warning level")
    raised_at = models.DateTimeField()
    cleared_at = models.DateTimeField(null=True, blank=True)
    cleared_by = models.CharField(max_length=16, blank=True, help_text="recovery, or call")
    assessment = models.ForeignKey(Assessment, on_delete=models.PROTECT, related_name="+")
    cover = fields.ExactField(max_digits=20, decimal_places=8)

    class Meta:
        ordering = ("-raised_at", "-id")
        constraints = (
            models.UniqueConstraint(
                fields=("account", "regime", "rung"), condition=Q(cleared_at=None), name="warning_is_open_once"
            ),
        )

    def __str__(self) -> str:
        return f"{self.regime} warning of {self.account_id}"


class MarginCallQuerySet(models.QuerySet["MarginCall"]):
    def open(self) -> Self:
        return self.filter(state__in=workflow.OPEN_STATES)

    def overdue(self, at: datetime) -> Self:
        return self.open().filter(due_at__lte=at)

    def due_before(self, at: datetime) -> Self:
        return self.open().filter(due_at__lt=at)


class MarginCall(models.Model):
    """A demand to restore margin: one open per account, regime and deficiency key.

    Changed through `calls` alone; the database refuses any row without its matching event.
    """

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="calls")
    regime = models.CharField(max_length=16, choices=workflow.Regime.choices())
    deficiency_key = models.CharField(max_length=48, blank=True, default="")
    state = models.CharField(max_length=10, choices=workflow.State.choices())
    seq = models.BigIntegerField(help_text="Event of the account's chain that wrote this row")
    policy_version = models.ForeignKey(PolicyVersion, on_delete=models.PROTECT, related_name="calls")
    assessment = models.ForeignKey(Assessment, on_delete=models.PROTECT, null=True, blank=True, related_name="calls")
    currency = models.CharField(max_length=12)
    amount_called = fields.amount()
    amount_outstanding = fields.amount()
    tolerance = fields.amount(default=0)
    market_cures = models.BooleanField()
    issued_at = models.DateTimeField()
    due_at = models.DateTimeField()
    original_due_at = models.DateTimeField()
    due_basis = models.CharField(max_length=200)
    notified_at = models.DateTimeField(null=True, blank=True, help_text="First provable attempt to tell the client")
    provisionally_met_at = models.DateTimeField(null=True, blank=True)
    escalated_at = models.DateTimeField(null=True, blank=True)
    escalation_cause = models.CharField(max_length=16, blank=True, choices=workflow.Cause.choices())
    escalation_level = models.PositiveSmallIntegerField(default=0)
    closed_at = models.DateTimeField(null=True, blank=True)
    resolution = models.CharField(max_length=24, blank=True, choices=workflow.Resolution.choices())
    held_until = models.DateTimeField(null=True, blank=True, help_text="No automatic escalation or closing before")
    paused_until = models.DateTimeField(null=True, blank=True, help_text="The client says it is paid; being checked")
    disputed = fields.amount(default=0, help_text="Under dispute; zero: none open")
    clock_stopped_at = models.DateTimeField(null=True, blank=True, help_text="Since when a dispute stops the deadline")
    is_provisional = models.BooleanField(default=False, help_text="Counts once the trading day has closed")
    reminded_at = models.DateTimeField(null=True, blank=True)
    predecessor = models.ForeignKey("self", on_delete=models.PROTECT, null=True, blank=True, related_name="successors")

    objects = MarginCallQuerySet.as_manager()

    class Meta:
        ordering = ("due_at", "id")
        constraints = (
            models.UniqueConstraint(
                fields=("account", "regime", "deficiency_key"),
                condition=Q(state__in=("issued", "escalated")),
                name="call_is_open_once_per_account_regime_key",
            ),
            models.UniqueConstraint(fields=("account", "seq"), name="call_row_is_written_by_one_event"),
            models.CheckConstraint(
                condition=Q(state__in=("issued", "met", "escalated", "liquidated", "cancelled")),
                name="call_state_is_known",
            ),
            models.CheckConstraint(condition=Q(amount_called__gt=0), name="amount_called_is_positive"),
            models.CheckConstraint(condition=Q(amount_outstanding__gte=0), name="outstanding_is_not_negative"),
            models.CheckConstraint(condition=Q(due_at__gte=F("issued_at")), name="call_is_due_after_it_is_issued"),
            models.CheckConstraint(
                condition=Q(state__in=("issued", "escalated"), closed_at=None, resolution="")
                | Q(state__in=("met", "liquidated", "cancelled"), closed_at__isnull=False) & ~Q(resolution=""),
                name="closed_call_has_instant_and_resolution",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=("escalated", "liquidated"))
                | Q(escalated_at__isnull=False) & ~Q(escalation_cause=""),
                name="escalated_call_names_its_cause",
            ),
        )
        indexes = (
            models.Index(fields=("state", "due_at"), name="call_by_state_and_due"),
            models.Index(fields=("due_at", "id"), condition=Q(state__in=("issued", "escalated")), name="queue_by_due"),
        )

    def __str__(self) -> str:
        return self.number

    @property
    def number(self) -> str:
        return f"MC-{1000 + self.pk}" if self.pk else "MC-new"

    @property
    def is_open(self) -> bool:
        return self.state in workflow.OPEN_STATES

    def time_left(self, at: datetime) -> float:
        """Seconds until due; negative when overdue."""
        return (self.due_at - at).total_seconds()


class Cure(models.Model):
    """What meets a call, or part of it: announced, under way, settled, perhaps reversed.

    Only a settled cure counts, and what one source gives counts once per regime: `used` of all cures of a movement in
    a regime never exceeds the movement. Changed through `calls` alone, each time with its event.
    """

    class Kind(models.TextChoices):
        CASH = "cash", "cash"
        REPAYMENT = "repayment", "loan repayment"
        SECURITIES = "securities", "securities brought in"
        COLLATERAL = "collateral", "collateral added"
        SALE = "sale", "sale"
        PURCHASE = "purchase", "purchase to cover"
        OPTION_CLOSE = "option_close", "option closed"
        COLLATERAL_SALE = "collateral_sale", "collateral sold"

    class State(models.TextChoices):
        CLAIMED = "claimed", "claimed"
        IN_TRANSIT = "in_transit", "in transit"
        SETTLED = "settled", "settled"
        REVERSED = "reversed", "reversed"
        REJECTED = "rejected", "rejected"

    call = models.ForeignKey(MarginCall, on_delete=models.PROTECT, related_name="cures")
    kind = models.CharField(max_length=16, choices=Kind)
    state = models.CharField(max_length=10, choices=State)
    movement = models.ForeignKey(CashMovement, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    fill = models.ForeignKey(Fill, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    adjustment = models.ForeignKey(Adjustment, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    used = fields.amount(default=0, help_text="How much of its source this call takes, in the source's own unit")
    release = fields.amount(default=0, help_text="What it releases for this call's regime, rounded down")
    currency = models.CharField(max_length=12, blank=True, help_text="Announced")
    amount = fields.amount(null=True, blank=True, help_text="Announced")
    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    method = models.CharField(max_length=16, blank=True, help_text="wire, ach, cheque, transfer, on-chain …")
    reference = models.CharField(max_length=80, blank=True, help_text="As the payer states it")
    expected_at = models.DateTimeField(null=True, blank=True)
    settled_at = models.DateTimeField(null=True, blank=True)
    seq = models.BigIntegerField(help_text="Event that wrote it last")

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(fields=("call", "movement"), name="movement_cures_a_call_once"),
            models.UniqueConstraint(fields=("call", "fill"), name="fill_cures_a_call_once"),
            models.UniqueConstraint(fields=("call", "adjustment"), name="adjustment_cures_a_call_once"),
            models.CheckConstraint(
                condition=~Q(state__in=("settled", "reversed"))
                | Q(movement__isnull=False, fill=None, adjustment=None)
                | Q(movement=None, fill__isnull=False, adjustment=None)
                | Q(movement=None, fill=None, adjustment__isnull=False),
                name="settled_cure_names_its_source",
            ),
            models.CheckConstraint(condition=Q(release__gte=0, used__gte=0), name="cure_takes_nothing_back"),
            models.CheckConstraint(condition=Q(state__in=("settled", "reversed")) | Q(release=0, used=0),
                                   name="only_a_settled_cure_releases"),
        )  # fmt: skip

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.release} for {self.call_id}"

    @property
    def is_settled(self) -> bool:
        return self.state == self.State.SETTLED

    @property
    def is_expected(self) -> bool:
        return self.state in (self.State.CLAIMED, self.State.IN_TRANSIT)


# --- liquidation ------------------------------------------------------------------------------------


class Plan(models.Model):
    """A proposed forced closing, sized by the engine. Its content never changes; approval binds to its hash."""

    class State(models.TextChoices):
        PROPOSED = "proposed", "proposed"
        APPROVED = "approved", "approved"
        DONE = "done", "done"
        REJECTED = "rejected", "rejected"
        EXPIRED = "expired", "expired"

    call = models.ForeignKey(MarginCall, on_delete=models.PROTECT, related_name="plans")
    state = models.CharField(max_length=8, choices=State, default=State.PROPOSED)
    content = models.TextField(help_text="Canonical JSON: lines, prices, fees, before and after")
    content_hash = models.GeneratedField(
        expression=Func("content", function="margin_content_hash"),
        output_field=models.CharField(max_length=64),
        db_persist=True,
    )
    creator = models.GeneratedField(
        expression=Coalesce("proposed_by_id", Value(0)), output_field=models.BigIntegerField(), db_persist=True
    )
    proposed_by = person(null=True, blank=True)
    proposed_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    reason = WordsField(blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(fields=("id", "content_hash", "creator"), name="plan_and_its_content"),
            models.CheckConstraint(
                condition=Q(expires_at__gt=F("proposed_at"), expires_at__lte=F("proposed_at") + timedelta(days=1)),
                name="plan_lives_a_day_at_most",
            ),
            models.UniqueConstraint(
                fields=("call",), condition=Q(state__in=("proposed", "approved")), name="plan_is_open_once_per_call"
            ),
        )

    def __str__(self) -> str:
        return f"plan {self.pk}"


class PlanLine(models.Model):
    """One instrument to sell (negative) or buy back (positive)."""

    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="lines")
    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT, related_name="+")
    quantity = fields.quantity()
    price = fields.price(help_text="Mark the plan was sized at")
    fee = fields.amount(default=0)

    class Meta:
        ordering = ("plan", "id")
        constraints = (
            models.UniqueConstraint(fields=("plan", "instrument"), name="plan_line_is_one_per_instrument"),
            models.CheckConstraint(condition=~Q(quantity=0), name="plan_line_moves_something"),
        )

    def __str__(self) -> str:
        return f"{self.quantity} of {self.instrument_id}"


class Approval(models.Model):
    """One person's yes to exactly one content of a plan. The proposer cannot give it; nobody gives it twice."""

    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="approvals")
    content_hash = models.CharField(max_length=64)
    creator = models.BigIntegerField(help_text="Who proposed; 0: the system")
    approver = person()
    approved_at = models.DateTimeField()

    class Meta:
        ordering = ("plan", "id")
        constraints = (
            models.UniqueConstraint(fields=("plan", "approver"), name="approver_approves_a_plan_once"),
            models.UniqueConstraint(fields=("id", "plan"), name="approval_and_its_plan"),
            models.CheckConstraint(condition=~Q(approver=F("creator")), name="approver_is_not_the_creator"),
        )

    def __str__(self) -> str:
        return f"{self.approver_id} approves {self.plan_id}"


class PlanFill(models.Model):
    """A fill that executed a line of an approved plan."""

    line = models.ForeignKey(PlanLine, on_delete=models.PROTECT, related_name="fills")
    fill = models.OneToOneField(Fill, on_delete=models.PROTECT, related_name="plan_fill")
    report = models.ForeignKey(
        "OrderReport", on_delete=models.PROTECT, null=True, blank=True, related_name="fills",
        help_text="That told of it; null: before orders were kept",
    )  # fmt: skip

    def __str__(self) -> str:
        return f"fill {self.fill_id} of line {self.line_id}"


class Receivable(models.Model):
    """What a client still owes after everything eligible was sold."""

    call = models.OneToOneField(MarginCall, on_delete=models.PROTECT, related_name="receivable")
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="receivables")
    currency = models.CharField(max_length=12)
    amount = fields.amount()
    booked_at = models.DateTimeField()

    class Meta:
        ordering = ("-id",)
        constraints = (models.CheckConstraint(condition=Q(amount__gt=0), name="receivable_is_positive"),)

    def __str__(self) -> str:
        return f"{self.amount} {self.currency} from {self.account_id}"


class Alarm(models.Model):
    """Something staff must look at: a late or incomplete sweep, a skewed clock, an unpriced account that stays so."""

    kind = models.CharField(max_length=32)
    subject = models.CharField(max_length=80, help_text="What it is about; one open alarm per kind and subject")
    message = models.CharField(max_length=400)
    raised_at = models.DateTimeField()
    cleared_at = models.DateTimeField(null=True, blank=True)
    mailed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-raised_at", "-id")
        constraints = (
            models.UniqueConstraint(
                fields=("kind", "subject"), condition=Q(cleared_at=None), name="alarm_is_open_once"
            ),
        )

    def __str__(self) -> str:
        return self.message


# Tables from modules of their own, found by Django here.
from margin.case_models import Dispute, Request, Task  # noqa: E402, F401
from margin.charge_models import Charge, ChargeList, Wording  # noqa: E402, F401
from margin.epoch_models import SystemEpoch  # noqa: E402, F401
from margin.gate_models import Reconciliation, StormGate  # noqa: E402, F401
from margin.order_models import (  # noqa: E402, F401
    KillSwitch,
    LiquidationCap,
    Order,
    OrderReport,
    Release,
    RightsChange,
    StandingApproval,
    WallClock,
)
from margin.restriction_models import Restriction, Strike, Waiver  # noqa: E402, F401
from margin.retention_models import Erasure, LegalHold  # noqa: E402, F401
from margin.seal_models import Seal, SweepDigest  # noqa: E402, F401
from margin.sma_models import SmaEntry  # noqa: E402, F401
