"""A charge is stored as its wording and the quantity held; what the quantity comes to is worked out when it is read.

A storm then writes two short arrays an account instead of a document with four figures a charge. `margin_charge` reads
as before, also the lists that were written before.
"""

import django.contrib.postgres.fields
from django.db import migrations, models

import margin.charge_models

VIEW = r"""
CREATE OR REPLACE VIEW margin_charge AS
SELECT list.measure_id * 1048576 + line.place AS id, list.measure_id, wording.instrument_id, wording.code,
       line.amount::numeric(38, 20) AS amount,
       replace(replace(replace(replace(wording.text, U&'\E000', line.quantity), U&'\E001', line.local_amount),
           U&'\E002', line.rate), U&'\E003', line.amount)::jsonb AS explanation
FROM margin_chargelist list
CROSS JOIN LATERAL (
    SELECT place, (figures ->> 0)::bigint AS wording_id, NULL::numeric AS held, NULL::numeric AS fx, figures
    FROM jsonb_array_elements(list.lines) WITH ORDINALITY AS told (figures, place)
    UNION ALL
    SELECT place, listed.wording_id, held, coalesce(fx, 1), NULL
    FROM unnest(list.wordings, list.quantities, list.rates) WITH ORDINALITY AS listed (wording_id, held, fx, place)
) charge
JOIN margin_wording wording ON wording.id = charge.wording_id
CROSS JOIN LATERAL (
    SELECT charge.place,
           coalesce(charge.figures ->> 1, trim_scale(charge.held)::text) AS quantity,
           coalesce(charge.figures ->> 2, trim_scale(abs(charge.held) * wording.unit)::text) AS local_amount,
           coalesce(charge.figures ->> 3, trim_scale(charge.fx)::text) AS rate,
           coalesce(charge.figures ->> 4, trim_scale(abs(charge.held) * wording.unit * charge.fx)::text) AS amount
) line;
"""
VIEW_BACK = r"""
CREATE OR REPLACE VIEW margin_charge AS
SELECT list.measure_id * 1048576 + line.place AS id, list.measure_id, wording.instrument_id, wording.code,
       (line.figures ->> 4)::numeric(38, 20) AS amount,
       replace(replace(replace(replace(wording.text, U&'\E000', line.figures ->> 1), U&'\E001', line.figures ->> 2),
           U&'\E002', line.figures ->> 3), U&'\E003', line.figures ->> 4)::jsonb AS explanation
FROM margin_chargelist list
CROSS JOIN LATERAL jsonb_array_elements(list.lines) WITH ORDINALITY AS line (figures, place)
JOIN margin_wording wording ON wording.id = (line.figures ->> 0)::bigint;
"""


def exact(**options: object) -> margin.charge_models.NumberField:
    return margin.charge_models.NumberField(decimal_places=500, max_digits=1000, **options)


def array(base: models.Field) -> django.contrib.postgres.fields.ArrayField:
    return django.contrib.postgres.fields.ArrayField(base_field=base, blank=True, null=True, size=None)


SAYS_ALL = models.Q(lines__isnull=False, wordings=None, quantities=None, rates=None) | models.Q(
    lines=None, wordings__isnull=False, quantities__isnull=False
) & models.Q(wordings__len=models.F("quantities__len")) & (
    models.Q(rates=None) | models.Q(rates__len=models.F("wordings__len"))
)


class Migration(migrations.Migration):
    dependencies = [("margin", "0020_calls_with_their_events")]
    operations = [
        migrations.AddField(
            "wording",
            "unit",
            exact(null=True, blank=True, help_text="What one unit is charged, in the instrument's currency"),
        ),
        migrations.AlterField("chargelist", "lines", models.JSONField(blank=True, null=True)),
        migrations.AddField("chargelist", "wordings", array(models.BigIntegerField())),
        migrations.AddField("chargelist", "quantities", array(exact())),
        migrations.AddField("chargelist", "rates", array(exact())),
        migrations.AddConstraint(
            "chargelist", models.CheckConstraint(condition=SAYS_ALL, name="charge_list_says_all_of_each_charge")
        ),
        migrations.RunSQL(VIEW, VIEW_BACK),
    ]
