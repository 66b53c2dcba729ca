"""Single events are appended twice as fast: each chain is found by its key, and plans are made once a session.

The lock on the chains was a join that read every chain of the house, up to some ten thousand; planning anew took a
third of the rest (`bench/bench_history.py`). What is locked, written, refused and hashed is as before.
"""

from importlib import import_module

from django.db import migrations

before = import_module("margin.migrations.0020_calls_with_their_events")
slices = import_module("margin.migrations.0027_bolts_of_slices")

APPEND_EVENTS = slices.only("margin_append_events", before.APPEND_EVENTS)
BY_KEY = slices.replaced(
    slices.replaced(
        APPEND_EVENTS,
        "c.account_id IN (SELECT (value ->> 'account')::bigint FROM jsonb_array_elements(entries))",
        "c.account_id = ANY (ARRAY(SELECT (value ->> 'account')::bigint FROM jsonb_array_elements(entries)))",
    ),
    "SET enable_seqscan = off AS",
    "SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS",
)


class Migration(migrations.Migration):
    dependencies = [("margin", "0031_words_under_keys")]
    operations = [
        migrations.RunSQL(BY_KEY, APPEND_EVENTS),
        migrations.RunSQL(
            "ALTER FUNCTION margin_lock_chains(bigint[]) SET plan_cache_mode = force_generic_plan SET enable_seqscan = off",
            "ALTER FUNCTION margin_lock_chains(bigint[]) RESET plan_cache_mode RESET enable_seqscan",
        ),
    ]
