"""Notices in the admin: seen as they were sent, by those who may; sent again by those who should."""

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse

from notifications import notices
from notifications.models import Delivery, Notice
from tests.notifications import rows
from tests.notifications.rows import LATER

pytestmark = pytest.mark.django_db


def signed_in(role: str) -> Client:
    user = User.objects.create(username=role.lower(), is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def notice() -> Notice:
    owner = rows.swept_house()
    rows.named(owner, "<script>alert(1)</script>")
    notices.prepare(at=LATER)
    return Notice.objects.get()


def page(notice: Notice) -> str:
    return reverse("admin:notifications_notice_change", args=(notice.pk,))


def again(notice: Notice) -> str:
    return reverse("admin:notifications_notice_again", args=(notice.pk,))


@pytest.mark.parametrize("role", ["Operations", "Supervisor", "Risk", "Compliance", "Auditor"])
def test_staff_see_the_list_and_the_mail_in_a_frame_where_nothing_runs(notice, role):
    client = signed_in(role)
    assert notice.subject in client.get(reverse("admin:notifications_notice_changelist")).content.decode()
    shown = client.get(page(notice)).content.decode()
    assert '<iframe title="HTML part" sandbox srcdoc="&lt;!doctype html&gt;' in shown
    assert "<script>alert" not in shown
    assert "Margin call on your account" in shown


def test_an_administrator_sees_no_clients_mail(notice):
    client = signed_in("Administrator")
    assert client.get(page(notice)).status_code == 403


@pytest.mark.parametrize("role", ["Operations", "Supervisor"])
def test_a_failed_notice_is_sent_again_by_a_button(notice, role):
    client = signed_in(role)
    assert "Send again" not in client.get(page(notice)).content.decode()
    Notice.objects.update(state="rejected", last_error="554 no such user")
    assert "Send again" in client.get(page(notice)).content.decode()
    assert "It waits to be sent again." in client.post(again(notice), follow=True).content.decode()
    assert Notice.objects.get().state == "queued"


@pytest.mark.parametrize("role", ["Risk", "Compliance", "Auditor", "Administrator"])
def test_others_have_no_button_and_no_door(notice, role):
    Notice.objects.update(state="rejected")
    client = signed_in(role)
    assert "Send again" not in client.get(page(notice)).content.decode()
    assert client.post(again(notice)).status_code == 403
    assert Notice.objects.get().state == "rejected"


def test_a_refusal_is_a_message_that_says_what_to_do(notice):
    client = signed_in("Operations")
    said = client.post(again(notice), follow=True).content.decode()
    assert "only one that failed can be sent again" in said


def test_looking_changes_nothing(notice):
    client = signed_in("Operations")
    Notice.objects.update(state="failed")
    assert client.get(again(notice)).status_code == 405
    assert Notice.objects.get().state == "failed"


def test_reports_are_listed_with_those_that_match_nothing(notice):
    Delivery.objects.create(provider="Mailgun", provider_event="1", state="bounced", at=LATER)
    client = signed_in("Auditor")
    shown = client.get(reverse("admin:notifications_delivery_changelist")).content.decode()
    assert "about no notice that we know" in shown


def test_the_list_takes_as_many_queries_for_thirty_notices_as_for_one(notice, django_assert_max_num_queries):
    client = signed_in("Operations")
    for _ in range(30):
        rows.issued()
    notices.prepare(at=LATER)
    with django_assert_max_num_queries(20):
        client.get(reverse("admin:notifications_notice_changelist"))
