"""What must be compared before a restored house speaks again: history, mails and orders against what lies outside.

A person reads the report, looks at the venues, and another person releases the epoch (`margin.epochs`). The one thing
that is put right here: a waiting mail that the mail server's log names went out before, and is not sent again.
"""

import re
from datetime import datetime
from typing import Any

from margin import anchors, epochs, history, retention
from margin.models import Order, Plan, Seal, SystemEpoch
from notifications import notices
from notifications.models import Attempt

MOST_FAULTS = 50
MESSAGE_ID = re.compile(r"<?(notice\.[0-9a-f]{32}@[^\s<>,;\"']+)>?")


def report(epoch: SystemEpoch, *, mail_log: str | None, has_no_log: bool, at: datetime) -> dict[str, Any]:
    """What is lost, what may have gone out already, and what is wrong, as plain figures.

    `mail_log` is the text of the mail server's log since the backup, None if nobody gave it; `has_no_log` says that
    there is none, so that waiting mails will go out once more. Writes every letter that its event still needs, so
    that the log can be asked for it.
    """
    while notices.prepare(at=at):
        pass
    mails = _mails(epoch, mail_log, has_no_log, at)
    unsettled = [*mails.pop("unsettled"), *retention.unfinished()]
    return {"cause": epoch.cause, **_history(epoch), **mails, **_orders(epoch), "unsettled": unsettled}


def _history(epoch: SystemEpoch) -> dict[str, Any]:
    """Events recorded between the newest seal that is here and the newest that was anchored are gone."""
    lost = epochs.lost(epoch)
    kept = Seal.objects.filter(number=epoch.kept_seal).first()
    known = history.verify_all()
    faults = [str(fault) for fault in known.faults if not fault.where.startswith("anchor of seal")]
    return {
        "kept_seal": epoch.kept_seal,
        "kept_until": kept.sealed_at.isoformat() if kept else "",
        "anchors": len(anchors.lines()),
        "lost_seals": [line.split()[0] for line in lost],
        "lost_until": lost[-1].split()[1] if lost else "",
        "digest": known.digest,
        "faults": faults[:MOST_FAULTS],
        "number_of_faults": len(faults),
    }


def _mails(epoch: SystemEpoch, mail_log: str | None, has_no_log: bool, at: datetime) -> dict[str, Any]:
    """Letters about events of before: each may have gone out since the backup, under the Message-ID it has here."""
    named = {f"<{name}>" for name in MESSAGE_ID.findall(mail_log or "")}
    found = notices.found_sent(named, before=epoch.began_at, at=at)
    left = notices.perhaps_sent(before=epoch.began_at)
    number = left.count()
    missing = (
        f"{number} waiting mails may have gone out already: compare again with --mail-log FILE, the mail server's log"
        " since the backup, or with --no-mail-log if there is none"
    )
    return {
        "mail_log": "given" if mail_log is not None else "there is none" if has_no_log else "",
        "mails_found_sent": found,
        "mails_to_send": number,
        "mails_of_unknown_outcome": left.filter(tries__outcome=Attempt.Outcome.UNKNOWN).distinct().count(),
        "message_ids": list(left.order_by("pk").values_list("message_id", flat=True)[:MOST_FAULTS]),
        "unsettled": [missing] if number and mail_log is None and not has_no_log else [],
    }


def _orders(epoch: SystemEpoch) -> dict[str, Any]:
    """Plans and orders at work in the backup: they may have gone out, and been filled, since."""
    working = Plan.objects.filter(state=Plan.State.APPROVED).order_by("pk")
    waiting = Order.objects.filter(state=Order.State.NEW, release__plan__proposed_at__lte=epoch.began_at).order_by("pk")
    return {
        "plans_at_work": [f"plan {plan.pk} of call {plan.call_id}" for plan in working[:MOST_FAULTS]],
        "orders_to_ask_about": list(waiting.values_list("client_order_id", flat=True)[:MOST_FAULTS]),
    }


def told(found: dict[str, Any]) -> list[str]:
    """The report in sentences, the gravest first."""
    lines = [f"cause: {found['cause']}"]
    if found["lost_seals"]:
        seals = f"{found['lost_seals'][0]} to {found['lost_seals'][-1]}"
        since = found["kept_until"] or "the beginning"
        lines.append(
            f"LOST: what was recorded between {since} and {found['lost_until']} (seals {seals} are anchored and not"
            " here): book deposits and fills of that time again, and phone the clients whose calls are missing"
        )
    else:
        lines.append("no anchored seal is missing; what was recorded after the last anchor cannot be known from here")
    if found["number_of_faults"]:
        lines += [f"{found['number_of_faults']} faults in the history:", *(f"  {each}" for each in found["faults"])]
    else:
        lines.append(f"the history that is here is whole, digest {found['digest']}")
    lines.append(f"{found['mails_found_sent']} waiting mails stand in the mail log: they went out, and do not again")
    lines.append(
        f"{found['mails_to_send']} waiting mails do not, or no log was given, and go out after the release;"
        f" {found['mails_of_unknown_outcome']} of them once ended in silence"
    )
    asked, plans = ", ".join(found["orders_to_ask_about"]), ", ".join(found["plans_at_work"])
    lines.append(f"plans at work: {plans or 'none'}; have their venues tell again what they did since the backup")
    lines.append(f"orders that wait: {asked or 'none'}; each is asked about before it is sent")
    lines += [f"UNSETTLED: {each}" for each in found["unsettled"]]
    return lines
