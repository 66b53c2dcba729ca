"""What the world says: instruments and their names, prices, rates, calendars, corporate actions.

Current tables answer "now"; the append-only facts beside them answer "then" (docs/decisions.md). Only the owning
modules write: `instruments`, `quotes`, `rates`, `calendars`, `actions`.
"""

import pghistory
from django.conf import settings
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateRangeField, RangeOperators
from django.db import models
from django.db.models import F, Q

from market import facts, fields


class Calendar(models.Model):
    """A trading, settlement or payment calendar, filled as rows and known only until a stated day."""

    code = models.CharField(max_length=32, unique=True)
    name = models.CharField(max_length=120)
    zone = models.CharField(max_length=64, help_text="IANA time zone of its wall times")
    always_open = models.BooleanField(default=False, help_text="24 hours, seven days: elapsed time is trading time")
    known_from = models.DateField()
    known_until = models.DateField(help_text="After this day the calendar is unknown, and is never guessed")

    class Meta:
        ordering = ("code",)
        constraints = (
            models.CheckConstraint(
                condition=Q(known_until__gte=F("known_from")), name="calendar_is_known_from_before_until"
            ),
        )

    def __str__(self) -> str:
        return self.code


class Session(models.Model):
    """One day on which a calendar is open, with its real opening and closing instants (half days included)."""

    calendar = models.ForeignKey(Calendar, on_delete=models.PROTECT, related_name="sessions")
    on = models.DateField()
    opens_at = models.DateTimeField()
    closes_at = models.DateTimeField()
    break_starts_at = models.DateTimeField(null=True, blank=True, help_text="Lunch break; empty: none")
    break_ends_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("calendar", "on")
        constraints = (
            models.UniqueConstraint(fields=("calendar", "on"), name="session_is_one_per_calendar_and_day"),
            models.CheckConstraint(condition=Q(closes_at__gt=F("opens_at")), name="session_closes_after_it_opens"),
            models.CheckConstraint(
                condition=Q(break_starts_at=None, break_ends_at=None)
                | Q(
                    break_starts_at__gt=F("opens_at"),
                    break_ends_at__gt=F("break_starts_at"),
                    closes_at__gt=F("break_ends_at"),
                ),
                name="session_break_lies_inside_it",
            ),
        )

    def __str__(self) -> str:
        return f"{self.calendar.code} {self.on}"


class Kind(models.TextChoices):
    CASH = "cash", "cash"
    EQUITY = "equity", "equity"
    ETF = "etf", "ETF"
    BOND = "bond", "bond"
    OPTION = "option", "option"
    FUTURE = "future", "future"
    FUTURE_OPTION = "future_option", "option on future"
    PERPETUAL = "perpetual", "perpetual"
    CRYPTO = "crypto", "crypto spot"
    OTC = "otc", "OTC contract"
    INDEX = "index", "index"  # never held: its level prices what is written on it
    WARRANT = "warrant", "warrant"


class MarginClass(models.TextChoices):
    """As an underlying: which percentages the option rules ask (FINRA 4210(f)(2), Cboe Rule 10.3)."""

    EQUITY = "equity", "equity"
    ETF_NARROW = "etf_narrow", "fund on a narrow index"
    ETF_BROAD = "etf_broad", "fund on a broad index"
    ETN_BROAD = "etn_broad", "note on a broad index"
    NARROW_INDEX = "narrow_index", "narrow index"
    BROAD_INDEX = "broad_index", "broad index"
    HIGH_CAP_INDEX = "high_cap_index", "broad index of high capitalisation"
    VOL_INDEX = "vol_index", "volatility index"
    FX = "fx", "foreign currency"


class Right(models.TextChoices):
    CALL = "call", "call"
    PUT = "put", "put"


class Style(models.TextChoices):
    AMERICAN = "american", "American"
    EUROPEAN = "european", "European"


class DebtClass(models.TextChoices):
    """The rows of FINRA 4210(e)(2)."""

    US_GOVERNMENT = "us_government", "US government"
    US_GOVERNMENT_ZERO = "us_government_zero", "US government, zero coupon"
    MUNICIPAL = "municipal", "municipal"
    INVESTMENT_GRADE = "investment_grade", "investment grade"
    OTHER_LISTED = "other_listed", "other listed"
    CONVERTIBLE = "convertible", "convertible"


@pghistory.track(model_name="InstrumentChange")
class Instrument(models.Model):
    """A thing that can be held. Its `code` never changes; its tickers do, and live in `Alias`."""

    code = models.CharField(max_length=48, unique=True, help_text="Our own stable code, never a ticker alone")
    name = models.CharField(max_length=160)
    kind = models.CharField(max_length=16, choices=Kind)
    currency = models.CharField(max_length=12, help_text="ISO 4217 or coin code in which it is priced")
    price_divisor = models.PositiveIntegerField(default=1, help_text="100 where quotes come in pence or cents")
    multiplier = fields.quantity(default=1, help_text="Units of the underlying per contract")
    minor_exponent = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="Cash only: decimals of the smallest unit (USD 2, JPY 0, BTC 8)"
    )
    lot_size = fields.quantity(default=1, help_text="Smallest quantity that can be traded")
    tick_size = fields.price(null=True, blank=True)
    calendar = models.ForeignKey(
        Calendar, on_delete=models.PROTECT, null=True, blank=True, help_text="Empty: open around the clock"
    )
    # How far its price may be trusted.
    may_be_negative = models.BooleanField(default=False)
    jump_limit_rate = fields.rate(default="0.25", help_text="A larger relative move is held in quarantine")
    max_age_seconds = models.PositiveIntegerField(default=900, help_text="Trading time after which its quote is stale")
    # Terms that margin rules read.
    margin_eligible = models.BooleanField(default=True)
    leverage = fields.rate(default=1, help_text="Absolute leverage factor of a leveraged ETF or ETN")
    sector = models.CharField(max_length=48, blank=True)
    issuer = models.CharField(max_length=80, blank=True, help_text="Groups instruments for concentration")
    daily_volume = fields.quantity(null=True, blank=True, help_text="Units traded on an average day")
    margin_class = models.CharField(max_length=16, choices=MarginClass, default=MarginClass.EQUITY)
    index = models.ForeignKey(
        "self",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="followers",
        help_text="The full-size index that a fund follows, or that a reduced-value index is a part of",
    )
    index_scale = fields.rate(default=1, help_text="Size in full-size indexes: 0.1 for a tenth")
    underlying = models.ForeignKey("self", on_delete=models.PROTECT, null=True, blank=True, related_name="derivatives")
    right = models.CharField(max_length=4, choices=Right, blank=True)
    strike = fields.price(null=True, blank=True)
    style = models.CharField(max_length=8, choices=Style, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    cash_settled = models.BooleanField(default=False)
    inverse = models.BooleanField(default=False, help_text="Contract paid in the underlying coin")
    deliverable = models.JSONField(default=dict, blank=True, help_text="Adjusted options: what one contract delivers")
    debt_class = models.CharField(max_length=24, choices=DebtClass, blank=True)
    matures_on = models.DateField(null=True, blank=True)
    coupon_rate = fields.rate(null=True, blank=True)
    terms = models.JSONField(default=dict, blank=True, help_text="OTC and rare terms, by name")
    listed_on = models.DateField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True, help_text="Delisted, expired or written off")

    class Meta:
        ordering = ("code",)
        constraints = (
            models.CheckConstraint(
                condition=~Q(kind__in=("option", "future_option"))
                | Q(underlying__isnull=False, strike__isnull=False, expires_at__isnull=False)
                & ~Q(right="")
                & ~Q(style=""),
                name="option_has_underlying_right_strike_style_expiry",
            ),
            models.CheckConstraint(
                condition=~Q(kind="future") | Q(expires_at__isnull=False), name="future_has_an_expiry"
            ),
            models.CheckConstraint(
                condition=~Q(kind="bond") | Q(matures_on__isnull=False) & ~Q(debt_class=""),
                name="bond_has_a_class_and_a_maturity",
            ),
            models.CheckConstraint(
                condition=Q(kind="cash", minor_exponent__isnull=False) | ~Q(kind="cash") & Q(minor_exponent=None),
                name="cash_alone_has_minor_units",
            ),
            models.CheckConstraint(condition=Q(multiplier__gt=0), name="multiplier_is_positive"),
            models.CheckConstraint(condition=Q(lot_size__gt=0), name="lot_size_is_positive"),
            models.CheckConstraint(condition=Q(leverage__gt=0), name="leverage_is_positive"),
            models.CheckConstraint(condition=Q(jump_limit_rate__gt=0), name="jump_limit_is_positive"),
            models.CheckConstraint(condition=Q(price_divisor__gt=0), name="price_divisor_is_positive"),
            models.CheckConstraint(condition=Q(index_scale__gt=0), name="index_scale_is_positive"),
            models.CheckConstraint(
                condition=~Q(kind="warrant") | Q(underlying__isnull=False), name="warrant_has_an_underlying"
            ),
        )

    def __str__(self) -> str:
        return self.code


class Scheme(models.TextChoices):
    TICKER = "ticker", "ticker"
    ISIN = "isin", "ISIN"
    FIGI = "figi", "FIGI"
    VENUE = "venue", "venue symbol"


class Alias(models.Model):
    """A name the world used for an instrument during some days. WM was Washington Mutual, then Waste Management."""

    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT, related_name="aliases")
    scheme = models.CharField(max_length=8, choices=Scheme, default=Scheme.TICKER)
    symbol = models.CharField(max_length=64)
    valid = DateRangeField(help_text="From this day (included) until that day (excluded)")

    class Meta:
        verbose_name_plural = "aliases"
        ordering = ("scheme", "symbol", "valid")
        constraints = (
            ExclusionConstraint(
                name="alias_names_one_instrument_at_a_time",
                expressions=[
                    ("scheme", RangeOperators.EQUAL),
                    ("symbol", RangeOperators.EQUAL),
                    ("valid", RangeOperators.OVERLAPS),
                ],
            ),
        )

    def __str__(self) -> str:
        return f"{self.scheme} {self.symbol}"


class QuoteColumns(models.Model):
    """The columns a quote and its fact share."""

    source = models.CharField(max_length=32)
    as_of = models.DateTimeField()
    bid = fields.price(null=True, blank=True)
    ask = fields.price(null=True, blank=True)
    mark = fields.price()
    implied_volatility = fields.rate(null=True, blank=True)

    class Meta:
        abstract = True


class QuoteFact(QuoteColumns):
    """Every quote ever accepted, append only."""

    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT, related_name="quote_facts", db_index=False)
    recorded_at = facts.recorded_at()
    transaction_id = facts.transaction_id()

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("instrument", "as_of", "source"), name="quote_fact_is_one_per_instrument_instant_source"
            ),
        )

    def __str__(self) -> str:
        return f"{self.instrument_id} {self.mark} at {self.as_of:%Y-%m-%d %H:%M:%S}"


class Quote(QuoteColumns):
    """The latest accepted quote of an instrument. Written by `quotes.record` alone."""

    instrument = models.OneToOneField(Instrument, on_delete=models.PROTECT, primary_key=True, related_name="quote")
    # No constraint in the database: facts cannot be deleted, and one check per tick and instrument is the dearest part.
    fact = models.ForeignKey(QuoteFact, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False)

    class Meta:
        ordering = ("instrument",)

    def __str__(self) -> str:
        return f"{self.instrument_id} {self.mark}"


class HeldQuote(QuoteColumns):
    """A quote in quarantine: it moved too far, and a second source or a person must confirm it."""

    class State(models.TextChoices):
        HELD = "held", "held"
        CONFIRMED = "confirmed", "confirmed"
        REJECTED = "rejected", "rejected"

    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT, related_name="held_quotes")
    reason = models.CharField(max_length=200)
    previous_mark = fields.price(null=True, blank=True)
    state = models.CharField(max_length=9, choices=State, default=State.HELD)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    decided_source = models.CharField(
        max_length=32, blank=True, help_text="The source whose later quote agreed, or returned to normal"
    )
    decided_reason = models.CharField(max_length=200, blank=True, help_text="Why a person decided so")
    decided_at = models.DateTimeField(null=True, blank=True)
    recorded_at = facts.recorded_at()
    transaction_id = facts.transaction_id()

    class Meta:
        ordering = ("-as_of", "-id")
        constraints = (
            models.UniqueConstraint(
                fields=("instrument", "source"), condition=Q(state="held"), name="held_quote_is_one_per_source"
            ),
            models.CheckConstraint(
                condition=Q(state="held", decided_at=None) | ~Q(state="held") & Q(decided_at__isnull=False),
                name="held_quote_is_decided_with_an_instant",
            ),
        )

    def __str__(self) -> str:
        return f"{self.instrument_id} {self.mark} ({self.state})"


class Close(models.Model):
    """An official close. A correction is a later row; the newest `id` counts."""

    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT, related_name="closes", db_index=False)
    on = models.DateField()
    price = fields.price()
    source = models.CharField(max_length=32)
    recorded_at = facts.recorded_at()
    transaction_id = facts.transaction_id()

    class Meta:
        ordering = ("instrument", "on", "id")
        indexes = (models.Index(fields=("instrument", "-on", "-id"), name="close_by_instrument"),)

    def __str__(self) -> str:
        return f"{self.instrument_id} {self.on} {self.price}"


class FxRate(models.Model):
    """One unit of `base` in units of `quoted`, append only; the newest `as_of` (then `id`) counts."""

    base = models.CharField(max_length=12)
    quoted = models.CharField(max_length=12)
    value = fields.rate()
    source = models.CharField(max_length=32)
    as_of = models.DateTimeField()
    recorded_at = facts.recorded_at()
    transaction_id = facts.transaction_id()

    class Meta:
        ordering = ("base", "quoted", "-as_of", "-id")
        indexes = (models.Index(fields=("base", "quoted", "-as_of", "-id"), name="fx_rate_by_pair"),)
        constraints = (
            models.CheckConstraint(condition=Q(value__gt=0), name="fx_rate_is_positive"),
            models.CheckConstraint(condition=~Q(base=F("quoted")), name="fx_rate_is_between_two_currencies"),
            models.UniqueConstraint(
                fields=("base", "quoted", "as_of", "source"), name="fx_rate_is_one_per_pair_instant_source"
            ),
        )

    def __str__(self) -> str:
        return f"{self.base}/{self.quoted} {self.value}"


class Rate(models.Model):
    """An interest, dividend, borrow, lending or funding rate per year, effective from an instant, append only."""

    class Kind(models.TextChoices):
        RISK_FREE = "risk_free", "risk-free"
        DIVIDEND = "dividend", "dividend"
        BORROW = "borrow", "borrow"
        LENDING = "lending", "lending"
        FUNDING = "funding", "funding"

    kind = models.CharField(max_length=10, choices=Kind)
    venue = models.CharField(max_length=32, blank=True)
    currency = models.CharField(max_length=12, blank=True)
    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT, null=True, blank=True, related_name="rates")
    value = fields.rate(help_text="Per year, as a fraction: 0.07 is 7 %")
    source = models.CharField(max_length=32)
    effective_at = models.DateTimeField()
    recorded_at = facts.recorded_at()
    transaction_id = facts.transaction_id()

    class Meta:
        ordering = ("kind", "venue", "currency", "-effective_at", "-id")
        indexes = (
            models.Index(fields=("kind", "currency", "instrument", "-effective_at", "-id"), name="rate_by_subject"),
        )
        constraints = (
            models.CheckConstraint(
                condition=~Q(currency="") | Q(instrument__isnull=False), name="rate_has_a_currency_or_an_instrument"
            ),
            models.UniqueConstraint(
                fields=("kind", "venue", "currency", "instrument", "effective_at", "source"),
                name="rate_is_one_per_instrument_and_instant",
            ),
            models.UniqueConstraint(
                fields=("kind", "venue", "currency", "effective_at", "source"),
                condition=Q(instrument=None),
                name="rate_is_one_per_currency_and_instant",
            ),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.currency or self.instrument_id} {self.value}"


class ParameterSet(models.Model):
    """A published document of margin parameters in force from a day, append only; the newest day, then `id`, counts."""

    class Kind(models.TextChoices):
        SPAN = "span", "scenario arrays and margins per contract"
        BRACKETS = "brackets", "tiers of a venue"
        COLLATERAL = "collateral", "collateral ratios"
        CONFIDENCE = "confidence", "confidence of price feeds"
        SCHEDULE = "schedule", "schedule of initial margin"
        SIMM = "simm", "sensitivity weights"
        VOLATILITY = "volatility", "rates that follow volatility"

    name = models.SlugField(max_length=48, help_text="What the terms of a policy call it")
    kind = models.CharField(max_length=10, choices=Kind)
    effective_on = models.DateField()
    document = models.JSONField(help_text="Numbers are text")
    digest = models.CharField(max_length=64, help_text="sha256 of the document, its keys sorted")
    source = models.CharField(max_length=32)
    recorded_at = facts.recorded_at()
    transaction_id = facts.transaction_id()

    class Meta:
        ordering = ("name", "-effective_on", "-id")
        indexes = (
            models.Index(fields=("name", "-effective_on", "-id"), name="parameter_set_by_name"),
            models.Index(fields=("digest",), name="parameter_set_by_digest"),
        )
        constraints = (
            models.CheckConstraint(condition=Q(digest__regex="^[0-9a-f]{64}$"), name="parameter_set_has_a_digest"),
        )

    def __str__(self) -> str:
        return f"{self.name} from {self.effective_on}"


class CorporateAction(models.Model):
    """A split, symbol change, delisting, write-off or expiry. Entered by one person, approved by another."""

    class Kind(models.TextChoices):
        SPLIT = "split", "split"
        SYMBOL_CHANGE = "symbol_change", "symbol change"
        DELISTING = "delisting", "delisting"
        WRITE_OFF = "write_off", "write-off"
        EXPIRY = "expiry", "expiry"

    kind = models.CharField(max_length=13, choices=Kind)
    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT, related_name="actions")
    effective_at = models.DateTimeField()
    new_per_old = fields.rate(null=True, blank=True, help_text="Split: new units for one old unit (7:1 is 7)")
    new_symbol = models.CharField(max_length=64, blank=True)
    settlement_price = fields.price(null=True, blank=True, help_text="Expiry: cash paid per unit, may be negative")
    reason = models.CharField(max_length=200)
    proposed_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    approved_at = models.DateTimeField(null=True, blank=True)
    rejected_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    rejected_at = models.DateTimeField(null=True, blank=True)
    rejected_reason = models.CharField(max_length=200, blank=True)
    applied_at = models.DateTimeField(null=True, blank=True, help_text="When positions were adjusted")
    recorded_at = facts.recorded_at()
    transaction_id = facts.transaction_id()

    class Meta:
        ordering = ("-effective_at", "-id")
        constraints = (
            models.CheckConstraint(
                condition=Q(approved_by=None) | ~Q(approved_by=F("proposed_by")), name="action_needs_two_people"
            ),
            models.CheckConstraint(
                condition=Q(applied_at=None) | Q(approved_by__isnull=False), name="action_is_applied_after_approval"
            ),
            models.CheckConstraint(
                condition=~Q(kind="split") | Q(new_per_old__gt=0), name="split_has_a_positive_ratio"
            ),
            models.CheckConstraint(
                condition=~Q(kind="symbol_change") | ~Q(new_symbol=""), name="symbol_change_has_a_new_symbol"
            ),
            models.CheckConstraint(
                condition=Q(approved_by=None) | Q(rejected_by=None), name="action_is_approved_or_rejected_not_both"
            ),
            models.UniqueConstraint(
                fields=("kind", "instrument", "effective_at"),
                condition=Q(rejected_at=None),
                name="action_is_one_per_kind_and_instant",
            ),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.instrument_id} {self.effective_at:%Y-%m-%d}"


# Kept in a module of their own for length; Django looks for models here.
from market.calendar_models import DayChange, SettlementCycle  # noqa: E402, F401
