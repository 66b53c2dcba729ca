"""Real option chains: every strategy is margined both ways, explained, and documented as it comes out."""

from pathlib import Path

import pytest

from tests.golden import chains

PAGE = Path(__file__).parents[2] / "docs/methodologies/real_chains.md"

if not chains.DATA.exists():
    pytest.skip("no ../shared", allow_module_level=True)


@pytest.mark.parametrize("chain", chains.CHAINS, ids=lambda chain: chain.symbol)
def test_the_documented_table_is_what_comes_out(chain):
    assert chains.table(chain) in PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("chain", chains.CHAINS, ids=lambda chain: chain.symbol)
def test_every_strategy_is_explained_and_what_limits_its_loss_lowers_what_it_asks(chain):
    found = {line.strategy: line for line in chains.lines(chain)}
    assert set(found) == set(chains.STRATEGIES)
    assert {name for name, line in found.items() if not line.charges} == {"long call"}  # paid for, and nothing owed
    for part, whole in LIMITED:
        assert found[part].by_strategy <= found[whole].by_strategy
        assert found[part].by_portfolio <= found[whole].by_portfolio


LIMITED = (
    ("credit call spread", "short call"),
    ("credit put spread", "short put"),
    ("iron condor", "short strangle"),
    ("collar", "protective put"),
    ("protective put", "covered call"),
)
