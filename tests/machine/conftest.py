"""The houses that machines run in: each in a clone of its own, committed, the machine's clock in place of ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import override_settings

from margin import chain
from margin.models import Event
from market import clock
from tests.conftest import committed_clone
from tests.machine import core, world


@contextmanager
def opened(server: Any, blocker: Any, keys: Path, *, furnished: bool) -> Iterator[world.House]:
    now, in_transaction = clock.now, chain.in_transaction
    with override_settings(**world.MAIL, HISTORY_KEYS=str(keys)), committed_clone(server, blocker):
        house = world.furnish(world.build()) if furnished else world.build()
        house.last_event = Event.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
        core.prepare_promises()
        chain.in_transaction = world.in_transaction
        try:
            yield house
        finally:
            clock.now, chain.in_transaction = now, in_transaction
            connection.close()


@pytest.fixture(scope="module")
def empty(django_db_setup, django_db_blocker, server, tmp_path_factory):
    """Accounts in good order."""
    with opened(server, django_db_blocker, tmp_path_factory.mktemp("keys"), furnished=False) as house:
        yield house


@pytest.fixture(scope="module")
def furnished(django_db_setup, django_db_blocker, server, tmp_path_factory):
    """Besides, accounts with calls in the middle of their lives."""
    with opened(server, django_db_blocker, tmp_path_factory.mktemp("keys"), furnished=True) as house:
        yield house
