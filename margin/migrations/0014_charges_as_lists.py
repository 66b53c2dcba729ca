"""Charges as lists: the words of a charge once per instrument and sweep, the figures of an account in one row.

A storm of ten thousand calls then writes ten thousand lists and not two hundred thousand long rows. `margin_charge`
reads as before: a view that puts the account's figures in the place of the marks U+E000 to U+E003.
"""

from importlib import import_module

import django.db.models.deletion
from django.db import migrations, models

import market.fields

bolts = import_module("market.migrations.0002_bolts")

# What is stored already keeps its words whole, one wording a charge; marks that are text of theirs are escaped.
TAKE_OVER = r"""
INSERT INTO margin_wording (id, instrument_id, code, text)
SELECT id, instrument_id, code,
       replace(replace(replace(replace(explanation::text,
           U&'\E000', '\ue000'), U&'\E001', '\ue001'), U&'\E002', '\ue002'), U&'\E003', '\ue003')
FROM margin_charge;
INSERT INTO margin_chargelist (measure_id, lines)
SELECT measure_id, jsonb_agg(jsonb_build_array(id, '', '', '', trim_scale(amount)::text) ORDER BY id)
FROM margin_charge GROUP BY measure_id;
SELECT setval(pg_get_serial_sequence('margin_wording', 'id'), coalesce(max(id), 1), count(*) > 0) FROM margin_wording;
"""

VIEW = r"""
CREATE VIEW margin_charge AS
SELECT list.measure_id * 1048576 + line.place AS id, list.measure_id, wording.instrument_id, wording.code,
       (line.figures ->> 4)::numeric(38, 20) AS amount,
       replace(replace(replace(replace(wording.text, U&'\E000', line.figures ->> 1), U&'\E001', line.figures ->> 2),
           U&'\E002', line.figures ->> 3), U&'\E003', line.figures ->> 4)::jsonb AS explanation
FROM margin_chargelist list
CROSS JOIN LATERAL jsonb_array_elements(list.lines) WITH ORDINALITY AS line (figures, place)
JOIN margin_wording wording ON wording.id = (line.figures ->> 0)::bigint;
"""
TABLES = ("margin_wording", "margin_chargelist")


class Migration(migrations.Migration):
    dependencies = [("margin", "0013_bolts_of_lives"), ("market", "0009_volatility_parameters")]
    operations = [
        migrations.CreateModel(
            name="Wording",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("code", models.CharField(max_length=48)),
                ("text", models.TextField(help_text="JSON: rule, inputs, binding branch, law")),
                (
                    "instrument",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="market.instrument",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="ChargeList",
            fields=[
                (
                    "measure",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="charge_list",
                        serialize=False,
                        to="margin.measure",
                    ),
                ),
                ("lines", models.JSONField()),
            ],
        ),
        migrations.RunSQL(TAKE_OVER),
        migrations.DeleteModel(name="Charge"),
        migrations.CreateModel(
            name="Charge",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("code", models.CharField(max_length=48)),
                ("amount", market.fields.ExactField(decimal_places=20, max_digits=38)),
                ("explanation", models.JSONField(default=dict, help_text="Rule, inputs, binding branch, law")),
                (
                    "instrument",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="market.instrument",
                    ),
                ),
                (
                    "measure",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.DO_NOTHING, related_name="charges", to="margin.measure"
                    ),
                ),
            ],
            options={"db_table": "margin_charge", "ordering": ("measure", "id"), "managed": False},
        ),
        migrations.RunSQL(VIEW, "DROP VIEW margin_charge"),
        *(migrations.RunSQL(bolts.bolt(table), bolts.unbolt(table)) for table in TABLES),
    ]
