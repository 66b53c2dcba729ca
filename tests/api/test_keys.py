"""Keys: issued once, kept as a hash, ending, revocable."""

from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from backoffice import keys
from backoffice.models import ApiKey
from tests.api import house

pytestmark = pytest.mark.django_db


def test_the_database_does_not_hold_what_opens_the_house():
    key, text = house.key("read")
    secret = text.split("_")[2]
    assert len(secret) * 4 == 256
    row = ApiKey.objects.filter(pk=key.pk).values().get()
    assert secret not in str(row)
    assert house.bearer(f"mdk_{key.prefix}_{row['key_hash']}").get(house.url("calls")).status_code == 401


@pytest.mark.parametrize(
    "scopes",
    [
        [],
        ["admin"],
        ["write"],
        ["READ"],
        ["read:oms"],
        ["positions:write:oms"],
        ["quotes:write:"],
        ["quotes:write:a b"],
    ],
)
def test_a_scope_that_is_none_is_refused(scopes):
    with pytest.raises(keys.BadKeyRequest):
        house.key(*scopes)


@pytest.mark.parametrize("days", [0, -1, 367])
def test_a_key_ends_within_a_year(days):
    with pytest.raises(keys.BadKeyRequest):
        house.key("read", days=days)


def test_use_is_noted_once_a_minute(django_assert_num_queries):
    key, text = house.key("read")
    client = house.bearer(text)
    client.get(house.url("clients"))
    first = ApiKey.objects.get(pk=key.pk).last_used_at
    assert first is not None
    with django_assert_num_queries(2):  # the key and the count; there is no client to fetch
        client.get(house.url("clients") + "?name=nobody")
    assert ApiKey.objects.get(pk=key.pk).last_used_at == first
    ApiKey.objects.update(last_used_at=first - timedelta(minutes=2))
    client.get(house.url("clients"))
    assert ApiKey.objects.get(pk=key.pk).last_used_at >= first


def test_two_keys_overlap_while_one_replaces_the_other():
    old, new = house.key("read"), house.key("read")
    for _, text in (old, new):
        assert house.bearer(text).get(house.url("clients")).status_code == 200
    keys.revoke(old[0].prefix, at=timezone.now())
    assert house.bearer(old[1]).get(house.url("clients")).status_code == 401
    assert house.bearer(new[1]).get(house.url("clients")).status_code == 200


def test_revoking_again_keeps_the_first_instant():
    key, _ = house.key("read")
    first = keys.revoke(key.prefix, at=timezone.now()).revoked_at
    assert keys.revoke(key.prefix, at=timezone.now() + timedelta(hours=1)).revoked_at == first


def test_the_command_prints_a_key_that_works_and_the_other_ends_it(capsys):
    house.member("Administrator")
    call_command("create_api_key", "price feed", scope=["read"], days=7, by="api.administrator")
    text = capsys.readouterr().out.strip()
    assert house.bearer(text).get(house.url("clients")).status_code == 200
    call_command("revoke_api_key", text.split("_")[1])
    assert house.bearer(text).get(house.url("clients")).status_code == 401


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"by": "nobody"}, "no active member of staff"),
        ({"scope": ["everything"]}, "is no scope"),
        ({"scope": []}, "at least one scope"),
        ({"days": 4000}, "within 366 days"),
        ({"days": 10**9}, "within 366 days"),
        ({"days": -(10**9)}, "within 366 days"),
    ],
)
def test_the_command_says_what_is_wrong(given, reason):
    house.member("Administrator")
    asked = {"scope": ["read"], "days": 7, "by": "api.administrator", **given}
    with pytest.raises(CommandError, match=reason):
        call_command("create_api_key", "feed", **asked)
    assert not ApiKey.objects.exists()


def test_revoking_an_unknown_key_says_so():
    with pytest.raises(CommandError, match="no key with the prefix"):
        call_command("revoke_api_key", "0123456789")
