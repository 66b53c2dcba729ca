"""Agreements and disclosures: each version of a text, and who was given it or agreed to it. Both append only."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from accounts.models import Client
from market import facts


class Document(models.Model):
    """One version of a text that clients are given. It is kept at `location`; its hash says which text it is."""

    class Kind(models.TextChoices):
        MARGIN_AGREEMENT = "margin_agreement", "margin agreement"
        MARGIN_DISCLOSURE = "margin_disclosure", "margin disclosure statement (FINRA 2264)"
        PORTFOLIO_MARGIN = "portfolio_margin", "portfolio margin risk disclosure (FINRA 4210(g))"
        OPTIONS_DISCLOSURE = "options_disclosure", "options disclosure document"
        EMAIL_CONSENT = "email_consent", "consent to notices by e-mail"
        LOAN_TERMS = "loan_terms", "loan terms"

    kind = models.CharField(max_length=20, choices=Kind)
    agreement = models.CharField(
        max_length=48, blank=True, help_text="Owed to clients with an account of it; empty: to every client"
    )
    version = models.CharField(max_length=40)
    effective_at = models.DateTimeField(help_text="In force from this instant until the next version is")
    sha256 = models.CharField(max_length=64, help_text="Of the text, in hexadecimal")
    location = models.CharField(max_length=300, help_text="File or address at which the text is kept")
    needs_acceptance = models.BooleanField(default=False, help_text="Being given it is not enough")
    is_yearly = models.BooleanField(default=False, help_text="Given again in each calendar year (FINRA 2264(b))")
    entered_by = models.CharField(max_length=150)
    recorded_at = facts.recorded_at()

    class Meta:
        ordering = ("kind", "agreement", "-effective_at")
        constraints = (
            models.UniqueConstraint(fields=("kind", "agreement", "version"), name="document_version_is_unique"),
            models.UniqueConstraint(
                fields=("kind", "agreement", "effective_at"), name="document_versions_follow_each_other"
            ),
            models.CheckConstraint(
                condition=Q(sha256__regex="^[0-9a-f]{64}$"), name="document_has_the_hash_of_its_text"
            ),
            models.CheckConstraint(condition=~Q(version="") & ~Q(location=""), name="document_says_where_it_is"),
        )

    def __str__(self) -> str:
        of = f" of {self.agreement}" if self.agreement else ""
        return f"{self.get_kind_display()}{of}, version {self.version}"


class DocumentReceipt(models.Model):
    """One version was given to a client, agreed to by it, or taken back: the latest of each counts."""

    class Act(models.TextChoices):
        GIVEN = "given", "given"
        ACCEPTED = "accepted", "accepted"
        REVOKED = "revoked", "taken back"

    class Channel(models.TextChoices):
        EMAIL = "email", "e-mail"
        ONLINE = "online", "online"
        POST = "post", "post"
        PERSON = "person", "in person"

    client = models.ForeignKey(Client, on_delete=models.PROTECT, related_name="document_receipts", db_index=False)
    document = models.ForeignKey(Document, on_delete=models.PROTECT, related_name="receipts")
    act = models.CharField(max_length=8, choices=Act)
    channel = models.CharField(max_length=8, choices=Channel)
    at = models.DateTimeField()
    source = models.CharField(max_length=32)
    external_reference = models.CharField(max_length=80)
    entered_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+",
        help_text="Empty: a machine, which the source names",
    )  # fmt: skip
    recorded_at = facts.recorded_at()

    class Meta:
        ordering = ("-at", "-id")
        constraints = (
            models.UniqueConstraint(
                fields=("source", "external_reference"), name="document_receipt_reference_is_used_once"
            ),
        )
        indexes = (models.Index(fields=("client", "document"), name="document_receipt_by_client"),)

    def __str__(self) -> str:
        return f"{self.act} {self.document_id} to {self.client_id}"
