"""Seals over the history: each event in exactly one, numbers and codes that continue, and digests of finished sweeps.

Like the chains they are append only for everybody; what an owner of the tables could still do, the codes show.
"""

from importlib import import_module

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

market_bolts = import_module("market.migrations.0002_bolts")
lives = import_module("margin.migrations.0013_bolts_of_lives")

# Declared immutable, which the cast is for numbers, so that an index can use it.
IDS = """
CREATE FUNCTION margin_ids(listed text) RETURNS int8multirange LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS 'SELECT listed::pg_catalog.int8multirange';
ALTER TABLE margin_seal ADD CONSTRAINT seal_covers_an_event_once EXCLUDE USING gist (public.margin_ids(events) WITH &&);
"""
IDS_BACK = """
ALTER TABLE margin_seal DROP CONSTRAINT seal_covers_an_event_once;
DROP FUNCTION margin_ids(text);
"""

CONTINUES = """
CREATE FUNCTION margin_seal_continues() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    newest margin_seal;
BEGIN
    SELECT * INTO newest FROM margin_seal s ORDER BY s.number DESC LIMIT 1;
    IF NEW.number <> coalesce(newest.number, 0) + 1 OR NEW.previous_mac <> coalesce(newest.mac, '')
       OR NEW.sealed_at < newest.sealed_at THEN
        RAISE EXCEPTION 'seal % does not continue seal %', NEW.number, coalesce(newest.number, 0)
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER margin_seal_continues BEFORE INSERT ON margin_seal
    FOR EACH ROW EXECUTE FUNCTION margin_seal_continues();
ALTER TABLE margin_seal ENABLE ALWAYS TRIGGER margin_seal_continues;
"""
CONTINUES_BACK = "DROP TRIGGER margin_seal_continues ON margin_seal; DROP FUNCTION margin_seal_continues();"

# A sweep's inputs and results as text, whatever the session's settings. Columns are named: a column that a later
# release adds to a table changes no digest. Charges are not in it: they follow from what is (a replay shows it).
SWEEPS = """
CREATE FUNCTION margin_sweep_rows(wanted bigint) RETURNS TABLE (part integer, place bigint, line text)
    LANGUAGE sql STABLE SET search_path = public, pg_temp
    SET timezone = 'UTC' SET datestyle = 'ISO, YMD' SET extra_float_digits = 1 AS $$
    SELECT 1, s.id, json_build_array('sweep', s.id, s.kind, s.slot_at, s.at, s.state, s.fx::text, s.rates::text,
                                     s.parameters::text, s.previous_id, s.eligible, s.evaluated, s.unpriced)::text
        FROM margin_sweep s WHERE s.id = wanted
    UNION ALL
    SELECT 2, p.instrument_id, json_build_array('price', p.instrument_id, trim_scale(p.mark), p.as_of, p.source,
                                                p.refused, trim_scale(p.implied_volatility))::text
        FROM margin_sweepprice p WHERE p.sweep_id = wanted
    UNION ALL
    SELECT 3, a.id, json_build_array('assessment', a.id, a.account_id, a.policy_version_id, a.at, a.status,
                                     a.reasons::text, a.currency, a.revision, a.holdings::text, a.digest)::text
        FROM margin_assessment a WHERE a.sweep_id = wanted
    UNION ALL
    SELECT 4, m.id, json_build_array('measure', m.id, m.assessment_id, m.regime, trim_scale(m.equity),
                                     trim_scale(m.requirement), trim_scale(m.restore_requirement),
                                     trim_scale(m.severe_requirement), trim_scale(m.deficit), trim_scale(m.cover))::text
        FROM margin_assessment a JOIN margin_measure m ON m.assessment_id = a.id WHERE a.sweep_id = wanted
    ORDER BY 1, 2
$$;
CREATE FUNCTION margin_sweep_digest(wanted bigint) RETURNS text LANGUAGE sql STABLE SET search_path = public, pg_temp
    AS $$
    SELECT encode(sha256(convert_to(
        string_agg(encode(sha256(convert_to(line, 'UTF8')), 'hex'), '' ORDER BY part, place), 'UTF8')), 'hex')
    FROM margin_sweep_rows(wanted)
$$;
CREATE FUNCTION margin_sweepdigest_is_true() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.digest := margin_sweep_digest(NEW.sweep_id);
    RETURN NEW;
END $$;
CREATE TRIGGER margin_sweepdigest_is_true BEFORE INSERT ON margin_sweepdigest
    FOR EACH ROW EXECUTE FUNCTION margin_sweepdigest_is_true();
ALTER TABLE margin_sweepdigest ENABLE ALWAYS TRIGGER margin_sweepdigest_is_true;
"""
SWEEPS_BACK = """
DROP TRIGGER margin_sweepdigest_is_true ON margin_sweepdigest;
DROP FUNCTION margin_sweepdigest_is_true();
DROP FUNCTION margin_sweep_digest(bigint);
DROP FUNCTION margin_sweep_rows(bigint);
"""

# An epoch is compared and released; what it is of never changes.
EPOCHS = """
CREATE FUNCTION margin_epoch_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.number <> coalesce((SELECT max(number) FROM margin_systemepoch), 0) + 1
           OR NEW.number > 1 AND NEW.released_at IS NOT NULL THEN
            RAISE EXCEPTION 'epoch % is not the next one, or is released before it began', NEW.number
                USING ERRCODE = 'restrict_violation';
        END IF;
    ELSIF OLD.released_at IS NOT NULL
       OR (OLD.number, OLD.began_at, OLD.cause, OLD.system_identifier, OLD.timeline, OLD.database_oid, OLD.kept_seal)
          IS DISTINCT FROM
          (NEW.number, NEW.began_at, NEW.cause, NEW.system_identifier, NEW.timeline, NEW.database_oid, NEW.kept_seal)
    THEN
        RAISE EXCEPTION 'epoch % is released once and otherwise never changes', OLD.number
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER margin_systemepoch_is_kept BEFORE INSERT OR UPDATE ON margin_systemepoch
    FOR EACH ROW EXECUTE FUNCTION margin_epoch_is_kept();
ALTER TABLE margin_systemepoch ENABLE ALWAYS TRIGGER margin_systemepoch_is_kept;
"""
EPOCHS_BACK = "DROP TRIGGER margin_systemepoch_is_kept ON margin_systemepoch; DROP FUNCTION margin_epoch_is_kept();"


class Migration(migrations.Migration):

    dependencies = [
        ('margin', '0022_queue_by_due'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Seal',
            fields=[
                ('number', models.BigIntegerField(primary_key=True, serialize=False)),
                ('sealed_at', models.DateTimeField()),
                ('system', models.CharField(help_text='The database system that held the events', max_length=80)),
                ('horizon', models.BigIntegerField(help_text='The oldest transaction still running: the next seal looks from here')),
                ('events', models.TextField(help_text='Event ids as ranges without their upper end')),
                ('sweeps', models.TextField(help_text='Ids of finished sweeps, likewise')),
                ('size', models.PositiveIntegerField(help_text='How many events')),
                ('digest', models.CharField(max_length=64)),
                ('key_id', models.CharField(max_length=32)),
                ('next_key', models.CharField(blank=True, help_text='The key of the seals after this one, if another', max_length=32)),
                ('previous_mac', models.CharField(blank=True, max_length=64)),
                ('mac', models.CharField(max_length=64)),
            ],
            options={
                'ordering': ('-number',),
            },
        ),
        migrations.CreateModel(
            name='SweepDigest',
            fields=[
                ('sweep', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, primary_key=True, related_name='sealed', serialize=False, to='margin.sweep')),
                ('digest', models.CharField(max_length=64)),
            ],
        ),
        migrations.CreateModel(
            name='SystemEpoch',
            fields=[
                ('number', models.BigIntegerField(primary_key=True, serialize=False)),
                ('began_at', models.DateTimeField()),
                ('cause', models.CharField(max_length=400)),
                ('system_identifier', models.CharField(max_length=24)),
                ('timeline', models.PositiveIntegerField()),
                ('database_oid', models.BigIntegerField()),
                ('kept_seal', models.BigIntegerField(default=0, help_text='The newest seal that the database held')),
                ('report', models.JSONField(blank=True, default=dict, help_text='What was found when it was compared')),
                ('compared_at', models.DateTimeField(blank=True, null=True)),
                ('released_at', models.DateTimeField(blank=True, null=True)),
                ('reason', models.CharField(blank=True, max_length=400)),
                ('compared_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('released_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ('-number',),
                'constraints': [models.CheckConstraint(condition=models.Q(('number', 1), ('released_at', None), models.Q(('compared_by__isnull', False), ('released_by__isnull', False), models.Q(('compared_by', models.F('released_by')), _negated=True), models.Q(('reason', ''), _negated=True)), _connector='OR'), name='epoch_is_released_by_two_people'), models.CheckConstraint(condition=models.Q(('released_at', None), ('number', 1), ('compared_at__isnull', False), _connector='OR'), name='epoch_is_compared_before_it_is_released')],
            },
        ),
        migrations.RunSQL(IDS, IDS_BACK),
        migrations.RunSQL(CONTINUES, CONTINUES_BACK),
        migrations.RunSQL(SWEEPS, SWEEPS_BACK),
        migrations.RunSQL(EPOCHS, EPOCHS_BACK),
        *(
            migrations.RunSQL(market_bolts.bolt(table), market_bolts.unbolt(table))
            for table in ("margin_seal", "margin_sweepdigest")
        ),
        migrations.RunSQL(lives.stays("margin_systemepoch"), market_bolts.unbolt("margin_systemepoch")),
    ]
