"""Agreements and disclosures, and who was given them: append only (see market 0002)."""

from importlib import import_module

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import market.facts

market_bolts = import_module("market.migrations.0002_bolts")
TABLES = ("accounts_document", "accounts_documentreceipt")


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0011_liquidate_last"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Document",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("margin_agreement", "margin agreement"),
                            ("margin_disclosure", "margin disclosure statement (FINRA 2264)"),
                            ("portfolio_margin", "portfolio margin risk disclosure (FINRA 4210(g))"),
                            ("options_disclosure", "options disclosure document"),
                            ("email_consent", "consent to notices by e-mail"),
                            ("loan_terms", "loan terms"),
                        ],
                        max_length=20,
                    ),
                ),
                (
                    "agreement",
                    models.CharField(
                        blank=True,
                        help_text="Owed to clients with an account of it; empty: to every client",
                        max_length=48,
                    ),
                ),
                ("version", models.CharField(max_length=40)),
                (
                    "effective_at",
                    models.DateTimeField(help_text="In force from this instant until the next version is"),
                ),
                ("sha256", models.CharField(help_text="Of the text, in hexadecimal", max_length=64)),
                ("location", models.CharField(help_text="File or address at which the text is kept", max_length=300)),
                ("needs_acceptance", models.BooleanField(default=False, help_text="Being given it is not enough")),
                (
                    "is_yearly",
                    models.BooleanField(default=False, help_text="Given again in each calendar year (FINRA 2264(b))"),
                ),
                ("entered_by", models.CharField(max_length=150)),
                ("recorded_at", models.DateTimeField(db_default=market.facts.StatementClock(), editable=False)),
            ],
            options={
                "ordering": ("kind", "agreement", "-effective_at"),
                "constraints": [
                    models.UniqueConstraint(fields=("kind", "agreement", "version"), name="document_version_is_unique"),
                    models.UniqueConstraint(
                        fields=("kind", "agreement", "effective_at"), name="document_versions_follow_each_other"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("sha256__regex", "^[0-9a-f]{64}$")),
                        name="document_has_the_hash_of_its_text",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("version", ""), _negated=True), models.Q(("location", ""), _negated=True)
                        ),
                        name="document_says_where_it_is",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="DocumentReceipt",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "act",
                    models.CharField(
                        choices=[("given", "given"), ("accepted", "accepted"), ("revoked", "taken back")], max_length=8
                    ),
                ),
                (
                    "channel",
                    models.CharField(
                        choices=[("email", "e-mail"), ("online", "online"), ("post", "post"), ("person", "in person")],
                        max_length=8,
                    ),
                ),
                ("at", models.DateTimeField()),
                ("source", models.CharField(max_length=32)),
                ("external_reference", models.CharField(max_length=80)),
                ("recorded_at", models.DateTimeField(db_default=market.facts.StatementClock(), editable=False)),
                (
                    "client",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="document_receipts",
                        to="accounts.client",
                    ),
                ),
                (
                    "document",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="receipts", to="accounts.document"
                    ),
                ),
                (
                    "entered_by",
                    models.ForeignKey(
                        blank=True,
                        help_text="Empty: a machine, which the source names",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ("-at", "-id"),
                "indexes": [models.Index(fields=["client", "document"], name="document_receipt_by_client")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("source", "external_reference"), name="document_receipt_reference_is_used_once"
                    )
                ],
            },
        ),
        *(migrations.RunSQL(market_bolts.bolt(table), market_bolts.unbolt(table)) for table in TABLES),
    ]
