"""What the door reads of accounts once their chains are locked; a fixed number of queries, whatever their number."""

from collections.abc import Collection
from typing import Any

from django.db import connection

from margin.models import MarginCall

# What members hold counts as their lead's.
REVISIONS = """
SELECT lead, sum(number) FROM (
    SELECT account_id AS lead, number FROM accounts_revision WHERE account_id = ANY(%(ids)s)
    UNION ALL
    SELECT a.margined_with_id, r.number FROM accounts_account a JOIN accounts_revision r ON r.account_id = a.id
    WHERE a.margined_with_id = ANY(%(ids)s)
) held GROUP BY lead
"""
LEADS = "SELECT id, margined_with_id FROM accounts_account WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE"
CALLS = """
SELECT * FROM margin_margincall WHERE id = ANY(%s)
UNION SELECT * FROM margin_margincall WHERE account_id = ANY(%s) AND state IN ('issued', 'escalated')
"""


def revisions(account_ids: Collection[int]) -> dict[int, int]:
    """What each account's book stands at, its members' included."""
    if not account_ids:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(REVISIONS, {"ids": sorted(account_ids)})
        return {account: int(number) for account, number in cursor.fetchall()}


def members(account_ids: Collection[int]) -> set[int]:
    """Those of the accounts that are margined with another. None of the rest joins one until the transaction ends."""
    if not account_ids:
        return set()
    with connection.cursor() as cursor:
        cursor.execute(LEADS, [sorted(account_ids)])
        return {account for account, lead in cursor.fetchall() if lead is not None}


def calls(ids: Collection[int], *, open_of: Collection[int]) -> list[MarginCall]:
    """The calls of these ids, and the open calls of these accounts."""
    found: Any = MarginCall.objects.raw(CALLS, [sorted(ids), sorted(open_of)])
    return list(found)
