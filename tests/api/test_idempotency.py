"""The same POST sent twice, at once, or with another body (reliability P13): one effect, one reply."""

import threading
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from accounts.models import CashMovement
from backoffice import idempotency, tasks
from backoffice.models import IdempotentReply
from tests.api import house
from tests.margin import rows


def send(client, once="k-1", **fields):
    return house.post(client, "cash-movements", {"rows": [house.movement(**fields)]}, once=once)


@pytest.mark.django_db
def test_a_repeat_gets_the_same_reply_and_moves_nothing(writer, furnished):
    before = CashMovement.objects.count()
    first, again = send(writer), send(writer)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.content == again.content
    assert ("Idempotent-Replayed" in first, again["Idempotent-Replayed"]) == (False, "true")
    assert CashMovement.objects.count() == before + 1


@pytest.mark.django_db
def test_blanks_and_the_order_of_fields_do_not_make_another_request(writer, furnished):
    send(writer)
    row = dict(reversed(house.movement().items()))
    assert house.post(writer, "cash-movements", {"rows": [row]})["Idempotent-Replayed"] == "true"


@pytest.mark.django_db
def test_another_body_under_a_used_key_is_refused(writer, furnished):
    send(writer)
    response = send(writer, amount="11.00", external_reference="FT-3")
    assert (response.status_code, response.json()["type"]) == (422, "urn:margin-desk:problem:idempotency-key-reused")
    assert not CashMovement.objects.filter(external_reference="FT-3").exists()


@pytest.mark.django_db
def test_another_address_under_a_used_key_is_refused(writer, furnished):
    send(writer)
    assert house.post(writer, "fills", {"rows": [house.movement()]}).status_code == 422


@pytest.mark.django_db
def test_two_owners_may_use_the_same_key(writer, furnished):
    other = house.bearer(house.key("cash:write")[1])
    assert send(writer).status_code == send(other, external_reference="FT-3").status_code == 201
    assert IdempotentReply.objects.count() == 2


@pytest.mark.django_db
def test_a_refusal_is_not_kept_so_that_the_batch_may_be_corrected(writer, furnished):
    assert send(writer, amount="1.001").status_code == 422
    response = send(writer, amount="1.01")
    assert (response.status_code, "Idempotent-Replayed" in response) == (201, False)


@pytest.mark.django_db
def test_replies_are_kept_for_72_hours(writer, furnished):
    send(writer)
    now = timezone.now()
    assert idempotency.prune(at=now + timedelta(hours=71, minutes=59)) == 0
    assert idempotency.prune(at=now + timedelta(hours=72, minutes=1)) == 1


@pytest.mark.django_db
def test_the_task_and_the_command_prune_what_is_old(writer, furnished, capsys):
    send(writer)
    assert tasks.prune_replies() == 0
    IdempotentReply.objects.update(created_at=timezone.now() - timedelta(hours=73))
    call_command("prune_replies")
    assert "1 replies forgotten" in capsys.readouterr().out


def in_threads(number, work):
    """Run `work(place)` in threads at the same moment; what each returned."""
    found, barrier = [None] * number, threading.Barrier(number)

    def run(place):
        barrier.wait()
        try:
            found[place] = work(place)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(place,)) for place in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return found


def test_fifty_repeats_at_once_have_one_effect(committed_db):
    house.furnish()
    text = house.key("cash:write")[1]
    replies = in_threads(50, lambda place: send(house.bearer(text)))
    statuses = [reply.status_code for reply in replies]
    assert set(statuses) <= {201, 409}, statuses
    assert sum("Idempotent-Replayed" not in reply for reply in replies if reply.status_code == 201) == 1
    assert CashMovement.objects.filter(external_reference="FT-2").count() == 1
    contents = {reply.content for reply in replies if reply.status_code == 201}
    assert contents == {send(house.bearer(text)).content}
    for reply in replies:
        if reply.status_code == 409:
            assert reply["Retry-After"] == "1"


def test_a_repeat_while_the_first_is_at_work_is_told_to_wait(committed_db):
    house.furnish()
    key, text = house.key("cash:write")
    with idempotency.transaction.atomic():
        assert idempotency._alone(f"key:{key.pk}", "k-1")
        (reply,) = in_threads(1, lambda place: send(house.bearer(text)))
    assert (reply.status_code, reply.json()["type"]) == (409, "urn:margin-desk:problem:idempotency-key-at-work")
    assert send(house.bearer(text)).status_code == 201


def test_killed_connections_lose_nothing_and_double_nothing(committed_db, superuser):
    """Six feeds send four batches each, and repeat until they are taken, while connections are being killed."""
    house.furnish()
    text = house.key("cash:write")[1]
    killer = superuser()
    killer.autocommit = True
    over = threading.Event()

    def kill():
        while not over.wait(0.03):
            with killer.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
                    " AND pid <> pg_backend_pid() AND random() < 0.3",
                    [committed_db.name],
                )

    def feed(place):
        seen = []
        for batch in range(4):
            name = f"KILL-{place}-{batch}"
            for _ in range(200):
                try:
                    reply = send(house.bearer(text), once=name, external_reference=name, amount="1.00")
                finally:
                    connection.close()
                seen.append(reply.status_code)
                if reply.status_code == 201:
                    break
        return seen

    killing = threading.Thread(target=kill)
    killing.start()
    try:
        seen = in_threads(6, feed)
    finally:
        over.set()
        killing.join()
    connection.close()
    assert {status for statuses in seen for status in statuses} <= {201, 409, 503}
    assert any(status == 503 for statuses in seen for status in statuses)
    assert CashMovement.objects.filter(external_reference__startswith="KILL-").count() == 24
    assert IdempotentReply.objects.filter(key__startswith="KILL-").count() == 24


def test_the_application_role_may_do_all_of_this(django_as_application):
    for make, code in ((rows.account, "A-1001"), (rows.cash, "USD"), (rows.equity, "AIG")):
        make(code)
    writer = house.bearer(house.key(*house.SCOPE_OF.values())[1])
    for name in ("fills", "cash-movements", "quotes", "positions"):
        response = house.post(writer, name, {"rows": [house.GOOD[name]()]}, once=name)
        assert response.status_code == 201, response.content
    assert house.post(writer, "fills", {"rows": [house.fill()]}, once="fills")["Idempotent-Replayed"] == "true"
