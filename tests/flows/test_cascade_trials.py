"""The trial's books under the radar: what docs/cascade.md tells and draws is what the radar finds."""

import re
from pathlib import Path

import pytest

from backoffice.trial import bars, cascades
from margin import cascade
from tests.flows.test_trial_2008 import DATA

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="no ../shared")
DOCS = Path(__file__).parents[2] / "docs"


def described(chart):
    """The extremes of every line, as the chart tells them to who cannot see it."""
    return re.findall(r"<desc[^>]*>(.*?)</desc>", chart)


@pytest.mark.parametrize("name", ["btc", pytest.param("2008", marks=pytest.mark.long)])
def test_the_document_tells_and_draws_what_the_radar_finds(name):
    seen = cascades.see(cascades.RADARS[name], bars.folder(str(DATA)))
    document = (DOCS / "cascade.md").read_text(encoding="utf-8")
    assert [part for part in seen.text.strip().split("\n\n") if part not in document] == []
    drawn = (DOCS / f"charts/cascade_{name}.svg").read_text(encoding="utf-8")
    assert described(drawn) == described(seen.chart)


def test_the_first_calls_of_2008_are_those_of_the_trial():
    """trial.csv, M05 on 2008-09-15: 0.30 × 53,800 - (53,800 - 40,000) = 2,340.00 called."""
    question = cascades.RADARS["2008"].question(bars.folder(str(DATA)), times=1)
    found = cascade.of_book(cascade.read({**question, "max_rounds": 1, "slices": {"count": 1}}))
    called = {one["account"]: one["amount_called"] for one in found["at_once"]["rounds"][0]["listed"]}
    assert called["M05"] == "2340"
