"""Getting in: lock-out, the end of idle logins, and what an Administrator cannot give themselves."""

from datetime import timedelta

import pytest
import time_machine
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tests.faces import house as houses

LOGIN = "/admin/login/"


def attempt(client: Client, password: str, name: str = "supervisor") -> int:
    return client.post(LOGIN, {"username": name, "password": password, "next": "/admin/"}).status_code


@pytest.fixture
def supervisor(db) -> User:
    return houses.user("supervisor", "Supervisor")


def test_the_right_password_leads_to_the_first_page(supervisor, client):
    answer = client.post(LOGIN, {"username": "supervisor", "password": houses.PASSWORD})
    assert (answer.status_code, answer["Location"]) == (302, "/admin/")


def test_five_wrong_passwords_lock_name_and_address_and_the_page_says_so_plainly(supervisor, client):
    assert [attempt(client, "wrong") for _ in range(5)] == [200, 200, 200, 200, 429]
    answer = client.post(LOGIN, {"username": "supervisor", "password": houses.PASSWORD})
    assert answer.status_code == 429
    assert "Too many wrong passwords" in answer.content.decode()


def test_a_lock_holds_for_its_name_and_address_only_and_lapses_by_itself(supervisor, client):
    houses.user("risk", "Risk")
    for _ in range(5):
        attempt(client, "wrong")
    assert attempt(client, houses.PASSWORD, "risk") == 302
    assert attempt(Client(REMOTE_ADDR="192.0.2.7"), houses.PASSWORD) == 302
    with time_machine.travel(timezone.now() + timedelta(minutes=16)):
        assert attempt(Client(), houses.PASSWORD) == 302


def test_an_administrator_unlocks_at_once(supervisor, client, sign_in):
    for _ in range(5):
        attempt(client, "wrong")
    from axes.models import AccessAttempt

    row = AccessAttempt.objects.get()
    sign_in("Administrator").post(reverse("admin:axes_accessattempt_delete", args=(row.pk,)), {"post": "yes"})
    assert attempt(client, houses.PASSWORD) == 302


def test_a_login_nobody_uses_ends_after_half_an_hour(supervisor, sign_in):
    browser, page = sign_in("Supervisor"), reverse("admin:index")
    now = timezone.now()
    for minutes, status in ((0, 200), (25, 200), (50, 200), (81, 302)):
        with time_machine.travel(now + timedelta(minutes=minutes), tick=False):
            assert browser.get(page).status_code == status, minutes


def test_a_page_that_refreshes_itself_does_not_keep_a_login_alive(supervisor, sign_in):
    browser, page = sign_in("Supervisor"), reverse("admin:index")
    now = timezone.now()
    assert browser.get(page).status_code == 200
    for minutes, status in ((15, 200), (29, 200), (31, 302)):
        with time_machine.travel(now + timedelta(minutes=minutes), tick=False):
            assert browser.get(page, headers={"HX-Request": "true"}).status_code == status, minutes


def test_no_login_outlives_the_working_day(supervisor, sign_in, settings):
    browser, page, now = sign_in("Supervisor"), reverse("admin:jsi18n"), timezone.now()
    statuses = set()
    for minutes in range(0, settings.SESSION_LONGEST_SECONDS // 60 + 40, 28):
        with time_machine.travel(now + timedelta(minutes=minutes), tick=False):
            statuses.add((minutes * 60 > settings.SESSION_LONGEST_SECONDS, browser.get(page).status_code))
    assert statuses == {(False, 200), (True, 302)}


def test_a_refreshing_page_whose_login_ended_is_reloaded_whole(db, client):
    answer = client.get(LOGIN, headers={"HX-Request": "true"})
    assert (answer["HX-Refresh"], answer.content) == ("true", b"")


def test_a_deactivated_person_is_out_at_the_next_click(supervisor, sign_in):
    browser = sign_in("Supervisor")
    User.objects.filter(pk=supervisor.pk).update(is_active=False)
    assert browser.get(reverse("admin:index")).status_code == 302


def test_an_administrator_gives_nobody_superuser_rights_and_not_themselves_another_role(db, sign_in):
    browser = sign_in("Administrator")
    me = User.objects.get(username="administrator")
    role = Group.objects.get(name="Supervisor")
    change = {
        "username": "administrator",
        "groups": [role.pk],
        "is_superuser": "on",
        "is_active": "on",
        "email": "a@b.example",
    }
    browser.post(reverse("admin:auth_user_change", args=(me.pk,)), change)
    me.refresh_from_db()
    assert me.email == "a@b.example"
    assert ([group.name for group in me.groups.all()], me.is_superuser) == (["Administrator"], False)


def test_an_administrator_cannot_take_over_a_superuser(db, sign_in):
    root = User.objects.create_superuser("root", password=houses.PASSWORD)
    browser = sign_in("Administrator")
    assert browser.post(reverse("admin:auth_user_change", args=(root.pk,)), {"email": "x@y.example"}).status_code == 403
    assert browser.get(reverse("admin:auth_user_password_change", args=(root.pk,))).status_code == 403


def test_people_are_never_deleted_and_roles_never_edited_by_hand(db, sign_in):
    browser, person = sign_in("Administrator"), houses.user("risk", "Risk")
    group = Group.objects.get(name="Risk")
    assert browser.post(reverse("admin:auth_user_delete", args=(person.pk,)), {"post": "yes"}).status_code == 403
    assert browser.post(reverse("admin:auth_group_change", args=(group.pk,)), {"name": "Boss"}).status_code == 403
    assert browser.get(reverse("admin:auth_group_add")).status_code == 403


def test_a_superuser_sees_the_desk_but_does_no_desk_work(house):
    User.objects.create_superuser("root", password=houses.PASSWORD)
    browser = Client()
    browser.force_login(User.objects.get(username="root"), backend="django.contrib.auth.backends.ModelBackend")
    assert browser.get(reverse("admin:market_heldquote_changelist")).status_code == 200
    assert browser.post(reverse("admin:market_heldquote_confirm", args=(house.held.pk,))).status_code == 403
    browser.post(reverse("admin:margin_margincall_do", args=(house.call.pk, "escalate")), {"reason": "x"})
    house.call.refresh_from_db()
    assert house.call.state == "issued"
