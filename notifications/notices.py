"""Notices: prepared from events, sent under a lease, at least once and never lost.

The event is the outbox (settled.md 6). `prepare` finds events that need a notice and have none, and writes one row per
event and recipient. `send` leases one row at a time, commits, speaks to the mail server, then marks: a process that
dies in between leaves a lease that lapses, and the notice goes out again under its one Message-ID.
"""

import hashlib
import logging
import random
import time
import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta
from email.utils import parseaddr
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Coalesce

from accounts.models import Contact
from margin import calls, epochs
from margin.actors import Actor, system
from margin.models import Event
from notifications import addresses, cases, layouts, letters, writers
from notifications.models import Attempt, Horizon, Notice
from notifications.post import Answer, Post

log = logging.getLogger(__name__)

BATCH = 100  # events prepared in one transaction
LEASE = timedelta(seconds=30)
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=30), timedelta(minutes=15)
PAUSE_AFTER_SILENCE = timedelta(minutes=5)  # time for the provider's report to tell what happened
SENDER = system("notices")
FAILED = (Notice.State.FAILED, Notice.State.REJECTED, Notice.State.BOUNCED)

# A call's changed amount is told only when it grew, a payment that was announced when it has settled, and nothing of a
# call that is provisional: its day may still undo it.
WAITING_EVENTS = """
SELECT e.id FROM margin_event e
WHERE e.transaction_id >= %(horizon)s AND e.kind = ANY (%(kinds)s)
  AND NOT EXISTS (SELECT FROM notifications_notice n WHERE n.event_id = e.id)
  AND coalesce(e.body::jsonb #>> '{row,is_provisional}', 'false') = 'false'
  AND NOT (e.kind = 'warning.raised' AND e.body::jsonb #>> '{details,is_quiet}' IS NOT DISTINCT FROM 'true')
  AND (e.kind NOT IN ('cure.moved', 'claim.checked') OR e.body::jsonb #>> '{cure,state}' = 'settled')
  AND (e.kind <> 'call.amount_changed'
       OR (e.body::jsonb #>> '{row,amount_called}')::numeric > (
           SELECT (p.body::jsonb #>> '{row,amount_called}')::numeric FROM margin_event p
           WHERE p.account_id = e.account_id AND p.call_id = e.call_id AND p.seq < e.seq
             AND p.body::jsonb -> 'row' IS NOT NULL
           ORDER BY p.seq DESC LIMIT 1))
ORDER BY e.id LIMIT %(limit)s
"""


class NotSent(ValueError):
    """The notice cannot be sent again; the message says why and what to do."""


# --- prepare ----------------------------------------------------------------------------------------------


def prepare(*, at: datetime, seconds: float = 15.0) -> int:
    """Write a notice for every event that needs one and every recipient; returns how many were written.

    Reads by transaction horizon: every event of a transaction that was still running when the horizon was set is seen
    again. Safe to run twice or at once: the second finds the horizon locked and leaves. After about `seconds` it
    leaves the rest for the next run, so that sending is never starved.
    """
    started, written = time.monotonic(), 0
    while time.monotonic() - started < seconds:
        made = _prepare_batch(at)
        if made is None:
            break
        written += made
    return written


def _prepare_batch(at: datetime) -> int | None:
    """How many notices one transaction wrote; None when no event is waiting or somebody else is at it."""
    with transaction.atomic():
        name = _horizon_name(at)
        Horizon.objects.get_or_create(name=name)
        horizon = Horizon.objects.select_for_update(skip_locked=True).filter(name=name).first()
        if horizon is None:
            return None
        reached, events = _waiting_events(horizon.transaction_id)
        notices = _notices(events, at)
        Notice.objects.bulk_create(notices)
        if len(events) < BATCH and reached > horizon.transaction_id:
            horizon.transaction_id = reached
            horizon.save(update_fields=["transaction_id"])
        return len(notices) if events else None


def _horizon_name(at: datetime) -> str:
    """One horizon per epoch: after a restore elsewhere, transaction ids start again and all is looked at."""
    epoch = epochs.look(at=at)
    return f"notices {epoch.system_identifier} {epoch.number}"


def _waiting_events(horizon: int) -> tuple[int, list[int]]:
    """(the oldest transaction still running before we looked, ids of events without a notice, oldest first)."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
        reached: int = cursor.fetchone()[0]
        cursor.execute(WAITING_EVENTS, {"horizon": horizon, "kinds": list(writers.KINDS), "limit": BATCH})
        return reached, [row[0] for row in cursor.fetchall()]


def _notices(event_ids: list[int], at: datetime) -> list[Notice]:
    if not event_ids:
        return []
    events = {event.pk: event for event in Event.objects.filter(pk__in=event_ids).select_related("account__client")}
    clients = {event.account.client_id for event in events.values()}
    contacts: dict[int, list[Contact | None]] = {}
    for contact in Contact.objects.filter(client__in=clients, receives_notices=True).order_by("pk"):
        contacts.setdefault(contact.client_id, []).append(contact)
    gathered = cases.gather(event_ids)
    return [
        _notice(events[pk], gathered, contact, at)
        for pk in event_ids
        for contact in contacts.get(events[pk].account.client_id) or [None]
    ]


def _notice(event: Event, gathered: cases.Gathered, contact: Contact | None, at: datetime) -> Notice:
    """One notice, failed with its reason where it cannot be told: staff see it, the others are not held up."""
    languages = (contact.language if contact else "", event.account.client.language)
    notice = Notice(
        event=event,
        contact=contact,
        kind=event.kind,
        locale=layouts.locale_of(*languages),
        template_version="",
        content_hash="",
        message_id=_message_id(event, contact),
        prepared_at=at,
        send_after=at,
    )
    try:
        _write(notice, gathered)
        if contact is None:
            raise NotSent(f"{event.account.client} has no contact that receives notices; add one, then send again")
        notice.to_address = addresses.single(contact.email)
    except (addresses.BadHeader, letters.Unwritable, NotSent) as reason:
        notice.state, notice.last_error = Notice.State.FAILED, str(reason)
    except Exception as error:  # one event that cannot be told must not keep the others from being told
        log.exception("notice of event %s cannot be written", event.pk)
        notice.state, notice.last_error = Notice.State.FAILED, f"cannot be written: {type(error).__name__}: {error}"
    return notice


def _write(notice: Notice, gathered: cases.Gathered) -> None:
    """Fill in what the notice says; a notice once written never changes (the database sees to it)."""
    case = gathered.case(notice.event_id)
    mail = layouts.write(case, locale=notice.locale)
    notice.subject, notice.text, notice.html = mail.subject, mail.text, mail.html
    notice.template_version, notice.content_hash = mail.template_version, mail.content_hash
    notice.urgent_by = case.demand.due_at if case.demand else None


def _message_id(event: Event, contact: Contact | None) -> str:
    """Of the event's hash and its recipient: written once more after a restore, the same mail has the same name."""
    named = f"{event.hash} {contact.pk if contact else 'nobody'}".encode()
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2] or "localhost"
    return f"<notice.{hashlib.sha256(named).hexdigest()[:32]}@{domain}>"


# --- send -------------------------------------------------------------------------------------------------


def send(*, at: datetime, limit: int = 100, seconds: float = 25.0) -> int:
    """Send waiting notices, the most urgent first: `limit` tries and about `seconds` at most. Returns how many went.

    A server that cannot be reached ends the run: what waits keeps its place. Calls whose client has now provably been
    told are marked as notified (settled.md 27). In an epoch that is not released nothing is sent (`margin.epochs`).
    """
    if not epochs.is_open(at=at):
        return 0
    started, sent = time.monotonic(), 0
    with Post() as post:
        for _ in range(limit):
            elapsed = time.monotonic() - started
            moment = at + timedelta(seconds=elapsed)
            notice = _lease(moment) if elapsed < seconds else None
            if notice is None:
                break
            answer = _hand_over(notice, post)
            _mark(notice, answer, at + timedelta(seconds=time.monotonic() - started))
            sent += answer.outcome == Attempt.Outcome.SENT
            if answer.is_server_down:
                break
    tell_margin(at=at + timedelta(seconds=time.monotonic() - started))
    return sent


def _lease(at: datetime) -> Notice | None:
    """Take the most urgent notice that is due and that nobody holds, for 30 s; committed before anything is said."""
    with transaction.atomic(durable=True):
        notice = (
            Notice.objects.select_for_update(skip_locked=True, of=("self",))
            .select_related("contact", "event__account")
            .filter(Q(lease_until=None) | Q(lease_until__lte=at), state=Notice.State.QUEUED, send_after__lte=at)
            .order_by("urgent_by", "pk")
            .first()
        )
        if notice is not None:
            notice.lease_until, notice.lease_token = at + LEASE, uuid.uuid4()
            notice.attempts += 1
            notice.save(update_fields=["lease_until", "lease_token", "attempts"])
    return notice


def _hand_over(notice: Notice, post: Post) -> Answer:
    """Send it, if its recipient and subject are still what they must be."""
    try:
        _check(notice)
    except (addresses.BadHeader, NotSent) as reason:
        return Answer(Attempt.Outcome.REFUSED, str(reason), is_ours=True)
    return post.hand_over(notice)


def _check(notice: Notice) -> None:
    """Raises BadHeader or NotSent unless the notice may go to exactly this recipient."""
    contact = notice.contact
    if contact is None:
        raise NotSent("the client has no contact that receives notices; add one, then send again")
    if contact.client_id != notice.event.account.client_id:
        raise NotSent(f"contact {contact.pk} does not belong to the client of the account; nothing was sent")
    if contact.email != notice.to_address:
        raise NotSent(f"the contact's address is no longer {notice.to_address}; check it, then send again")
    if not notice.text or not notice.html:
        raise NotSent("the notice could not be written; see its error")
    addresses.single(notice.to_address)
    addresses.line(notice.subject)


def _mark(notice: Notice, answer: Answer, at: datetime) -> None:
    """Keep the answer. Success counts whoever holds the lease by now; a failure only moves what we still hold."""
    queued = Notice.objects.filter(pk=notice.pk, state=Notice.State.QUEUED)
    mine = queued.filter(lease_token=notice.lease_token)
    free: dict[str, Any] = {"lease_until": None, "lease_token": None}
    with transaction.atomic():
        Attempt.objects.create(notice=notice, outcome=answer.outcome, answer=answer.text, at=at)
        match answer.outcome:
            case Attempt.Outcome.SENT:
                # A delivery report may have come first; then the state is higher already and stays.
                Notice.objects.filter(pk=notice.pk).update(sent_at=Coalesce("sent_at", at))
                queued.update(state=Notice.State.SENT, last_error="", **free)
            case Attempt.Outcome.REFUSED:
                state = Notice.State.FAILED if answer.is_ours else Notice.State.REJECTED
                mine.update(state=state, last_error=answer.text, **free)
            case Attempt.Outcome.UNKNOWN:
                mine.update(send_after=at + PAUSE_AFTER_SILENCE, last_error=answer.text, **free)
            case _:
                mine.update(send_after=at + pause(notice.attempts), last_error=answer.text, **free)


def pause(attempts: int) -> timedelta:
    """How long to wait after so many tries: doubling from 30 s to 15 min, each ± a third, so that crowds disperse."""
    doubled = FIRST_PAUSE * 2 ** min(attempts - 1, 10)
    return min(doubled, LONGEST_PAUSE) * random.uniform(2 / 3, 4 / 3)  # noqa: S311 - no secret


# Open calls not known as told, whose last event that states a deadline was handed over to somebody.
TOLD = """
SELECT c.id FROM margin_margincall c
WHERE c.state IN ('issued', 'escalated') AND c.notified_at IS NULL AND EXISTS (
    SELECT FROM notifications_notice n WHERE n.sent_at IS NOT NULL AND n.event_id = (
        SELECT e.id FROM margin_event e WHERE e.call_id = c.id
          AND e.kind IN ('call.issued', 'call.finalised', 'call.accelerated', 'call.rescheduled')
        ORDER BY e.seq DESC LIMIT 1))
LIMIT %s
"""


def tell_margin(*, at: datetime) -> int:
    """Tell the margin room of open calls whose client has been told of the deadline; how many. Safe to repeat."""
    with connection.cursor() as cursor:
        cursor.execute(TOLD, [calls.LARGEST_BATCH])
        ids = [row[0] for row in cursor.fetchall()]
    return sum(outcome.is_done for outcome in calls.notified(ids, at=at, actor=SENDER)) if ids else 0


# --- after a restore --------------------------------------------------------------------------------------


def perhaps_sent(*, before: datetime) -> QuerySet[Notice]:
    """Notices that wait here and tell of what was recorded before that instant: a database that was lost may have sent
    them."""
    return Notice.objects.filter(state=Notice.State.QUEUED, event__recorded_at__lt=before)


def found_sent(named: Iterable[str], *, before: datetime, at: datetime) -> int:
    """Mark as sent which of them a mail log names by Message-ID; how many. They are not sent again."""
    waiting, count = perhaps_sent(before=before).filter(message_id__in=set(named)), 0
    for pk in waiting.order_by("pk").values_list("pk", flat=True):
        with transaction.atomic():
            notice = Notice.objects.select_for_update(of=("self",)).get(pk=pk)
            if notice.state == Notice.State.QUEUED:
                _mark(notice, Answer(Attempt.Outcome.SENT, "found in the mail log after a restore"), at)
                count += 1
    return count


# --- send again -------------------------------------------------------------------------------------------


def send_again(notice: Notice, *, at: datetime, actor: Actor) -> Iterable[Notice]:
    """Queue a failed notice once more, to the contact's address of now; returns what was queued. Raises NotSent.

    A notice that had no recipient is written anew for the contacts the client has by now. The call's history keeps who
    asked.
    """
    with transaction.atomic():
        held = Notice.objects.select_for_update(of=("self",)).select_related("contact", "event__account__client")
        notice = held.get(pk=notice.pk)
        if notice.state not in FAILED:
            raise NotSent(f"notice {notice.pk} is {notice.state}; only one that failed can be sent again")
        contact = notice.contact
        queued = [_queued_again(notice, contact, at)] if contact else _for_new_contacts(notice, at)
        if notice.event.call is not None:
            sent_to = ", ".join(one.to_address for one in queued)
            text = f"notice {notice.pk} ({notice.kind}) sent again to {sent_to}"
            calls.note(notice.event.call, text=text, at=at, actor=actor)
    return queued


def _queued_again(notice: Notice, contact: Contact, at: datetime) -> Notice:
    if not notice.text:
        _write(notice, cases.gather([notice.event_id]))
    notice.to_address = addresses.single(contact.email)
    notice.state, notice.send_after, notice.last_error = Notice.State.QUEUED, at, ""
    notice.lease_until = notice.lease_token = None
    notice.save()
    return notice


def _for_new_contacts(notice: Notice, at: datetime) -> list[Notice]:
    told = Notice.objects.filter(event=notice.event, contact__isnull=False).values_list("contact", flat=True)
    made = [one for one in _notices([notice.event_id], at) if one.contact_id and one.contact_id not in set(told)]
    if not made:
        raise NotSent(f"{notice.event.account.client} still has no contact that receives notices; add one first")
    return Notice.objects.bulk_create(made)
