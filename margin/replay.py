"""Do a past sweep again from what it saw, and compare: equal to the cent, or the difference by name."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from margin import assessments, prices, snapshot, sweep
from margin.decisions import Found
from margin.engine import assess
from margin.models import Assessment, Shard, Sweep

EVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Difference:
    """One account whose replay does not equal what was stored."""

    account_id: int
    what: str

    def __str__(self) -> str:
        return f"account {self.account_id}: {self.what}"


@dataclass(frozen=True)
class Result:
    """What a replay compared, and what differed."""

    evaluated: int
    compared: int
    differences: list[Difference]


def run(past: Sweep) -> Result:
    """Recompute a finished sweep from its prices, its policies and the positions its transactions could see.

    Every stored assessment is compared by the digest over its inputs and results, and every account the replay finds
    short must have been stored.
    """
    evaluated = compared = 0
    differences: list[Difference] = []
    for shard in past.shards.exclude(visible=""):
        found, snap = _again(shard, past)
        stored = {row.account_id: row for row in past.assessments.filter(account__in=snap.book.accounts.tolist())}
        again = assessments.that_matter(found, stored)
        evaluated += len(snap.book)
        compared += len(stored)
        differences += _compare(stored, again, snap)
    return Result(evaluated, compared, differences)


def _again(shard: Shard, past: Sweep) -> tuple[assess.Assessments, snapshot.Snapshot]:
    snap = snapshot.take(
        prices=prices.of(past),
        in_force=sweep.policies_of(past.kind, past.at),
        accounts=snapshot.Accounts(shard.first_account, shard.last_account, shard.account_ids),
        past=snapshot.Past(at=EVER, visible=shard.visible),
    )
    return assess.assess(snap.book, snap.instruments, snap.market, snap.rules), snap


def _compare(stored: dict[int, Assessment], again: dict[int, Found], snap: snapshot.Snapshot) -> Iterator[Difference]:
    for account, found in again.items():
        row = stored.get(account)
        version = snap.reading(found.row).version_id
        if row is None:
            yield Difference(account, "is on watch or worse in the replay, and was not stored by the sweep")
        elif row.policy_version_id != version:
            yield Difference(account, f"policy version {row.policy_version_id} then, {version} in the replay")
        elif row.digest != assessments.digest_of(snap, found):
            yield Difference(account, "its inputs or figures differ")
    for account in sorted(set(stored) - set(again)):
        yield Difference(account, "was stored by the sweep and is not found by the replay")
