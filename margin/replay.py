"""Do a past sweep again from what it saw, and compare: equal to the cent, or the difference by name."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from margin import assessments, prices, snapshot, sweep
from margin.decisions import Found
from margin.engine import assess, memory
from margin.models import Assessment, Shard, Sweep

EVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Difference:
    """One account whose replay does not equal what was stored."""

    account_id: int
    what: str

    def __str__(self) -> str:
        return f"account {self.account_id}: {self.what}"


@dataclass
class Models:
    """What models said then, computed once more: how many answers, and how many numbers no longer hold (settled by
    `margin.engine.memory.TOLERANCE`, because processors differ in the last digits)."""

    recalled: int = 0
    unknown: int = 0
    beyond: int = 0
    worst: float = 0.0

    def add(self, notes: memory.Notes) -> None:
        self.recalled, self.unknown = self.recalled + notes.recalled, self.unknown + notes.unknown
        self.beyond, self.worst = self.beyond + notes.beyond, max(self.worst, notes.worst)


@dataclass(frozen=True)
class Result:
    """What a replay compared, and what differed."""

    evaluated: int
    compared: int
    differences: list[Difference]
    models: Models


def run(past: Sweep) -> Result:
    """Recompute a finished sweep from its prices, its policies and the positions its transactions could see.

    Every stored assessment is compared by the digest over its inputs and results, and every account the replay finds
    short must have been stored. Models are heard as they were then, and computed again beside it.
    """
    evaluated = compared = 0
    differences: list[Difference] = []
    models = Models()
    for shard in past.shards.exclude(visible=""):
        with memory.recalling(memory.Notes.unpack(bytes(shard.said))) as notes:
            found, snap = _again(shard, past)
        models.add(notes)
        stored = {row.account_id: row for row in past.assessments.filter(account__in=snap.book.accounts.tolist())}
        again = assessments.that_matter(found, stored)
        evaluated += len(snap.book)
        compared += len(stored)
        differences += _compare(stored, again, snap)
    return Result(evaluated, compared, differences, models)


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
