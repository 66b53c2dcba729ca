"""Published parameters are append only (see 0002)."""

from importlib import import_module

from django.db import migrations

market_bolts = import_module("market.migrations.0002_bolts")
TABLE = "market_parameterset"


class Migration(migrations.Migration):
    dependencies = [("market", "0007_parameter_sets")]
    operations = [migrations.RunSQL(market_bolts.bolt(TABLE), market_bolts.unbolt(TABLE))]
