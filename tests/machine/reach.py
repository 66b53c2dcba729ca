"""What a run of the machine has seen: a count per transition, and per verb whether it was done or refused."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from django.db import connection

# Every change of state with what brought it about, and every other event with the state it came in.
SEEN = """
SELECT kind, body::jsonb ->> 'from', body::jsonb #>> '{row,state}',
       coalesce(nullif(body::jsonb #>> '{row,escalation_cause}', ''), ''),
       coalesce(nullif(body::jsonb #>> '{row,resolution}', ''), ''),
       CASE WHEN kind <> 'call.issued' THEN ''
            WHEN body::jsonb -> 'details' ? 'after_reversal' THEN 'after reversal'
            WHEN body::jsonb #>> '{row,predecessor_id}' IS NOT NULL THEN 'after an earlier one' ELSE '' END
FROM margin_event WHERE id > %s
"""
STATES = ("issued", "escalated")
MOVES = {"call.issued", "call.met", "call.escalated", "call.liquidated", "call.cancelled"}


@dataclass
class Reach:
    """Counts over all schedules of one run."""

    cells: Counter[str] = field(default_factory=Counter)
    schedules: int = 0
    whole: int = 0
    """Schedules that ran all their steps; a few that hypothesis draws too long are cut and not counted by it either."""
    steps: int = 0
    found_in: int = 0
    """The first schedule that broke a promise."""

    def gather(self, since: int) -> None:
        """Count the events that a schedule brought, before it is undone."""
        with connection.cursor() as cursor:
            cursor.execute(SEEN, [since])
            self.cells.update(cell(*row) for row in cursor.fetchall())

    def table(self) -> str:
        lines = [f"{count:8}  {name}" for name, count in sorted(self.cells.items())]
        return "\n".join([f"{self.schedules} schedules, {self.whole} of them whole, {self.steps} steps", *lines])

    def missing(self, wanted: Iterable[str], *, floor: int) -> list[str]:
        return [f"{name}: {self.cells[name]} < {floor}" for name in wanted if self.cells[name] < floor]


def cell(kind: str, before: str | None, after: str | None, cause: str, resolution: str, again: str) -> str:
    """`call.met: escalated → met (cash)`; an event that moves no state: `call.note in issued`."""
    if kind not in MOVES:
        return f"{kind} in {before}" if before else kind
    why = again or {"escalated": cause}.get(after or "", resolution)
    return f"{kind}: {before or 'nothing'} → {after}" + (f" ({why})" if why else "")


IN_BOTH = (
    "call.amount_changed", "cure.applied", "call.notified", "call.accelerated", "call.held", "call.released",
    "claim.made", "dispute.opened", "dispute.decided", "retraction.proposed",
)  # fmt: skip
WANTED = (
    "call.issued: nothing → issued",
    "call.issued: nothing → issued (after reversal)",
    "call.issued: nothing → issued (after an earlier one)",
    "call.escalated: issued → escalated (deadline)",
    "call.escalated: issued → escalated (severity)",
    "call.escalated: issued → escalated (person)",
    "call.met: issued → met (cash)",
    "call.met: issued → met (market)",
    "call.met: issued → met (mixed)",
    "call.met: escalated → met (cash)",
    "call.met: escalated → met (market)",
    "call.met: escalated → met (mixed)",
    "call.liquidated: escalated → liquidated (liquidation)",
    "call.cancelled: issued → cancelled (retraction)",
    "call.cancelled: escalated → cancelled (retraction)",
    "call.extended in issued",
    "call.reminded in issued",
    "call.level_changed in escalated",
    "plan.proposed in escalated",
    "plan.approved in escalated",
    "plan.filled in escalated",
    *(f"{kind} in {state}" for kind in IN_BOTH for state in STATES),
)
"""What a long run must have seen."""
SURELY = (
    "call.issued: nothing → issued",
    "call.escalated: issued → escalated (deadline)",
    "call.escalated: issued → escalated (person)",
    "call.met: issued → met (cash)",
    "call.met: escalated → met (cash)",
    "call.liquidated: escalated → liquidated (liquidation)",
)
"""What even a short run has seen; a long one has seen all of `WANTED`."""
