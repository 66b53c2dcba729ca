"""A client is forgotten: by two people, when law and holds allow it, in every table at once, and no chain the worse."""

import re
import threading
import zipfile
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import psycopg2
import pytest
import time_machine
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.urls import reverse

from accounts import adjustments, contacts
from accounts.models import Account, Adjustment, CashMovement, Client, Contact
from backoffice import erasure, invariants
from margin import calls, casework, confidence, disputes, exports, history, restrictions, retention, seals, strikes
from margin.api import EventRows
from margin.calls import Refused
from margin.models import Erasure, Event, LegalHold, MarginCall
from margin.restriction_terms import Effect
from margin.retention import retained_until
from margin.workflow import Resolution
from notifications.models import Attempt, Delivery, Notice
from tests.faces import house as houses
from tests.margin import rows, world
from tests.margin.rows import AT, SWEEPER

NAME, PLACE = "Ōtani Łukasz", "lukasz@otani.example"
CLOSED = date(2020, 1, 31)
"""Six years later, the policy's, is 31 January 2026; AT is 2 March 2026."""


@pytest.fixture
def keys(settings, tmp_path):
    settings.HISTORY_KEYS, settings.HISTORY_ANCHOR_FILE = str(tmp_path / "keys"), str(tmp_path / "anchors.txt")
    return tmp_path / "keys"


def compliance(name):
    return rows.staff(name, "Compliance")


@pytest.fixture
def client(keys, django_as_application):
    """A client named in every table that can name one: told, rung, in dispute, paid; its account closed in 2020."""
    account = rows.account("A77")
    client = account.client
    client.name = NAME
    client.save()
    contact = contacts.state(client, email=PLACE, reason=f"{NAME} moved", by="ops", name=NAME, phone="+48 1")
    Account.objects.filter(pk=account.pk).update(name=f"{NAME} trading")
    ops = rows.staff("ops", "Operations")
    version = rows.policy(terms=world.securities())
    calls.carry_out([rows.issue(account, version)], at=AT - timedelta(hours=3), actor=SWEEPER)
    call = MarginCall.objects.get()
    casework.contact(
        call, channel="phone", direction="out", outcome="reached", text=f"{NAME} pays", who=NAME, at=AT, actor=ops
    )
    task = casework.open_task(call, kind="see", title=f"ask {NAME}", due_at=AT + timedelta(hours=1), at=AT, actor=ops)
    casework.close_task(task, outcome=f"{NAME} says no", at=AT, actor=ops)
    disputes.dispute(
        call, amount=Decimal(1), reason_code="position", reason=f"{NAME} disagrees", opened_by=NAME, at=AT, actor=ops
    )
    told = letters(Event.objects.get(kind="call.issued"), contact)
    CashMovement.objects.create(
        account=account, currency=rows.cash(), kind="deposit", amount=Decimal(100), source="bank",
        external_reference="D-7", effective_at=AT, note=f"from {NAME}",
    )  # fmt: skip
    calls.meet(MarginCall.objects.get(), how=Resolution.CASH, at=AT, actor=SWEEPER)
    Account.objects.filter(pk=account.pk).update(closed_on=CLOSED)
    assert told.state == "sent"
    return Client.objects.get(pk=client.pk)


def letters(event, contact, name="m1"):
    told = Notice.objects.create(
        event=event, contact=contact, kind=event.kind, locale="en", to_address=PLACE, subject=f"Call, {NAME}",
        text=f"Dear {NAME}", html=f"<p>Dear {NAME}", template_version="1", content_hash="c" * 64, message_id=name,
        state="sent", prepared_at=AT, send_after=AT,
    )  # fmt: skip
    Attempt.objects.create(notice=told, outcome="sent", answer=f"250 {PLACE} ok", at=AT)
    Delivery.objects.create(
        notice=told, provider="p", provider_event=name, state="delivered", at=AT, report={"recipient": PLACE}
    )
    return told


def erase(client, *, at=AT):
    retention.ask_erasure(client, reason="asked in writing", at=at, actor=compliance("ada"))
    return retention.erase(client, forget=erasure.forget, at=at, actor=compliance("bob"))


def tables_that_say(*words):
    """Every table with a row in which one of the words stands, in any column."""
    found = set()
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            for word in words:
                cursor.execute(f'SELECT count(*) FROM "{table}" t WHERE t::text ILIKE %s', [f"%{word}%"])
                if cursor.fetchone()[0]:
                    found.add(table)
    return found


def test_no_table_names_an_erased_client_and_every_proof_holds(client, keys, tmp_path):
    seals.seal(at=AT)
    before = tables_that_say(NAME.split(maxsplit=1)[0], "lukasz", "+48 1")
    assert before >= {
        "accounts_client", "accounts_contact", "accounts_account", "accounts_clientchange", "accounts_contactchange",
        "accounts_accountchange", "accounts_cashmovement", "pghistory_context", "margin_task", "margin_dispute",
        "notifications_notice",
        "notifications_attempt", "notifications_delivery",
    }  # fmt: skip
    assert "margin_event" not in before
    before_it = invariants.check(at=AT)
    done = erase(client)
    assert tables_that_say(NAME.split(maxsplit=1)[0], "lukasz", "+48 1") == set()
    assert done.retained_until == date(2026, 1, 31)
    client.refresh_from_db()
    assert (client.name, client.code) == ("erased on 2026-03-02", "C-A77")
    assert not (keys / f"subject-{client.pk}.key").exists()
    seals.seal(at=AT + timedelta(minutes=1))
    assert history.verify_all().faults == []
    exports.write(tmp_path / "history.zip", at=AT, with_snapshots=True)
    with zipfile.ZipFile(tmp_path / "history.zip") as archive:
        assert not [name for name in archive.namelist() if NAME.encode() in archive.read(name)]
    assert Event.objects.latest("seq").kind == "client.erased"
    assert invariants.check(at=AT) == before_it


def test_whatever_people_wrote_about_the_client_goes_with_the_key(client, keys, sign_in):
    account = Account.objects.get(code="A77")
    ada, bob = compliance("ada"), compliance("bob")
    placed = restrictions.place(account, effect=Effect.NO_WITHDRAWAL, reason=f"{NAME} hides", at=AT, actor=ada)
    assert placed.reason == f"{NAME} hides"
    denied = strikes.waive(placed, reason=f"{NAME} begs", at=AT, actor=ada)
    assert strikes.decide(denied, is_granted=False, reason=f"not {NAME}", at=AT, actor=bob).decision == f"not {NAME}"
    granted = strikes.waive(placed, reason=f"{NAME} begs again", at=AT, actor=ada)
    strikes.decide(granted, is_granted=True, reason=f"well, {NAME}", at=AT, actor=bob)
    short = restrictions.place(
        account, effect=Effect.CLOSING_ONLY, reason=f"{NAME} too", at=AT, actor=ada, ends_at=AT + timedelta(days=2)
    )
    assert restrictions.lift(short, reason=f"{NAME} paid", at=AT, actor=bob).lift_reason == f"{NAME} paid"
    assert retention.place_hold(client, reason=f"{NAME} v. bank", at=AT, actor=ada).reason == f"{NAME} v. bank"
    assert retention.lift_hold(client, reason=f"{NAME} lost", at=AT, actor=ada).lift_reason == f"{NAME} lost"
    corrected(account, f"{NAME} moved them", by=ada)
    page = sign_in("Auditor").get(reverse("admin:margin_restriction_changelist")).content.decode()
    assert f"{NAME} hides" in page
    written = tables_that_say(NAME.split(maxsplit=1)[0])
    assert "accounts_adjustment" in written
    assert not written & {"margin_event", "margin_restriction", "margin_waiver", "margin_legalhold", "margin_erasure"}
    asked = retention.ask_erasure(client, reason=f"{NAME} asked in writing", at=AT, actor=ada)
    assert asked.reason == f"{NAME} asked in writing"
    assert retention.erase(client, forget=erasure.forget, at=AT, actor=bob).done_at == AT
    assert tables_that_say(NAME.split(maxsplit=1)[0]) == set()
    placed.refresh_from_db()
    assert (placed.reason, placed.lift_reason) == ("erased on 2026-03-02", "erased on 2026-03-02")
    assert restrictions.rebuilt(account) == restrictions.register(account)
    seals.seal(at=AT)
    assert history.verify_all().faults == []
    with pytest.raises(Refused, match="was erased; nothing more is written"):
        restrictions.place(account, effect=Effect.CLOSING_ONLY, reason="x", at=AT, actor=ada)


def corrected(account, reason, *, by):
    with time_machine.travel(AT, tick=False):
        adjustments.adjust(
            account, instrument=rows.equity("XYZ"), change=Decimal(1), reason=reason, external_reference="K-1",
            at=AT, effective_at=AT - timedelta(days=3000), entered_by=get_user_model().objects.get(pk=by.user_id),
        )  # fmt: skip


def test_the_system_s_corrections_keep_their_reason(client):
    account = Account.objects.get(code="A77")
    Adjustment.objects.create(
        account=account, instrument=rows.equity("XYZ"), change=Decimal(1), reason="split: 2 for 1",
        external_reference="action:1", effective_at=AT,
    )  # fmt: skip
    erase(client)
    assert Adjustment.objects.get().reason == "split: 2 for 1"


def test_pages_say_erased_where_the_name_stood(client, sign_in):
    call = MarginCall.objects.get()
    addresses = [
        reverse("admin:audit_account", args=("A77",)),
        reverse("admin:margin_margincall_change", args=(call.pk,)),
        reverse("admin:accounts_client_change", args=(client.pk,)),
        reverse("admin:margin_event_changelist"),
    ]
    auditor, said = sign_in("Auditor"), Event.objects.get(kind="contact.logged")
    assert EventRows(said).data["reason"] == f"{NAME} pays"
    assert all(NAME in auditor.get(address).content.decode() for address in addresses)
    erase(client)
    for address in [*addresses, reverse("admin:margin_erasure_changelist")]:
        page = auditor.get(address).content.decode()
        assert NAME not in page
        assert "erased" in page.lower()
    assert EventRows(said).data["reason"] == "erased on 2026-03-02"


@pytest.fixture
def sign_in(settings):
    from django.test import Client as Browser

    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

    def make(role):
        browser = Browser()
        backend = "django.contrib.auth.backends.ModelBackend"
        browser.force_login(houses.user(role.lower(), role), backend=backend)
        return browser

    return make


def test_other_clients_keep_theirs(client):
    other = rows.account("A78")
    calls.carry_out([rows.issue(other, MarginCall.objects.get().policy_version)], at=AT, actor=SWEEPER)
    calls.note(MarginCall.objects.get(account=other), text="Maier rang", at=AT, actor=rows.staff("ops", "Operations"))
    told = letters(Event.objects.filter(account=other).earliest("seq"), Contact.objects.get(client=other.client), "m2")
    erase(client)
    other.client.refresh_from_db()
    told.refresh_from_db()
    assert (other.client.name, told.text) == ("Client of A78", f"Dear {NAME}")
    assert confidence.has_key(other.client_id)


# --- when it is refused -----------------------------------------------------------------------------------


def test_two_people_are_needed(client):
    retention.ask_erasure(client, reason="asked", at=AT, actor=compliance("ada"))
    with pytest.raises(Refused, match="needs two people: ada asked for it"):
        retention.erase(client, forget=erasure.forget, at=AT, actor=compliance("ada"))
    with pytest.raises(Refused, match="it takes Supervisor or Compliance"):
        retention.erase(client, forget=erasure.forget, at=AT, actor=rows.staff("ops", "Operations"))
    with pytest.raises(Refused, match="was asked for on 2026-03-02"):
        retention.ask_erasure(client, reason="asked", at=AT, actor=compliance("bob"))
    assert tables_that_say("lukasz")


def test_nobody_erases_what_nobody_asked_for(client):
    with pytest.raises(Refused, match="nobody asked to erase client C-A77"):
        retention.erase(client, forget=erasure.forget, at=AT, actor=compliance("bob"))


def test_a_hold_stops_it_even_between_asking_and_doing(client):
    retention.ask_erasure(client, reason="asked", at=AT, actor=compliance("ada"))
    retention.place_hold(client, reason="subpoena", at=AT, actor=compliance("ada"))
    with pytest.raises(Refused, match="legal hold 1 of client"):
        retention.erase(client, forget=erasure.forget, at=AT, actor=compliance("bob"))
    with pytest.raises(Refused, match="already"):
        retention.place_hold(client, reason="another", at=AT, actor=compliance("ada"))
    retention.lift_hold(client, reason="withdrawn", at=AT, actor=compliance("ada"))
    assert retention.erase(client, forget=erasure.forget, at=AT, actor=compliance("bob")).done_at == AT
    kinds = list(Event.objects.order_by("seq").values_list("kind", flat=True))[-3:]
    assert kinds == ["legal_hold.placed", "legal_hold.lifted", "client.erased"]


@pytest.mark.parametrize(
    ("closed", "years", "until"),
    [
        (date(2020, 1, 31), None, date(2026, 1, 31)),  # 17a-4(c): six years
        (date(2020, 2, 29), 7, date(2027, 2, 28)),
        (date(2021, 3, 1), 5, date(2026, 3, 1)),
        (date(2021, 3, 2), 5, date(2026, 3, 2)),
    ],
)
def test_records_stay_the_policys_years_after_the_account_closed(client, closed, years, until):
    rows.policy("long", {**world.securities(), **({"retention_years": years} if years else {})})
    Account.objects.filter(client=client).update(closed_on=closed, agreement="long")
    assert retained_until(client, at=AT) == until
    if until >= AT.date():
        with pytest.raises(Refused, match=f"must be kept until {until}"):
            retention.ask_erasure(client, reason="asked", at=AT, actor=compliance("ada"))
    else:
        assert retention.ask_erasure(client, reason="asked", at=AT, actor=compliance("ada")).retained_until == until


def test_an_open_account_is_not_forgotten(client):
    Account.objects.filter(client=client).update(closed_on=None)
    with pytest.raises(Refused, match="account A77 of client C-A77 is open"):
        retention.ask_erasure(client, reason="asked", at=AT, actor=compliance("ada"))


def test_of_an_erased_client_nothing_more_is_written(client):
    erase(client)
    with pytest.raises(Refused, match="was erased; nothing more is written"):
        calls.note(MarginCall.objects.get(), text="and yet", at=AT, actor=rows.staff("ops", "Operations"))
    with pytest.raises(Refused, match="was erased on 2026-03-02 already"):
        retention.ask_erasure(client, reason="again", at=AT, actor=compliance("ada"))


# --- what the database refuses ----------------------------------------------------------------------------

ASK = "INSERT INTO margin_erasure (client_id, reason, retained_until, asked_by_id, asked_at) VALUES (%(client)s, 'x',"
ASK += " '2026-01-31', %(ada)s, '2026-03-02')"
DO = "UPDATE margin_erasure SET approved_by_id = %(bob)s, done_at = '2026-03-02 15:00+00'"
HOLD = "INSERT INTO margin_legalhold (client_id, reason, placed_by_id, placed_at, lift_reason) VALUES (%(client)s,"
HOLD += " 'x', %(ada)s, now(), '')"
SAID = "erased on 2026-03-02"
ATTACKS = {
    "by one person": ("erasure_needs_two_people", ASK, DO.replace("bob", "ada")),
    "asked and done at once": (
        "asked for once, carried out once",
        "INSERT INTO margin_erasure (client_id, reason, retained_until, asked_by_id, asked_at, approved_by_id, done_at)"
        " VALUES (%(client)s, 'x', '2026-01-31', %(ada)s, now(), %(bob)s, now())",
    ),
    "without an event": ("has no event client.erased", ASK, DO),
    "under a hold": ("is under a legal hold", HOLD, ASK, DO),
    "an open account": ("must still be kept", "UPDATE accounts_account SET closed_on = NULL", ASK, DO),
    "too early by law": ("must still be kept", "UPDATE accounts_account SET closed_on = '2021-06-01'", ASK, DO),
    "too early by policy": ("must still be kept", ASK.replace("2026-01-31", "2026-03-02"), DO),
    "in the future": ("must still be kept", ASK, DO.replace("2026-03-02 15:00", "2090-01-01 15:00")),
    "for another client": (
        "otherwise never changes",
        ASK,
        "UPDATE margin_erasure SET client_id = (SELECT max(id) FROM accounts_client) + 1",
    ),
    "twice": ("erasure_is_asked_once_per_client", ASK, ASK),
    "a hold without its event": ("has no event legal_hold.placed", HOLD),
    "a letter, without an erasure": (
        "what notice 1 says never changes",
        f"UPDATE notifications_notice SET subject = '{SAID}', text = '{SAID}', html = '{SAID}'",
    ),
    "a report, without an erasure": (
        "is kept as it came",
        f'UPDATE notifications_delivery SET report = \'{{"erased": "{SAID}"}}\'',
    ),
    "an answer, without an erasure": (
        "append only",
        f"SELECT notifications_forget_answers(array_agg(id), '{SAID}') FROM notifications_notice",
    ),
    "a note, without an erasure": ("append only", f"SELECT accounts_forget_notes(%(client)s, '{SAID}')"),
    "another letter in its shadow": ("never changes", ASK, DO, "UPDATE notifications_notice SET text = 'Owe nothing'"),
    "another report in its shadow": ("as it came", ASK, DO, "UPDATE notifications_delivery SET state = 'bounced'"),
    "another note in its shadow": ("append only", ASK, DO, "SELECT accounts_forget_notes(%(client)s, 'paid in full')"),
    "a correction's reason, without an erasure": (
        "append only|permission denied",
        f"UPDATE accounts_adjustment SET reason = '{SAID}'",
    ),
    "an erasure deleted": ("permission denied|append only", ASK, "DELETE FROM margin_erasure"),
    "the holds emptied": ("permission denied", "TRUNCATE margin_legalhold"),
}


def test_the_database_refuses_the_application_role(client, as_application):
    people = {name: compliance(name).user_id for name in ("ada", "bob")}
    said = {}
    for attack, (_, *statements) in ATTACKS.items():
        connected = as_application()
        try:
            with connected, connected.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement, {"client": client.pk, **people})
            said[attack] = "it was done"
        except psycopg2.Error as refusal:
            said[attack] = str(refusal)
    assert {attack: what for attack, what in said.items() if not re.search(ATTACKS[attack][0], what)} == {}


def test_a_hold_is_not_moved_nor_lifted_twice(client):
    retention.place_hold(client, reason="subpoena", at=AT, actor=compliance("ada"))
    for change in ({"reason": "x"}, {"client": rows.account().client}, {"placed_at": AT - timedelta(days=1)}):
        with pytest.raises(IntegrityError, match="never changes"), transaction.atomic():
            LegalHold.objects.update(**change)
    retention.lift_hold(client, reason="over", at=AT, actor=compliance("ada"))
    with pytest.raises(Refused, match="under no legal hold"):
        retention.lift_hold(client, reason="over", at=AT, actor=compliance("ada"))
    with pytest.raises(IntegrityError, match="never changes"), transaction.atomic():
        LegalHold.objects.update(lift_reason="because")


def together(*works):
    """Run the works at the same instant, each in a thread of its own; what each raised, or None."""
    gate, raised = threading.Barrier(len(works)), [None] * len(works)

    def run(place, work):
        try:
            gate.wait(20)
            work()
        except Refused as refusal:
            raised[place] = str(refusal)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=each) for each in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return raised


def test_a_hold_and_an_erasure_at_the_same_instant_never_both_succeed(client):
    ada, bob, cid = (compliance(name) for name in ("ada", "bob", "cid"))
    retention.ask_erasure(client, reason="asked", at=AT, actor=ada)
    held, erased = together(
        lambda: retention.place_hold(client, reason="subpoena", at=AT, actor=cid),
        lambda: retention.erase(client, forget=erasure.forget, at=AT, actor=bob),
    )
    assert [held, erased].count(None) == 1, (held, erased)
    assert "nothing is left to hold" in (held or "") or "must be lifted first" in (erased or "")
    assert (tables_that_say("lukasz") == set()) == (erased is None) == (not confidence.has_key(client.pk))


def test_two_approvals_at_the_same_instant_erase_once(client):
    ada, bob, cid = (compliance(name) for name in ("ada", "bob", "cid"))
    retention.ask_erasure(client, reason="asked", at=AT, actor=ada)
    together(*(lambda who=who: retention.erase(client, forget=erasure.forget, at=AT, actor=who) for who in (bob, cid)))
    assert Event.objects.filter(kind="client.erased").count() == 1
    assert retention.unfinished() == []
    assert history.verify_all().faults == []


def test_first_words_at_the_same_instant_share_one_key(client, keys):
    other = rows.account("A79").client
    words = []
    together(*(lambda: words.append(confidence.encrypted(other.pk, "rang")) for _ in range(8)))
    assert [confidence.readable(word) for word in words] == ["rang"] * 8
    assert len(list(keys.glob(f"*subject-{other.pk}.*"))) == 1


# --- crash, restore, commands -----------------------------------------------------------------------------


def test_a_crash_before_the_key_goes_is_seen_and_finished(client, monkeypatch):
    with monkeypatch.context() as crash, pytest.raises(KeyboardInterrupt):
        crash.setattr(confidence, "destroy", lambda *args, **options: (_ for _ in ()).throw(KeyboardInterrupt))
        erase(client)
    assert retention.unfinished() == ["client C-A77: its rows are erased and its key is not"]
    retention.erase(client, forget=erasure.forget, at=AT + timedelta(days=1), actor=compliance("bob"))
    assert retention.unfinished() == []
    assert confidence.erased_at(client.pk) == AT
    assert Erasure.objects.count() == 1


def test_what_a_restore_brought_back_is_named(client):
    confidence.destroy(client.pk, at=AT)
    assert retention.unfinished() == ["client C-A77: its key is destroyed and its rows were restored; erase it again"]
    erase(client, at=AT + timedelta(days=1))
    assert retention.unfinished() == []
    assert tables_that_say("lukasz") == set()


def test_a_hold_that_a_restore_brought_back_can_be_lifted_without_the_key(client):
    retention.place_hold(client, reason=f"{NAME} v. bank", at=AT, actor=compliance("ada"))
    confidence.destroy(client.pk, at=AT)
    lifted = retention.lift_hold(client, reason=f"{NAME} lost", at=AT, actor=compliance("ada"))
    assert (lifted.reason, lifted.lift_reason) == ("erased on 2026-03-02", "erased on 2026-03-02")
    erase(client, at=AT + timedelta(days=1))
    assert (retention.unfinished(), tables_that_say("lukasz")) == ([], set())


def test_without_keys_nothing_is_asked(client, settings):
    settings.HISTORY_KEYS = ""
    with pytest.raises(Refused, match="cannot be erased"):
        retention.ask_erasure(client, reason="x", at=AT, actor=compliance("ada"))


def test_the_commands_do_it(client, capsys):
    for name in ("ada", "bob"):
        compliance(name)
        make_staff(name)
    call_command("legal_hold", "C-A77", "--on", reason="subpoena", by="ada")
    with pytest.raises(CommandError, match="under legal hold"):
        call_command("erase_subject", "C-A77", reason="asked", by="ada")
    call_command("legal_hold", "C-A77", "--off", reason="over", by="ada")
    call_command("erase_subject", "C-A77", reason="asked", by="ada")
    with pytest.raises(CommandError, match="needs two people"):
        call_command("erase_subject", "C-A77", "--approve", by="ada")
    call_command("erase_subject", "C-A77", "--approve", by="bob")
    call_command("erase_subject")
    said = capsys.readouterr().out
    assert "its key destroyed" in said
    assert said.rstrip().endswith("No erasure is half done.")
    assert datetime.now(UTC).date() == Erasure.objects.get().done_at.date()
    with pytest.raises(CommandError, match="there is no client 'X'"):
        call_command("erase_subject", "X", by="ada")


def make_staff(name):
    from django.contrib.auth.models import User

    User.objects.filter(username=name).update(is_staff=True)
