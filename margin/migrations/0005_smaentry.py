"""Stored SMA: append only, each posting following the last one of its account, a close never lower."""

from importlib import import_module

import django.db.models.deletion
import market.facts
import market.fields
from django.db import migrations, models

market_bolts = import_module("market.migrations.0002_bolts")

FOLLOWS = """
CREATE FUNCTION margin_sma_follows() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    last margin_smaentry;
BEGIN
    SELECT * INTO last FROM margin_smaentry e WHERE e.account_id = NEW.account_id ORDER BY e.number DESC LIMIT 1;
    IF NEW.number <> coalesce(last.number, 0) + 1 OR NEW.at < last.at THEN
        RAISE EXCEPTION 'SMA entry % of account % does not follow its last, % at %', NEW.number, NEW.account_id,
            last.number, last.at USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.kind = 'close' AND (NEW.balance < last.balance OR NEW.called <> coalesce(last.called, 0)) THEN
        RAISE EXCEPTION 'a close lowers nothing and cures nothing: account % stood at %, % called', NEW.account_id,
            last.balance, last.called USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER margin_smaentry_follows BEFORE INSERT ON margin_smaentry
    FOR EACH ROW EXECUTE FUNCTION margin_sma_follows();
ALTER TABLE margin_smaentry ENABLE ALWAYS TRIGGER margin_smaentry_follows;
"""
FOLLOWS_BACK = """
DROP TRIGGER margin_smaentry_follows ON margin_smaentry;
DROP FUNCTION margin_sma_follows();
"""


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0004_settlements'),
        ('margin', '0004_sweep_rates'),
        ('market', '0002_bolts'),
    ]

    operations = [
        migrations.CreateModel(
            name='SmaEntry',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveBigIntegerField(help_text="Counts the account's postings from 1")),
                ('kind', models.CharField(choices=[('deposit', 'deposit'), ('dividend', 'dividend'), ('interest', 'interest'), ('securities', 'securities'), ('sale', 'sale'), ('cover', 'cover'), ('purchase', 'purchase'), ('short_sale', 'short sale'), ('cash_purchase', 'cash purchase'), ('option', 'option'), ('reversal', 'reversal'), ('withdrawal', 'withdrawal'), ('call', 'call'), ('close', 'close')], max_length=16)),
                ('amount', market.fields.ExactField(decimal_places=8, help_text='Money, cost, proceeds or market value posted; zero for a close', max_digits=28)),
                ('excess', market.fields.ExactField(blank=True, decimal_places=8, help_text='Regulation T excess seen; empty: not known', max_digits=28, null=True)),
                ('balance', market.fields.ExactField(decimal_places=8, help_text='SMA after the posting', max_digits=28)),
                ('called', market.fields.ExactField(decimal_places=8, help_text='Regulation T margin that SMA did not cover and nobody has paid yet', max_digits=28)),
                ('reference', models.CharField(help_text='What was posted: each once per account', max_length=120)),
                ('at', models.DateTimeField()),
                ('recorded_at', models.DateTimeField(db_default=market.facts.StatementClock(), editable=False)),
                ('transaction_id', models.BigIntegerField(db_default=market.facts.CurrentTransaction(), editable=False)),
                ('account', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='sma_entries', to='accounts.account')),
                ('fill', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.fill')),
                ('movement', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.cashmovement')),
                ('sweep', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='margin.sweep')),
            ],
            options={
                'verbose_name': 'SMA entry',
                'verbose_name_plural': 'SMA entries',
                'ordering': ('account', '-number'),
                'constraints': [models.UniqueConstraint(fields=('account', 'number'), name='sma_entry_number_is_used_once'), models.UniqueConstraint(fields=('account', 'reference'), name='sma_entry_is_one_per_source'), models.UniqueConstraint(fields=('movement',), name='movement_counts_in_sma_once'), models.UniqueConstraint(fields=('fill',), name='fill_counts_in_sma_once'), models.CheckConstraint(condition=models.Q(('number__gte', 1)), name='sma_entry_number_starts_at_one'), models.CheckConstraint(condition=models.Q(('kind__in', ['deposit', 'dividend', 'interest', 'securities', 'sale', 'cover', 'purchase', 'short_sale', 'cash_purchase', 'option', 'reversal', 'withdrawal', 'call', 'close'])), name='sma_kind_is_known'), models.CheckConstraint(condition=models.Q(('balance__gte', 0), ('called__gte', 0)), name='sma_is_not_negative'), models.CheckConstraint(condition=models.Q(('amount__gte', 0), ('kind', 'option'), _connector='OR'), name='sma_amount_is_a_size'), models.CheckConstraint(condition=models.Q(models.Q(('kind', 'close'), _negated=True), models.Q(('amount', 0), ('balance__gte', models.F('excess')), ('excess__isnull', False), ('fill', None), ('movement', None)), _connector='OR'), name='sma_closes_no_lower_than_the_excess'), models.CheckConstraint(condition=models.Q(('movement', None), ('fill', None), _connector='OR'), name='sma_entry_has_one_source'), models.CheckConstraint(condition=models.Q(('reference', ''), _negated=True), name='sma_entry_names_its_source')],
            },
        ),
        migrations.RunSQL(FOLLOWS, FOLLOWS_BACK),
        migrations.RunSQL(market_bolts.bolt("margin_smaentry"), market_bolts.unbolt("margin_smaentry")),
    ]
