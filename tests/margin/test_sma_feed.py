"""SMA that keeps itself, on a real PostgreSQL: what happened is posted at the close, once and in order, by pencil."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as Dec

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection
from django.urls import reverse
from django_celery_beat.models import PeriodicTask

from accounts import cash, fills, positions
from margin import closing, sma, sma_feed, sweep, tasks
from margin.engine.methodologies import option_strategies
from margin.engine.sma import Kind, State
from margin.models import SmaEntry, Sweep
from market import calendars
from market.models import FxRate
from tests.faces import house as houses
from tests.margin import rows, world

FRIDAY = datetime(2026, 2, 27, 21, 5, tzinfo=UTC)  # five minutes after New York has closed
OPTIONS = {
    **world.EXCHANGE,
    "parts": [
        {
            "methodology": "option_strategies",
            "measure": "maintenance",
            "kinds": ["option", "equity", "etf"],
            "terms": option_strategies.RULE_BOOK,
        }
    ],
}


def day(count):
    """The close of so many days after that Friday."""
    return FRIDAY + timedelta(days=count)


def begin(regime=world.EXCHANGE):
    """A policy, stock X and Y at 100 and 50, and a house that has kept SMA since Friday."""
    rows.policy("us_margin", world.securities(regime))
    stock = {"X": rows.equity("X"), "Y": rows.equity("Y")}
    rows.cash()
    founder = rows.account("FOUNDER")
    positions.write([(founder.pk, rows.cash().pk, Dec(500), None)], cause="book", reference="b", effective_at=day(-1))
    for name, price in (("X", "100"), ("Y", "50")):
        world.quote(stock[name], price, FRIDAY)
    assert end(FRIDAY).opened == 1
    return stock


@pytest.fixture
def stock(db):
    return begin()


def end(at, **prices):
    """Quote these prices, sweep and close."""
    for code, price in prices.items():
        world.quote(rows.equity(code), price, at)
    return closing.close(sweep.run("securities", at=at), day=at.date())


def numbered():
    return f"n{next(rows.numbers)}"


def pay(owner, amount, at, *, kind="deposit", currency="USD", source="bank"):
    one = cash.CashMovement(
        account=owner,
        currency=rows.cash(currency),
        kind=kind,
        amount=Dec(amount),
        source=source,
        external_reference=numbered(),
        effective_at=at,
    )
    return cash.post([one], at=at)[0]


def trade(owner, instrument, quantity, price, at, *, recorded=None, fee="0"):
    return fills.apply_fill(
        owner,
        instrument=instrument,
        quantity=Dec(quantity),
        price=Dec(price),
        fee=Dec(fee),
        source="oms",
        external_reference=numbered(),
        traded_at=at,
        at=recorded or at,
    )


def told(owner):
    """(kind, balance, called) of every entry, in order."""
    entries = SmaEntry.objects.filter(account=owner).order_by("number")
    return [(entry.kind, int(entry.balance), int(entry.called)) for entry in entries]


WEEK = [
    ("deposit", 10000, 0),
    ("purchase", 0, 0),
    ("close", 2000, 0),
    ("dividend", 2100, 0),
    ("purchase", 100, 0),
    ("sale", 1000, 0),
    ("sale", 2600, 0),
    ("withdrawal", 0, 0),
    ("purchase", 0, 1000),
    ("deposit", 0, 0),
    ("interest", 500, 0),
]


def live_the_week(stock, owner, *, close):
    """The week of docs/methodologies/reg_t.md; its last deposit of 1,500 comes as 1,000 and 500 of interest."""
    hour = timedelta(hours=-3)
    pay(owner, "10000", day(3) + 2 * hour)
    trade(owner, stock["X"], "200", "100", day(3) + hour)
    close(day(3), X="100")
    close(day(4), X="120")
    close(day(5), X="90")
    pay(owner, "100", day(6) + hour, kind="dividend")
    close(day(6), X="90", Y="50")
    trade(owner, stock["Y"], "80", "50", day(7) + hour)
    close(day(7), X="90", Y="50")
    trade(owner, stock["X"], "-20", "90", day(8) + 2 * hour)
    trade(owner, stock["Y"], "-64", "50", day(8) + hour)
    close(day(8), X="90", Y="50")
    pay(owner, "-2600", day(9) + hour, kind="withdrawal")
    close(day(9), X="90", Y="50")
    trade(owner, stock["Y"], "40", "50", day(10) + hour)
    close(day(10), X="90", Y="50")
    pay(owner, "1000", day(11) + 2 * hour)
    pay(owner, "500", day(11) + hour, kind="interest")
    close(day(11), X="90", Y="50")


def test_the_week_of_the_documentation_keeps_itself(stock):
    owner = rows.account()
    live_the_week(stock, owner, close=end)
    assert told(owner) == WEEK


def test_closing_every_day_twice_tells_the_same_week(stock):
    owner = rows.account()

    def twice(at, **prices):
        done = end(at, **prices)
        again = closing.close(Sweep.objects.get(kind="securities", at=at), day=at.date())
        assert (again.posted, again.raised, again.opened) == (0, 0, 0)
        return done

    live_the_week(stock, owner, close=twice)
    assert told(owner) == WEEK


def test_an_account_that_was_there_before_begins_with_its_excess_and_no_call(db):
    """By hand: 100 X at 100 with 3,000 borrowed: 7,000 − 5,000. With 9,000: 1,000 − 5,000, so nothing."""
    rows.policy("us_margin", world.securities(world.EXCHANGE))
    stock = rows.equity("X")
    sound, short = rows.account(), rows.account()
    for owner, put_in in ((sound, "7000"), (short, "1000")):
        pay(owner, put_in, day(-2))
        trade(owner, stock, "100", "100", day(-1))
    done = end(FRIDAY, X="100")
    assert (done.opened, done.posted, done.waiting) == (2, 0, {})
    assert (told(sound), told(short)) == ([("close", 2000, 0)], [("close", 0, 0)])
    pay(short, "100", day(3))
    assert end(day(3), X="100").posted == 1
    assert told(short) == [("close", 0, 0), ("deposit", 100, 0)]


def test_a_trade_recorded_late_is_posted_then_and_not_lost_in_the_opening(stock):
    founder = rows.Account.objects.get(code="FOUNDER")
    assert told(founder) == [("close", 500, 0)]
    trade(founder, stock["X"], "4", "100", day(-1), recorded=day(2))
    assert end(day(3), X="100").posted == 1
    assert told(founder) == [("close", 500, 0), ("purchase", 300, 0)]
    assert SmaEntry.objects.get(kind="purchase").at == day(3)


def test_what_the_market_gave_since_the_last_close_may_be_used_before_the_next(stock):
    """By hand: 200 X, debit 10,000, at 120: excess 2,000 before the purchase of 3,000, which asks 1,500: 500 is left.

    Without it the purchase would find SMA of 0 and be called, though the day leaves no deficiency (220.4(c)(1)).
    """
    owner = rows.account()
    pay(owner, "10000", day(2))
    trade(owner, stock["X"], "200", "100", day(2))
    end(day(3), X="100", Y="50")
    trade(owner, stock["Y"], "60", "50", day(4))
    end(day(4), X="120", Y="50")
    assert told(owner)[2:] == [("close", 2000, 0), ("purchase", 500, 0)]


@pytest.mark.parametrize("first", ["sale", "purchase"])
def test_a_restricted_account_may_replace_what_it_sells_in_either_order(stock, first):
    """Restricted, even below maintenance: 200 X at 60 with 10,000 borrowed is 2,000 of equity on 12,000."""
    owner = rows.account()
    pay(owner, "10000", day(2))
    trade(owner, stock["X"], "200", "100", day(2))
    end(day(3), X="100", Y="50")
    sale, purchase = (stock["X"], "-50", "60"), (stock["Y"], "60", "50")
    for number, terms in enumerate((sale, purchase) if first == "sale" else (purchase, sale)):
        trade(owner, *terms, day(4) - timedelta(hours=3 - number))
    end(day(4), X="60", Y="50")
    assert sma.state(owner) == State(Dec(0), Dec(0))


def test_sma_is_not_used_where_the_day_leaves_a_maintenance_deficiency(stock):
    """By hand: SMA 5,000. X falls to 40: equity 3,000; 6,000 of Y: maintenance 25 % of 14,000, a deficiency of 500.

    Y asks 1,000 and 2,000, which SMA has; but 500 of it may not be used, and is called with the last.
    """
    owner = rows.account()
    pay(owner, "15000", day(2))
    trade(owner, stock["X"], "200", "100", day(2))
    end(day(3), X="100", Y="50")
    assert told(owner)[-1] == ("purchase", 5000, 0)
    trade(owner, stock["Y"], "40", "50", day(4) - timedelta(hours=2))
    trade(owner, stock["Y"], "80", "50", day(4) - timedelta(hours=1))
    end(day(4), X="40", Y="50")
    assert told(owner)[-2:] == [("purchase", 4000, 0), ("purchase", 2500, 500)]


def test_money_that_left_beyond_sma_is_called(stock):
    owner = rows.account()
    pay(owner, "3000", day(2))
    trade(owner, stock["X"], "40", "100", day(2))
    end(day(3), X="100")
    pay(owner, "-1200", day(4), kind="withdrawal")
    end(day(4), X="100")
    assert told(owner)[-2:] == [("purchase", 1000, 0), ("reversal", 0, 200)]


def test_what_is_taken_back_is_undone_and_what_is_charged_is_left_alone(stock):
    owner = rows.account()
    paid = pay(owner, "3000", day(2))
    pay(owner, "100", day(2))
    bought = trade(owner, stock["X"], "20", "100", day(2), fee="7")
    end(day(3), X="100")
    assert told(owner)[-1] == ("purchase", 2100, 0)
    charged = pay(owner, "-90", day(4), kind="interest")
    pay(owner, "-10", day(4), kind="fee")
    cash.reverse(charged, source="bank", external_reference="back", at=day(4))
    cash.reverse(paid, source="bank", external_reference="bounced", at=day(4))
    fills.bust(bought, source="oms", external_reference="bust", at=day(4))
    end(day(4), X="100")
    assert told(owner)[3:] == [("sale", 3100, 0), ("reversal", 100, 0)]


def test_a_correction_counts_both_ways_but_what_is_written_down_is_no_money_in(stock):
    owner = rows.account()
    pay(owner, "100", day(2))
    pay(owner, "30", day(2) + timedelta(minutes=1), kind="correction")
    pay(owner, "-50", day(2) + timedelta(minutes=2), kind="correction")
    pay(owner, "-20", day(2) + timedelta(minutes=3), kind="fee")
    pay(owner, "20", day(2) + timedelta(minutes=3), kind="correction", source="receivable")
    end(day(3))
    assert told(owner) == [("deposit", 100, 0), ("deposit", 130, 0), ("reversal", 80, 0)]


def test_shorts_are_sold_and_covered_by_half_and_what_has_no_loan_value_is_paid_in_full(stock):
    owner, penny = rows.account(), rows.equity("PENNY", margin_eligible=False)
    pay(owner, "20000", day(2))
    trade(owner, stock["X"], "-100", "100", day(2))
    trade(owner, stock["X"], "40", "100", day(2))
    trade(owner, penny, "100", "30", day(2))
    trade(owner, penny, "-100", "30", day(2))
    end(day(3), X="100", PENNY="30")
    assert told(owner) == [
        ("deposit", 20000, 0),
        ("short_sale", 15000, 0),
        ("cover", 17000, 0),
        ("cash_purchase", 14000, 0),
        ("option", 17000, 0),
    ]


def test_a_fill_that_turns_a_long_into_a_short_is_posted_by_its_net_call(stock):
    """By hand: 100 sold of which 60 are held: 50 % of 6,000 is released and 50 % of 4,000 asked."""
    owner = rows.account()
    pay(owner, "10000", day(2))
    trade(owner, stock["X"], "60", "100", day(2) + timedelta(minutes=1))
    trade(owner, stock["X"], "-100", "100", day(2) + timedelta(minutes=2))
    end(day(3), X="100")
    assert told(owner) == [("deposit", 10000, 0), ("purchase", 7000, 0), ("option", 8000, 0)]


def test_options_are_posted_by_their_net_call(db):
    """By hand, Cboe margin manual: a long call is paid in full, 500. A naked call at the money, 3.00 with the stock at
    100, asks 300 + 20 % of 10,000 − 300 of proceeds. The call bought above it makes a spread of width 10: MPL 1,000,

    where 2,300 was needed: 1,300 come back, less 80 paid. Together what the manual asks for the spread: 1,000 − 220.
    Marks of the close are others, and change nothing.
    """
    stock, owner = begin(OPTIONS), rows.account()
    terms = {"kind": "option", "underlying": stock["X"], "right": "call", "style": "american", "multiplier": 100}
    listed = {
        strike: rows.equity(f"X C{strike}", **terms, strike=Dec(strike), expires_at=FRIDAY + timedelta(days=98))
        for strike in (90, 100, 110)
    }
    pay(owner, "10000", day(2))
    first = day(2) + timedelta(minutes=1)
    trade(owner, listed[100], "-1", "3", first)
    trade(owner, listed[110], "1", "0.80", first + timedelta(minutes=1))
    for strike, price in ((90, "12"), (100, "4"), (110, "1")):
        world.quote(listed[strike], price, day(3))
    assert end(day(3), X="100", Y="50").waiting == {}
    entries = SmaEntry.objects.filter(account=owner, kind="option").order_by("number")
    assert [int(entry.amount) for entry in entries] == [2000, -1220]
    assert sma.state(owner) == State(Dec(9220), Dec(0))


def test_an_unpriced_account_keeps_its_sma_is_named_and_is_posted_when_it_has_a_price(stock):
    owner, silent = rows.account(), rows.equity("SILENT")
    pay(owner, "1000", day(2))
    end(day(3), X="100", Y="50")
    trade(owner, silent, "10", "20", day(4))
    pay(owner, "50", day(4))
    done = end(day(4))
    assert (list(done.waiting), done.posted) == ([owner.code], 0)
    assert "SILENT: no price" in done.waiting[owner.code]
    assert told(owner) == [("deposit", 1000, 0)]
    assert end(day(5), SILENT="20").posted == 2
    assert told(owner)[1:] == [("deposit", 1050, 0), ("purchase", 950, 0)]


def test_foreign_money_is_converted_and_waits_for_its_rate(stock):
    owner = rows.account()
    rows.cash("EUR")
    pay(owner, "100.03", day(2), currency="EUR")
    pay(owner, "-100.03", day(2) + timedelta(minutes=1), currency="EUR", kind="withdrawal")
    done = end(day(3), X="100")
    assert "EUR" in done.waiting[owner.code]
    FxRate.objects.create(base="EUR", quoted="USD", value=Dec("1.1"), as_of=day(4), source="test")
    assert end(day(4), X="100").posted == 2
    amounts = SmaEntry.objects.filter(account=owner, amount__gt=0).order_by("number").values_list("amount", flat=True)
    assert list(amounts) == [Dec("110.03"), Dec("110.04")]  # 110.033: credited down, asked up


def test_an_option_trade_before_a_correction_waits_by_name(db):
    stock, owner = begin(OPTIONS), rows.account()
    terms = {"kind": "option", "underlying": stock["X"], "right": "call", "style": "american", "multiplier": 100}
    call = rows.equity("X C100", **terms, strike=Dec(100), expires_at=FRIDAY + timedelta(days=98))
    world.quote(call, "3", day(3))
    pay(owner, "1000", day(2))
    trade(owner, call, "1", "3", day(2))
    positions.adjust(
        owner, instrument=call, change=Dec(1), reason="given", external_reference="adj", at=day(2) + timedelta(hours=1)
    )
    assert "came after" in end(day(3), X="100").waiting[owner.code]
    assert told(owner) == []


# --- twice, half-way, at once -----------------------------------------------------------------------


def two_accounts(stock):
    owners = [rows.account() for _ in range(2)]
    for owner in owners:
        pay(owner, "5000", day(2))
        trade(owner, stock["X"], "80", "100", day(2) + timedelta(minutes=1))
        pay(owner, "300", day(2) + timedelta(minutes=2), kind="dividend")
    return owners


TOLD = [("deposit", 5000, 0), ("purchase", 1000, 0), ("dividend", 1300, 0)]


def test_a_close_that_dies_between_two_accounts_is_finished_by_the_next(committed_db, monkeypatch):
    stock = begin()
    owners = two_accounts(stock)
    monkeypatch.setattr(sma_feed, "CHUNK", 1)
    post, left = sma.post_all, [1]

    def dies(*args, **terms):
        if not left:
            raise KeyboardInterrupt
        left.pop()
        return post(*args, **terms)

    monkeypatch.setattr(sma, "post_all", dies)
    with pytest.raises(KeyboardInterrupt):
        end(day(3), X="100")
    assert [told(owner) for owner in owners] == [TOLD, []]
    monkeypatch.setattr(sma, "post_all", post)
    closed = Sweep.objects.get(at=day(3))
    assert closing.close(closed, day=day(3).date()).posted == 3
    assert [told(owner) for owner in owners] == [TOLD, TOLD]


def test_an_account_posted_half_way_ends_the_same(stock):
    owner, other = two_accounts(stock)
    movement = owner.cash_movements.get(kind="deposit")
    sma.post(owner, kind=Kind.DEPOSIT, amount=Dec(5000), movement=movement, at=day(2))
    end(day(3), X="110")  # the price rose 10: excess 2,300 + … both raised alike
    assert told(owner)[-1] == told(other)[-1] == ("dividend", 1700, 0)


def test_two_closers_post_everything_once(django_as_application):
    stock = begin()
    owners = two_accounts(stock)
    world.quote(stock["X"], "100", day(3))
    closed = sweep.run("securities", at=day(3))

    def close(_):
        try:
            return closing.close(closed, day=day(3).date()).posted
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        posted = list(pool.map(close, range(8)))
    assert sum(posted) == 6
    assert [told(owner) for owner in owners] == [TOLD, TOLD]


def test_an_account_that_moves_on_while_it_is_measured_waits_for_the_next_close(stock, monkeypatch):
    owner, other = two_accounts(stock)
    measured = closing.regulation.measured

    def slowly(*args):
        found = measured(*args)
        pay(owner, "7", day(3))
        return found

    monkeypatch.setattr(closing.regulation, "measured", slowly)
    done = end(day(3), X="100")
    assert done.waiting == {owner.code: sma_feed.OVERTAKEN}
    assert (told(owner), told(other)) == ([], TOLD)
    monkeypatch.undo()
    closing.close(Sweep.objects.get(at=day(3)), day=day(3).date())
    assert told(owner) == [*TOLD, ("deposit", 1307, 0)]


def test_an_account_posted_to_while_it_is_measured_waits_and_is_given_back_nothing(stock, monkeypatch):
    owner, _ = two_accounts(stock)
    end(day(3), X="100")
    pay(owner, "1", day(4))
    measured = closing.regulation.measured

    def slowly(*args):
        found = measured(*args)
        sma.post(owner, kind=Kind.REVERSAL, amount=Dec(1300), at=day(4), reference="spent")
        return found

    monkeypatch.setattr(closing.regulation, "measured", slowly)
    assert end(day(4), X="120").waiting == {owner.code: sma_feed.OVERTAKEN}
    assert sma.state(owner) == State(Dec(0), Dec(0))


def test_an_account_posted_to_after_the_sweep_waits(stock):
    owner, _ = two_accounts(stock)
    sma.post(owner, kind=Kind.SECURITIES, amount=Dec(10), at=day(3) + timedelta(hours=1), reference="brought in")
    assert end(day(3), X="100").waiting == {owner.code: sma_feed.OVERTAKEN}


# --- the clock and the desk ---------------------------------------------------------------------------


@pytest.fixture
def sessions(stock):
    calendars.fill("XNYS", date(2026, 2, 1), date(2026, 3, 31))
    return stock


def test_the_task_sweeps_after_the_close_and_closes_and_does_nothing_before_it(sessions, monkeypatch):
    owner, _ = two_accounts(sessions)
    world.quote(sessions["X"], "100", day(3))
    for at, entries in ((day(3) - timedelta(minutes=6), []), (day(2), []), (day(3), TOLD), (day(3), TOLD)):
        monkeypatch.setattr("market.clock.now", lambda at=at: at)
        tasks.close_sma()
        assert told(owner) == entries


def test_the_close_is_on_the_schedule_once_and_in_the_operations_page(db):
    row = PeriodicTask.objects.get(task="margin.close_sma")
    assert (row.crontab.hour, str(row.crontab.timezone), row.enabled) == ("16-18", "America/New_York", True)
    assert f"| {row.name} | `{row.task}` |" in (settings.BASE_DIR / "docs/operations.md").read_text()


def test_the_command_closes_a_day_and_names_who_waits(sessions, monkeypatch, capsys):
    owner, other = two_accounts(sessions)
    trade(other, rows.equity("SILENT"), "1", "1", day(2) + timedelta(hours=1))
    monkeypatch.setattr("market.clock.now", lambda: day(3))
    world.quote(sessions["X"], "100", day(3))
    call_command("close_day")
    said = capsys.readouterr().out
    assert told(owner) == TOLD
    assert f"{other.code} waits" in said
    with pytest.raises(CommandError, match="no trading day"):
        call_command("close_day", "--day", "2026-03-01")
    with pytest.raises(CommandError, match="no securities sweep"):
        call_command("close_day", "--day", "2026-02-26")


def test_the_page_of_an_account_shows_what_is_called(stock, client):
    owner = rows.account()
    sma.post(owner, kind=Kind.PURCHASE, amount=Dec(2468), at=FRIDAY, reference="x")
    reader = houses.user("reader", "Operations")
    client.force_login(reader, backend="django.contrib.auth.backends.ModelBackend")
    page = client.get(reverse("admin:accounts_account_change", args=(owner.pk,))).content.decode()
    assert "Special memorandum account" in page
    assert "1,234.00" in page
