"""The only writer of documents and of their receipts; and what a client has, lacks and is due to be given again.

FINRA 2264(a): a margin disclosure statement before or when the account is opened; (b): again in each calendar year.
FINRA 4210(g)(3): a risk disclosure before portfolio margin. Which versions there are, whom they are owed to, and
whether each is yearly, is said by the rows.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import Q

from accounts import ledgers
from accounts.document_models import Document, DocumentReceipt
from accounts.models import Account, Client
from market import strict

ROLES = ("Operations", "Supervisor", "Compliance")
"""Who may enter versions and receipts."""

Act = DocumentReceipt.Act
Slot = tuple[str, str]
"""Kind and agreement: what is owed, whatever its version."""


def sha256(text: str, *, field: str) -> str:
    """A hash in hexadecimal. Raises strict.Refused."""
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise strict.refuse(field, f"{strict.shown(text)} is no SHA-256; write its 64 digits, as sha256sum prints them")
    return text


def publish(given: Document) -> Document:
    """Keep a version; the same again is the one that is there. Raises ledgers.Conflict if it says something else."""
    of = Document.objects.filter(kind=given.kind, agreement=given.agreement)
    with transaction.atomic():
        twin = of.filter(effective_at=given.effective_at).exclude(version=given.version).first()
        if twin is not None:
            raise ledgers.conflict("effective_at", f"{twin} is in force from the same instant; say another")
        values = [getattr(given, name) for name in VERSION]
        ledgers.insert_new("accounts_document", VERSION, [values], unique=("kind", "agreement", "version"))
        there = of.get(version=given.version)
    differing = [name for name in STATED if getattr(there, name) != getattr(given, name)]
    if differing:
        raise ledgers.conflict(
            "version", f"{there} is kept already and differs in {', '.join(differing)}; give the text another version"
        )
    return there


STATED = {
    **{"effective_at": "timestamptz", "sha256": "text", "location": "text"},
    **{"needs_acceptance": "boolean", "is_yearly": "boolean"},
}
VERSION = {"kind": "text", "agreement": "text", "version": "text", **STATED, "entered_by": "text"}
COLUMNS = {
    **{"client_id": "bigint", "document_id": "bigint", "act": "text", "channel": "text", "at": "timestamptz"},
    **{"source": "text", "external_reference": "text", "entered_by_id": "integer"},
}


def record(given: Sequence[DocumentReceipt], *, at: datetime) -> list[DocumentReceipt]:
    """Keep what clients were given, agreed to or took back, all or nothing; a reference sent again is the same row.

    Raises strict.Refused for the future, for a version not yet in force, and ledgers.Conflict for a reference that is
    used for something else.
    """
    for one in given:
        ledgers.reference_name(one.source, one.external_reference)
        one.at = ledgers.not_in_the_future(one.at, at, field="at")
        if one.act == Act.ACCEPTED and not one.document.needs_acceptance:
            raise strict.refuse("act", f"{one.document} is only given, nobody agrees to it; write given")
    with transaction.atomic():
        rows = [[getattr(one, name) for name in COLUMNS] for one in given]
        ledgers.insert_new("accounts_documentreceipt", COLUMNS, rows, unique=("source", "external_reference"))
        references = Q()
        for source in {one.source for one in given}:
            references |= Q(
                source=source, external_reference__in=[one.external_reference for one in given if one.source == source]
            )
        kept = {(one.source, one.external_reference): one for one in DocumentReceipt.objects.filter(references)}
        found = [kept[one.source, one.external_reference] for one in given]
        for there, one in zip(found, given, strict=True):
            _check_same(there, one)
    return found


def _check_same(there: DocumentReceipt, given: DocumentReceipt) -> None:
    columns = ("client_id", "document_id", "act", "channel", "at")
    differing = [name for name in columns if getattr(there, name) != getattr(given, name)]
    if differing:
        name = f"{there.source} {there.external_reference}"
        raise ledgers.conflict(
            "external_reference", f"{name} is used already and differs in {', '.join(differing)}; use a new reference"
        )


# --- what a client has ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Standing:
    """One document that is owed to a client: the version in force, the newest that the client has, and when."""

    client_id: int
    current: Document
    held: Document | None
    given_at: datetime | None
    accepted_at: datetime | None
    revoked_at: datetime | None
    due_on: date | None
    """The last day on which it is to be given again; None: never, or it was never given."""
    lack: str
    """What is missing, in words; "" where nothing is."""


def owed(clients: Collection[int] | None, *, at: datetime, zone: ZoneInfo) -> Iterable[Standing]:
    """Each document that clients with an open account are owed at an instant, in the order of client and kind.

    `clients` None: all of them. Years are those of `zone`.
    """
    versions: dict[Slot, list[Document]] = defaultdict(list)
    for document in Document.objects.filter(effective_at__lte=at).order_by("effective_at", "pk"):
        versions[document.kind, document.agreement].append(document)
    agreements = _agreements(clients, at.astimezone(zone).date())
    told = _told(agreements, versions.values(), at)
    for client, held in agreements.items():
        for (_, agreement), known in sorted(versions.items()):
            if not agreement or agreement in held:
                yield _standing(client, known, told.get(client, {}), at.astimezone(zone).date(), zone)


def _agreements(clients: Collection[int] | None, day: date) -> dict[int, set[str]]:
    """Client → the agreements of its accounts that are open on that day."""
    is_open = Q(opened_on__lte=day) & (Q(closed_on=None) | Q(closed_on__gte=day))
    accounts = Account.objects.filter(is_open, client__is_counterparty=False)
    if clients is not None:
        accounts = accounts.filter(client__in=clients)
    found: dict[int, set[str]] = defaultdict(set)
    for client, agreement in accounts.order_by("client__code").values_list("client", "agreement"):
        found[client].add(agreement)
    return found


Acts = dict[str, datetime]


def _told(clients: Collection[int], versions: Iterable[Sequence[Document]], at: datetime) -> dict[int, dict[int, Acts]]:
    """Client → document → the latest instant of each act; taking one back ends what came before it, of any version."""
    siblings = {one.pk: [each.pk for each in known] for known in versions for one in known}
    receipts = DocumentReceipt.objects.filter(at__lte=at, client__in=list(clients), document__in=list(siblings))
    found: dict[int, dict[int, Acts]] = defaultdict(lambda: defaultdict(dict))
    rows = receipts.order_by("at", "pk").values_list("client", "document", "act", "at")
    for client, document, act, when in rows.iterator():
        if act == Act.REVOKED:
            found[client].update({one: {act: when} for one in siblings[document]})
        else:
            acts = found[client][document]
            acts.pop(Act.REVOKED, None)
            acts[act] = when
    return found


def _standing(client: int, known: Sequence[Document], told: Mapping[int, Acts], day: date, zone: ZoneInfo) -> Standing:
    current = known[-1]
    held = next((one for one in reversed(known) if _has(told.get(one.pk, {}))), None)
    acts = told.get((held or current).pk, {})
    given_at = max((when for act, when in acts.items() if act != Act.REVOKED), default=None)
    due_on = None
    if held is not None and given_at is not None and held.is_yearly:
        due_on = date(given_at.astimezone(zone).year + 1, 12, 31)
    found = Standing(client, current, held, given_at, acts.get(Act.ACCEPTED), acts.get(Act.REVOKED), due_on, "")
    return replace(found, lack=_lack(found, day))


def _has(acts: Acts) -> bool:
    return Act.GIVEN in acts or Act.ACCEPTED in acts


def _lack(found: Standing, day: date) -> str:
    due_on = found.due_on
    lacks = (
        (found.revoked_at is not None, "taken back"),
        (found.held is None, "never given"),
        (found.held != found.current, f"has version {found.held.version if found.held else ''} only"),
        (found.current.needs_acceptance and found.accepted_at is None, "not accepted"),
        (due_on is not None and due_on < day, f"not given again by {due_on}"),
        (due_on is not None and due_on.year == day.year, f"due again by {due_on}"),
    )
    return next((words for is_so, words in lacks if is_so), "")


def client_of(code: str) -> Client:
    """Raises strict.Refused where there is none."""
    found = Client.objects.filter(code=code).first()
    if found is None:
        raise strict.refuse("client", f"{code} is no client of ours")
    return found


def document_of(*, kind: str, agreement: str, version: str) -> Document:
    """Raises strict.Refused where there is none."""
    found = Document.objects.filter(kind=kind, agreement=agreement, version=version).first()
    if found is None:
        of = f" of {agreement}" if agreement else ""
        raise strict.refuse("version", f"there is no version {version} of {kind}{of}; enter the document first")
    return found
