"""When the database became another system: after a restore or a failover everything that leaves the house waits."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q


class SystemEpoch(models.Model):
    """A stretch of time in one database system. Until it is released nothing is sent: no mail, no order.

    What was found is compared by one person and released by another; the first epoch of a house needs neither.
    """

    number = models.BigIntegerField(primary_key=True)
    began_at = models.DateTimeField()
    cause = models.CharField(max_length=400)
    system_identifier = models.CharField(max_length=24)
    timeline = models.PositiveIntegerField()
    database_oid = models.BigIntegerField()
    kept_seal = models.BigIntegerField(default=0, help_text="The newest seal that the database held")
    report = models.JSONField(default=dict, blank=True, help_text="What was found when it was compared")
    compared_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    compared_at = models.DateTimeField(null=True, blank=True)
    released_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    released_at = models.DateTimeField(null=True, blank=True)
    reason = models.CharField(max_length=400, blank=True)

    class Meta:
        ordering = ("-number",)
        constraints = (
            models.CheckConstraint(
                condition=Q(number=1)
                | Q(released_at=None)
                | Q(compared_by__isnull=False, released_by__isnull=False)
                & ~Q(compared_by=F("released_by"))
                & ~Q(reason=""),
                name="epoch_is_released_by_two_people",
            ),
            models.CheckConstraint(
                condition=Q(released_at=None) | Q(number=1) | Q(compared_at__isnull=False),
                name="epoch_is_compared_before_it_is_released",
            ),
        )

    def __str__(self) -> str:
        return f"epoch {self.number}"

    @property
    def is_held(self) -> bool:
        return self.released_at is None
