"""Rights that accounts lost, strikes and waivers, bolted: a row says what its event of the same transaction says.

* A restriction is placed by a `restriction.placed` event and ends once, by a `restriction.lifted` one.
* A strike is never changed; a waiver is decided once, by another person than the one who proposed it.
"""

from importlib import import_module

import django.contrib.postgres.constraints
import django.db.models.deletion
import margin.restriction_models
from django.conf import settings
from django.db import migrations, models

market_bolts = import_module("market.migrations.0002_bolts")
lives_bolts = import_module("margin.migrations.0013_bolts_of_lives")

# The body of the event that wrote a row, if it is of this transaction, account and kind.
TOLD = """
CREATE FUNCTION margin_told(wanted bigint, number bigint, VARIADIC kinds text[]) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    told jsonb;
BEGIN
    SELECT e.body::jsonb INTO told FROM margin_event e
        WHERE e.account_id = wanted AND e.seq = number AND e.kind = ANY (kinds)
          AND e.transaction_id = pg_current_xact_id()::text::bigint;
    IF told IS NULL THEN
        RAISE EXCEPTION 'account % has no event % (%) of this transaction; rights change through margin.restrictions',
            wanted, number, array_to_string(kinds, ' or ') USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN told;
END $$;
"""

RESTRICTIONS = """
CREATE FUNCTION margin_restriction_is_told() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    told    jsonb;
    details jsonb;
BEGIN
    IF TG_OP = 'INSERT' THEN
        told := margin_told(NEW.account_id, NEW.seq, 'restriction.placed');
        details := told -> 'details';
        IF NEW.placed_seq <> NEW.seq OR NEW.lifted_at IS NOT NULL
           OR (NEW.effect, NEW.origin, NEW.source, NEW.placed_by, NEW.reason) IS DISTINCT FROM
              (details ->> 'effect', details ->> 'origin', details ->> 'source', told ->> 'actor', told ->> 'reason')
           OR NEW.starts_at IS DISTINCT FROM (told ->> 'at')::timestamptz
           OR NEW.ends_at IS DISTINCT FROM (details ->> 'ends_at')::timestamptz
           OR NEW.call_id IS DISTINCT FROM (details ->> 'call')::bigint THEN
            RAISE EXCEPTION 'restriction % does not say what its event % says', NEW.id, NEW.seq
                USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NULL;
    END IF;
    told := margin_told(NEW.account_id, NEW.seq, 'restriction.lifted');
    IF OLD.lifted_at IS NOT NULL OR NEW.lifted_at IS NULL
       OR (OLD.id, OLD.account_id, OLD.effect, OLD.origin, OLD.source, OLD.call_id, OLD.starts_at, OLD.ends_at, OLD.reason,
           OLD.placed_by, OLD.placed_seq)
          IS DISTINCT FROM
          (NEW.id, NEW.account_id, NEW.effect, NEW.origin, NEW.source, NEW.call_id, NEW.starts_at, NEW.ends_at, NEW.reason,
           NEW.placed_by, NEW.placed_seq)
       OR (told -> 'details' ->> 'placed')::bigint IS DISTINCT FROM NEW.placed_seq
       OR (told ->> 'actor', told ->> 'reason') IS DISTINCT FROM (NEW.lifted_by, NEW.lift_reason)
       OR NEW.lifted_at IS DISTINCT FROM (told ->> 'at')::timestamptz THEN
        RAISE EXCEPTION 'restriction % is lifted once, as its event says, and nothing else of it changes', OLD.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER margin_restriction_is_told AFTER INSERT OR UPDATE ON margin_restriction
    FOR EACH ROW EXECUTE FUNCTION margin_restriction_is_told();
ALTER TABLE margin_restriction ENABLE ALWAYS TRIGGER margin_restriction_is_told;
"""

STRIKES = """
CREATE FUNCTION margin_strike_is_told() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    details jsonb;
BEGIN
    details := margin_told(NEW.account_id, NEW.seq, 'strike.recorded') -> 'details';
    IF (details ->> 'call')::bigint IS DISTINCT FROM NEW.call_id
       OR (details ->> 'kind', details ->> 'regime') IS DISTINCT FROM (NEW.kind, NEW.regime)
       OR NOT EXISTS (SELECT FROM margin_margincall c WHERE c.id = NEW.call_id AND c.account_id = NEW.account_id
                      AND c.state IN ('met', 'liquidated') AND c.closed_at = NEW.at AND c.regime = NEW.regime) THEN
        RAISE EXCEPTION 'strike % does not say what its event % and its closed call say', NEW.id, NEW.seq
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER margin_strike_is_told AFTER INSERT ON margin_strike
    FOR EACH ROW EXECUTE FUNCTION margin_strike_is_told();
ALTER TABLE margin_strike ENABLE ALWAYS TRIGGER margin_strike_is_told;
"""

WAIVERS = """
CREATE FUNCTION margin_waiver_is_told() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    told   jsonb;
    person integer := CASE WHEN TG_OP = 'INSERT' THEN NEW.proposed_by_id ELSE NEW.decided_by_id END;
    kind   text := CASE WHEN TG_OP = 'INSERT' THEN 'waiver.proposed' WHEN NEW.state = 'granted' THEN 'strike.waived'
                        ELSE 'waiver.denied' END;
BEGIN
    told := margin_told(NEW.account_id, NEW.seq, kind);
    IF TG_OP = 'INSERT' AND NEW.state <> 'open' OR TG_OP = 'UPDATE' AND (
        OLD.state <> 'open' OR NEW.state = 'open'
        OR (OLD.id, OLD.account_id, OLD.restriction_id, OLD.reason, OLD.proposed_by_id, OLD.proposed_at)
           IS DISTINCT FROM
           (NEW.id, NEW.account_id, NEW.restriction_id, NEW.reason, NEW.proposed_by_id, NEW.proposed_at)) THEN
        RAISE EXCEPTION 'waiver % is proposed, then decided once; nothing else of it changes', NEW.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NOT EXISTS (SELECT FROM margin_restriction r WHERE r.id = NEW.restriction_id AND r.account_id = NEW.account_id
                   AND r.placed_seq = (told -> 'details' ->> 'restriction')::bigint)
       OR told ->> 'actor' IS DISTINCT FROM (SELECT u.username FROM auth_user u WHERE u.id = person) THEN
        RAISE EXCEPTION 'waiver % does not say what its event % says', NEW.id, NEW.seq
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER margin_waiver_is_told AFTER INSERT OR UPDATE ON margin_waiver
    FOR EACH ROW EXECUTE FUNCTION margin_waiver_is_told();
ALTER TABLE margin_waiver ENABLE ALWAYS TRIGGER margin_waiver_is_told;
"""


def told_back(table: str) -> str:
    name = f"{table}_is_told"
    return f"DROP TRIGGER {name} ON {table}; DROP FUNCTION {name}(); {market_bolts.unbolt(table)}"


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0008_leads_outlive_members'),
        ('margin', '0014_charges_as_lists'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Restriction',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('effect', models.CharField(choices=[('no_withdrawal', 'no withdrawal'), ('no_new_borrow', 'no new borrow'), ('closing_only', 'closing only'), ('liquidation_only', 'liquidation only'), ('funds_on_hand', 'funds on hand'), ('cash_only', 'cash only'), ('higher_requirements', 'higher requirements'), ('due_next_day', 'due next day')], max_length=24)),
                ('origin', models.CharField(choices=[('call', 'a call'), ('strike', 'strikes'), ('rule', 'a rule'), ('person', 'a person')], max_length=8)),
                ('source', models.CharField(help_text='What caused it, such as call:812 or strike:4:schedule', max_length=64)),
                ('starts_at', models.DateTimeField()),
                ('ends_at', models.DateTimeField(blank=True, help_text='Empty: until what caused it is over', null=True)),
                ('reason', models.CharField(max_length=400)),
                ('placed_by', models.CharField(max_length=150)),
                ('placed_seq', models.BigIntegerField(help_text="Event that placed it: its name in the account's history")),
                ('lifted_at', models.DateTimeField(blank=True, null=True)),
                ('lifted_by', models.CharField(blank=True, max_length=150)),
                ('lift_reason', models.CharField(blank=True, max_length=400)),
                ('seq', models.BigIntegerField(help_text='Event that wrote it last')),
                ('account', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='restrictions', to='accounts.account')),
                ('call', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='restrictions', to='margin.margincall')),
            ],
            options={
                'ordering': ('-id',),
            },
        ),
        migrations.CreateModel(
            name='Strike',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('late', 'late'), ('liquidated', 'liquidated'), ('sold', 'sold')], max_length=10)),
                ('regime', models.CharField(max_length=16)),
                ('at', models.DateTimeField(help_text='When the call closed')),
                ('reason', models.CharField(max_length=400)),
                ('seq', models.BigIntegerField(help_text='Event that wrote it')),
                ('account', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='strikes', to='accounts.account')),
                ('call', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='strike', to='margin.margincall')),
            ],
            options={
                'ordering': ('-at', '-id'),
            },
        ),
        migrations.CreateModel(
            name='Waiver',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('state', models.CharField(choices=[('open', 'open'), ('granted', 'granted'), ('denied', 'denied')], default='open', max_length=8)),
                ('reason', models.CharField(max_length=400)),
                ('proposed_at', models.DateTimeField()),
                ('decided_at', models.DateTimeField(blank=True, null=True)),
                ('decision', models.CharField(blank=True, max_length=400)),
                ('seq', models.BigIntegerField(help_text='Event that wrote it last')),
                ('account', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='waivers', to='accounts.account')),
                ('decided_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('proposed_by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('restriction', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='waivers', to='margin.restriction')),
            ],
            options={
                'ordering': ('-id',),
            },
        ),
        migrations.AddIndex(
            model_name='restriction',
            index=models.Index(condition=models.Q(('lifted_at', None)), fields=['account'], name='restriction_unlifted'),
        ),
        migrations.AddConstraint(
            model_name='restriction',
            constraint=models.UniqueConstraint(fields=('account', 'placed_seq'), name='restriction_is_placed_by_one_event'),
        ),
        migrations.AddConstraint(
            model_name='restriction',
            constraint=django.contrib.postgres.constraints.ExclusionConstraint(expressions=[('account', '='), ('effect', '='), ('source', '='), (margin.restriction_models.InstantRange(models.F('starts_at'), models.F('lifted_at')), '&&')], name='restriction_does_not_overlap_its_like'),
        ),
        migrations.AddConstraint(
            model_name='restriction',
            constraint=models.CheckConstraint(condition=models.Q(('effect__in', ['no_withdrawal', 'no_new_borrow', 'closing_only', 'liquidation_only', 'funds_on_hand', 'cash_only', 'higher_requirements', 'due_next_day'])), name='restriction_effect_is_known'),
        ),
        migrations.AddConstraint(
            model_name='restriction',
            constraint=models.CheckConstraint(condition=models.Q(('ends_at', None), ('ends_at__gt', models.F('starts_at')), _connector='OR'), name='restriction_ends_after_it_starts'),
        ),
        migrations.AddConstraint(
            model_name='restriction',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('lifted_at', None), ('lifted_by', '')), models.Q(('lifted_at__gte', models.F('starts_at')), models.Q(('lifted_by', ''), _negated=True), models.Q(('lift_reason', ''), _negated=True)), _connector='OR'), name='lifted_restriction_says_who_and_why'),
        ),
        migrations.AddConstraint(
            model_name='restriction',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('reason', ''), _negated=True), models.Q(('source', ''), _negated=True)), name='restriction_says_why'),
        ),
        migrations.AddConstraint(
            model_name='restriction',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('origin', 'strike'), _negated=True), ('ends_at__isnull', False), _connector='OR'), name='restriction_of_strikes_ends'),
        ),
        migrations.AddConstraint(
            model_name='strike',
            constraint=models.UniqueConstraint(fields=('account', 'seq'), name='strike_is_recorded_by_one_event'),
        ),
        migrations.AddConstraint(
            model_name='strike',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['late', 'liquidated', 'sold'])), name='strike_kind_is_known'),
        ),
        migrations.AddConstraint(
            model_name='waiver',
            constraint=models.UniqueConstraint(condition=models.Q(('state', 'open')), fields=('restriction',), name='waiver_is_open_once_per_restriction'),
        ),
        migrations.AddConstraint(
            model_name='waiver',
            constraint=models.CheckConstraint(condition=models.Q(('decided_by', None), models.Q(('decided_by', models.F('proposed_by')), _negated=True), _connector='OR'), name='waiver_needs_two_people'),
        ),
        migrations.AddConstraint(
            model_name='waiver',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('decided_at', None), ('decided_by', None), ('state', 'open')), models.Q(models.Q(('state', 'open'), _negated=True), ('decided_at__isnull', False), ('decided_by__isnull', False), models.Q(('decision', ''), _negated=True)), _connector='OR'), name='decided_waiver_names_who_when_and_why'),
        ),
        migrations.AddConstraint(
            model_name='waiver',
            constraint=models.CheckConstraint(condition=models.Q(('reason', ''), _negated=True), name='waiver_is_asked_in_writing'),
        ),
        migrations.RunSQL(TOLD, "DROP FUNCTION margin_told(bigint, bigint, text[])"),
        migrations.RunSQL(RESTRICTIONS + lives_bolts.stays("margin_restriction"), told_back("margin_restriction")),
        migrations.RunSQL(STRIKES + market_bolts.bolt("margin_strike"), told_back("margin_strike")),
        migrations.RunSQL(WAIVERS + lives_bolts.stays("margin_waiver"), told_back("margin_waiver")),
    ]
