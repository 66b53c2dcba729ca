"""Accounts that are margined with a lead."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from accounts.models import Account
from tests.accounts import world

pytestmark = pytest.mark.django_db


def run(*members, **options):
    out = StringIO()
    call_command("margin_together", *members, stdout=out, **options)
    return out.getvalue()


def test_accounts_join_a_lead_and_part_again():
    lead, member = world.account("L"), world.account("M")
    assert run("M", lead="L") == "1 accounts changed\n"
    assert run("M", lead="L") == "0 accounts changed\n"
    assert list(lead.members.all()) == [member]
    run("M", apart=True)
    assert not Account.objects.exclude(margined_with=None).exists()


@pytest.mark.parametrize(
    ("members", "lead", "reason"),
    [
        (["L"], "L", "L is to be margined with itself"),
        (["M", "X"], "M", "margined with itself"),
        (["X"], "M", "account M is itself margined with another"),
        (["NOBODY"], "L", "There is no account NOBODY"),
    ],
)
def test_what_the_database_refuses_changes_nothing(members, lead, reason):
    for code in ("L", "M", "X"):
        world.account(code)
    run("M", lead="L")
    with pytest.raises(CommandError, match=reason):
        run(*members, lead=lead)
    assert Account.objects.exclude(margined_with=None).count() == 1
