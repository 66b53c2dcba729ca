from importlib import import_module

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

market_bolts = import_module("market.migrations.0002_bolts")
lives = import_module("margin.migrations.0013_bolts_of_lives")
# A gate is closed once, and what was found when it opened stays.
KEPT = """
CREATE FUNCTION margin_gate_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state <> 'open'
       OR (OLD.id, OLD.policy_id, OLD.sweep_id, OLD.calls, OLD.accounts, OLD.instrument_id, OLD.explained, OLD.opened_at,
           OLD.until)
          IS DISTINCT FROM
          (NEW.id, NEW.policy_id, NEW.sweep_id, NEW.calls, NEW.accounts, NEW.instrument_id, NEW.explained, NEW.opened_at,
           NEW.until) THEN
        RAISE EXCEPTION 'gate % is closed once and otherwise never changes', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER margin_stormgate_is_kept BEFORE UPDATE ON margin_stormgate
    FOR EACH ROW EXECUTE FUNCTION margin_gate_is_kept();
ALTER TABLE margin_stormgate ENABLE ALWAYS TRIGGER margin_stormgate_is_kept;
"""
KEPT_BACK = "DROP TRIGGER margin_stormgate_is_kept ON margin_stormgate; DROP FUNCTION margin_gate_is_kept();"


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0009_deliveries'),
        ('margin', '0016_events_in_one_statement'),
        ('market', '0009_volatility_parameters'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Reconciliation',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('confirmed_at', models.DateTimeField()),
                ('reason', models.CharField(max_length=400)),
                ('account', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='reconciliations', to='accounts.account')),
                ('confirmed_by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ('-id',),
                'constraints': [models.CheckConstraint(condition=models.Q(('reason', ''), _negated=True), name='reconciliation_says_why')],
            },
        ),
        migrations.CreateModel(
            name='StormGate',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('state', models.CharField(choices=[('open', 'open'), ('released', 'released'), ('lapsed', 'released by time'), ('passed', 'passed by itself')], default='open', max_length=8)),
                ('calls', models.PositiveIntegerField(help_text='New calls that the sweep would have issued')),
                ('accounts', models.PositiveIntegerField(help_text='Accounts of the policy that it evaluated')),
                ('explained', models.PositiveIntegerField(default=0, help_text='Calls that this instrument explains')),
                ('opened_at', models.DateTimeField()),
                ('until', models.DateTimeField()),
                ('closed_at', models.DateTimeField(blank=True, null=True)),
                ('reason', models.CharField(blank=True, max_length=400)),
                ('quiet_until', models.DateTimeField(blank=True, null=True)),
                ('closed_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('instrument', models.ForeignKey(blank=True, help_text='Whose price moved most in the largest number of them', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='market.instrument')),
                ('policy', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='gates', to='margin.policy')),
                ('sweep', models.ForeignKey(help_text='That found the storm', on_delete=django.db.models.deletion.PROTECT, related_name='+', to='margin.sweep')),
            ],
            options={
                'ordering': ('-id',),
                'constraints': [models.UniqueConstraint(condition=models.Q(('state', 'open')), fields=('policy',), name='storm_gate_is_open_once_per_policy'), models.CheckConstraint(condition=models.Q(models.Q(('closed_at', None), ('state', 'open')), models.Q(models.Q(('state', 'open'), _negated=True), ('closed_at__isnull', False)), _connector='OR'), name='closed_gate_has_its_instant'), models.CheckConstraint(condition=models.Q(models.Q(('state', 'released'), _negated=True), models.Q(('closed_by__isnull', False), models.Q(('reason', ''), _negated=True)), _connector='OR'), name='released_gate_names_who_and_why')],
            },
        ),
        migrations.RunSQL(market_bolts.bolt("margin_reconciliation"), market_bolts.unbolt("margin_reconciliation")),
        migrations.RunSQL(lives.stays("margin_stormgate"), market_bolts.unbolt("margin_stormgate")),
        migrations.RunSQL(KEPT, KEPT_BACK),
    ]
