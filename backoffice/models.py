"""The hall's own rows: keys of machines that call the API, and replies kept so that a repeated request is harmless."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from market import facts


class ApiKey(models.Model):
    """A machine's key: only its hash is kept; it has scopes and an end."""

    name = models.CharField(max_length=80)
    prefix = models.CharField(max_length=12, unique=True)
    key_hash = models.CharField(max_length=64)
    scopes = models.JSONField(default=list, help_text='Such as ["read", "quotes:write"]')
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "API key"
        ordering = ("name",)
        constraints = (
            models.CheckConstraint(condition=Q(expires_at__gt=models.F("created_at")), name="api_key_has_an_end"),
        )

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix})"


class IdempotentReply(models.Model):
    """What was answered to a POST with an Idempotency-Key; the same key gets the same answer for 72 hours."""

    owner = models.CharField(max_length=80, help_text="The API key or user that asked")
    key = models.CharField(max_length=255)
    method_and_path = models.CharField(max_length=200)
    body_hash = models.CharField(max_length=64)
    status_code = models.PositiveSmallIntegerField(null=True, help_text="Empty while the first request is at work")
    reply = models.JSONField(null=True)
    created_at = models.DateTimeField(db_default=facts.StatementClock(), editable=False)

    class Meta:
        verbose_name_plural = "idempotent replies"
        constraints = (models.UniqueConstraint(fields=("owner", "key"), name="idempotency_key_is_used_once"),)

    def __str__(self) -> str:
        return self.key
