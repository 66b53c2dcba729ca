"""Real threads on a real database: whoever comes first, the end is the same."""

import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from django.db import connection, transaction

from accounts import cash, positions
from accounts.models import Adjustment, CashMovement, Fill, PositionFact
from market.strict import Refused
from tests.accounts import world
from tests.accounts.world import AT, DAY, HOUR, D


def at_once(deeds: Sequence[Callable[[], Any]]) -> list[Any]:
    """Do all deeds in threads that start together; results or exceptions, in order."""
    barrier, results = threading.Barrier(len(deeds)), [None] * len(deeds)

    def run(number: int) -> None:
        try:
            barrier.wait(10)
            results[number] = deeds[number]()
        except Exception as error:
            results[number] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(deeds))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def fill(account, share, number, quantity="1"):
    return Fill(
        account=account, instrument=share, source="x", external_reference=f"F-{number}", quantity=D(quantity),
        price=D(2), fee=D(0), traded_at=AT - HOUR,
    )  # fmt: skip


def test_one_fill_reported_by_sixteen_threads_moves_once(committed_db):
    account, usd, share = world.account(), world.usd(), world.instrument("X")
    results = at_once([lambda: positions.apply_fills([fill(account, share, 1)], at=AT)[0].pk] * 16)
    assert len(set(results)) == 1
    assert (world.holds(account, share), world.holds(account, usd), world.revision(account)) == (D(1), D(-2), 1)


def test_overlapping_batches_in_opposite_orders_neither_lose_nor_double_nor_deadlock(committed_db):
    accounts, usd = [world.account(f"A{number}") for number in range(8)], world.usd()
    shares = [world.instrument(f"S{number}") for number in range(4)]

    def batch(seed):
        fills = [fill(accounts[n % 8], shares[n % 4], n) for n in range(40)]
        random.Random(seed).shuffle(fills)
        return lambda: len(positions.apply_fills(fills[:30], at=AT)) + len(positions.apply_fills(fills, at=AT))

    assert at_once([batch(seed) for seed in range(8)]) == [70] * 8
    assert Fill.objects.count() == 40
    assert sum(world.holds(account, share) for account in accounts for share in shares) == D(40)
    assert sum(world.holds(account, usd) for account in accounts) == D(-80)
    world.assert_positions_are_the_sums_of_their_facts()


def test_a_hundred_deposits_at_once_all_count_and_number_the_revision(committed_db):
    account, usd = world.account(), world.usd()

    def pay(thread):
        def deeds():
            for number in range(10):
                sent = {"currency": "USD", "amount": D("0.01"), "external_reference": f"{thread}-{number}"}
                cash.deposit(account, source="b", at=AT, **sent)

        return deeds

    assert at_once([pay(thread) for thread in range(10)]) == [None] * 10
    assert (world.holds(account, usd), world.revision(account)) == (D(1), 100)
    world.assert_positions_are_the_sums_of_their_facts()


def test_a_deposit_reversed_by_eight_threads_under_eight_references_is_reversed_once(committed_db):
    account, usd = world.account(), world.usd()
    paid = cash.deposit(account, currency="USD", amount=D(5), source="b", external_reference="d", at=AT)
    results = at_once([lambda n=n: cash.reverse(paid, source="b", external_reference=f"r{n}", at=AT) for n in range(8)])
    assert sorted(type(result).__name__ for result in results) == ["CashMovement"] + ["Conflict"] * 7
    assert world.holds(account, usd) == D(0)


def test_a_split_applied_by_eight_threads_amid_late_and_new_fills_splits_every_old_share_once(committed_db):
    share, _ = world.instrument("X"), world.usd()
    accounts = [world.account(f"A{number}") for number in range(6)]
    for account in accounts[:3]:
        positions.write([(account.pk, share.pk, D(10), None)], cause="book", reference="o", effective_at=AT - 9 * DAY)
    split = world.action("split", share, effective_at=AT - DAY, new_per_old=D(7))

    def trades(account):
        def deeds():
            for number in range(6):
                late = number % 2
                positions.apply_fill(
                    account, instrument=share, quantity=D(1), price=D(1), source="x", at=AT,
                    external_reference=f"{account.code}-{number}", traded_at=AT - (2 * DAY if late else HOUR),
                )  # fmt: skip

        return deeds

    deeds = [trades(account) for account in accounts] + [lambda: positions.apply_action(split, at=AT)] * 8
    results = at_once(deeds)
    assert [result for result in results if isinstance(result, Exception)] == []
    assert results.count(True) == 1
    # three late fills of one old share are seven new ones each, three are new shares already
    assert [world.holds(account, share) for account in accounts] == [D(70 + 24)] * 3 + [D(24)] * 3
    world.assert_positions_are_the_sums_of_their_facts()


@pytest.mark.parametrize("first", ["split", "fill"])
def test_a_late_fill_of_a_new_holder_and_a_split_wait_for_each_other(committed_db, first):
    share, account, _ = world.instrument("X"), world.account(), world.usd()
    action = world.action("split", share, effective_at=AT - DAY, new_per_old=D(7))
    late = {"traded_at": AT - 2 * DAY, "at": AT, "source": "x", "external_reference": "late"}
    deeds = {
        "split": lambda: positions.apply_action(action, at=AT),
        "fill": lambda: positions.apply_fill(account, instrument=share, quantity=D(1), price=D(2), **late),
    }
    done = threading.Event()

    def slowly():
        with transaction.atomic():
            deeds.pop(first)()
            done.set()
            time.sleep(0.5)  # the other one starts before this transaction ends

    def then():
        done.wait(10)
        return next(iter(deeds.values()))()

    assert not any(isinstance(result, Exception) for result in at_once([slowly, then]))
    assert world.holds(account, share) == D(7)


def test_books_sent_at_once_are_taken_one_after_the_other(committed_db):
    account, _ = world.account("A1"), world.instrument("AAPL")

    def load(quantity):
        content = f"record,account,instrument,quantity\nposition,A1,AAPL,{quantity}\n".encode()
        return lambda: positions.load(content, at=AT).row_count

    assert at_once([load(number) for number in range(1, 7)]) == [1] * 6
    assert (PositionFact.objects.count(), world.revision(account)) == (6, 6)
    world.assert_positions_are_the_sums_of_their_facts()


def test_a_book_that_has_to_wait_too_long_is_refused_and_says_so(committed_db, as_application):
    world.account("A1"), world.instrument("AAPL")
    with as_application() as other, other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('accounts.books.load'))")
        with pytest.raises(Refused, match="another book is being loaded"):
            positions.load(b"record,account,instrument,quantity\nposition,A1,AAPL,1\n", at=AT)
    assert not PositionFact.objects.exists()


@pytest.mark.django_db
def test_a_transaction_that_fails_late_leaves_nothing():
    account, usd, share = world.account(), world.usd(), world.instrument("X")

    class Cut(Exception):
        pass

    with pytest.raises(Cut), transaction.atomic():
        positions.apply_fills([fill(account, share, 1)], at=AT)
        cash.deposit(account, currency="USD", amount=D(5), source="b", external_reference="d", at=AT)
        raise Cut
    assert (Fill.objects.count(), CashMovement.objects.count(), PositionFact.objects.count()) == (0, 0, 0)
    assert (world.holds(account, usd), world.revision(account)) == (D(0), 0)


def test_the_application_role_can_do_all_of_it(django_as_application):
    account, usd, share = world.account(), world.usd(), world.instrument("X")
    content = b"record,account,instrument,quantity\nposition,A1,X,10\n"
    positions.load(content, at=AT - 2 * DAY)
    traded = positions.apply_fills([fill(account, share, 1)], at=AT)[0]
    positions.bust(traded, source="x", external_reference="B", at=AT)
    cash.deposit(account, currency="USD", amount=D(5), source="b", external_reference="d", at=AT)
    split = world.action("split", share, effective_at=AT - DAY, new_per_old=D(2))
    assert positions.apply_action(split, at=AT) is True
    positions.adjust(account, instrument=share, change=D(-1), reason="r", external_reference="k", at=AT)
    assert (world.holds(account, share), world.holds(account, usd)) == (D(19), D(5))
    assert Adjustment.objects.count() == 2
