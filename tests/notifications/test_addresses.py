"""One recipient, one line: everything that could add a reader or a header to a client's mail is refused."""

import pytest

from notifications import addresses
from notifications.addresses import BadHeader

GOOD = [
    "ada@clients.example",
    "a.b+margin@sub.clients.example",
    "o'brien@clients.example",
    "x_1-2@clients.example",
    "desk@bücher.example",
    "desk@xn--bcher-kva.example",
]
BAD = [
    "",
    " ",
    "ada",
    "ada@",
    "@clients.example",
    "ada@clients",
    "ada@@clients.example",
    "ada@clients.example@evil.example",
    "ada@clients.example,eve@evil.example",
    "ada@clients.example, eve@evil.example",
    "ada@clients.example;eve@evil.example",
    "ada@clients.example eve@evil.example",
    "ada@clients.example\neve@evil.example",
    "ada@clients.example\r\nBcc: eve@evil.example",
    "ada@clients.example\nBcc: eve@evil.example",
    "ada@clients.example\rBcc: eve@evil.example",
    "ada@clients.example\n",
    "ada@clients.example\r\n\r\nbody",
    "\nada@clients.example",
    "ada\n@clients.example",
    "ada@clients.example\u2028Bcc: eve@evil.example",
    "ada@clients.example\u2029eve@evil.example",
    "ada@clients.example\x0beve@evil.example",
    "ada@clients.example\x0ceve@evil.example",
    "ada@clients.example\x1ceve@evil.example",
    "ada@clients.example\x85eve@evil.example",
    "ada@clients.example\x00",
    "ada\x00@clients.example",
    "ada@clients.example\x7f",
    "ada@clients.example\t",
    "ada@clients.example\u00a0",
    "ada@clients.example\u200b",
    "ada\u202e@clients.example",
    "ada\u2066@clients.example",
    "ada@cli\u00adents.example",
    "ada@clients.example\ufeff",
    "Ada <ada@clients.example>",
    "<ada@clients.example>",
    '"Ada" <ada@clients.example>',
    '"ada eve"@clients.example',
    '"ada@evil.example"@clients.example',
    '"ada,eve"@clients.example',
    "ada@clients.example (comment)",
    "(comment)ada@clients.example",
    "Group: ada@clients.example;",
    "undisclosed-recipients:;",
    "@relay.example:ada@clients.example",
    "ada%evil.example@clients.example",
    "evil.example!ada@clients.example",
    "ada@[127.0.0.1]",
    "ada@[IPv6:::1]",
    "ada\\@clients.example",
    "ada|sh@clients.example",
    "`id`@clients.example",
    "ada@clients..example",
    "ada@.clients.example",
    "ada@clients.example.",
    "ada@-clients.example",
    ".ada@clients.example",
    "ada.@clients.example",
    "a..da@clients.example",
    "аdа@clients.example",  # Cyrillic а: looks like another client's address
    "mailto:ada@clients.example",
    "ada@clients.example?bcc=eve@evil.example",
    "ada@clients.example%0abcc:eve@evil.example",
    "=?utf-8?q?ada?=@clients.example\n",
    "ada@clients.example\ud800",
    "a" * 250 + "@clients.example",
    "ada@" + "a" * 64 + ".example",
    "ada＠clients.example",
]
BAD_SUBJECTS = [
    "",
    "   ",
    "Margin call\nBcc: eve@evil.example",
    "Margin call\r\nBcc: eve@evil.example",
    "Margin call\rX",
    "Margin call\u2028Bcc: eve@evil.example",
    "Margin call\u2029X",
    "Margin call\x85X",
    "Margin call\x0bX",
    "Margin call\x00",
    "Margin call\x1b[2J",
    "Margin call \u202eDSU 00.1",
    "Margin call\u200b",
    "x" * 201,
]


def test_the_corpus_is_large_enough():
    assert len(set(BAD)) + len(set(BAD_SUBJECTS)) >= 80


@pytest.mark.parametrize("address", GOOD)
def test_a_plain_address_is_taken_as_it_is(address):
    assert addresses.single(address) == address


@pytest.mark.parametrize("address", BAD, ids=ascii)
def test_what_is_not_exactly_one_plain_address_is_refused_with_the_fields_name(address):
    with pytest.raises(BadHeader, match=r"^email: "):
        addresses.single(address)


@pytest.mark.parametrize("subject", BAD_SUBJECTS, ids=ascii)
def test_a_subject_is_one_line_of_visible_text(subject):
    with pytest.raises(BadHeader, match=r"^subject: "):
        addresses.line(subject)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Alder Capital", "Alder Capital"),
        ("  Alder\r\nCapital\t", "Alder Capital"),
        ("Eve\u2028Bcc: x", "Eve Bcc: x"),
        ("\u202eevE", "evE"),
        ("شركة الأرز", "شركة الأرز"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("👩\u200d💼 Desk", "👩\u200d💼 Desk"),
    ],
)
def test_names_lose_only_what_would_break_a_line_or_turn_it(name, shown):
    assert addresses.visible(name) == shown
