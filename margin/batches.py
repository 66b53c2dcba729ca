"""Calls that rest on one wrong price: found, so that one proposal of two people retracts them all (fault C13)."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection

from margin.models import MarginCall
from market.models import Instrument

# The assessment that a call was made on keeps its inputs: [[instrument, quantity, cost, mark], …] as text.
RESTING = """
SELECT c.id FROM margin_margincall c JOIN margin_assessment a ON a.id = c.assessment_id
WHERE c.state IN ('issued', 'escalated') AND a.at >= %(since)s AND (%(until)s::timestamptz IS NULL OR a.at <= %(until)s)
  AND EXISTS (SELECT FROM jsonb_array_elements(a.holdings) h
              WHERE (h ->> 0)::bigint = %(instrument)s
                AND (%(mark)s::numeric IS NULL OR (h ->> 3)::numeric = %(mark)s))
ORDER BY c.id
"""


def resting_on(
    instrument: Instrument, *, since: datetime, until: datetime | None = None, mark: Decimal | None = None
) -> list[MarginCall]:
    """Open calls whose assessment, between the two instants, used a price of the instrument, or exactly `mark`."""
    wanted: dict[str, Any] = {"instrument": instrument.pk, "since": since, "until": until, "mark": mark}
    with connection.cursor() as cursor:
        cursor.execute(RESTING, wanted)
        ids = [row[0] for row in cursor.fetchall()]
    return list(MarginCall.objects.filter(pk__in=ids).select_related("account").order_by("pk"))
