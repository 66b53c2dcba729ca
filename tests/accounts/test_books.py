from datetime import date
from io import BytesIO, StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from accounts import books, positions
from accounts.models import Account, BookLoad, Client, Contact, Position, PositionFact
from market import strict
from market.strict import Refused
from tests.accounts import world
from tests.accounts.world import AT, DAY, HOUR, D

pytestmark = pytest.mark.django_db

HEADER = (
    "record,client,name,language,time_zone,email,phone,receives_notices,account,agreement,base_currency,opened_on,"
    "instrument,quantity,cost"
)
NAMES = HEADER.split(",")


def line(record, **fields):
    return ",".join({"record": record, **fields}.get(name, "") for name in NAMES)


CLIENT = {"client": "C1", "name": "Ada Margin", "language": "en", "time_zone": "Europe/London"}
CONTACT = {"client": "C1", "name": "Ada Margin", "email": "ada@client.example", "receives_notices": "true"}
ACCOUNT = {"client": "C1", "account": "A1", "agreement": "reg-t", "base_currency": "USD", "opened_on": "2020-01-02"}
SHARES = {"account": "A1", "instrument": "AAPL", "quantity": "100", "cost": "18925.50"}
DEBIT = {"account": "A1", "instrument": "USD", "quantity": "-9462.75"}
GOOD = [
    line("client", **CLIENT), line("contact", **CONTACT), line("account", **ACCOUNT), line("position", **SHARES),
    line("position", **DEBIT),
]  # fmt: skip
TOTAL = D("-9362.75")


def book(*lines, header=HEADER):
    return ("\n".join((header, *lines)) + "\n").encode()


@pytest.fixture(autouse=True)
def instruments():
    world.usd()
    world.instrument("AAPL")
    world.instrument("LEH", ended_at=AT - DAY)


def test_a_book_brings_clients_contacts_accounts_and_positions():
    load = positions.load(book(*GOOD), at=AT, file_name="night.csv", person=world.person("ann"))
    assert (load.row_count, load.quantity_total, load.file_name, load.loaded_by.username) == (
        5, TOTAL, "night.csv", "ann",
    )  # fmt: skip
    client, contact, account = Client.objects.get(), Contact.objects.get(), Account.objects.get()
    assert (client.code, client.name, client.time_zone) == ("C1", "Ada Margin", "Europe/London")
    assert (contact.email, contact.receives_notices) == ("ada@client.example", True)
    assert (account.client, account.agreement, account.opened_on) == (client, "reg-t", date(2020, 1, 2))
    shares, usd = world.instrument_of("AAPL"), world.instrument_of("USD")
    assert (world.holds(account, shares), world.cost(account, shares)) == (D(100), D("18925.50"))
    assert (world.holds(account, usd), world.cost(account, usd)) == (D("-9462.75"), None)
    assert world.revision(account) == 1
    facts = PositionFact.objects.values_list("cause", "reference", "effective_at")
    assert set(facts) == {("book", f"book:{load.pk}", AT)}


def test_the_columns_may_come_in_any_order_and_a_byte_order_mark_is_no_harm():
    order = list(reversed(NAMES))
    rows = [dict(zip(NAMES, row.split(","), strict=True)) for row in GOOD]
    text = "\n".join([",".join(order), *(",".join(row[name] for name in order) for row in rows)]) + "\n"
    positions.load(BytesIO(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()), at=AT)
    assert Position.objects.count() == 2


def test_the_same_file_is_refused_naming_the_earlier_load():
    load = positions.load(book(*GOOD), at=AT, file_name="monday.csv")
    with pytest.raises(Refused, match=rf"loaded already, as load {load.pk} \(monday.csv\) at 20"):
        positions.load(book(*GOOD), at=AT + DAY, file_name="tuesday.csv")
    assert (BookLoad.objects.count(), PositionFact.objects.count()) == (1, 2)


def test_a_later_book_states_what_is_held_and_leaves_the_rest_alone():
    positions.load(book(*GOOD), at=AT)
    account, shares, usd = Account.objects.get(), world.instrument_of("AAPL"), world.instrument_of("USD")
    positions.load(book(line("position", **{**SHARES, "quantity": "130", "cost": "25000"})), at=AT + DAY)
    fact = PositionFact.objects.latest("id")
    assert (fact.change, fact.quantity, fact.cost) == (D(30), D(130), D(25000))
    assert (world.holds(account, shares), world.holds(account, usd)) == (D(130), D("-9462.75"))
    positions.load(book(line("position", **{**SHARES, "quantity": "0", "cost": ""})), at=AT + 2 * DAY)
    assert (world.holds(account, shares), world.cost(account, shares)) == (D(0), D(0))
    same = line("position", **DEBIT)
    positions.load(book(same), at=AT + 3 * DAY)
    assert (PositionFact.objects.count(), world.revision(account)) == (4, 3)


def test_a_later_book_brings_names_and_addresses_up_to_date_and_leaves_empty_fields_alone():
    positions.load(book(*GOOD), at=AT)
    changed = [
        line("client", client="C1", name="Ada Married"),
        line("contact", **{**CONTACT, "phone": "+44 20 7946 0000", "receives_notices": "false"}),
        line("account", **{**ACCOUNT, "agreement": "portfolio", "base_currency": ""}),
    ]
    positions.load(book(*changed), at=AT + DAY)
    client, contact, account = Client.objects.get(), Contact.objects.get(), Account.objects.get()
    assert (client.name, client.time_zone) == ("Ada Married", "Europe/London")
    assert (contact.phone, contact.receives_notices, account.agreement) == ("+44 20 7946 0000", False, "portfolio")


def test_a_book_cannot_speak_for_an_instant_before_what_is_known():
    positions.load(book(*GOOD), at=AT)
    with pytest.raises(Refused, match=r"row 2, account: A1 changed at .* send a newer book"):
        positions.load(book(line("position", **DEBIT)), at=AT + DAY, effective_at=AT - HOUR)
    with pytest.raises(Refused, match=r"effective_at: .* is after now"):
        positions.load(book(line("position", **DEBIT)), at=AT, effective_at=AT + HOUR)


def but(row, **fields):
    rows = {"client": CLIENT, "contact": CONTACT, "account": ACCOUNT, "position": SHARES, "cash": DEBIT}
    return line("position" if row == "cash" else row, **{**rows[row], **fields})


# One wrong row each, put into line 7 of an otherwise good book: the field that the refusal must name.
WRONG_ROWS = [
    (but("client", client="C2", name=""), "name"),
    (but("client", client=""), "client"),
    (but("client"), "client"),
    (but("client", client="C2" * 20), "client"),
    (but("client", client="C 2 "), "client"),
    (but("client", client="Ç2"), "client"),
    (but("client", client="C2", name="x" * 161), "name"),
    (but("client", client="C2", name=" Ada"), "name"),
    (but("client", client="C2", name="A\u202eda"), "name"),
    (but("client", client="C2", language="english"), "language"),
    (but("client", client="C2", language="EN"), "language"),
    (but("client", client="C2", time_zone="Mars/Olympus"), "time_zone"),
    (but("client", client="C2", time_zone="../etc/passwd"), "time_zone"),
    (but("client", client="C2", account="A1"), "account"),
    (but("client", client="C2", quantity="0"), "quantity"),
    (but("contact"), "email"),
    (but("contact", client="C9"), "client"),
    (but("contact", email=""), "email"),
    (but("contact", email="ada"), "email"),
    (but("contact", email="ada@client.example;eve@evil.example"), "email"),
    (but("contact", email="Ada <ada@client.example>"), "email"),
    (but("contact", email="ada@client.example\u2028bcc:eve@evil.example"), "email"),
    (but("contact", email="ädä@client.example"), "email"),
    (but("contact", email="x" * 250 + "@client.example"), "email"),
    (but("contact", email="b@client.example", receives_notices="yes"), "receives_notices"),
    (but("account", account="A2", client="C9"), "client"),
    (but("account", account="A2", agreement=""), "agreement"),
    (but("account", account="A2", opened_on=""), "opened_on"),
    (but("account", account="A2", opened_on="2026-02-30"), "opened_on"),
    (but("account", account="A2", opened_on="02/01/2020"), "opened_on"),
    (but("account", account="A2", base_currency="usd"), "base_currency"),
    (but("account", account="A2", instrument="AAPL"), "instrument"),
    (but("account"), "account"),
    (but("account", account="OLD", client="C1"), "client"),
    (but("account", account="OLD", client="C-OLD", opened_on="2020-01-03"), "opened_on"),
    (but("account", account="OLD", client="C-OLD", base_currency="EUR"), "base_currency"),
    (but("position"), "instrument"),
    (but("position", account="A9"), "account"),
    (but("position", account="OLD", instrument="TSLA"), "instrument"),
    (but("position", account="OLD", instrument="LEH"), "instrument"),
    (but("position", account="OLD", quantity=""), "quantity"),
    (but("position", account="OLD", quantity="NaN"), "quantity"),
    (but("position", account="OLD", quantity="-Infinity"), "quantity"),
    (but("position", account="OLD", quantity="1_000"), "quantity"),
    (but("position", account="OLD", quantity='"1,000"'), "quantity"),
    (but("position", account="OLD", quantity="+5"), "quantity"),
    (but("position", account="OLD", quantity="٣٠"), "quantity"),
    (but("position", account="OLD", quantity="0x10"), "quantity"),
    (but("position", account="OLD", quantity="1e21"), "quantity"),
    (but("position", account="OLD", quantity="0.0000000000001"), "quantity"),
    (but("position", account="OLD", quantity=" 5"), "quantity"),
    (but("position", account="OLD", cost="-1"), "cost"),
    (but("position", account="OLD", cost="0.000000001"), "cost"),
    (but("position", account="OLD", quantity="0", cost="5"), "cost"),
    (but("cash", account="OLD", quantity="0.001"), "quantity"),
    (but("cash", account="OLD", cost="5"), "cost"),
    (but("position", account="OLD", opened_on="2020-01-02"), "opened_on"),
    (line("total", quantity="5"), "record"),
    (line("", account="OLD"), "record"),
    (but("position", account="OLD") + ",", ""),
    (but("position", account="OLD")[:-20], ""),
    ('"' + but("position", account="OLD"), ""),
    ("", ""),
]


@pytest.mark.parametrize(("wrong", "field"), WRONG_ROWS)
def test_one_wrong_row_refuses_the_whole_book_and_is_named(wrong, field):
    world.account("OLD")
    before = (Client.objects.count(), Account.objects.count())
    with pytest.raises(Refused) as refused:
        positions.load(book(*GOOD, wrong), at=AT)
    assert (7, field) in [(problem.row, problem.field) for problem in refused.value.problems]
    assert (Client.objects.count(), Account.objects.count()) == before
    counts = [model.objects.count() for model in (Contact, Position, PositionFact, BookLoad)]
    assert counts == [0, 0, 0, 0]


WRONG_FILES = [
    (b"", "the file is empty"),
    (HEADER.encode() + b"\n", "a header but no row"),
    (book(*GOOD, header=HEADER.replace("cost", "costs")), "the header has unknown 'costs'"),
    (book(*GOOD, header=HEADER.replace("phone", "email")), "the header repeats 'email'"),
    (book(*GOOD)[:-1], "no line end: the file may have been cut off"),
    (book(*GOOD).replace(b"Ada", b"Ad\xe1"), "is not UTF-8"),
    (book(*GOOD).replace(b"Ada", b"A\x00a"), "holds the character"),
    (book(*GOOD).decode().encode("utf-16"), "UTF-16"),
    (b"PK\x03\x04" + book(*GOOD), "a workbook"),
    (b"\x1f\x8b" + book(*GOOD), "is compressed"),
    (book(*GOOD, "#rows=4"), "4 rows were announced, the file holds 5"),
    (book(*GOOD, "#rows=5,total=1"), "1 was announced for quantity, the file adds up to -9362.75"),
    (book(*GOOD[:3], "#rows=3", *GOOD[3:]), "comes after the trailer line"),
]


@pytest.mark.parametrize(("content", "match"), WRONG_FILES)
def test_a_wrong_file_is_refused(content, match):
    with pytest.raises(Refused, match=match):
        positions.load(content, at=AT)
    assert not Client.objects.exists()
    assert not BookLoad.objects.exists()


def test_all_wrong_rows_are_told_at_once():
    with pytest.raises(Refused) as refused:
        positions.load(book(but("client", time_zone="x"), but("position", quantity="y"), but("client", name="")), at=AT)
    assert [(problem.row, problem.field) for problem in refused.value.problems] == [
        (2, "time_zone"), (3, "quantity"),
    ]  # fmt: skip


def test_a_file_cut_at_any_of_a_hundred_places_is_refused_when_its_totals_are_announced():
    whole = book(*GOOD, "#rows=5,total=-9362.75")
    control = strict.Control(rows=5, total=TOTAL)
    for cut in range(0, len(whole) - 24, max(1, len(whole) // 100)):
        with pytest.raises(Refused):
            positions.load(whole[:cut], at=AT, control=control)
    assert not Client.objects.exists()
    assert positions.load(whole, at=AT, control=control).row_count == 5


def test_the_command_loads_a_file_and_says_what_is_wrong(tmp_path: Path):
    file, out = tmp_path / "book.csv", StringIO()
    file.write_bytes(book(*GOOD))
    with pytest.raises(CommandError, match="Nothing of") as error:
        call_command("load_book", str(file), rows="4", total="-9362.75")
    assert "4 rows were announced, the file holds 5" in str(error.value)
    with pytest.raises(CommandError, match=r"--total: .* is not a plain number"):
        call_command("load_book", str(file), total="1,000")
    call_command("load_book", str(file), rows="5", total="-9362.75", stdout=out)
    assert "5 rows, quantities add up to -9362.75" in out.getvalue()
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("load_book", str(tmp_path / "missing.csv"))


def test_the_example_of_the_documentation_loads():
    page = Path(__file__).parents[2] / "docs" / "formats_book.md"
    example = page.read_text().split("```csv\n")[1].split("```")[0]
    assert positions.load(example.encode(), at=AT).quantity_total == TOTAL
    described = [row.split("`")[1] for row in page.read_text().splitlines() if row.startswith("| `")]
    assert described == list(books.COLUMNS)


def test_a_share_may_be_held_until_the_instant_it_ends():
    account, share = world.account("OLD"), world.instrument("WM", ended_at=AT)
    row = line("position", account="OLD", instrument="WM", quantity="7")
    with pytest.raises(Refused, match="WM ended"):
        positions.load(book(row), at=AT)
    positions.load(book(row), at=AT, effective_at=AT - HOUR)
    assert world.holds(account, share) == D(7)
