"""Is this still the database we knew? After a restore or a failover a new epoch holds every sender.

What was sent after the backup was taken is not in the restored rows, so that each queued mail and each order may have
gone out already (faults D6, D7). Sweeps go on: they issue calls, which nobody hears of, so that no deadline runs.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from margin import anchors, history_keys, seals, watch
from margin.actors import Actor
from margin.models import Seal, SystemEpoch
from verifier import verify

MAY_RELEASE = ("Supervisor", "Risk")
MAY_COMPARE = ("Operations", "Supervisor", "Risk")
HELD = "epoch_held"

# The timeline that writes, not the last checkpoint's: a promotion is seen at once.
SYSTEM = """
SELECT system_identifier::text,
       CASE WHEN pg_is_in_recovery() THEN 0
            ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer END,
       (SELECT oid::bigint FROM pg_database WHERE datname = current_database())
FROM pg_control_system()
"""


class Held(Exception):
    """Nothing may leave the house before the epoch is compared and released; the message says how."""


@dataclass(frozen=True)
class System:
    """What tells one database system from another."""

    identifier: str
    timeline: int
    database: int


def system() -> System:
    with connection.cursor() as cursor:
        cursor.execute(SYSTEM)
        return System(*cursor.fetchone())


def look(*, at: datetime) -> SystemEpoch:
    """The epoch we are in. Opens a new one, with an alarm, where the system or its history is not what it was."""
    here, known = system(), SystemEpoch.objects.first()
    if known is not None:
        cause = _change(known, here)
        if not cause:
            return known
        return begin(cause, at=at, seen=known.number)
    return begin("first start", at=at, seen=0)


def _change(known: SystemEpoch, here: System) -> str:
    """What is not as it was in the last epoch; "" if nothing."""
    if known.system_identifier != here.identifier:
        return f"another database system: {here.identifier}, it was {known.system_identifier}"
    if known.database_oid != here.database:
        return f"another database of the same server: {here.database}, it was {known.database_oid}"
    if known.timeline != here.timeline:
        return f"failover or recovery: timeline {here.timeline}, it was {known.timeline}"
    if known.is_held:
        return ""
    lost = anchors.unknown()
    return f"the history is shorter than it was, or another: it does not know seal {lost}" if lost else ""


def begin(cause: str, *, at: datetime, seen: int | None = None) -> SystemEpoch:
    """Open the next epoch; every sender holds until it is released. The very first one holds nobody.

    With `seen`, only if that is still the newest: of two who notice the same, one opens it.
    """
    here = system()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('margin.epochs'))")
        known = SystemEpoch.objects.first()
        number = known.number if known else 0
        if known is not None and seen is not None and seen != number:
            return known
        newest = Seal.objects.first()
        made = SystemEpoch.objects.create(
            number=number + 1,
            began_at=at,
            cause=cause[:400],
            system_identifier=here.identifier,
            timeline=here.timeline,
            database_oid=here.database,
            kept_seal=newest.number if newest else 0,
            released_at=at if known is None else None,
        )
        if made.is_held:
            watch.raise_alarm(HELD, str(made), f"{cause}; nothing is sent: {WHAT_TO_DO}", at=at)
    return made


WHAT_TO_DO = "run manage.py reconcile_epoch, then let another person release it"


def require_open(*, at: datetime) -> SystemEpoch:
    """The epoch in which something may be sent now. Raises Held. Every sender asks before each batch."""
    current = look(at=at)
    if current.is_held:
        raise Held(f"{current} ({current.cause}) is not released; {WHAT_TO_DO}")
    return current


def is_open(*, at: datetime) -> bool:
    """Whether something may be sent now."""
    return not look(at=at).is_held


# --- comparing and releasing ------------------------------------------------------------------------------


class Refused(Exception):
    """The epoch cannot be compared or released so; the message says why."""


def lost(epoch: SystemEpoch) -> list[str]:
    """The anchors of seals that the restored database does not hold: what was recorded then is gone."""
    return [line for line in verify.unexcused(anchors.lines()) if int(line.split()[0]) > epoch.kept_seal]


def held(actor: Actor) -> SystemEpoch:
    """The held epoch, for whoever may compare it. Raises Refused."""
    return _held(actor, MAY_COMPARE)


def compare(report: dict[str, Any], *, at: datetime, actor: Actor) -> SystemEpoch:
    """Keep what one person found about the held epoch; its `unsettled`, a list of sentences, keeps it held."""
    epoch = held(actor)
    epoch.report, epoch.compared_by_id, epoch.compared_at = report, actor.user_id, at
    epoch.save(update_fields=["report", "compared_by", "compared_at"])
    return epoch


def release(*, reason: str, at: datetime, actor: Actor) -> SystemEpoch:
    """Let senders go on. Another person than who compared, with a reason; what is lost is anchored as lost."""
    epoch = _held(actor, MAY_RELEASE)
    if epoch.compared_at is None:
        raise Refused(f"{epoch} was not compared yet; run manage.py reconcile_epoch first")
    if epoch.compared_by_id == actor.user_id:
        raise Refused(f"{epoch} needs two people: {actor.name} compared it, another releases it")
    if epoch.report.get("unsettled"):
        raise Refused(f"{epoch} is not settled: {'; '.join(epoch.report['unsettled'])}")
    if not reason.strip():
        raise Refused("a reason is needed: it is kept with the epoch")
    newest = Seal.objects.first()
    missing = lost(epoch)
    if missing:
        key_id = (newest.next_key or newest.key_id) if newest else history_keys.first()
        key, code, name = history_keys.read(key_id), missing[-1].split()[2], seals.system()[0]
        anchors.append(verify.excuse(key, epoch.number, epoch.kept_seal, key_id, code, name))
    with transaction.atomic():
        epoch.released_by_id, epoch.released_at, epoch.reason = actor.user_id, at, reason.strip()[:400]
        epoch.save(update_fields=["released_by", "released_at", "reason"])
        watch.clear_alarm(HELD, str(epoch), at=at)
    if newest is not None:
        anchors.mark(newest)
    return epoch


def _held(actor: Actor, roles: tuple[str, ...]) -> SystemEpoch:
    if actor.role not in roles:
        raise Refused(f"{actor.name} ({actor.role or 'no role'}) may not do this; it takes {' or '.join(roles)}")
    epoch = SystemEpoch.objects.first()
    if epoch is None or not epoch.is_held:
        raise Refused("no epoch is held; there is nothing to do")
    return epoch
