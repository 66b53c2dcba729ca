"""Releases, orders, what venues say, caps, standing approvals, the kill switch and changes of rights."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models.functions import Coalesce

import market.facts
import market.fields

# The hash and the creator of a plan are computed by the database; an approval names both, so that neither can be a lie.
CONTENT = """
CREATE FUNCTION margin_content_hash(content text) RETURNS character varying
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT encode(sha256(convert_to(content, 'UTF8')), 'hex') $$;
ALTER TABLE margin_approval DROP CONSTRAINT approval_is_of_this_content;
ALTER TABLE margin_plan DROP CONSTRAINT plan_and_its_content, DROP CONSTRAINT plan_hash_is_of_its_content,
    DROP COLUMN content_hash,
    ADD COLUMN content_hash character varying(64) GENERATED ALWAYS AS (margin_content_hash(content)) STORED,
    ADD COLUMN creator bigint GENERATED ALWAYS AS (coalesce(proposed_by_id, 0)) STORED;
ALTER TABLE margin_plan ADD CONSTRAINT plan_and_its_content UNIQUE (id, content_hash, creator);
ALTER TABLE margin_approval ADD COLUMN creator bigint;
ALTER TABLE margin_approval DISABLE TRIGGER margin_approval_rows_stay;
UPDATE margin_approval a SET creator = p.creator FROM margin_plan p WHERE p.id = a.plan_id;
ALTER TABLE margin_approval ENABLE ALWAYS TRIGGER margin_approval_rows_stay;
ALTER TABLE margin_approval ALTER COLUMN creator SET NOT NULL;
ALTER TABLE margin_approval ADD CONSTRAINT approval_is_of_this_content
    FOREIGN KEY (plan_id, content_hash, creator) REFERENCES margin_plan (id, content_hash, creator);
"""
CONTENT_BACK = """
ALTER TABLE margin_approval DROP CONSTRAINT approval_is_of_this_content, DROP COLUMN creator;
ALTER TABLE margin_plan DROP CONSTRAINT plan_and_its_content, DROP COLUMN creator,
    ALTER COLUMN content_hash DROP EXPRESSION;
DROP FUNCTION margin_content_hash(text);
ALTER TABLE margin_plan ALTER COLUMN content_hash SET NOT NULL,
    ADD CONSTRAINT plan_and_its_content UNIQUE (id, content_hash),
    ADD CONSTRAINT plan_hash_is_of_its_content
        CHECK (content_hash = encode(sha256(convert_to(content, 'UTF8')), 'hex'));
ALTER TABLE margin_approval ADD CONSTRAINT approval_is_of_this_content
    FOREIGN KEY (plan_id, content_hash) REFERENCES margin_plan (id, content_hash);
"""
BOUND = migrations.SeparateDatabaseAndState(
    database_operations=[migrations.RunSQL(CONTENT, CONTENT_BACK)],
    state_operations=[
        migrations.RemoveConstraint(model_name="plan", name="plan_and_its_content"),
        migrations.RemoveField(model_name="plan", name="content_hash"),
        migrations.AddField(
            model_name="plan",
            name="content_hash",
            field=models.GeneratedField(
                db_persist=True,
                expression=models.Func("content", function="margin_content_hash"),
                output_field=models.CharField(max_length=64),
            ),
        ),
        migrations.AddField(
            model_name="plan",
            name="creator",
            field=models.GeneratedField(
                db_persist=True,
                expression=Coalesce("proposed_by_id", models.Value(0)),
                output_field=models.BigIntegerField(),
            ),
        ),
        migrations.AddConstraint(
            model_name="plan",
            constraint=models.UniqueConstraint(fields=("id", "content_hash", "creator"), name="plan_and_its_content"),
        ),
        migrations.AddField(
            model_name="approval",
            name="creator",
            field=models.BigIntegerField(help_text="Who proposed; 0: the system"),
            preserve_default=False,
        ),
    ],
)


class Migration(migrations.Migration):
    dependencies = [
        ("margin", "0023_seals"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        BOUND,
        migrations.CreateModel(
            name="KillSwitch",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("is_pulled", models.BooleanField(default=True)),
                ("reason", models.CharField(max_length=400)),
                ("pulled_at", models.DateTimeField()),
                (
                    "cancels_working",
                    models.BooleanField(default=False, help_text="Orders that left already are asked back"),
                ),
                ("release_reason", models.CharField(blank=True, max_length=400)),
                ("release_asked_at", models.DateTimeField(blank=True, null=True)),
                ("released_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "verbose_name_plural": "kill switches",
                "ordering": ("-id",),
            },
        ),
        migrations.CreateModel(
            name="LiquidationCap",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("currency", models.CharField(max_length=12)),
                ("per_order", market.fields.ExactField(decimal_places=8, max_digits=28)),
                ("per_account", market.fields.ExactField(decimal_places=8, help_text="A day", max_digits=28)),
                ("per_day", market.fields.ExactField(decimal_places=8, help_text="Over all accounts", max_digits=28)),
                ("reason", models.CharField(max_length=400)),
                ("proposed_at", models.DateTimeField()),
                ("approved_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "ordering": ("-id",),
            },
        ),
        migrations.CreateModel(
            name="Order",
            fields=[
                (
                    "line",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="order",
                        serialize=False,
                        to="margin.planline",
                    ),
                ),
                ("client_order_id", models.CharField(max_length=32, unique=True)),
                ("venue", models.CharField(max_length=24)),
                ("quantity", market.fields.ExactField(decimal_places=12, help_text="Sold is negative", max_digits=32)),
                (
                    "limit_price",
                    market.fields.ExactField(
                        blank=True,
                        decimal_places=12,
                        help_text="The worst price that is acceptable",
                        max_digits=32,
                        null=True,
                    ),
                ),
                (
                    "reference_price",
                    market.fields.ExactField(
                        blank=True,
                        decimal_places=12,
                        help_text="Last good price, from which the collar is",
                        max_digits=32,
                        null=True,
                    ),
                ),
                ("reference_at", models.DateTimeField(blank=True, null=True)),
                ("currency", models.CharField(max_length=12)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("new", "new"),
                            ("sending", "sending"),
                            ("sent", "sent"),
                            ("unknown", "unknown"),
                            ("working", "working"),
                            ("filled", "filled"),
                            ("cancelled", "cancelled"),
                            ("rejected", "rejected"),
                        ],
                        default="new",
                        max_length=9,
                    ),
                ),
                ("token", models.UUIDField(blank=True, help_text="Of whoever is sending it", null=True)),
                ("lease_until", models.DateTimeField(blank=True, null=True)),
                ("attempts", models.PositiveIntegerField(default=0)),
                (
                    "asks",
                    models.PositiveIntegerField(default=0, help_text="Times the venue was asked what became of it"),
                ),
                ("asked_at", models.DateTimeField(blank=True, null=True)),
                ("cancel_wanted_at", models.DateTimeField(blank=True, null=True)),
                ("cancel_reason", models.CharField(blank=True, max_length=200)),
                ("cancel_asked_at", models.DateTimeField(blank=True, null=True)),
                ("last_error", models.CharField(blank=True, max_length=400)),
                ("created_at", models.DateTimeField()),
                ("moved_at", models.DateTimeField()),
            ],
            options={
                "ordering": ("line",),
            },
        ),
        migrations.CreateModel(
            name="OrderReport",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("venue", models.CharField(max_length=24)),
                ("report_id", models.CharField(max_length=120)),
                ("client_order_id", models.CharField(max_length=32)),
                (
                    "told",
                    models.CharField(
                        choices=[
                            ("accepted", "accepted"),
                            ("rejected", "rejected"),
                            ("filled", "filled"),
                            ("busted", "busted"),
                            ("corrected", "corrected"),
                            ("cancelled", "cancelled"),
                            ("cancel_refused", "cancel refused"),
                            ("never_heard", "never heard"),
                        ],
                        max_length=16,
                    ),
                ),
                ("at", models.DateTimeField()),
                (
                    "quantity",
                    market.fields.ExactField(
                        decimal_places=12, default=0, help_text="Of this execution, positive", max_digits=32
                    ),
                ),
                ("price", market.fields.ExactField(decimal_places=12, default=0, max_digits=32)),
                ("fee", market.fields.ExactField(decimal_places=8, default=0, max_digits=28)),
                ("refers_to", models.CharField(blank=True, max_length=120)),
                ("venue_order_id", models.CharField(blank=True, max_length=64)),
                ("text", models.CharField(blank=True, max_length=400)),
                ("recorded_at", models.DateTimeField(db_default=market.facts.StatementClock(), editable=False)),
            ],
            options={
                "ordering": ("id",),
            },
        ),
        migrations.CreateModel(
            name="Release",
            fields=[
                (
                    "plan",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="release",
                        serialize=False,
                        to="margin.plan",
                    ),
                ),
                ("content_hash", models.CharField(max_length=64)),
                ("creator", models.BigIntegerField(help_text="Who proposed; 0: the system")),
                ("venue", models.CharField(max_length=24)),
                ("currency", models.CharField(max_length=12)),
                (
                    "notional",
                    market.fields.ExactField(
                        decimal_places=8, help_text="At prices of now, in the call's currency", max_digits=28
                    ),
                ),
                (
                    "largest",
                    market.fields.ExactField(
                        decimal_places=8, help_text="Of its orders, in the call's currency", max_digits=28
                    ),
                ),
                ("released_at", models.DateTimeField()),
                ("recorded_at", models.DateTimeField(db_default=market.facts.StatementClock(), editable=False)),
            ],
            options={
                "ordering": ("-released_at",),
            },
        ),
        migrations.CreateModel(
            name="RightsChange",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("relation", models.CharField(max_length=63)),
                ("act", models.CharField(max_length=6)),
                ("subject", models.CharField(max_length=200)),
                ("change", models.CharField(max_length=400)),
                ("role", models.CharField(help_text="Of the database's session", max_length=63)),
                ("recorded_at", models.DateTimeField(db_default=market.facts.StatementClock(), editable=False)),
                ("told_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "ordering": ("-id",),
            },
        ),
        migrations.CreateModel(
            name="StandingApproval",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("regime", models.CharField(max_length=16)),
                ("currency", models.CharField(max_length=12)),
                ("per_order", market.fields.ExactField(decimal_places=8, max_digits=28)),
                ("per_account", market.fields.ExactField(decimal_places=8, help_text="A day", max_digits=28)),
                ("per_day", market.fields.ExactField(decimal_places=8, help_text="Over all accounts", max_digits=28)),
                ("reason", models.CharField(max_length=400)),
                ("proposed_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField()),
                ("approved_at", models.DateTimeField(blank=True, null=True)),
                ("revoked_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "ordering": ("-id",),
            },
        ),
        migrations.AddConstraint(
            model_name="approval",
            constraint=models.UniqueConstraint(fields=("id", "plan"), name="approval_and_its_plan"),
        ),
        migrations.AddConstraint(
            model_name="approval",
            constraint=models.CheckConstraint(
                condition=models.Q(("approver", models.F("creator")), _negated=True), name="approver_is_not_the_creator"
            ),
        ),
        migrations.AddField(
            model_name="killswitch",
            name="pulled_by",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="killswitch",
            name="release_asked_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="killswitch",
            name="released_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="liquidationcap",
            name="approved_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="liquidationcap",
            name="proposed_by",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="orderreport",
            name="order",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="reports",
                to="margin.order",
            ),
        ),
        migrations.AddField(
            model_name="planfill",
            name="report",
            field=models.ForeignKey(
                blank=True,
                help_text="That told of it; null: before orders were kept",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="fills",
                to="margin.orderreport",
            ),
        ),
        migrations.AddField(
            model_name="release",
            name="first",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="margin.approval",
            ),
        ),
        migrations.AddField(
            model_name="release",
            name="released_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="release",
            name="second",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="margin.approval",
            ),
        ),
        migrations.AddField(
            model_name="order",
            name="release",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="orders", to="margin.release"
            ),
        ),
        migrations.AddField(
            model_name="standingapproval",
            name="approved_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="standingapproval",
            name="policy_version",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="standing_approvals",
                to="margin.policyversion",
            ),
        ),
        migrations.AddField(
            model_name="standingapproval",
            name="proposed_by",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="standingapproval",
            name="revoked_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="release",
            name="standing",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="releases",
                to="margin.standingapproval",
            ),
        ),
        migrations.AddConstraint(
            model_name="killswitch",
            constraint=models.UniqueConstraint(
                condition=models.Q(("is_pulled", True)), fields=("is_pulled",), name="kill_switch_is_pulled_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="killswitch",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("released_by", None),
                    models.Q(("released_by", models.F("release_asked_by")), _negated=True),
                    _connector="OR",
                ),
                name="kill_switch_needs_two_people",
            ),
        ),
        migrations.AddConstraint(
            model_name="killswitch",
            constraint=models.CheckConstraint(
                condition=models.Q(("reason", ""), _negated=True), name="kill_switch_says_why"
            ),
        ),
        migrations.AddConstraint(
            model_name="killswitch",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("is_pulled", True), ("released_at", None)),
                    models.Q(("is_pulled", False), ("release_asked_by__isnull", False), ("released_at__isnull", False)),
                    _connector="OR",
                ),
                name="kill_switch_names_who_released_it",
            ),
        ),
        migrations.AddConstraint(
            model_name="liquidationcap",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("approved_by", None),
                    models.Q(("approved_by", models.F("proposed_by")), _negated=True),
                    _connector="OR",
                ),
                name="cap_needs_two_people",
            ),
        ),
        migrations.AddConstraint(
            model_name="liquidationcap",
            constraint=models.CheckConstraint(
                condition=models.Q(("per_account__gt", 0), ("per_day__gt", 0), ("per_order__gt", 0)),
                name="cap_is_positive",
            ),
        ),
        migrations.AddConstraint(
            model_name="orderreport",
            constraint=models.UniqueConstraint(fields=("venue", "report_id"), name="report_is_kept_once"),
        ),
        migrations.AddConstraint(
            model_name="orderreport",
            constraint=models.CheckConstraint(
                condition=models.Q(("quantity__gte", 0)), name="report_quantity_is_positive"
            ),
        ),
        migrations.AddConstraint(
            model_name="order",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("state__in", ("new", "sending", "sent", "unknown", "working", "filled", "cancelled", "rejected"))
                ),
                name="order_state_is_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="order",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state", "sending"), _negated=True),
                    models.Q(("lease_until__isnull", False), ("token__isnull", False)),
                    _connector="OR",
                ),
                name="sending_order_is_leased",
            ),
        ),
        migrations.AddConstraint(
            model_name="standingapproval",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("approved_by", None),
                    models.Q(("approved_by", models.F("proposed_by")), _negated=True),
                    _connector="OR",
                ),
                name="standing_approval_needs_two_people",
            ),
        ),
        migrations.AddConstraint(
            model_name="standingapproval",
            constraint=models.CheckConstraint(
                condition=models.Q(("per_account__gt", 0), ("per_day__gt", 0), ("per_order__gt", 0)),
                name="standing_approval_has_caps",
            ),
        ),
        migrations.AddConstraint(
            model_name="release",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("creator", 0), ("first", None), ("second", None), ("standing__isnull", False)),
                    models.Q(("creator__gt", 0), ("first__isnull", False), ("second", None), ("standing", None)),
                    models.Q(
                        ("creator", 0),
                        ("first__isnull", False),
                        ("first__lt", models.F("second")),
                        ("second__isnull", False),
                        ("standing", None),
                    ),
                    _connector="OR",
                ),
                name="release_needs_two_people",
            ),
        ),
        migrations.AddConstraint(
            model_name="release",
            constraint=models.CheckConstraint(
                condition=models.Q(("largest__gte", 0), ("notional__gte", 0)), name="release_is_valued"
            ),
        ),
    ]
