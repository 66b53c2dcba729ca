"""Forms on pages of their own: who may fill them in, what they do, and that what is wrong is said at its field."""

import pytest
from django.urls import reverse

from accounts.contacts import state
from accounts.models import AccountChange, Client, Contact, ContactChange
from backoffice import sheets
from margin.models import Erasure, LegalHold, MarginCall, Reconciliation, Request
from tests.margin import rows, world

pytestmark = pytest.mark.django_db


def address(name):
    return reverse("admin:sheet", args=(name,))


def send(browser, sheet, /, **typed):
    return browser.post(address(sheet), typed, follow=True).content.decode()


@pytest.mark.parametrize("name", sheets.BY_NAME)
def test_a_form_opens_for_whose_role_may_and_for_nobody_else(house, sign_in, name):
    for role in ("Operations", "Supervisor", "Risk", "Compliance", "Auditor", "Administrator"):
        expected = 200 if role in sheets.BY_NAME[name].roles else 403
        browser = sign_in(role)
        assert browser.get(address(name)).status_code == expected, role
        assert browser.post(address(name), {}).status_code == expected, role


def test_the_pages_of_accounts_clients_and_calls_lead_to_their_forms(house, sign_in):
    account = house.call.account
    pages = {
        reverse("admin:accounts_account_change", args=(account.pk,)): f"{address('alert')}?of={account.code}",
        reverse("admin:accounts_client_change", args=(account.client_id,)): address("contact"),
        reverse("admin:margin_margincall_changelist"): address("retraction"),
    }
    for page, form in pages.items():
        assert form in sign_in("Operations").get(page).content.decode(), page
        assert form not in sign_in("Auditor").get(page).content.decode(), page


def test_a_contact_changes_its_address_and_who_changed_it_why_is_kept(house, sign_in):
    client = house.call.account.client
    old = Contact.objects.filter(client=client).first() or state(
        client, email="old@client.example", name="Old", reason="first", by="test"
    )
    browser, typed = sign_in("Operations"), {"client": client.code, "email": old.email, "reason": "moved, letter"}
    told = send(browser, "contact", **typed, new_email="a@b.example, c@d.example")
    assert "is not one e-mail address" in told
    assert "moved, letter" in told  # nothing typed is lost
    send(browser, "contact", **typed, new_email="new@client.example", receives_notices="false")
    old.refresh_from_db()
    assert (old.email, old.receives_notices) == ("new@client.example", False)
    change = ContactChange.objects.filter(pgh_obj=old).order_by("-pgh_id").first()
    assert change.pgh_context.metadata["reason"] == "moved, letter"
    assert "to add one, say its name" in send(browser, "contact", **typed)
    send(browser, "contact", **typed | {"email": "second@client.example", "name": "Second"})
    assert Contact.objects.filter(client=client, name="Second").exists()


def test_a_warning_level_is_stated_with_a_reason(house, sign_in):
    account = house.call.account
    browser = sign_in("Supervisor")
    assert "state equity ÷ requirement above 1" in send(
        browser, "alert", account=account.code, level="0.9", reason="asked by mail"
    )
    assert "is not a plain number" in send(browser, "alert", account=account.code, level="1,2", reason="asked")
    send(browser, "alert", account=account.code, level="1.25", reason="asked by mail")
    account.refresh_from_db()
    assert str(account.alert_rate).rstrip("0") == "1.25"
    assert AccountChange.objects.filter(pgh_obj=account).order_by("-pgh_id").first().pgh_context is not None


def test_a_book_is_confirmed_as_whole(house, sign_in):
    code = house.call.account.code
    assert "is no account of ours" in send(sign_in("Operations"), "reconcile", account="NOBODY", reason="compared")
    send(sign_in("Operations"), "reconcile", account=code, reason="compared with the custodian")
    assert Reconciliation.objects.get(account__code=code).reason == "compared with the custodian"


def test_a_call_by_hand_is_issued_or_asked_for_and_never_breaks(house, sign_in):
    browser = sign_in("Operations")
    rows.policy("by_hand", world.securities({**world.HOUSE, "second_approval_above": "1000"}))
    rows.account("A-HAND", agreement="by_hand")
    rows.account("A-MORE", agreement="by_hand")
    said = {"reason": "the client's other broker defaulted", "regime": "house"}
    assert "has no regime csa" in send(browser, "call", **said | {"regime": "csa"}, account="A-HAND", amount="1000")
    assert "a plain number" in send(browser, "call", **said, account="A-HAND", amount="1,000")
    send(browser, "call", **said, account="A-HAND", amount="1000")
    assert MarginCall.objects.get(account__code="A-HAND").amount_called == 1000
    assert 'role="alert"' in send(browser, "call", **said, account="A-HAND", amount="1000")  # one is open
    send(browser, "call", **said, account="A-MORE", amount="1000.01")
    assert Request.objects.get(account__code="A-MORE").kind == "issue"


def test_calls_that_rest_on_a_wrong_price_are_asked_to_be_retracted(house, sign_in):
    why = {"reason_code": "bad_price", "reason": "the venue corrected it"}
    told = send(sign_in("Operations"), "retraction", **why, instrument="NONE", assessed_from="2026-01-01T00:00:00Z")
    assert "an instrument of ours whose price was wrong" in told
    told = send(sign_in("Operations"), "retraction", **why, instrument="NONE", assessed_from="yesterday")
    assert "assessed from" in told.lower()


def test_a_client_without_accounts_can_be_given_a_contact(house, sign_in):
    made = Client.objects.create(code="C-NEW", name="New client")
    send(sign_in("Operations"), "contact", client="C-NEW", email="x@new.example", name="X", reason="opened")
    assert made.contacts.get().email == "x@new.example"


@pytest.fixture
def keys(settings, tmp_path):
    """A folder of keys of this test alone: without one nothing is erased."""
    settings.HISTORY_KEYS = str(tmp_path / "keys")
    return tmp_path / "keys"


@pytest.mark.usefixtures("keys")
def test_a_legal_hold_is_placed_and_lifted_on_its_form(house, sign_in):
    client, browser = house.call.account.client, sign_in("Compliance")
    page = reverse("admin:accounts_client_change", args=(client.pk,))
    assert f"{address('hold')}?of={client.code}" in (shown := browser.get(page).content.decode())
    assert address("lift-hold") not in shown
    assert "Nothing of" in send(browser, "hold", client=client.code, reason="subpoena of 3 March")
    assert LegalHold.objects.get().reason == "subpoena of 3 March"
    assert address("lift-hold") in (shown := browser.get(page).content.decode())
    assert address("hold") not in shown
    assert "already" in send(browser, "hold", client=client.code, reason="another")
    assert "is lifted" in send(browser, "lift-hold", client=client.code, reason="withdrawn")
    assert "is under no legal hold" in send(browser, "lift-hold", client=client.code, reason="again")
    assert "is no client of ours" in send(browser, "hold", client="NOBODY", reason="subpoena")


def test_a_client_is_erased_by_two_people_who_type_the_code_twice(house, sign_in, keys):
    client = Client.objects.create(code="C-0", name="Cleo Never")
    ada, bob = sign_in("Compliance", "ada"), sign_in("Compliance", "bob")
    assert "must be kept" in send(ada, "ask-erasure", client=house.call.account.client.code, reason="asked")
    assert "nobody asked to erase" in send(bob, "erase", client="C-0", again="C-0")
    assert "another person carries it out" in send(ada, "ask-erasure", client="C-0", reason="asked in writing")
    page = bob.get(reverse("admin:accounts_client_change", args=(client.pk,))).content.decode()
    assert address("erase") in page
    assert address("ask-erasure") not in page
    assert "needs two people" in send(ada, "erase", client="C-0", again="C-0")
    assert "nothing was erased" in send(bob, "erase", client="C-0", again="C-1")
    assert Erasure.objects.get().done_at is None
    assert "are erased for good" in send(bob, "erase", client="C-0", again="C-0")
    client.refresh_from_db()
    assert client.name.startswith("erased on ")
    assert (keys / f"subject-{client.pk}.erased").exists()
    assert not (keys / f"subject-{client.pk}.key").exists()
