"""Cross margin over several accounts: members are measured with their lead, and calls are issued on the lead."""

from collections.abc import Sequence

from django.db import IntegrityError, transaction

from accounts.models import Account
from market import strict


@transaction.atomic
def margin(members: Sequence[Account], *, lead: Account | None) -> int:
    """Measure these accounts with `lead` from now on (None: each by itself again); how many changed.

    One level only, and with the same client or agreement: the database says so, and Refused hands it on.
    """
    changed = 0
    for member in members:
        if member.margined_with_id == (lead.pk if lead else None):
            continue
        member.margined_with = lead
        try:
            with transaction.atomic():
                member.save(update_fields=["margined_with"])
        except IntegrityError as error:
            raise strict.refuse("lead", _said(str(error), member)) from None
        changed += 1
    return changed


def _said(error: str, member: Account) -> str:
    if "account_is_not_margined_with_itself" in error:
        return f"{member.code} is to be margined with itself; name another account"
    return error.partition("\n")[0]
