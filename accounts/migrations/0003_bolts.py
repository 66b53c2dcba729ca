"""Fills, movements, adjustments and position facts are append only (see market 0002)."""

from importlib import import_module

from django.db import migrations

market_bolts = import_module("market.migrations.0002_bolts")
TABLES = ("accounts_positionfact", "accounts_fill", "accounts_cashmovement", "accounts_adjustment")


class Migration(migrations.Migration):
    dependencies = [("accounts", "0002_initial"), ("market", "0002_bolts")]
    operations = [
        migrations.RunSQL(market_bolts.bolt(table), market_bolts.unbolt(table)) for table in TABLES
    ]
