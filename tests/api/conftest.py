import pytest

from tests.api import house


@pytest.fixture
def furnished(db):
    """`furnished[list]` is the key of one row of each list."""
    return house.furnish()


@pytest.fixture
def reader(db):
    """A client with a key that reads."""
    return house.bearer(house.key("read")[1])


@pytest.fixture
def writer(db):
    """A client with a key that writes everything and reads nothing."""
    return house.bearer(house.key(*house.SCOPE_OF.values())[1])
