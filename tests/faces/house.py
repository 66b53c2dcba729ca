"""A small house with a row in every table the desk shows, so that every page has something to write down."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import Group, User
from django.db.backends.postgresql.psycopg_any import DateRange
from django.utils import timezone

from accounts.models import Account, Adjustment, BookLoad, CashMovement, Client, Fill, Position
from backoffice.models import ApiKey
from backoffice.roles import ROLES
from margin import calls, restrictions, strikes
from margin.actors import Actor, person, system
from margin.models import Alarm, Assessment, MarginCall, Measure, PolicyVersion, Shard, Sweep, Warning
from margin.restriction_terms import Effect
from market.models import Alias, Calendar, Close, CorporateAction, FxRate, HeldQuote, Instrument, Quote, QuoteFact, Rate
from notifications.models import Notice
from tests.margin import rows

PASSWORD = "correct-horse-battery-7"
SWEEPER = system("sweep 1")


@dataclass(frozen=True)
class House:
    """What tests ask for by name. `call` is issued and due in two hours; `late` is overdue; `severe` is escalated."""

    at: datetime
    call: MarginCall
    late: MarginCall
    severe: MarginCall
    sweep: Sweep
    assessment: Assessment
    held: HeldQuote
    action: CorporateAction
    version: PolicyVersion
    unapproved: PolicyVersion


def user(name: str, role: str) -> User:
    found = User.objects.filter(username=name).first()
    if found is None:
        found = User.objects.create_user(name, password=PASSWORD, is_staff=True)
        found.groups.set([Group.objects.get(name=role)])
    return found


def people() -> dict[str, User]:
    return {role: user(role.lower(), role) for role in ROLES}


def actor(name: str, role: str) -> Actor:
    return person(user(name, role))


def open_call(
    owner: Account,
    version: PolicyVersion,
    *,
    at: datetime,
    due_in: timedelta,
    assessment: Assessment | None,
    **more: Any,
) -> MarginCall:
    """A call issued at `at` through the door."""
    move = rows.issue(owner, version, at=at, due_in=due_in, assessment_id=assessment.pk if assessment else None, **more)
    outcome = calls.carry_out([move], at=at, actor=SWEEPER)[0]
    assert outcome.error is None, outcome.error
    return MarginCall.objects.get(pk=outcome.call_id)


def build() -> House:
    at = timezone.now()
    staff = people()
    version = rows.policy()
    market = market_rows(at, staff)
    account = rows.account("A1008")
    Client.objects.filter(pk=account.client_id).update(name="Alder Capital", time_zone="Europe/London")
    account.client.refresh_from_db()
    book_rows(account, market["share"], at, staff)
    sweep, found = sweep_rows(account, version, market["share"], at)
    call = open_call(
        account, version, at=at - timedelta(hours=1), due_in=timedelta(hours=3), assessment=found, amount="71964.00"
    )
    late = open_call(
        rows.account("B2001"),
        version,
        at=at - timedelta(days=3),
        due_in=timedelta(days=2),
        assessment=None,
        amount="250.5",
    )
    severe = open_call(
        rows.account("C3001"),
        version,
        at=at - timedelta(days=3),
        due_in=timedelta(days=5),
        assessment=None,
        amount="1E+6",
    )
    severe = calls.escalate(
        severe,
        cause=calls.Cause.PERSON,
        at=at - timedelta(hours=2),
        actor=actor("supervisor", "Supervisor"),
        reason="severe",
    )
    notice_row(call, at, "delivered")
    notice_row(late, at, "bounced")
    Warning.objects.create(
        account=account, regime="exchange", raised_at=at, assessment=found, cover=Decimal("1.0412"), cleared_by=""
    )
    Alarm.objects.create(
        kind="late_sweep", subject="crypto", message="The crypto sweep is 4 minutes late.", raised_at=at
    )
    unapproved = PolicyVersion.objects.create(
        policy=version.policy,
        number=9,
        terms={},
        effective_at=at + timedelta(days=7),
        published_by=staff["Risk"],
        published_at=at,
        note="tighter",
    )
    house_rows(at, staff)
    restricted_rows(severe, at)
    return House(at, call, late, severe, sweep, found, market["held"], market["action"], version, unapproved)


def market_rows(at: datetime, staff: dict[str, User]) -> dict[str, Any]:
    calendar = Calendar.objects.create(
        code="XNYS", name="New York Stock Exchange", zone="America/New_York", known_from=date(2026, 1, 1),
        known_until=date(2027, 12, 31),
    )  # fmt: skip
    calendar.sessions.create(on=date(2027, 11, 5), opens_at=at, closes_at=at + timedelta(hours=6))
    rows.cash()
    share = rows.equity("XYZ", calendar=calendar)
    Alias.objects.create(instrument=share, symbol="XYZ", valid=DateRange(date(2020, 1, 1), None))
    columns = {"source": "demo", "as_of": at - timedelta(hours=2), "mark": Decimal("149.5")}
    fact = QuoteFact.objects.create(instrument=share, **columns)
    Quote.objects.create(instrument=share, fact=fact, **columns)
    held = HeldQuote.objects.create(
        instrument=share, source="demo", as_of=at, mark=Decimal("90"), previous_mark=Decimal("149.5"),
        reason="moved −39.8 %, limit 25 %",
    )  # fmt: skip
    Close.objects.create(instrument=share, on=date(2026, 3, 2), price=Decimal("149.5"), source="demo")
    FxRate.objects.create(base="EUR", quoted="USD", value=Decimal("1.0831"), source="demo", as_of=at)
    Rate.objects.create(kind="lending", currency="USD", value=Decimal("0.0725"), source="demo", effective_at=at)
    action = CorporateAction.objects.create(
        kind="split", instrument=share, effective_at=at + timedelta(days=1), new_per_old=Decimal(7), reason="7 for 1",
        proposed_by=staff["Operations"],
    )  # fmt: skip
    return {"share": share, "held": held, "action": action}


def book_rows(account: Account, share: Instrument, at: datetime, staff: dict[str, User]) -> None:
    usd = rows.cash()
    Position.objects.create(account=account, instrument=share, quantity=Decimal("-4000"), cost=Decimal("-600000"))
    Position.objects.create(account=account, instrument=usd, quantity=Decimal("810400.25"))
    fill = {"quantity": Decimal("-4000"), "price": Decimal("150"), "fee": Decimal("12.5"), "traded_at": at}
    Fill.objects.create(account=account, instrument=share, source="demo", external_reference="F-1", **fill)
    CashMovement.objects.create(
        account=account, currency=usd, kind="deposit", amount=Decimal("20000"), source="bank", external_reference="D-1",
        effective_at=at,
    )  # fmt: skip
    Adjustment.objects.create(
        account=account, instrument=share, change=Decimal("1"), reason="correction", external_reference="ADJ-1",
        effective_at=at, entered_by=staff["Operations"],
    )  # fmt: skip
    BookLoad.objects.create(
        file_name="book.csv", sha256="0" * 64, row_count=2, quantity_total=Decimal("806400.25"), effective_at=at
    )


def sweep_rows(account: Account, version: PolicyVersion, share: Instrument, at: datetime) -> tuple[Sweep, Assessment]:
    sweep = Sweep.objects.create(
        kind="securities", slot_at=at, at=at, state="complete", eligible=3, evaluated=2, unpriced=1,
        counts={"issued": 1}, started_at=at - timedelta(seconds=9), finished_at=at,
    )  # fmt: skip
    Shard.objects.create(sweep=sweep, number=1, first_account=1, last_account=9, attempts=1, done_at=at)
    found = Assessment.objects.create(
        sweep=sweep, account=account, policy_version=version, at=at, status="priced", currency="USD",
        holdings=[[share.pk, "-4000", None, "149.5"]],
    )  # fmt: skip
    short = measure(found, "house", equity="210400.25", requirement="282364.25", deficit="71964.00", cover="0.745138")
    measure(found, "exchange", equity="210400.25", requirement="202000", deficit="0", cover="1.041585")
    rows.charge(
        short, share, code="short", amount="282364.25",
        explanation={
            "sentence": "short 4000 at 149.5, 30 % house rate", "law": "FINRA 4210(c)(3)", "inputs": {"rate": "0.30"},
        },
    )  # fmt: skip
    Assessment.objects.create(
        sweep=sweep, account=rows.account("D4001"), policy_version=version, at=at, status="unpriced",
        reasons=["XYZ: stale since 2026-03-02"], currency="USD",
    )  # fmt: skip
    return sweep, found


def measure(found: Assessment, regime: str, **figures: str) -> Measure:
    amounts = {name: Decimal(text) for name, text in figures.items()}
    return Measure.objects.create(
        assessment=found, regime=regime, restore_requirement=amounts["requirement"], **amounts
    )


def notice_row(call: MarginCall, at: datetime, state: str) -> Notice:
    return Notice.objects.create(
        event=call.events.first(), contact=call.account.client.contacts.first(), kind="call.issued", locale="en",
        to_address="desk@clients.example", subject=f"Margin call {call}", text="text", html="<p>html</p>",
        template_version="1", content_hash="0", message_id=f"<{call.pk}@desk.example>", state=state, prepared_at=at,
        send_after=at,
    )  # fmt: skip


def restricted_rows(call: MarginCall, at: datetime) -> None:
    """Ninety days of closing only, which somebody proposes to waive."""
    restriction = restrictions.place(
        call.account, effect=Effect.CLOSING_ONLY, reason="third strike", ends_at=at + timedelta(days=90), at=at,
        actor=actor("risk", "Risk"),
    )  # fmt: skip
    strikes.waive(restriction, reason="paid since", at=at, actor=actor("compliance", "Compliance"))


def house_rows(at: datetime, staff: dict[str, User]) -> None:
    ApiKey.objects.create(
        name="feed", prefix="mdk_abc", key_hash="0" * 64, scopes=["read"], created_by=staff["Administrator"],
        created_at=at, expires_at=at + timedelta(days=90),
    )  # fmt: skip
