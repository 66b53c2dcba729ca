"""What proves the history from outside the chains: seals made with a key that the database does not hold."""

from django.db import models


class Seal(models.Model):
    """A keyed code over a batch of events and finished sweeps; each event is in exactly one. Append only.

    What is signed, and how it is verified, stands in `verifier/verify.py`.
    """

    number = models.BigIntegerField(primary_key=True)
    sealed_at = models.DateTimeField()
    system = models.CharField(max_length=80, help_text="The database system that held the events")
    horizon = models.BigIntegerField(help_text="The oldest transaction still running: the next seal looks from here")
    events = models.TextField(help_text="Event ids as ranges without their upper end")
    sweeps = models.TextField(help_text="Ids of finished sweeps, likewise")
    size = models.PositiveIntegerField(help_text="How many events")
    digest = models.CharField(max_length=64)
    key_id = models.CharField(max_length=32)
    next_key = models.CharField(max_length=32, blank=True, help_text="The key of the seals after this one, if another")
    previous_mac = models.CharField(max_length=64, blank=True)
    mac = models.CharField(max_length=64)

    class Meta:
        ordering = ("-number",)

    def __str__(self) -> str:
        return f"seal {self.number}"


class SweepDigest(models.Model):
    """One hash over the prices a finished sweep used and all that it found, under a seal; append only."""

    sweep = models.OneToOneField("Sweep", on_delete=models.PROTECT, primary_key=True, related_name="sealed")
    digest = models.CharField(max_length=64)

    def __str__(self) -> str:
        return f"digest of sweep {self.sweep_id}"
