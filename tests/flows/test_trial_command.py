"""`manage.py trial` finds its data, makes databases of its own and leaves everybody else's alone."""

import subprocess
import sys
from pathlib import Path

import pytest

from accounts.models import Client
from backoffice.trial import bars, book_2008, house, place
from backoffice.trial.house import TrialError
from tests import conftest
from tests.flows.test_trial_2008 import DATA

ROOT = Path(__file__).parents[2]


def manage(environment, *arguments):
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        check=False,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_without_the_recorded_prices_it_says_where_it_looked(tmp_path):
    with pytest.raises(TrialError, match=r"no equities_daily.csv, .* in .*; name the folder with --data"):
        bars.folder(str(tmp_path))


@pytest.mark.django_db
def test_a_database_with_clients_is_refused():
    Client.objects.create(code="C1", name="Somebody's client")
    with pytest.raises(TrialError, match="this database has clients; a trial needs a database of its own"):
        house.found(book_2008.BOOK)


def test_a_database_of_that_name_that_is_not_a_trials_is_left_alone(committed_db, server):
    name = f"{committed_db.name}_trial"
    with conftest.connected(server.owner_url) as connection, connection.cursor() as cursor:
        cursor.execute(f'CREATE DATABASE "{name}"')
    try:
        with pytest.raises(TrialError, match="is not a trial's"), place.template():
            pass
    finally:
        conftest.drop(server, name)


@pytest.mark.long
@pytest.mark.skipif(not DATA.is_dir(), reason="no ../shared")
def test_the_command_plays_2008_in_its_own_database_as_the_application_role(committed_db, server):
    try:
        for _ in range(2):  # a second run replaces the first
            done = manage(committed_db.environment, "trial", "--book", "2008", "--data", str(DATA))
            assert done.returncode == 0, done.stderr
            assert "check_invariants: all hold." in done.stdout
            assert f"{committed_db.name}_trial_2008" in done.stdout
        assert not Client.objects.exists()
    finally:
        conftest.drop(server, f"{committed_db.name}_trial_2008")
