"""Corporate actions take two people and do to the instrument what the world did."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from market import actions, instruments
from market.models import CorporateAction, Instrument
from tests.market.conftest import NOON, instrument

People = Callable[[str, str], Any]
FAILED_AT = datetime(2008, 9, 29, 4, tzinfo=UTC)  # midnight in New York


@pytest.fixture
def wamu(db: None) -> Instrument:
    from market import calendars

    calendars.fill("XNYS", date(2008, 9, 1), date(2008, 9, 30))
    found = instrument("WAMU", calendar=calendars.find("XNYS"))
    instruments.load_aliases(b"instrument,scheme,symbol,valid_from,valid_until\nWAMU,ticker,WM,1998-01-01,\n")
    return found


def propose(found: Instrument, person: Any, **more: Any) -> CorporateAction:
    given = {"kind": "write_off", "effective_at": FAILED_AT, "reason": "seized by the OTS", "at": NOON, **more}
    return actions.propose(instrument=found, person=person, **given)


def test_a_write_off_ends_the_instrument_and_its_name_once_another_person_approves(
    wamu: Instrument, people: People
) -> None:
    action = propose(wamu, people("oli", "Operations"))
    wamu.refresh_from_db()
    assert wamu.ended_at is None
    action = actions.approve(action, at=NOON, person=people("ria", "Risk"))
    wamu.refresh_from_db()
    assert (wamu.ended_at, action.approved_at, action.applied_at) == (FAILED_AT, NOON, None)
    names = instruments.names(["WM"])
    assert names.on("WM", date(2008, 9, 28)) == "WAMU"
    assert names.on("WM", date(2008, 9, 29)) is None


def test_after_a_write_off_the_name_is_free_for_another_company(wamu: Instrument, people: People) -> None:
    actions.approve(propose(wamu, people("oli", "Operations")), at=NOON, person=people("ria", "Risk"))
    instrument("WASTE")
    file = b"instrument,scheme,symbol,valid_from,valid_until\nWASTE,ticker,WM,2009-08-05,\n"
    assert instruments.load_aliases(file) == 1


def test_a_symbol_change_closes_one_name_and_opens_the_next(wamu: Instrument, people: People) -> None:
    action = propose(wamu, people("oli", "Operations"), kind="symbol_change", new_symbol="WAMUQ")
    actions.approve(action, at=NOON, person=people("ria", "Risk"))
    names = instruments.names(["WM", "WAMUQ"])
    assert [names.on(symbol, date(2008, 9, 28)) for symbol in ("WM", "WAMUQ")] == ["WAMU", None]
    assert [names.on(symbol, date(2008, 9, 29)) for symbol in ("WM", "WAMUQ")] == [None, "WAMU"]
    wamu.refresh_from_db()
    assert wamu.ended_at is None


def test_a_symbol_another_instrument_has_is_refused_and_nothing_changes(wamu: Instrument, people: People) -> None:
    instrument("OTHER")
    instruments.load_aliases(b"instrument,scheme,symbol,valid_from,valid_until\nOTHER,ticker,TAKEN,,\n")
    action = propose(wamu, people("oli", "Operations"), kind="symbol_change", new_symbol="TAKEN")
    with pytest.raises(actions.ActionError, match="TAKEN means another instrument"):
        actions.approve(action, at=NOON, person=people("ria", "Risk"))
    action.refresh_from_db()
    assert action.approved_at is None
    assert instruments.names(["WM"]).on("WM", date(2008, 9, 29)) == "WAMU"


def test_a_split_waits_for_positions_until_they_follow(wamu: Instrument, people: People) -> None:
    action = propose(wamu, people("oli", "Operations"), kind="split", new_per_old=Decimal(7))
    assert list(actions.due(NOON)) == []
    actions.approve(action, at=NOON, person=people("ria", "Risk"))
    assert list(actions.due(FAILED_AT)) == [action]
    assert list(actions.due(datetime(2008, 9, 28, tzinfo=UTC))) == []
    CorporateAction.objects.filter(pk=action.pk).update(applied_at=NOON)
    assert list(actions.due(NOON)) == []


def test_oil_may_expire_below_zero_and_a_share_may_not(db: None, people: People) -> None:
    oil = instrument("CLK0", kind="future", expires_at=FAILED_AT, may_be_negative=True)
    share = instrument("SHARE")
    oli = people("oli", "Operations")
    assert propose(oil, oli, kind="expiry", settlement_price=Decimal("-37.63")).settlement_price == Decimal("-37.63")
    with pytest.raises(actions.ActionError, match="negative"):
        propose(share, oli, kind="expiry", settlement_price=Decimal("-37.63"))


def test_whoever_entered_it_cannot_approve_it_even_with_both_roles(wamu: Instrument, people: People) -> None:
    from django.contrib.auth.models import Group

    both = people("oli", "Operations")
    both.groups.add(Group.objects.get(name="Risk"))
    action = propose(wamu, both)
    with pytest.raises(actions.ActionError, match="another person must"):
        actions.approve(action, at=NOON, person=both)


def test_the_database_too_insists_on_two_people(wamu: Instrument, people: People) -> None:
    action = propose(wamu, people("oli", "Operations"))
    with (
        pytest.raises(IntegrityError, match="action_needs_two_people"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute("UPDATE market_corporateaction SET approved_by_id = proposed_by_id WHERE id = %s", [action.pk])


@pytest.mark.parametrize(
    ("enters", "approves"),
    [
        ("Operations", "Operations"),
        ("Operations", "Auditor"),
        ("Supervisor", "Compliance"),
        ("Operations", "Administrator"),
    ],
)
def test_roles_that_do_not_approve_cannot(wamu: Instrument, people: People, enters: str, approves: str) -> None:
    action = propose(wamu, people("oli", enters))
    with pytest.raises(actions.ActionError, match="role does not approve"):
        actions.approve(action, at=NOON, person=people("ann", approves))


@pytest.mark.parametrize("role", ["Auditor", "Compliance", "Administrator"])
def test_roles_that_do_not_enter_cannot(wamu: Instrument, people: People, role: str) -> None:
    with pytest.raises(actions.ActionError, match="role does not enter"):
        propose(wamu, people("ann", role))


def test_a_decided_action_is_not_decided_again(wamu: Instrument, people: People) -> None:
    action = propose(wamu, people("oli", "Operations"))
    ria = people("ria", "Risk")
    actions.approve(action, at=NOON, person=ria)
    for decide in (
        lambda: actions.approve(action, at=NOON, person=ria),
        lambda: actions.reject(action, at=NOON, person=ria, reason="no"),
    ):
        with pytest.raises(actions.ActionError, match="decided already"):
            decide()


def test_a_rejected_action_leaves_the_list_and_may_be_entered_again(wamu: Instrument, people: People) -> None:
    oli = people("oli", "Operations")
    action = propose(wamu, oli)
    with pytest.raises(actions.ActionError, match="entered already"):
        propose(wamu, oli)
    with pytest.raises(actions.ActionError, match="why"):
        actions.reject(action, at=NOON, person=people("ria", "Risk"), reason="")
    actions.reject(action, at=NOON, person=oli, reason="wrong day")  # its proposer withdraws it
    assert propose(wamu, oli).pk != action.pk
    wamu.refresh_from_db()
    assert wamu.ended_at is None


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("unknown kind", {"kind": "merger"}, "kind"),
    ("no reason", {"reason": ""}, "reason"),
    ("split without a ratio", {"kind": "split"}, "new_per_old: is missing"),
    ("split of nothing", {"kind": "split", "new_per_old": Decimal(0)}, "no split"),
    ("split of one", {"kind": "split", "new_per_old": Decimal(1)}, "no split"),
    ("negative split", {"kind": "split", "new_per_old": Decimal(-7)}, "no split"),
    ("infinite split", {"kind": "split", "new_per_old": Decimal("Infinity")}, "finite"),
    ("symbol change without a symbol", {"kind": "symbol_change"}, "new_symbol: is missing"),
    ("symbol with a blank in front", {"kind": "symbol_change", "new_symbol": " X"}, "new_symbol"),
    ("expiry without a price", {"kind": "expiry"}, "settlement_price: is missing"),
    ("write-off with a ratio", {"new_per_old": Decimal(7)}, "does not belong"),
    ("no time zone", {"effective_at": datetime(2008, 9, 29)}, "time zone"),  # noqa: DTZ001
]  # fmt: skip


@pytest.mark.parametrize(("given", "says"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_an_action_that_cannot_be_is_refused_in_words(
    wamu: Instrument, people: People, given: dict[str, Any], says: str
) -> None:
    with pytest.raises(actions.ActionError, match=says):
        propose(wamu, people("oli", "Operations"), **given)
    assert not CorporateAction.objects.exists()


def test_an_ended_instrument_has_no_further_actions(wamu: Instrument, people: People) -> None:
    oli = people("oli", "Operations")
    actions.approve(propose(wamu, oli), at=NOON, person=people("ria", "Risk"))
    wamu.refresh_from_db()
    with pytest.raises(actions.ActionError, match="ended at"):
        propose(wamu, oli, kind="split", new_per_old=Decimal(2), effective_at=NOON)
