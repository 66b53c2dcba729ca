from collections.abc import Callable

import pytest
from django.test import Client

from tests.faces import house as houses


@pytest.fixture(autouse=True)
def _quick_passwords(settings) -> None:
    """Slow hashes are for attackers; six people a test need not wait for them."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def house(db: None) -> houses.House:
    return houses.build()


@pytest.fixture
def sign_in() -> Callable[..., Client]:
    """`sign_in("Risk")` is a browser in which somebody of that role is logged in; a second name is another person.

    The test brings the database: `db`, or a clone.
    """

    def make(role: str, name: str = "") -> Client:
        client = Client()
        client.force_login(houses.user(name or role.lower(), role), backend="django.contrib.auth.backends.ModelBackend")
        return client

    return make
