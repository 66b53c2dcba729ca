"""`bin/start --smoke`: is this a house that calls margin? Waits for the first call, its mail and an intact chain."""

import email
import email.policy
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from backoffice import database
from backoffice.terminal import Refusal, say, step, tail

LONGEST_WAIT = 300  # seconds, for call and mail together

FIRST_CALL = """
    SELECT c.id, a.code, c.regime, c.state, c.amount_called, c.currency, c.issued_at
    FROM margin_margincall c JOIN accounts_account a ON a.id = c.account_id ORDER BY c.id LIMIT 1
"""
ITS_NOTICES = """
    SELECT n.message_id FROM notifications_notice n JOIN margin_event e ON e.id = n.event_id WHERE e.call_id = %s
"""


def wait(*, url: str, mails: Path, logs: Path, tend: Callable[[], None], verify: Callable[[], int]) -> None:
    """Wait, then print the call, the mail and the verdict on the history. Raises Refusal with the log that tells why.

    `url` may read the database; `tend` keeps the house alive; `verify` runs verify_history and gives its exit code.
    """
    deadline = time.monotonic() + LONGEST_WAIT
    with step("Waiting for the first margin call"):
        call = _poll(lambda: _first_call(url), tend, deadline)
    if call is None:
        raise Refusal(f"No margin call in {LONGEST_WAIT} s.\n{tail(logs / 'worker.log')}\n{tail(logs / 'feed.log', 5)}")
    with step("Waiting for its mail"):
        mail = _poll(lambda: _mail_about(call[0], url, mails), tend, deadline)
    if mail is None:
        raise Refusal(f"The call exists, but {mails} holds no mail about it.\n{tail(logs / 'worker.log')}")
    with step("Verifying the history"):
        verdict = verify()
    verification = tail(logs / "verify_history.log")
    if verdict:
        raise Refusal(f"verify_history found the history broken.\n{verification}")
    key, account, regime, state, amount, currency, issued_at = call
    called = f"{regime}: {currency} {amount:,.2f}, {state}, issued {issued_at:%H:%M:%S %Z}"
    say(f"\nCall:    MC-{1000 + key}, account {account}, {called}")
    say(f"Mail:    {mail}")
    say(f"History: {verification.splitlines()[-1]}\n")


def _poll(look: Callable[[], Any], tend: Callable[[], None], deadline: float) -> Any:
    """What `look` finds, looked for every second; None at the deadline."""
    while time.monotonic() < deadline:
        if found := look():
            return found
        tend()
        time.sleep(1)
    return None


def _ask(url: str, question: str, *values: Any) -> list[tuple[Any, ...]]:
    with database.connected(url) as connection, connection.cursor() as cursor:
        cursor.execute("SET timezone TO 'UTC'")
        cursor.execute(question, values or None)
        return cursor.fetchall()


def _first_call(url: str) -> tuple[Any, ...] | None:
    rows = _ask(url, FIRST_CALL)
    return rows[0] if rows else None


def _mail_about(call: int, url: str, mails: Path) -> str | None:
    """A mail in the catcher whose Message-ID is that of a notice about this call."""
    notices = {message_id.strip("<>") for (message_id,) in _ask(url, ITS_NOTICES, call)}
    for file in sorted(mails.glob("*.eml")):
        message = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
        message_id = str(message["Message-ID"] or "").strip().strip("<>")
        if message_id in notices:
            return f"{message['Subject']!s} to {message['To']!s} <{message_id}>"
    return None
