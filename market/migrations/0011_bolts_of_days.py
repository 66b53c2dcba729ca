"""Day changes and settlement cycles are append only (see 0002); the cycles that the markets announced.

Sources: SEC Releases 34-80295 (T+2 from 2017-09-05) and 34-96930 (T+1 from 2024-05-28); JSCC and JPX, T+2 from
2019-07-16; Regulation (EU) 909/2014 and the change of 2014-10-06 to T+2 in the Union and the United Kingdom; Regulation
(EU) 2025/2075 and the UK Accelerated Settlement Taskforce, T+1 from 2027-10-11. SEC Rule 15c6-1 made T+3 of T+5 on
1995-06-07. Tokyo settled on the fourth day, T+3, before.
"""

from datetime import date
from importlib import import_module

from django.db import migrations

market_bolts = import_module("market.migrations.0002_bolts")
TABLES = ("market_daychange", "market_settlementcycle")
CYCLES = (
    ("US", date(1995, 6, 7), 3, "SEC Rule 15c6-1"),
    ("US", date(2017, 9, 5), 2, "SEC Release 34-80295"),
    ("US", date(2024, 5, 28), 1, "SEC Release 34-96930"),
    ("JP", date(2000, 1, 1), 3, "Tokyo Stock Exchange, before the change of 2019"),
    ("JP", date(2019, 7, 16), 2, "JPX and JSCC"),
    ("UK", date(2014, 10, 6), 2, "London Stock Exchange and CREST"),
    ("UK", date(2027, 10, 11), 1, "UK Accelerated Settlement Taskforce, as announced"),
    ("EU", date(2014, 10, 6), 2, "Regulation (EU) 909/2014, Article 5"),
    ("EU", date(2027, 10, 11), 1, "Regulation (EU) 2025/2075, as announced"),
)


def seed(apps, schema_editor):
    cycle = apps.get_model("market", "SettlementCycle")
    for code, effective_on, days, source in CYCLES:
        cycle.objects.create(code=code, effective_on=effective_on, days=days, source=source)


class Migration(migrations.Migration):
    dependencies = [("market", "0010_closures_and_cycles")]
    operations = [
        migrations.RunPython(seed, migrations.RunPython.noop),
        *(migrations.RunSQL(market_bolts.bolt(table), market_bolts.unbolt(table)) for table in TABLES),
    ]
