from importlib import import_module

import django.db.models.deletion
import market.fields
from django.conf import settings
from django.db import migrations, models

market_bolts = import_module("market.migrations.0002_bolts")
# Cures written before they had states: settled money, in the currency of their call.
SETTLED = """
SET CONSTRAINTS ALL IMMEDIATE;
UPDATE margin_cure SET used = release;
UPDATE margin_cure SET kind = 'sale' WHERE kind = 'fill';
SET CONSTRAINTS ALL DEFERRED;
"""


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0008_leads_outlive_members'),
        ('margin', '0011_fills_of_members'),
        ('market', '0009_volatility_parameters'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RunSQL(market_bolts.unbolt("margin_cure"), market_bolts.bolt("margin_cure")),
        migrations.RenameField('cure', 'applied_at', 'settled_at'),
        migrations.AlterField('cure', 'settled_at', models.DateTimeField(blank=True, null=True)),
        migrations.CreateModel(
            name='Dispute',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('state', models.CharField(choices=[('open', 'open'), ('upheld', 'upheld'), ('partly', 'upheld in part'), ('rejected', 'rejected')], default='open', max_length=8)),
                ('reason_code', models.CharField(max_length=32)),
                ('reason', models.CharField(blank=True, max_length=400)),
                ('amount', market.fields.ExactField(decimal_places=8, help_text='Disputed, at most what is outstanding', max_digits=28)),
                ('stops_clock', models.BooleanField(help_text='Whether the deadline of the disputed part waits for the decision')),
                ('opened_by', models.CharField(help_text="The client's contact, or who wrote it down", max_length=150)),
                ('opened_at', models.DateTimeField()),
                ('granted', market.fields.ExactField(decimal_places=8, default=0, help_text='By how much the call was wrong', max_digits=28)),
                ('decided_at', models.DateTimeField(blank=True, null=True)),
                ('decision', models.CharField(blank=True, max_length=400)),
                ('seq', models.BigIntegerField(help_text='Event that wrote it last')),
            ],
            options={
                'ordering': ('-id',),
            },
        ),
        migrations.CreateModel(
            name='Request',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('extension', 'extension'), ('hold', 'hold'), ('acceleration', 'acceleration'), ('retraction', 'retraction'), ('issue', 'call by hand')], max_length=12)),
                ('state', models.CharField(choices=[('open', 'open'), ('granted', 'granted'), ('denied', 'denied'), ('withdrawn', 'withdrawn')], default='open', max_length=10)),
                ('batch', models.UUIDField(blank=True, help_text='One proposal over many calls', null=True)),
                ('until', models.DateTimeField(blank=True, help_text='The deadline or the end of the hold asked for', null=True)),
                ('before', models.DateTimeField(blank=True, help_text='The deadline it would replace', null=True)),
                ('reason_code', models.CharField(blank=True, max_length=32)),
                ('reason', models.CharField(max_length=400)),
                ('external_reference', models.CharField(blank=True, help_text='Of the examining authority', max_length=80)),
                ('terms', models.JSONField(blank=True, default=dict, help_text='What else is asked, amounts as text')),
                ('asked_at', models.DateTimeField()),
                ('decided_at', models.DateTimeField(blank=True, null=True)),
                ('decision', models.CharField(blank=True, max_length=400)),
                ('seq', models.BigIntegerField(help_text='Event that wrote it last')),
            ],
            options={
                'ordering': ('-id',),
            },
        ),
        migrations.CreateModel(
            name='Task',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(help_text='verify_payment, phone_client, escalation …', max_length=32)),
                ('title', models.CharField(max_length=200)),
                ('due_at', models.DateTimeField()),
                ('opened_by', models.CharField(max_length=150)),
                ('opened_at', models.DateTimeField()),
                ('closed_by', models.CharField(blank=True, max_length=150)),
                ('closed_at', models.DateTimeField(blank=True, null=True)),
                ('outcome', models.CharField(blank=True, max_length=400)),
                ('seq', models.BigIntegerField(help_text='Event that wrote it last')),
            ],
            options={
                'ordering': ('due_at', 'id'),
            },
        ),
        migrations.RemoveConstraint(
            model_name='cure',
            name='cure_names_its_source',
        ),
        migrations.AddField(
            model_name='cure',
            name='adjustment',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.adjustment'),
        ),
        migrations.AddField(
            model_name='cure',
            name='amount',
            field=market.fields.ExactField(blank=True, decimal_places=8, help_text='Announced', max_digits=28, null=True),
        ),
        migrations.AddField(
            model_name='cure',
            name='currency',
            field=models.CharField(blank=True, help_text='Announced', max_length=12),
        ),
        migrations.AddField(
            model_name='cure',
            name='expected_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='cure',
            name='instrument',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='market.instrument'),
        ),
        migrations.AddField(
            model_name='cure',
            name='method',
            field=models.CharField(blank=True, help_text='wire, ach, cheque, transfer, on-chain …', max_length=16),
        ),
        migrations.AddField(
            model_name='cure',
            name='reference',
            field=models.CharField(blank=True, help_text='As the payer states it', max_length=80),
        ),
        migrations.AddField(
            model_name='cure',
            name='state',
            field=models.CharField(choices=[('claimed', 'claimed'), ('in_transit', 'in transit'), ('settled', 'settled'), ('reversed', 'reversed'), ('rejected', 'rejected')], default='settled', max_length=10),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name='cure',
            name='used',
            field=market.fields.ExactField(decimal_places=8, default=0, help_text="How much of its source this call takes, in the source's own unit", max_digits=28),
        ),
        migrations.AddField(
            model_name='margincall',
            name='clock_stopped_at',
            field=models.DateTimeField(blank=True, help_text='Since when a dispute stops the deadline', null=True),
        ),
        migrations.AddField(
            model_name='margincall',
            name='disputed',
            field=market.fields.ExactField(decimal_places=8, default=0, help_text='Under dispute; zero: none open', max_digits=28),
        ),
        migrations.AddField(
            model_name='margincall',
            name='held_until',
            field=models.DateTimeField(blank=True, help_text='No automatic escalation or closing before', null=True),
        ),
        migrations.AddField(
            model_name='margincall',
            name='is_provisional',
            field=models.BooleanField(default=False, help_text='Counts once the trading day has closed'),
        ),
        migrations.AddField(
            model_name='margincall',
            name='paused_until',
            field=models.DateTimeField(blank=True, help_text='The client says it is paid; being checked', null=True),
        ),
        migrations.AddField(
            model_name='margincall',
            name='reminded_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AlterField(
            model_name='cure',
            name='kind',
            field=models.CharField(choices=[('cash', 'cash'), ('repayment', 'loan repayment'), ('securities', 'securities brought in'), ('collateral', 'collateral added'), ('sale', 'sale'), ('purchase', 'purchase to cover'), ('option_close', 'option closed'), ('collateral_sale', 'collateral sold')], max_length=16),
        ),
        migrations.AlterField(
            model_name='cure',
            name='release',
            field=market.fields.ExactField(decimal_places=8, default=0, help_text="What it releases for this call's regime, rounded down", max_digits=28),
        ),
        migrations.AlterField(
            model_name='cure',
            name='seq',
            field=models.BigIntegerField(help_text='Event that wrote it last'),
        ),
        migrations.AlterField(
            model_name='margincall',
            name='regime',
            field=models.CharField(choices=[('house', 'house'), ('exchange', 'exchange'), ('reg_t', 'reg t'), ('minimum_equity', 'minimum equity'), ('intraday', 'intraday'), ('portfolio', 'portfolio'), ('futures', 'futures'), ('csa', 'csa'), ('loan', 'loan'), ('day_trade', 'day trade'), ('concentration', 'concentration')], max_length=16),
        ),
        migrations.AlterField(
            model_name='margincall',
            name='resolution',
            field=models.CharField(blank=True, choices=[('cash', 'cash'), ('securities', 'securities'), ('sale', 'sale'), ('market', 'market'), ('mixed', 'mixed'), ('requirement_change', 'requirement change'), ('retraction', 'retraction'), ('liquidation', 'liquidation')], max_length=24),
        ),
        migrations.AlterField(
            model_name='measure',
            name='regime',
            field=models.CharField(choices=[('house', 'house'), ('exchange', 'exchange'), ('reg_t', 'reg t'), ('minimum_equity', 'minimum equity'), ('intraday', 'intraday'), ('portfolio', 'portfolio'), ('futures', 'futures'), ('csa', 'csa'), ('loan', 'loan'), ('day_trade', 'day trade'), ('concentration', 'concentration')], max_length=16),
        ),
        migrations.AlterField(
            model_name='warning',
            name='regime',
            field=models.CharField(choices=[('house', 'house'), ('exchange', 'exchange'), ('reg_t', 'reg t'), ('minimum_equity', 'minimum equity'), ('intraday', 'intraday'), ('portfolio', 'portfolio'), ('futures', 'futures'), ('csa', 'csa'), ('loan', 'loan'), ('day_trade', 'day trade'), ('concentration', 'concentration')], max_length=16),
        ),
        migrations.RunSQL(SETTLED, migrations.RunSQL.noop),
        migrations.AddConstraint(
            model_name='cure',
            constraint=models.UniqueConstraint(fields=('call', 'adjustment'), name='adjustment_cures_a_call_once'),
        ),
        migrations.AddConstraint(
            model_name='cure',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state__in', ('settled', 'reversed')), _negated=True), models.Q(('adjustment', None), ('fill', None), ('movement__isnull', False)), models.Q(('adjustment', None), ('fill__isnull', False), ('movement', None)), models.Q(('adjustment__isnull', False), ('fill', None), ('movement', None)), _connector='OR'), name='settled_cure_names_its_source'),
        ),
        migrations.AddConstraint(
            model_name='cure',
            constraint=models.CheckConstraint(condition=models.Q(('release__gte', 0), ('used__gte', 0)), name='cure_takes_nothing_back'),
        ),
        migrations.AddConstraint(
            model_name='cure',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ('settled', 'reversed')), models.Q(('release', 0), ('used', 0)), _connector='OR'), name='only_a_settled_cure_releases'),
        ),
        migrations.AddField(
            model_name='dispute',
            name='account',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='disputes', to='accounts.account'),
        ),
        migrations.AddField(
            model_name='dispute',
            name='call',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='disputes', to='margin.margincall'),
        ),
        migrations.AddField(
            model_name='dispute',
            name='decided_by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='request',
            name='account',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='requests', to='accounts.account'),
        ),
        migrations.AddField(
            model_name='request',
            name='asked_by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='request',
            name='call',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='requests', to='margin.margincall'),
        ),
        migrations.AddField(
            model_name='request',
            name='decided_by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='task',
            name='account',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='tasks', to='accounts.account'),
        ),
        migrations.AddField(
            model_name='task',
            name='call',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='tasks', to='margin.margincall'),
        ),
        migrations.AddField(
            model_name='task',
            name='owner',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddConstraint(
            model_name='dispute',
            constraint=models.UniqueConstraint(condition=models.Q(('state', 'open')), fields=('call',), name='dispute_is_open_once_per_call'),
        ),
        migrations.AddConstraint(
            model_name='dispute',
            constraint=models.CheckConstraint(condition=models.Q(('amount__gt', 0)), name='disputed_amount_is_positive'),
        ),
        migrations.AddConstraint(
            model_name='dispute',
            constraint=models.CheckConstraint(condition=models.Q(('granted__gte', 0), ('granted__lte', models.F('amount'))), name='no_more_than_disputed'),
        ),
        migrations.AddConstraint(
            model_name='dispute',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('decided_at', None), ('state', 'open')), models.Q(models.Q(('state', 'open'), _negated=True), ('decided_at__isnull', False)), _connector='OR'), name='decided_dispute_has_its_instant'),
        ),
        migrations.AddIndex(
            model_name='request',
            index=models.Index(fields=['state', 'kind'], name='request_by_state_and_kind'),
        ),
        migrations.AddConstraint(
            model_name='request',
            constraint=models.UniqueConstraint(condition=models.Q(('state', 'open')), fields=('call', 'kind'), name='request_is_open_once_per_call_and_kind'),
        ),
        migrations.AddConstraint(
            model_name='request',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state__in', ('granted', 'denied')), _negated=True), ('asked_by', None), models.Q(('asked_by', models.F('decided_by')), _negated=True), _connector='OR'), name='request_needs_two_people'),
        ),
        migrations.AddConstraint(
            model_name='request',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('decided_at', None), ('state', 'open')), models.Q(models.Q(('state', 'open'), _negated=True), ('decided_at__isnull', False)), _connector='OR'), name='decided_request_has_its_instant'),
        ),
        migrations.AddConstraint(
            model_name='request',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('kind', 'hold'), _negated=True), ('until__isnull', False), _connector='OR'), name='hold_always_has_an_end'),
        ),
        migrations.AddIndex(
            model_name='task',
            index=models.Index(condition=models.Q(('closed_at', None)), fields=['due_at'], name='task_open_by_due'),
        ),
        migrations.AddConstraint(
            model_name='task',
            constraint=models.UniqueConstraint(condition=models.Q(('closed_at', None)), fields=('call', 'kind'), name='task_is_open_once_per_call_and_kind'),
        ),
        migrations.AddConstraint(
            model_name='task',
            constraint=models.CheckConstraint(condition=models.Q(('closed_at', None), models.Q(('closed_by', ''), _negated=True), _connector='OR'), name='closed_task_names_who'),
        ),
    ]
