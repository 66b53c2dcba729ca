"""A small house for the machine: few accounts under policies that differ, people of every role, a mail server's edge.

It is built once and committed in a clone; every schedule is one transaction that is rolled back at its end.
"""

import smtplib
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from email import message_from_bytes
from typing import Any

from django.contrib.auth.models import Group, User
from django.core.mail.backends.smtp import EmailBackend
from django.db import connection, transaction

from accounts import cash, positions
from accounts.models import Account
from margin import approvals, booking, calls, claims, disputes, liquidation, requests, sweep
from margin.actors import Actor, person, system
from margin.engine.methodologies.reg_t import RULE_BOOK
from margin.models import MarginCall, Plan, PlanLine
from margin.workflow import Cause
from market import calendars, fx, quotes
from market.guard import Incoming
from market.models import Instrument
from notifications import notices
from tests.api import house as api
from tests.machine.floor import CODE, Floor
from tests.margin import rows

D = Decimal
OPENED = datetime(2026, 3, 5, 15, 0, tzinfo=UTC)
"""A Thursday in New York; its clocks go forward in the night to Sunday, London's three weeks later."""
KNOWN_UNTIL = date(2026, 12, 31)
BUSINESS = {
    "unit": "business_days",
    "count": 2,
    "calendar": "XNYS",
    "cut_off": "15:00",
    "zone": "America/New_York",
}
HOUSE = {
    "regime": "house",
    "methodology": "reg_t",
    "measure": "house",
    "kinds": ["equity"],
    "terms": {**RULE_BOOK, "house": {"basic": {"long": "0.30", "short": "0.35"}}},
    "clock": BUSINESS,
    "watch_rate": "1.25",
    "warning_rate": "1.05",
    "warning_rates": {"early": "1.15"},
    "severe_rate": "0.50",
    "dwell_seconds": 3600,
    "reminder_minutes": [120],
    "ladder_minutes": [60, 600],
}
EXCHANGE = {**HOUSE, "regime": "exchange", "measure": "exchange", "terms": RULE_BOOK, "dwell_seconds": 0}
SOON = {"unit": "hours", "count": 3, "zone": "Asia/Tokyo"}
STRICT = {**HOUSE, "market_cures": False, "de_minimis": "10", "tolerance": "1", "dwell_seconds": 0, "clock": SOON}
LOAN = {
    "regime": "loan",
    "methodology": "loan",
    "measure": "ltv",
    "kinds": ["crypto"],
    "terms": {"warn": "0.60", "call": "0.70", "liquidate": "0.80", "restore": "0.65"},
    "clock": {"unit": "hours", "count": 24},
    "at_or_beyond": True,
    "proposes": True,
}
STORM = {"least_calls": 2, "accounts_rate": "0.10", "instrument_rate": "0.80", "minutes": 90}
POLICIES: dict[str, dict[str, Any]] = {
    "us_margin": {"sweep": "securities", "calendar": "XNYS", "regimes": [HOUSE, EXCHANGE], "fee_rate": "0.001"},
    "strict": {
        "sweep": "securities",
        "regimes": [STRICT],
        "fee_rate": "0.002",
        "plan_minutes": 60,
        "release": {"venue": CODE},
    },
    "loan": {"sweep": "crypto", "regimes": [LOAN], "fee_rate": "0.01", "storm": STORM},
}
KINDS = ("securities", "crypto")
STAFF = {
    "ops": "Operations",
    "otto": "Operations",
    "sue": "Supervisor",
    "sam": "Supervisor",
    "rita": "Risk",
    "ron": "Risk",
    "cora": "Compliance",
    "carl": "Compliance",
    "audi": "Auditor",
    "adam": "Administrator",
    "nora": "",
}
MARKS = {"XYZ": D(50), "QQQ": D(80), "BTC": D(50_000)}


# --- the edge of the mail world -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mail:
    """What the server took: to whom, under which Message-ID, with which text."""

    message_id: str
    to: str
    text: str


@dataclass
class Edge:
    """A mail server seen from our side of the line. `answers` come in order, then it takes everything."""

    answers: deque[str] = field(default_factory=deque)
    taken: list[Mail] = field(default_factory=list)
    is_down: bool = False
    doubtful: set[str] = field(default_factory=set)
    """Message-IDs whose answer was lost after the text went out: they may come twice."""


EDGE = Edge()


class Line:
    """What `smtplib.SMTP` is to Django: the boundary of the fake. No method of ours behind it is replaced."""

    def __init__(self, *args: Any, **options: Any) -> None:
        if EDGE.is_down:
            raise ConnectionRefusedError("nobody listens")

    def sendmail(self, sender: str, recipients: list[str], text: bytes, *args: Any) -> dict[str, Any]:
        answer = EDGE.answers.popleft() if EDGE.answers else "250"
        message = message_from_bytes(text)
        mail = Mail(str(message["Message-ID"]), recipients[0], text.decode())
        if answer == "452":
            raise smtplib.SMTPDataError(452, b"later")
        if answer == "550":
            raise smtplib.SMTPRecipientsRefused({recipients[0]: (550, b"nobody of that name")})
        EDGE.taken.append(mail)
        if answer == "drop":
            EDGE.doubtful.add(mail.message_id)
            raise smtplib.SMTPServerDisconnected("connection lost")
        return {}

    def noop(self) -> tuple[int, bytes]:
        return (421, b"") if EDGE.is_down else (250, b"")

    def quit(self) -> None: ...

    def close(self) -> None: ...


class Backend(EmailBackend):
    """Django's own SMTP backend with our line in the place of the socket."""

    @property
    def connection_class(self) -> Any:
        return Line


FLOOR = Floor(OPENED)
MAIL = {"EMAIL_BACKEND": f"{__name__}.Backend", "EMAIL_USE_TLS": False, "EMAIL_USE_SSL": False, "EMAIL_HOST_USER": ""}


# --- the house ------------------------------------------------------------------------------------------------


@dataclass
class House:
    """What a schedule starts from. Nothing in it changes while schedules run."""

    opened: datetime
    people: dict[str, Actor] = field(default_factory=dict)
    users: dict[str, User] = field(default_factory=dict)
    accounts: list[Account] = field(default_factory=list)
    instruments: dict[str, Instrument] = field(default_factory=dict)
    feed: Any = None
    """Whoever posts cash to the API with a key of its own."""
    last_event: int = 0


def build() -> House:
    """The empty house: policies, people, prices, accounts in good order; one sweep of each kind is done."""
    house = House(OPENED)
    calendars.fill("XNYS", date(2026, 2, 2), KNOWN_UNTIL)
    for code, terms in POLICIES.items():
        rows.policy(code, terms)
    for name, role in STAFF.items():
        user, _ = User.objects.get_or_create(username=name)
        user.groups.set(Group.objects.filter(name=role))
        house.users[name], house.people[name] = user, person(user)
    rows.cash("USD")
    rows.cash("EUR")
    ages = {"XYZ": 15, "QQQ": 2, "BTC": 15}
    for code, mark in MARKS.items():
        kind = "crypto" if code == "BTC" else "equity"
        house.instruments[code] = rows.equity(code, kind=kind, max_age_seconds=ages[code] * 86_400)
        quotes.record([Incoming(code, "venue", OPENED, mark)], at=OPENED)
    fx.record([fx.Incoming("EUR", "USD", D("1.10"), OPENED, "ecb")], at=OPENED)
    open_account(house, "A1", {"XYZ": 100}, owed=3_350)
    open_account(house, "A2", {"XYZ": 100}, owed=3_050, currency="EUR")
    open_account(house, "A3", {"XYZ": 50, "QQQ": 20}, owed=2_850, agreement="strict")
    open_account(house, "A4", {"BTC": 1}, owed=31_000, agreement="loan")
    open_account(house, "A5", {"BTC": 1}, owed=31_100, agreement="loan")
    house.feed = api.bearer(api.key("cash:write", at=OPENED - timedelta(days=1), days=300)[1])
    look(house, OPENED)
    return house


def open_account(
    house: House, code: str, held: dict[str, int], *, owed: int, agreement: str = "us_margin", currency: str = "USD"
) -> Account:
    """An account with holdings and a debt in its currency, at the marks of the opening."""
    made = rows.account(code, agreement=agreement, currency=currency)
    lines = [(made.pk, house.instruments[what].pk, D(units), MARKS[what] * units) for what, units in held.items()]
    debt = (made.pk, rows.cash(currency).pk, D(-owed), None)
    positions.write([*lines, debt], cause="book", reference="opening", effective_at=OPENED)
    house.accounts.append(made)
    return made


def look(house: House, at: datetime) -> None:
    """One sweep of each kind, and every letter out."""
    for kind in KINDS:
        sweep.run(kind, at=at)
    notices.prepare(at=at)
    notices.send(at=at)


# --- seeded mid-life ------------------------------------------------------------------------------------------


def furnish(house: House) -> House:
    """More accounts, each with a call in the middle of its life, so that depth is reached from the first step."""
    started = OPENED + timedelta(minutes=10)
    shapes: dict[str, tuple[dict[str, int], int, str]] = {
        "issued": ({"XYZ": 100}, 3_600, "us_margin"),
        "escalated": ({"XYZ": 100}, 3_610, "us_margin"),
        "planned": ({"XYZ": 100}, 3_620, "us_margin"),
        "filled": ({"XYZ": 100}, 3_700, "us_margin"),
        "doubtful": ({"XYZ": 100}, 3_450, "us_margin"),
        "late": ({"XYZ": 60, "QQQ": 10}, 2_750, "strict"),
        "margined": ({"BTC": 1}, 36_000, "loan"),
        "held": ({"XYZ": 60, "QQQ": 10}, 2_760, "strict"),
        "claimed": ({"XYZ": 60, "QQQ": 10}, 2_770, "strict"),
        "disputed": ({"XYZ": 100}, 3_630, "us_margin"),
        "extended": ({"XYZ": 100}, 3_640, "us_margin"),
    }
    for name, (held, owed, agreement) in shapes.items():
        open_account(house, name, held, owed=owed, agreement=agreement)
    quotes.record([Incoming("XYZ", "venue", started, D(48))], at=started)
    look(house, started)
    now = started + timedelta(minutes=5)
    quotes.record([Incoming("XYZ", "venue", now, D(50))], at=now)
    look(house, now)  # what the market cured dwells now
    job = system("sweep 0")
    for name in ("escalated", "planned", "filled", "late"):
        calls.escalate(open_call(name), cause=Cause.SEVERITY, at=now, actor=job)
    ops, sue = house.people["ops"], house.people["sue"]
    liquidation.propose(open_call("planned"), at=now, actor=ops)
    plan = liquidation.propose(open_call("filled"), at=now, actor=ops)
    approvals.approve(plan, at=now, actor=sue)
    fill(plan.lines.get(), D(-1), D(50), "seed-1", now, ops)
    answer(house, now)
    notices.prepare(at=now)
    house.opened = now
    return house


def answer(house: House, at: datetime) -> None:
    """What clients and staff said about some of the calls: held, claimed, disputed, extended."""
    ops, sue = house.people["ops"], house.people["sue"]
    until = at + timedelta(hours=20)
    asked = requests.ask_hold(open_call("held"), until=until, reason="traced", at=at, actor=ops)
    requests.grant(asked, at=at, actor=sue)
    claims.claim(open_call("claimed"), amount=D(20), currency="USD", method="wire", reference="W-1", at=at, actor=ops)
    disputes.dispute(open_call("disputed"), amount=D(50), reason_code="position", reason="not mine", at=at, actor=ops)
    call = open_call("extended")
    asked = requests.ask_extension(
        call, until=call.due_at + timedelta(hours=5), reason_code="bank_transfer", reason="seen", at=at, actor=ops
    )
    requests.grant(asked, at=at, actor=sue)


def open_call(code: str) -> MarginCall:
    return MarginCall.objects.open().filter(account__code=code).order_by("pk")[0]


def fill(line: PlanLine, quantity: Decimal, price: Decimal, reference: str, at: datetime, actor: Actor) -> Any:
    return booking.record_fill(
        line, quantity=quantity, price=price, fee=D(0), source="desk", external_reference=reference, at=at, actor=actor
    )


def working_plan(call: MarginCall) -> Plan | None:
    return Plan.objects.filter(call=call, state="approved").first()


def deposit(account: Account, amount: Decimal, reference: str, at: datetime) -> Any:
    return cash.deposit(
        account,
        currency=account.base_currency,
        amount=amount,
        source="bank",
        external_reference=reference,
        at=at,
    )


# --- one schedule ---------------------------------------------------------------------------------------------


class Schedule:
    """One transaction, undone at the end. The house's own transactions are savepoints in it, durable ones too."""

    def __init__(self) -> None:
        self._outer = transaction.atomic()
        self._outer._from_testcase = True  # as Django's TestCase: `durable` blocks may nest in it

    def begin(self) -> None:
        EDGE.answers.clear()
        EDGE.taken.clear()
        EDGE.doubtful.clear()
        EDGE.is_down = False
        FLOOR.clear()
        self._outer.__enter__()

    def undo(self) -> None:
        connection.needs_rollback = True
        self._outer.__exit__(None, None, None)


def in_transaction(work: Callable[[], Any], *, is_patient: bool = False) -> Any:
    """What `chain.in_transaction` does for the outermost transaction of the house, which here is a savepoint."""
    is_outermost = len(connection.atomic_blocks) == 1
    with transaction.atomic() if is_outermost else nullcontext():
        return work()


class Killed(BaseException):
    """The process is no more: nothing catches this but the machine."""


@contextmanager
def killed_after(statements: int) -> Iterator[None]:
    """The process dies before its so-many-th statement; what was committed stays, what was open is undone."""
    left = statements

    def count(execute: Callable[..., Any], sql: str, parameters: Any, many: bool, context: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0:
            raise Killed
        return execute(sql, parameters, many, context)

    try:
        with connection.execute_wrapper(count):
            yield
    except Killed:
        connection.needs_rollback = False  # the statement was never sent: the server knows of no error
