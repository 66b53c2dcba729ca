"""Every admin page for every role: it opens or is refused, it never breaks, and reading changes nothing."""

import pytest
from django.contrib import admin
from django.urls import reverse

from backoffice import roles

HOUSE_PAGES = ("approvals", "audit", "audit_verify", "registers")
READERS = {"Operations", "Supervisor", "Risk", "Compliance", "Auditor"}


def pages() -> dict[str, str]:
    """Address → the table it shows ("" for pages of the house): every list, and the page of its first row."""
    found = {reverse(f"admin:{name}"): "" for name in HOUSE_PAGES}
    for model in admin.site._registry:
        table = f"{model._meta.app_label}_{model._meta.model_name}"
        found[reverse(f"admin:{table}_changelist")] = table
        row = model._default_manager.order_by("pk").first()
        if row is not None:
            found[reverse(f"admin:{table}_change", args=(row.pk,))] = table
    return found


def may_see(role: str, table: str) -> bool:
    if table == "":
        return role in READERS
    room, model = table.rsplit("_", 1)
    return f"{room}.view_{model}" in roles.permissions(role)


@pytest.mark.parametrize("role", roles.ROLES)
def test_every_page_opens_for_who_may_see_it_and_is_refused_to_others(house, sign_in, role):
    browser = sign_in(role)
    expected = {page: 200 if may_see(role, table) else 403 for page, table in pages().items()}
    found = {page: browser.get(page).status_code for page in expected}
    assert {page: status for page, status in found.items() if status != expected[page]} == {}
    assert browser.get(reverse("admin:index")).status_code == 200


def test_every_table_of_the_four_rooms_has_its_place_in_the_table_of_roles():
    from django.apps import apps

    for room, tables in roles.ROOMS.items():
        models = {model._meta.model_name for model in apps.get_app_config(room).get_models()}
        assert models == set(tables.split()), room


def test_the_groups_in_the_database_hold_what_the_table_of_roles_says(db):
    from django.contrib.auth.models import Group

    for role in roles.ROLES:
        held = Group.objects.get(name=role).permissions.values_list("content_type__app_label", "codename")
        assert {f"{room}.{codename}" for room, codename in held} == roles.permissions(role), role


def test_the_auditor_holds_no_permission_but_to_view():
    assert {name.split(".")[1].split("_")[0] for name in roles.permissions("Auditor")} == {"view"}


def test_the_administrator_holds_no_permission_in_the_four_rooms():
    assert not {name for name in roles.permissions("Administrator") if name.split(".")[0] in roles.ROOMS}


def test_the_administrators_first_page_names_no_call(house, sign_in):
    assert house.call.number not in sign_in("Administrator").get(reverse("admin:index")).content.decode()


def test_nobody_gets_in_without_a_login(house, client):
    for page in pages():
        answer = client.get(page)
        assert (answer.status_code, answer["Location"].split("?")[0]) == (302, reverse("admin:login")), page
