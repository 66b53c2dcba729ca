"""The desk in a real browser: what a margin officer does on a bad morning, with nobody's console complaining."""

import re

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from margin import calls, sweep
from margin.models import MarginCall, Plan
from tests.faces import house as houses
from tests.margin import rows, world

pytestmark = pytest.mark.usefixtures("committed_db")


@pytest.fixture(autouse=True)
def _nobody_complains(complaints):
    yield
    assert complaints == []


def test_the_first_page_leads_through_a_tile_to_the_call_and_says_why(house, sign_in):
    page = sign_in("Supervisor")
    assert page.inner_text(".tile-overdue b") == "1"
    page.click(".tile-overdue")
    page.wait_for_url(re.compile("work=overdue"))
    assert page.locator("#result_list tbody tr.data-row").count() == 1
    assert "overdue" in page.inner_text("#result_list")
    page.goto("/admin/margin/margincall/")
    page.click(f"text={house.call.number}")
    page.wait_for_url(re.compile(f"margincall/{house.call.pk}/"))
    shown = page.inner_text("body")
    for words in ("71,964.00", "short 4000 at 149.5", "chain intact to seq 1", "left"):
        assert words in shown
    assert page.locator("details[open]").count() == 0


def test_the_queue_takes_the_width_it_is_given(house, sign_in):
    """A class name of ours that the theme uses too once squeezed the table into a tenth of the page."""
    page = sign_in("Supervisor")
    page.goto("/admin/margin/margincall/")
    table = page.locator("#result_list")
    assert table.bounding_box()["width"] > 0.6 * page.viewport_size["width"]


def test_a_note_is_written_with_a_reason_and_stands_in_the_timeline(house, sign_in):
    page = sign_in("Operations")
    page.goto(f"/admin/margin/margincall/{house.call.pk}/")
    page.click("summary:has-text('Add note')")
    page.fill("details[open] textarea", "client phoned: wire goes out at noon")
    page.click("details[open] button")
    page.wait_for_load_state()
    assert "The note is in the history" in page.inner_text("body")
    assert "wire goes out at noon" in page.inner_text("ol.timeline")
    assert "chain intact to seq 2" in page.inner_text("body")


def test_the_first_page_refreshes_itself(house, sign_in):
    page = sign_in("Supervisor")
    as_of = "document.querySelector('#now > p:last-of-type').innerText"
    before = page.evaluate(as_of)
    page.wait_for_function(f"old => {as_of} !== old", arg=before, timeout=25_000)
    assert page.inner_text(".tile-overdue b") == "1"


def test_a_plan_is_proposed_by_one_person_and_approved_by_another(live_house, settings, sign_in):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    now = timezone.now()
    rows.policy("us_margin", world.securities())
    share = rows.equity("XYZ")
    world.long_account("100", "3600", share, code="A1008")
    world.quote(share, "50", now)
    sweep.run("securities", at=now)
    call = MarginCall.objects.get()
    calls.escalate(
        call, cause=calls.Cause.PERSON, at=now, actor=houses.actor("supervisor", "Supervisor"), reason="no answer"
    )
    maker = sign_in("Operations")
    maker.goto(f"/admin/margin/margincall/{call.pk}/")
    maker.click("summary:has-text('Propose liquidation')")
    maker.fill("details[open] textarea", "client unreachable")
    maker.click("details[open] button")
    maker.wait_for_load_state()
    plan = Plan.objects.get()
    maker.goto(f"/admin/margin/plan/{plan.pk}/change/")
    assert maker.locator("button:has-text('Approve')").count() == 0
    checker = sign_in("Risk")
    checker.goto("/admin/approvals/")
    checker.click("text=Look and decide")
    checker.click("button:has-text('Approve')")
    checker.wait_for_load_state()
    assert "approved" in checker.inner_text("body")
    assert Plan.objects.get().state == "approved"


def test_the_auditor_finds_a_chain_and_all_of_them_intact(house, sign_in):
    page = sign_in("Auditor")
    page.click("a:has-text('Audit') >> nth=0")
    page.wait_for_url(re.compile("/admin/audit/"))
    page.fill("input[name=q]", "Alder")
    page.click("button:has-text('Find')")
    page.wait_for_load_state()
    page.click("table.rows a.link")
    page.wait_for_url(re.compile("audit/accounts/A1008"))
    assert "chain intact to seq 1" in page.inner_text("body")
    page.goto("/admin/audit/")
    page.click("text=Recompute all chains now")
    page.wait_for_load_state()
    assert "chains are intact" in page.inner_text("body")


def test_the_administrators_pages_run_under_our_script_policy(house, sign_in):
    page = sign_in("Administrator")
    task = PeriodicTask.objects.order_by("pk").first()
    person = User.objects.get(username="risk")
    for address in (
        "/admin/auth/user/",
        f"/admin/auth/user/{person.pk}/change/",
        "/admin/auth/user/add/",
        "/admin/django_celery_beat/periodictask/",
        f"/admin/django_celery_beat/periodictask/{task.pk}/change/" if task else "/admin/",
        "/admin/django_celery_beat/periodictask/add/",
    ):
        assert page.goto(address).status == 200, address
        page.wait_for_load_state("networkidle")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_desk_fits_1280_pixels_in_both_themes(house, sign_in, scheme):
    page = sign_in("Supervisor", color_scheme=scheme)
    for address in (
        "/admin/",
        "/admin/margin/margincall/",
        f"/admin/margin/margincall/{house.call.pk}/",
        "/admin/audit/",
    ):
        page.goto(address)
        too_wide = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
        assert not too_wide, address
