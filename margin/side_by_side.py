"""One stored assessment beside itself recomputed now from what its sweep saw, figure by figure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import count

import numpy as np
from django.db.models import Q

from margin import assessments, prices, snapshot, sweep
from margin.decisions import Found
from margin.engine import assess, memory
from margin.models import Assessment, Charge, Measure, Shard
from margin.replay import EVER
from market.models import Instrument

FIGURES = {
    "equity": "equity",
    "requirement": "requirement",
    "restore_requirement": "restore_requirement",
    "severe_requirement": "severe_requirement",
    "deficit": "shortfall",
}
"""Column of a measure → the figure of the engine that it keeps."""
Key = tuple[str, str, str]
"""Part, subject, what: such as ("house", "XYZ", "finra_4210_c")."""


class NotRecomputable(LookupError):
    """What the sweep saw of the account is not kept; the message says why."""


@dataclass(frozen=True)
class Line:
    """One figure; None where one side has none."""

    part: str
    subject: str
    what: str
    stored: str | None
    again: str | None

    @property
    def differs(self) -> bool:
        return self.stored != self.again


@dataclass(frozen=True)
class Beside:
    """All figures of an assessment, and how many answers of models no longer hold."""

    assessment: Assessment
    lines: tuple[Line, ...]
    models_beyond: int

    @property
    def differing(self) -> int:
        return sum(line.differs for line in self.lines)

    @property
    def is_equal(self) -> bool:
        return not self.differing and not self.models_beyond

    @property
    def verdict(self) -> str:
        if self.differing:
            return f"{self.differing} of {len(self.lines)} figures differ from what is stored"
        if self.models_beyond:
            return f"all figures are equal, but {self.models_beyond} values of models do not hold any more"
        return f"all {len(self.lines)} figures are equal to the cent"


def of(assessment: Assessment) -> Beside:
    """Recompute the assessment's account alone. Raises NotRecomputable."""
    shard = _shard(assessment)
    past = assessment.sweep
    with memory.recalling(memory.Notes.unpack(bytes(shard.said))) as notes:
        snap = snapshot.take(
            prices=prices.of(past),
            in_force=sweep.policies_of(past.kind, past.at),
            accounts=snapshot.Accounts(ids=[assessment.account_id]),
            past=snapshot.Past(at=EVER, visible=shard.visible),
        )
        found = assess.assess(snap.book, snap.instruments, snap.market, snap.rules)
        one = assessments.that_matter(found, [assessment.account_id]).get(assessment.account_id)
        again = _recomputed(snap, found, one) if one else {}
    stored = _stored(assessment)
    lines = [Line(*key, stored.get(key), again.get(key)) for key in dict.fromkeys([*stored, *again])]
    return Beside(assessment, tuple(lines), notes.beyond)


def _shard(assessment: Assessment) -> Shard:
    account = assessment.account_id
    ranged = Q(account_ids__isnull=True, first_account__lte=account, last_account__gte=account)
    found = assessment.sweep.shards.filter(ranged | Q(account_ids__contains=account)).exclude(visible="").first()
    if found is None:
        raise NotRecomputable(f"{assessment.sweep} keeps nothing of what it saw of account {assessment.account}")
    return found


# --- both sides, by the same keys -----------------------------------------------------------------------------


def _stored(assessment: Assessment) -> dict[Key, str | None]:
    out: dict[Key, str | None] = {("inputs", "", "policy version"): str(assessment.policy_version_id)}
    out |= _holdings(assessment.holdings)
    for measure in Measure.objects.filter(assessment=assessment).order_by("pk"):
        out |= {(measure.regime, "", name): _text(getattr(measure, name)) for name in FIGURES}
        charges = Charge.objects.filter(measure=measure).select_related("instrument").order_by("pk")
        out |= _numbered(
            measure.regime, ((one.instrument.code if one.instrument else "", one.code, one.amount) for one in charges)
        )
    return out | {("proof", "", "digest"): assessment.digest}


def _recomputed(snap: snapshot.Snapshot, found: assess.Assessments, one: Found) -> dict[Key, str | None]:
    version = snap.reading(one.row).version_id
    out: dict[Key, str | None] = {("inputs", "", "policy version"): str(version)}
    out |= _holdings(assessments.holdings_of(snap, one))
    told = found.told(np.array([one.row], np.int64))
    codes = dict(zip(snap.instruments.ids.tolist(), map(str, snap.instruments.codes), strict=True))
    for place, figures in enumerate(one.figures):
        if figures.reasons:
            continue
        out |= {(figures.regime, "", name): _text(getattr(figures, theirs)) for name, theirs in FIGURES.items()}
        charges = told.get((one.row, place), [])
        out |= _numbered(
            figures.regime,
            (
                (codes.get(line.wording.instrument or 0, ""), line.wording.code, Decimal(line.amount))
                for line in charges
            ),
        )
    return out | {("proof", "", "digest"): assessments.digest_of(snap, one)}


def _holdings(held: list[list[str | None]]) -> dict[Key, str | None]:
    codes = dict(Instrument.objects.filter(pk__in=[row[0] for row in held]).values_list("pk", "code"))
    return {
        ("inputs", codes.get(int(row[0] or 0), str(row[0])), what): value
        for row in held
        for what, value in zip(("quantity", "cost", "mark"), row[1:], strict=True)
    }


def _numbered(regime: str, charges: Iterable[tuple[str, str, Decimal]]) -> Mapping[Key, str | None]:
    """Charges of one code on one instrument are told apart by their order."""
    seen: dict[tuple[str, str], count[int]] = {}
    out: dict[Key, str | None] = {}
    for subject, code, amount in charges:
        number = next(seen.setdefault((subject, code), count(1)))
        name = code.replace("_", " ")
        out[regime, subject or "account", f"charge {name}" + (f" {number}" if number > 1 else "")] = _text(amount)
    return out


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else assessments.plain(amount)
