"""Stored SMA on a real PostgreSQL: posted once per source and in order, never changed, never lowered by a close."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from decimal import Decimal as Dec

import psycopg2
import pytest
from django.db import DatabaseError, connection, transaction
from django.urls import reverse
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts import cash
from accounts.ledgers import Conflict
from accounts.models import Fill, Position, PositionFact
from margin import closing, sma, sweep
from margin.engine.sma import Kind, Refused, Resulting, State
from margin.models import SmaEntry, Sweep
from margin.sma import Posting
from market.strict import Refused as Malformed
from tests.faces import house as houses
from tests.margin import rows, world
from tests.margin.rows import AT

LATER = AT + timedelta(hours=6)
TODAY = date(2026, 3, 2)
SOUND = Resulting(maintenance_excess=Dec(1000))


@pytest.fixture
def owner(db):
    rows.cash()
    return rows.account()


def put(owner, kind, amount, *, at=AT, **terms):
    terms = terms if {"movement", "fill"} & terms.keys() else {"reference": f"test:{next(rows.numbers)}", **terms}
    return sma.post(owner, kind=kind, amount=Dec(amount), at=at, **terms)


def close(excesses, *, day=TODAY, at=LATER):
    return sma.close_of_day({owner.pk: Dec(excess) for owner, excess in excesses.items()}, day=day, at=at)


def paid_in(owner, amount, reference="FT-1"):
    return cash.deposit(owner, currency="USD", amount=Dec(amount), source="bank", external_reference=reference, at=AT)


def test_a_settled_deposit_is_credited_once_however_often_it_is_posted(owner):
    movement = paid_in(owner, "10000")
    first = put(owner, Kind.DEPOSIT, "10000", movement=movement)
    assert (first.number, first.balance, first.movement) == (1, 10000, movement)
    assert put(owner, Kind.DEPOSIT, "10000", movement=movement).pk == first.pk
    assert sma.state(owner) == State(Dec(10000), Dec(0))
    assert SmaEntry.objects.count() == 1


def test_one_batch_may_hold_a_posting_twice_and_many_accounts(owner):
    other = rows.account()
    mine = Posting(owner, Kind.DEPOSIT, Dec(100), reference="a")
    entries = sma.post_all([mine, Posting(other, Kind.DEPOSIT, Dec(7), reference="a"), mine], at=AT)
    assert [(entry.account, entry.balance) for entry in entries] == [(owner, 100), (other, 7), (owner, 100)]
    assert SmaEntry.objects.count() == 2


def test_the_worked_week_of_the_documentation_is_stored_as_it_is_told(owner):
    put(owner, Kind.DEPOSIT, 10000)
    put(owner, Kind.PURCHASE, 20000, resulting=Resulting(maintenance_excess=Dec(5000)))
    days = [LATER + timedelta(days=count) for count in range(9)]
    assert close({owner: 2000}, at=days[0]).raised == 1
    assert close({owner: -1000}, day=TODAY + timedelta(days=1), at=days[1]).raised == 0
    put(owner, Kind.DIVIDEND, 100, at=days[2])
    put(owner, Kind.PURCHASE, 4000, at=days[3], resulting=Resulting(maintenance_excess=Dec(2600)))
    put(owner, Kind.SALE, 5000, at=days[4], resulting=Resulting(excess=Dec(-400)))
    put(owner, Kind.WITHDRAWAL, 2600, at=days[5], resulting=Resulting(None, Dec(1250), Dec(5500)))
    put(owner, Kind.PURCHASE, 2000, at=days[6], resulting=Resulting(maintenance_excess=Dec(750)))
    assert sma.state(owner) == State(Dec(0), Dec(1000))
    put(owner, Kind.DEPOSIT, 1500, at=days[7])
    entries = SmaEntry.objects.filter(account=owner).order_by("number")
    assert [entry.balance for entry in entries] == [10000, 0, 2000, 2100, 100, 2600, 0, 0, 500]
    assert sma.balance(owner, at=days[1]) == 2000
    assert sma.balance(owner, at=AT - timedelta(days=1)) == 0


def test_a_use_beyond_the_sma_is_refused_with_the_account_named_and_writes_nothing(owner):
    put(owner, Kind.DEPOSIT, 1000)
    batch = [
        Posting(owner, Kind.DIVIDEND, Dec(5), reference="div"),
        Posting(owner, Kind.WITHDRAWAL, Dec(1006), SOUND, reference="out"),
    ]
    with pytest.raises(Refused, match=f"{owner.code}: SMA is 1005"):
        sma.post_all(batch, at=AT)
    assert sma.balance(owner) == 1000
    with pytest.raises(Refused, match="not known"):
        put(owner, Kind.WITHDRAWAL, 1000)
    assert put(owner, Kind.WITHDRAWAL, 1000, resulting=SOUND).balance == 0


def test_credits_are_rounded_down_and_what_is_used_or_called_up(owner):
    assert put(owner, Kind.SALE, "100.01").balance == Dec("50.00")
    assert put(owner, Kind.PURCHASE, "20.01").balance == Dec("39.99")
    assert put(owner, Kind.PURCHASE, "80.01").called == Dec("0.02")  # 40.005 asked, 39.99 there


def test_a_currency_without_cents_is_kept_whole(owner):
    rows.cash("JPY", 0)
    tokyo = rows.account(currency="JPY")
    assert put(tokyo, Kind.SALE, "1001").balance == 500
    with pytest.raises(Malformed, match="finer"):
        put(tokyo, Kind.DEPOSIT, "0.5")


@pytest.mark.parametrize(
    ("terms", "why"),
    [
        ({"kind": Kind.CLOSE, "amount": "0", "reference": "x"}, "close_of_day"),
        ({"kind": Kind.DEPOSIT, "amount": "0.001", "reference": "x"}, "finer"),
        ({"kind": Kind.DEPOSIT, "amount": "1"}, "one source"),
        ({"kind": Kind.DEPOSIT, "amount": "1", "reference": "close:2026-03-02"}, "closes have their own"),
        ({"kind": Kind.DEPOSIT, "amount": "1", "reference": "x", "at": AT - timedelta(days=1)}, "before the last"),
    ],
)
def test_a_malformed_posting_is_refused(owner, terms, why):
    put(owner, Kind.DEPOSIT, 10)
    with pytest.raises(Malformed, match=why):
        sma.post(owner, **{"at": AT, **terms, "amount": Dec(terms["amount"])})


def test_a_source_must_be_of_the_account_and_say_the_same_amount(owner):
    movement = paid_in(owner, "100")
    with pytest.raises(Malformed, match="not what moved"):
        put(owner, Kind.DEPOSIT, 99, movement=movement)
    with pytest.raises(Malformed, match="not of account"):
        put(rows.account(), Kind.DEPOSIT, 100, movement=movement)
    put(owner, Kind.DEPOSIT, 100, movement=movement)
    with pytest.raises(Conflict, match="posted already"):
        put(owner, Kind.DIVIDEND, 100, movement=movement)


def test_a_fill_is_posted_once(owner):
    stock = rows.equity("AAA")
    fill = Fill.objects.create(
        account=owner, instrument=stock, source="oms", external_reference="1", quantity=-10, price=100, traded_at=AT
    )
    assert put(owner, Kind.SALE, 1000, fill=fill).reference == f"fill:{fill.pk}"
    assert put(owner, Kind.SALE, 1000, fill=fill).balance == 500
    assert SmaEntry.objects.count() == 1


# --- the close of a day -----------------------------------------------------------------------------


def test_a_close_raises_what_is_below_the_excess_and_writes_nothing_for_the_rest(owner):
    high, none, below = rows.account(), rows.account(), rows.account()
    put(high, Kind.DEPOSIT, 5000)
    put(owner, Kind.DEPOSIT, 100)
    found = close({owner: "250.009", high: 4999, none: 70, below: -1})
    assert (found.raised, found.overtaken) == (2, ())
    assert [sma.balance(one) for one in (owner, high, none, below)] == [250, 5000, 70, 0]
    assert SmaEntry.objects.filter(kind="close").count() == 2


def test_closing_a_day_twice_ends_the_same(owner):
    close({owner: 300})
    assert close({owner: 300}).raised == 0
    assert close({owner: 400}).raised == 0  # the day is closed
    assert close({owner: 400}, day=TODAY + timedelta(days=1), at=LATER + timedelta(days=1)).raised == 1
    assert sma.balance(owner) == 400


def test_what_was_used_after_the_excess_was_seen_is_not_given_back(owner):
    put(owner, Kind.DEPOSIT, 5000)
    put(owner, Kind.WITHDRAWAL, 5000, at=LATER + timedelta(minutes=5), resulting=SOUND)
    assert close({owner: 5000}) == sma.Closed(0, (owner.pk,))
    assert sma.balance(owner) == 0


def test_a_close_keeps_what_is_called(owner):
    put(owner, Kind.PURCHASE, 2000)
    close({owner: 300})
    assert sma.state(owner) == State(Dec(300), Dec(1000))


def test_an_unknown_account_or_figure_stops_the_close(owner):
    with pytest.raises(Malformed, match="no account 0"):
        sma.close_of_day({0: Dec(1)}, day=TODAY, at=LATER)
    with pytest.raises(Malformed, match="leave out"):
        close({owner: "NaN"})
    assert close({}) == sma.Closed(0, ())


def test_a_close_takes_a_handful_of_statements_whatever_the_number_of_accounts(owner, django_assert_num_queries):
    many = {rows.account(): 10 for _ in range(40)}
    with django_assert_num_queries(7):  # savepoint, accounts, currencies, lock, insert, overtaken, release
        assert close(many).raised == 40


@pytest.mark.django_db
@settings(max_examples=25, deadline=None)
@given(
    acts=st.lists(
        st.tuples(st.sampled_from(["deposit", "sale", "purchase", "close"]), st.integers(-50000, 50000)), max_size=6
    )
)
def test_sma_falls_only_by_what_is_used_and_stands_no_lower_than_the_excess_after_a_close(acts):
    rows.cash()
    owner = rows.account()
    for place, (kind, size) in enumerate(acts):
        at, before = AT + timedelta(days=place), sma.balance(owner)
        if kind == "close":
            close({owner: size}, day=at.date(), at=at)
            assert sma.balance(owner) >= max(before, size)
        else:
            after = put(owner, Kind(kind), abs(size), at=at).balance
            assert after >= before or kind == "purchase"
        assert sma.state(owner).called >= 0


def test_a_complete_sweep_closes_the_day_for_all_its_accounts(owner):
    """By hand, prices of Monday: Regulation T alone counts, whatever maintenance asks.

    Long 100 at 50, debit 1,000: 4,000 − 2,500. Short 1,000 at 2.00 on 4,500: 2,500 − 1,000, though maintenance asks
    2,500. A 3x fund, 100 at 20, paid: 2,000 − 1,000. Long 100 at 50, debit 3,000: restricted. The last has no price.
    """
    rows.policy("us_margin", world.securities())
    plain, cheap = rows.equity("XYZ"), rows.equity("LOW")
    fund, silent = rows.equity("FUND", kind="etf", leverage=3), rows.equity("SILENT")
    for one, price in ((plain, "50"), (cheap, "2"), (fund, "20")):
        world.quote(one, price, world.MONDAY)
    accounts = [
        world.long_account("100", "1000", plain),
        rows.account(),
        rows.account(),
        world.long_account("100", "3000", plain),
        world.long_account("100", "1000", silent),
    ]
    entries = ((accounts[1], cheap, "-1000"), (accounts[1], rows.cash(), "4500"), (accounts[2], fund, "100"))
    for account, instrument, quantity in entries:
        rows.hold(account, instrument, quantity)
    _record_facts()
    done = sweep.run("securities", at=world.MONDAY)
    done.refresh_from_db()
    found = closing.close(done, day=TODAY)
    assert (found.opened, found.posted, found.raised, list(found.waiting)) == (4, 0, 0, [accounts[4].code])
    assert [sma.balance(account) for account in accounts] == [1500, 1500, 1000, 0, 0]
    assert set(SmaEntry.objects.values_list("sweep", flat=True)) == {done.pk}
    assert SmaEntry.objects.count() == 4
    assert (closing.close(done, day=TODAY).opened, SmaEntry.objects.count()) == (0, 4)


def _record_facts():
    """Positions of the tests are made without a book; a past instant is read from facts."""
    for held in Position.objects.all():
        PositionFact.objects.create(
            account_id=held.account_id,
            instrument_id=held.instrument_id,
            change=held.quantity,
            quantity=held.quantity,
            cause="book",
            reference="book:test",
            effective_at=AT - timedelta(days=1),
        )


def test_an_unfinished_sweep_closes_nothing(owner):
    running = Sweep.objects.create(kind="securities", slot_at=AT, at=AT, started_at=AT)
    with pytest.raises(ValueError, match="running"):
        closing.close(running, day=TODAY)


@pytest.mark.parametrize("role", ["Auditor", "Operations"])
def test_the_pages_of_sma_are_read_only(owner, client, role):
    entry = put(owner, Kind.DEPOSIT, 1234)
    reader = houses.user("reader", role)
    client.force_login(reader, backend="django.contrib.auth.backends.ModelBackend")
    listed = client.get(reverse("admin:margin_smaentry_changelist"))
    assert listed.status_code == 200
    assert "1,234.00" in listed.content.decode()
    page = reverse("admin:margin_smaentry_change", args=(entry.pk,))
    assert client.get(page).status_code == 200
    client.post(page, {"balance": 9})
    assert sma.balance(owner) == 1234
    assert client.get(reverse("admin:margin_smaentry_add")).status_code == 403


# --- what the database itself refuses ---------------------------------------------------------------

INSERT = """
INSERT INTO margin_smaentry (account_id, number, kind, amount, excess, balance, called, reference, at)
SELECT account_id, number + {step}, '{kind}', {amount}, {excess}, {balance}, 0, {reference},
    at - {back} * interval '1 s'
FROM margin_smaentry
"""
PLAIN = {"step": 1, "kind": "deposit", "amount": 1, "excess": "NULL", "balance": 101, "reference": "'x'", "back": 0}


def inserted(**changes):
    return INSERT.format(**{**PLAIN, **changes})


ATTACKS = {
    "change a balance": ("UPDATE margin_smaentry SET balance = 9", "append only"),
    "delete an entry": ("DELETE FROM margin_smaentry", "append only"),
    "skip a number": (inserted(step=2), "does not follow"),
    "repeat a number": (inserted(step=0), "does not follow"),
    "go back in time": (inserted(back=1), "does not follow"),
    "lower by a close": (inserted(kind="close", amount=0, excess=1, balance=1), "lowers nothing"),
    "close below the excess": (inserted(kind="close", amount=0, excess=200, balance=150), "no_lower_than_the_excess"),
    "close without an excess": (inserted(kind="close", amount=0, balance=150), "no_lower_than_the_excess"),
    "turn negative": (inserted(kind="withdrawal", balance=-1), "sma_is_not_negative"),
    "post a source twice": (inserted(reference="reference"), "one_per_source"),
    "invent a kind": (inserted(kind="gift"), "sma_kind_is_known"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_even_the_owner_of_the_tables_cannot(owner, attack):
    put(owner, Kind.DEPOSIT, 100, reference="once")
    statement, why = ATTACKS[attack]
    with pytest.raises(DatabaseError, match=why), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert sma.balance(owner) == 100


def test_the_same_row_with_nothing_wrong_is_taken(owner):
    put(owner, Kind.DEPOSIT, 100, reference="once")
    with connection.cursor() as cursor:
        cursor.execute(inserted())
    assert sma.balance(owner) == 101


def test_nobody_empties_the_table_and_the_application_role_only_inserts(committed_db, as_owner, as_application):
    rows.cash()
    put(rows.account(), Kind.DEPOSIT, 100)
    with as_owner() as owner, owner.cursor() as cursor:
        with pytest.raises(psycopg2.errors.RestrictViolation, match="append only"):
            cursor.execute("TRUNCATE margin_smaentry")
        owner.rollback()
    for statement in ("UPDATE margin_smaentry SET balance = 9", "DELETE FROM margin_smaentry"):
        with as_application() as application, application.cursor() as cursor:
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute(statement)
            application.rollback()


def test_two_posters_of_one_account_wait_for_each_other(django_as_application):
    rows.cash()
    owner = rows.account()

    def deposit(number):
        try:
            put(owner, Kind.DEPOSIT, 1, reference=f"race:{number % 6}")
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(deposit, range(12)))
    assert sma.balance(owner) == 6
    assert list(SmaEntry.objects.order_by("number").values_list("number", flat=True)) == [1, 2, 3, 4, 5, 6]
