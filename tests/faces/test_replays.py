"""Replay beside the original: every figure stored beside the one recomputed, what differs marked, for auditors."""

from decimal import Decimal

import pytest
from django.urls import reverse

from accounts import cash, positions
from margin import side_by_side, sweep
from margin.models import Assessment, MarginCall
from tests.margin import rows, world
from tests.margin.world import MONDAY, minutes, quote


@pytest.fixture
def call(committed_db):
    """100 XYZ at 50.00, 3,600 borrowed: called; then money came in and the price went on."""
    rows.policy("us_margin", world.securities({**world.HOUSE, "market_cures": False}))
    xyz, account = rows.equity("XYZ"), rows.account()
    held = [(account.pk, xyz.pk, Decimal(100), Decimal(5000)), (account.pk, rows.cash().pk, Decimal(-3600), None)]
    positions.write(held, cause="book", reference="test", effective_at=MONDAY)
    quote(xyz, "50", MONDAY)
    sweep.run("securities", at=MONDAY)
    later = MONDAY + minutes(1)
    cash.deposit(account, currency="USD", amount=Decimal(40), source="bank", external_reference="1", at=later)
    quote(xyz, "49", later)
    sweep.run("securities", at=later)
    return MarginCall.objects.get()


def read(browser, name, *args):
    return browser.get(reverse(f"admin:{name}", args=args))


def change(superuser, statement, *values):
    """By somebody who owns the server and switches the bolts off."""
    connected = superuser()
    with connected, connected.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {statement.split()[1]} DISABLE TRIGGER USER")
        cursor.execute(statement, values)


def test_what_a_call_rests_on_is_found_again_figure_by_figure(call):
    found = side_by_side.of(call.assessment)
    assert (found.is_equal, found.verdict) == (True, f"all {len(found.lines)} figures are equal to the cent")
    told = {(line.part, line.subject, line.what): line.again for line in found.lines}
    assert told["inputs", "XYZ", "mark"] == "50"
    assert told["inputs", "USD", "quantity"] == "-3600"
    assert (told["house", "", "equity"], told["house", "", "requirement"]) == ("1400", "1500")  # 0.30 × 5,000
    charged = [Decimal(amount) for (part, on, _), amount in told.items() if (part, on) == ("house", "XYZ")]
    assert sum(charged) == 1500


def test_a_stored_figure_that_was_changed_is_the_only_one_marked(call, superuser):
    change(superuser, "UPDATE margin_measure SET equity = equity + 1 WHERE assessment_id = %s", call.assessment_id)
    found = side_by_side.of(call.assessment)
    assert [(line.what, line.stored, line.again) for line in found.lines if line.differs] == [
        ("equity", "1401", "1400")
    ]
    assert found.verdict == f"1 of {len(found.lines)} figures differ from what is stored"


def test_a_changed_price_shows_in_every_figure_that_rests_on_it(call, superuser):
    change(superuser, "UPDATE margin_sweepprice SET mark = 51 WHERE sweep_id = %s", call.assessment.sweep_id)
    differing = {
        line.what: (line.stored, line.again) for line in side_by_side.of(call.assessment).lines if line.differs
    }
    assert differing["mark"] == ("50", "51")
    assert differing["equity"] == ("1400", "1500")
    assert differing["requirement"] == ("1500", "1530")
    assert "digest" in differing


def test_a_sweep_that_kept_nothing_says_so(call, superuser):
    change(superuser, "UPDATE margin_shard SET visible = ''")
    with pytest.raises(side_by_side.NotRecomputable, match="keeps nothing of what it saw of account"):
        side_by_side.of(Assessment.objects.order_by("pk").first())


def test_auditors_see_both_side_by_side_and_the_verdict_in_words(call, superuser, sign_in):
    browser = sign_in("Auditor")
    page = read(browser, "audit_replay", call.pk).content.decode()
    assert "figures are equal to the cent" in page
    assert page.count("figures are equal to the cent") == 2  # when it was issued and when the money came in
    for name, *args in (("margin_margincall_passport", call.pk), ("registers",), ("audit_as_of", call.account.code)):
        assert reverse(f"admin:{name}", args=args) in page
    change(superuser, "UPDATE margin_measure SET equity = 0 WHERE assessment_id = %s", call.assessment_id)
    page = read(browser, "audit_replay", call.pk).content.decode()
    assert "figures differ from what is stored" in page
    assert page.count("broken") == 1


def test_a_whole_sweep_is_done_again_on_a_page(call, superuser, sign_in):
    browser = sign_in("Auditor")
    assert "Equal to the cent" in read(browser, "audit_replay_sweep", call.assessment.sweep_id).content.decode()
    change(superuser, "UPDATE margin_sweepprice SET mark = 51 WHERE sweep_id = %s", call.assessment.sweep_id)
    page = read(browser, "audit_replay_sweep", call.assessment.sweep_id).content.decode()
    assert f"account {call.account_id}: its inputs or figures differ" in page
    assert read(browser, "audit_replay_sweep", 10**6).status_code == 404


def test_the_pages_are_read_only_and_for_readers_of_the_history(call, sign_in):
    for name, key in (("audit_replay", call.pk), ("audit_replay_sweep", call.assessment.sweep_id)):
        assert sign_in("Auditor").post(reverse(f"admin:{name}", args=(key,))).status_code == 405
        assert read(sign_in("Administrator"), name, key).status_code == 403


def test_an_auditor_gets_from_the_audit_page_to_everything(call, sign_in):
    """One entry in the menu: the chains, each with its calls' replay and passport, and the registers."""
    browser = sign_in("Auditor")
    overview = read(browser, "audit").content.decode()
    assert reverse("admin:audit_account", args=(call.account.code,)) in overview
    assert reverse("admin:registers") in overview
    history = read(browser, "audit_account", call.account.code).content.decode()
    for name in ("audit_replay", "margin_margincall_passport"):
        assert reverse(f"admin:{name}", args=(call.pk,)) in history
