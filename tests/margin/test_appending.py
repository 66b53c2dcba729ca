"""Appending events: many accounts in one statement, and the same chain as one event after the other."""

import hashlib
import io
import json
from datetime import timedelta

import psycopg2
import pytest
from django.db import DatabaseError

from margin import chain, history
from margin.models import Chain, Event
from tests.margin import rows
from tests.margin.rows import AT


def entry(account, kind="x.told", *, after=0, **more):
    at = chain.text(AT + timedelta(minutes=after))
    return {"account": account.pk, "call": None, "kind": kind, "at": at, "actor": "test", "role": "system", **more}


@pytest.fixture
def three(db):
    accounts = [rows.account() for _ in range(3)]
    chain.lock([account.pk for account in accounts])
    return accounts


def test_events_of_many_accounts_come_back_in_the_order_of_the_list(three):
    one, two, _ = three
    asked = [entry(two, "a"), entry(one, "b"), entry(two, "c", after=1), entry(two, "d", after=1), entry(one, "e")]
    made = chain.append(asked)
    assert [seq for _, seq in made] == [1, 1, 2, 3, 2]
    kinds = dict(Event.objects.values_list("id", "kind"))
    assert [kinds[event] for event, _ in made] == ["a", "b", "c", "d", "e"]


def test_every_link_is_the_hash_of_the_one_before_and_of_its_own_text(three):
    chain.append([entry(account, kind) for kind in ("first", "second") for account in three])
    chain.append([entry(account, "third", after=3, details={"note": 'ÄÖ \\ "quoted"'}) for account in reversed(three)])
    for account in three:
        head = ""
        for event in Event.objects.filter(account=account).order_by("seq"):
            assert event.previous_hash == head
            head = hashlib.sha256(f"{head}\n{event.body}".encode()).hexdigest()
            assert event.hash == head
            body = json.loads(event.body)
            assert (body["id"], body["seq"], body["kind"]) == (event.pk, event.seq, event.kind)
        assert (Chain.objects.get(pk=account.pk).head, Chain.objects.get(pk=account.pk).seq) == (head, 3)
    assert history.verify_all().is_intact


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"account": 987654}, "account 987654 has no chain"),
        ({"kind": None}, "needs at, kind and actor"),
        ({"actor": None}, "needs at, kind and actor"),
        ({"at": None}, "needs at, kind and actor"),
        ({"at": "2026-03-02T14:59:59Z"}, "time runs backwards for account"),
        ({"details": {"note": "x" * 2048}}, "bytes; store it elsewhere"),
    ],
)
def test_one_event_that_may_not_be_leaves_none(three, change, words):
    one, two, _ = three
    chain.append([entry(one)])
    with pytest.raises(DatabaseError, match=words):
        chain.append([entry(two), {**entry(one), **change}])


def test_time_runs_forward_within_one_list_too(three):
    with pytest.raises(DatabaseError, match="time runs backwards"):
        chain.append([entry(three[0], after=5), entry(three[1]), entry(three[0], after=4)])


WAYS = {
    "copy": "COPY margin_event FROM STDIN",
    "insert nothing": "INSERT INTO margin_event SELECT * FROM margin_event WHERE false",
    "merge": "MERGE INTO margin_chain c USING margin_chain o ON c.account_id = o.account_id"
    " WHEN MATCHED THEN UPDATE SET seq = 9",
    "upsert": "INSERT INTO margin_chain (account_id, seq, head) SELECT account_id, 1, '' FROM margin_chain"
    " ON CONFLICT (account_id) DO UPDATE SET seq = 9",
    "with": "WITH moved AS (UPDATE margin_chain SET seq = 9 RETURNING 1) SELECT * FROM moved",
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_no_statement_of_the_owner_reaches_the_chain_past_the_function(committed_db, as_owner, way):
    chain.in_transaction(lambda: chain.lock([rows.account().pk]))
    connected = as_owner()
    with pytest.raises(psycopg2.Error) as refusal, connected, connected.cursor() as cursor:
        if way.startswith("COPY"):
            cursor.copy_expert(way, io.StringIO(""))
        else:
            cursor.execute(way)
    assert refusal.value.pgcode == "23001"
