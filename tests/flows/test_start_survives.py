"""`bin/start`'s supervisor against the worst: children that die, a kill -9 of its own, a second start, a clean end."""

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg2
import pytest

from tests.conftest import temporary_folder

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.long  # two whole starts: a minute and more; bin/start --smoke proves one in every CI run


class Start:
    """One run of the supervisor, its output read from a file while it runs."""

    def __init__(self, home: Path) -> None:
        self.said_in = home / "said"
        outer = ("DATABASE_URL", "DATABASE_OWNER_URL", "CELERY_BROKER_URL", "EMAIL_HOST", "EMAIL_BACKEND", "ANYMAIL")
        environment = {name: value for name, value in os.environ.items() if name not in outer}
        with self.said_in.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "backoffice.start", "--port", "0"],
                env={**environment, "MARGIN_HOME": str(home / "desk")},
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def wait_for(self, pattern: str, seconds: float) -> str:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if match := re.search(pattern, self.said_in.read_text()):
                return match[match.lastindex or 0]
            assert self.process.poll() is None, self.said_in.read_text()
            time.sleep(0.2)
        raise AssertionError(f"{pattern!r} was not said in {seconds} s:\n{self.said_in.read_text()}")

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def child(self, word: str) -> psutil.Process:
        children = psutil.Process(self.process.pid).children()
        return next(child for child in children if word in " ".join(child.cmdline()))


@pytest.fixture
def home() -> Iterator[Path]:
    import shutil

    folder = temporary_folder()
    yield folder
    shutil.rmtree(folder)


def address(home: Path) -> str:
    lines = (home / "desk" / "env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)["DATABASE_URL"]


def test_the_house_survives_its_childrens_death_and_its_own(home):
    start = Start(home)
    url = start.wait_for(r"is open: (\S+)/", 180)
    assert urllib.request.urlopen(f"{url}/readyz", timeout=10).status == 200
    start.child("celery").send_signal(signal.SIGKILL)
    start.wait_for(r"worker ended \(-9\); starting it again", 20)
    with psycopg2.connect(address(home)) as connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO margin_policy (code, name) VALUES ('mine', 'Written before the kill')")
    family = start.family()
    start.process.kill()
    start.process.wait()
    _, alive = psutil.wait_procs(family, timeout=20)
    assert alive == []

    start = Start(home)
    start.wait_for(r"is open: (\S+)/", 180)
    with psycopg2.connect(address(home)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM margin_policy WHERE name = 'Written before the kill'")
        assert cursor.fetchone() == (1,)
    family = start.family()
    start.process.terminate()
    assert start.process.wait(60) == 0
    _, alive = psutil.wait_procs(family, timeout=1)
    assert alive == []
    said = start.said_in.read_text()
    assert said.index("Stopping worker") < said.index("Stopping web") < said.index("Stopping postgresql")


def test_two_houses_cannot_live_in_one_folder(home):
    (home / "desk").mkdir()
    import fcntl

    with (home / "desk" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        start = Start(home)
        assert start.process.wait(60) == 1
    assert "already runs from" in start.said_in.read_text()
