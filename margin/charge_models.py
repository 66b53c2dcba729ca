"""What makes up a requirement. What is said of one unit of an instrument is stored once, in its wording; an account
adds how much it holds of it. `Charge` is the two put together by the database, and what everybody reads.
"""

from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from market import fields
from market.models import Instrument


class NumberField(fields.ExactField):
    """A number with all its digits, however many."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"max_digits": 1000, "decimal_places": 500, **options})

    def db_type(self, connection: Any) -> str:
        return "numeric"


class Wording(models.Model):
    """The explanation of charges on one instrument in one sweep, with marks where an account's own figures go.

    Marks are the private characters U+E000 to U+E003, for the quantity, the local amount, the rate of exchange and the
    amount (`margin.engine.wordings`).
    """

    instrument = models.ForeignKey(
        Instrument, on_delete=models.PROTECT, null=True, blank=True, related_name="+", db_index=False
    )
    code = models.CharField(max_length=48)
    text = models.TextField(help_text="JSON: rule, inputs, binding branch, law")
    unit = NumberField(null=True, blank=True, help_text="What one unit is charged, in the instrument's currency")

    def __str__(self) -> str:
        return f"{self.code} {self.instrument_id}"


class ChargeList(models.Model):
    """The charges of a measure in their order: wordings, and for each the quantity and the rate of exchange.

    A charge is |quantity| × the wording's unit × rate; without `rates` every rate is 1. Lists from before the wordings
    had units say it in `lines`: [[wording, quantity, local amount, rate, amount], …].
    """

    measure = models.OneToOneField(
        "margin.Measure", on_delete=models.PROTECT, primary_key=True, related_name="charge_list"
    )
    lines = models.JSONField(null=True, blank=True)
    wordings = ArrayField(models.BigIntegerField(), null=True, blank=True)
    quantities = ArrayField(NumberField(), null=True, blank=True)
    rates = ArrayField(NumberField(), null=True, blank=True)

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=Q(lines__isnull=False, wordings=None, quantities=None, rates=None)
                | Q(lines=None, wordings__isnull=False, quantities__isnull=False)
                & Q(wordings__len=F("quantities__len"))
                & (Q(rates=None) | Q(rates__len=F("wordings__len"))),
                name="charge_list_says_all_of_each_charge",
            ),
        )

    def __str__(self) -> str:
        return f"charges of {self.measure_id}"


class Charge(models.Model):
    """One line of a requirement: who, why, how much. A measure's requirement is the exact sum of its charges.

    Read only, a view: `assessments.save` stores charges as lists and wordings.
    """

    measure = models.ForeignKey("margin.Measure", on_delete=models.DO_NOTHING, related_name="charges")
    instrument = models.ForeignKey(Instrument, on_delete=models.DO_NOTHING, null=True, blank=True, related_name="+")
    code = models.CharField(max_length=48)
    amount = fields.ExactField(max_digits=38, decimal_places=20)
    explanation = models.JSONField(default=dict, help_text="Rule, inputs, binding branch, law")

    class Meta:
        managed = False
        db_table = "margin_charge"
        ordering = ("measure", "id")

    def __str__(self) -> str:
        return f"{self.code} {self.amount}"
