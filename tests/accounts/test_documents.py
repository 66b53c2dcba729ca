"""Agreements and disclosures: what each client is owed, has and lacks, and that what was told is never changed."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import DatabaseError, connection, transaction

from accounts import documents, ledgers
from accounts.models import Account, Client, Document, DocumentReceipt
from market import strict

pytestmark = pytest.mark.django_db
NEW_YORK = ZoneInfo("America/New_York")
JANUARY = datetime(2025, 1, 15, 15, 0, tzinfo=UTC)
Kind = Document.Kind


def client(code="C-1", agreement="us_margin", **columns):
    made = Client.objects.create(code=code, name=code, **columns)
    Account.objects.create(code=f"A-{code}", client=made, agreement=agreement, opened_on=date(2020, 1, 1))
    return made


def text(kind=Kind.MARGIN_DISCLOSURE, version="1", *, at=JANUARY, **columns):
    given = {"kind": kind, "version": version, "effective_at": at, "sha256": version.zfill(64), "location": "x.pdf"}
    return documents.publish(Document(**given, entered_by="cora", **columns))


def tell(who, document, act="given", *, at=JANUARY, reference=None):
    name = reference or f"{who.code}-{document.pk}-{act}-{at:%Y%m%d%H%M}"
    told = DocumentReceipt(
        client=who, document=document, act=act, channel="email", at=at, source="mailing", external_reference=name
    )
    return documents.record([told], at=max(at, JANUARY))[0]


def lacks(at, who=None):
    found = documents.owed([who.pk] if who else None, at=at, zone=NEW_YORK)
    return [(one.current.version, one.held.version if one.held else None, one.lack) for one in found]


def test_a_client_lacks_what_it_was_never_given_and_then_what_has_a_newer_version():
    who, old = client(), text()
    assert lacks(JANUARY) == [("1", None, "never given")]
    tell(who, old)
    assert lacks(JANUARY) == [("1", "1", "")]
    text(version="2", at=JANUARY + timedelta(days=30))
    assert lacks(JANUARY + timedelta(days=29)) == [("1", "1", "")]
    assert lacks(JANUARY + timedelta(days=30)) == [("2", "1", "has version 1 only")]


def test_a_disclosure_is_due_again_in_each_calendar_year():
    """FINRA 2264(b): not less than once a calendar year. Given in January 2025: again by the end of 2026."""
    who, yearly = client(), text(is_yearly=True)
    tell(who, yearly)
    assert lacks(datetime(2025, 12, 31, 12, tzinfo=UTC)) == [("1", "1", "")]
    assert lacks(datetime(2026, 12, 31, 12, tzinfo=UTC)) == [("1", "1", "due again by 2026-12-31")]
    late = datetime(2027, 1, 1, 12, tzinfo=UTC)
    assert lacks(late) == [("1", "1", "not given again by 2026-12-31")]
    tell(who, yearly, at=late)
    assert lacks(late) == [("1", "1", "")]


def test_the_year_is_that_of_the_house():
    """Three in the morning of New Year's Day in London is the old year in New York."""
    who, yearly = client(), text(is_yearly=True)
    tell(who, yearly, at=datetime(2026, 1, 1, 3, tzinfo=UTC))
    (found,) = documents.owed([who.pk], at=datetime(2026, 6, 1, tzinfo=UTC), zone=NEW_YORK)
    assert found.due_on == date(2026, 12, 31)


def test_an_agreement_that_is_only_given_is_not_accepted():
    who, agreement = client(), text(Kind.MARGIN_AGREEMENT, needs_acceptance=True)
    tell(who, agreement)
    assert lacks(JANUARY, who) == [("1", "1", "not accepted")]
    tell(who, agreement, "accepted", at=JANUARY + timedelta(hours=1))
    assert lacks(JANUARY + timedelta(hours=1), who) == [("1", "1", "")]
    assert lacks(JANUARY, who) == [("1", "1", "not accepted")]  # as it stood then


def test_a_consent_taken_back_ends_every_version_of_it_until_it_is_given_again():
    who = client()
    first, second = (text(Kind.EMAIL_CONSENT, version, needs_acceptance=True, at=JANUARY + timedelta(days=place))
                     for place, version in enumerate(("1", "2")))  # fmt: skip
    for place, (document, act) in enumerate(((first, "accepted"), (second, "accepted"), (second, "revoked"))):
        tell(who, document, act, at=JANUARY + timedelta(days=1 + place))
    assert lacks(JANUARY + timedelta(days=3)) == [("2", None, "taken back")]
    tell(who, second, "accepted", at=JANUARY + timedelta(days=4))
    assert lacks(JANUARY + timedelta(days=4)) == [("2", "2", "")]


def test_only_clients_with_an_open_account_of_the_agreement_are_owed_it():
    client("C-1"), client("C-2", agreement="futures"), client("C-3", is_counterparty=True)
    gone = client("C-4")
    Account.objects.filter(client=gone).update(closed_on=date(2024, 12, 31))
    text(agreement="us_margin")
    text(Kind.EMAIL_CONSENT)
    found = documents.owed(None, at=JANUARY, zone=NEW_YORK)
    names = dict(Client.objects.values_list("pk", "code"))
    assert [(names[one.client_id], one.current.kind) for one in found] == [
        ("C-1", "email_consent"), ("C-1", "margin_disclosure"), ("C-2", "email_consent"),
    ]  # fmt: skip


def test_the_same_again_is_the_same_row_and_anything_else_is_refused():
    who, document = client(), text()
    assert text().pk == document.pk
    with pytest.raises(ledgers.Conflict, match="differs in sha256"):
        documents.publish(
            Document(kind=document.kind, version="1", effective_at=JANUARY, sha256="f" * 64, location="x.pdf")
        )
    assert tell(who, document, reference="R1").pk == tell(who, document, reference="R1").pk
    with pytest.raises(ledgers.Conflict, match="R1 is used already and differs in at"):
        tell(who, document, reference="R1", at=JANUARY + timedelta(days=1))
    assert DocumentReceipt.objects.count() == 1


def test_nothing_is_given_in_the_future_or_accepted_that_nobody_agrees_to():
    who, document = client(), text()
    later = JANUARY + timedelta(hours=1)
    told = DocumentReceipt(
        client=who, document=document, act="given", channel="post", at=later, source="m", external_reference="1"
    )
    with pytest.raises(strict.Refused, match="is after now"):
        documents.record([told], at=JANUARY)
    with pytest.raises(strict.Refused, match="only given"):
        tell(who, document, "accepted")


@pytest.mark.parametrize("table", ["accounts_document", "accounts_documentreceipt"])
@pytest.mark.parametrize("attack", ["UPDATE {} SET recorded_at = now()", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_the_database_refuses_to_change_what_was_told(table, attack):
    tell(client(), text())
    with pytest.raises(DatabaseError, match="append only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(attack.format(table))


def test_the_database_refuses_a_hash_that_is_none():
    with pytest.raises(DatabaseError, match="document_has_the_hash_of_its_text"), transaction.atomic():
        Document.objects.create(kind="loan_terms", version="1", effective_at=JANUARY, sha256="F" * 64, location="x")
