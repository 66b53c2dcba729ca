"""How long what we know of a client must stay, and when it went. Imported by `margin.models`."""

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from accounts.models import Client
from margin.confidence import WordsField


def _person(**options: Any) -> "models.ForeignKey[Any, Any]":
    return models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", **options)


class LegalHold(models.Model):
    """While it stands nothing of the client is erased, whatever has run out. Placed once, lifted once."""

    client = models.ForeignKey(Client, on_delete=models.PROTECT, related_name="legal_holds")
    reason = WordsField()
    placed_by = _person()
    placed_at = models.DateTimeField()
    lifted_by = _person(null=True, blank=True)
    lifted_at = models.DateTimeField(null=True, blank=True)
    lift_reason = WordsField(blank=True)

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(
                fields=("client",), condition=Q(lifted_at=None), name="legal_hold_is_open_once_per_client"
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="legal_hold_says_why"),
            models.CheckConstraint(
                condition=Q(lifted_at=None, lifted_by=None, lift_reason="")
                | Q(lifted_at__isnull=False, lifted_by__isnull=False) & ~Q(lift_reason=""),
                name="legal_hold_is_lifted_by_somebody_who_says_why",
            ),
        )

    def __str__(self) -> str:
        return f"legal hold {self.pk} of client {self.client_id}"


class Erasure(models.Model):
    """A client's names, addresses and words are to be erased: asked by one, carried out by another, or not at all."""

    client = models.ForeignKey(Client, on_delete=models.PROTECT, related_name="erasures")
    reason = WordsField()
    retained_until = models.DateField(
        null=True, blank=True, help_text="The last day that records of the client's accounts must be kept"
    )
    asked_by = _person()
    asked_at = models.DateTimeField()
    approved_by = _person(null=True, blank=True)
    done_at = models.DateTimeField(null=True, blank=True)
    transaction_id = models.BigIntegerField(null=True, blank=True, editable=False, help_text="Set by the database")

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(
                fields=("client",), condition=Q(done_at=None), name="erasure_is_asked_once_per_client"
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="erasure_says_why"),
            models.CheckConstraint(
                condition=Q(approved_by=None, done_at=None)
                | Q(approved_by__isnull=False, done_at__isnull=False) & ~Q(approved_by=F("asked_by")),
                name="erasure_needs_two_people",
            ),
        )

    def __str__(self) -> str:
        return f"erasure {self.pk} of client {self.client_id}"
