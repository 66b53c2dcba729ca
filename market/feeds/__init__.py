"""Where quotes come from, one module per source. A feed never gives up: it outlives the database it writes to."""

import threading
from collections.abc import Callable
from typing import TypeVar

import structlog
from django.db import InterfaceError, OperationalError, connection

FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.5, 10.0
LOG = structlog.get_logger(__name__)

Result = TypeVar("Result")


def persistently(step: Callable[[], Result], *, stop: threading.Event) -> Result | None:
    """Run a step that may be repeated, again and again while the database is away; None: told to stop meanwhile.

    The step must be harmless to repeat: a cut connection does not say whether the commit came through.
    """
    wait = FIRST_WAIT_SECONDS
    while not stop.is_set():
        try:
            return step()
        except (OperationalError, InterfaceError) as error:
            LOG.warning("the database is away, trying again", seconds=wait, error=str(error).strip().split("\n")[0])
            connection.close()
            stop.wait(wait)
            wait = min(2 * wait, LONGEST_WAIT_SECONDS)
    return None
