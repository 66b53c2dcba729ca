"""The recorded prices of a trial: where the files lie, and bars read from them. Nothing is copied into the house."""

import csv
import os
from collections.abc import Collection
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from backoffice.trial.house import TrialError
from market import instruments

BESIDE_THE_REPOSITORY = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "market"
DAILY, CRYPTO_DAILY, CRYPTO_MINUTE = "equities_daily.csv", "crypto_daily.csv", "crypto_minute.csv"


def folder(given: str = "") -> Path:
    """The folder named, or MARGIN_TRIAL_DATA, or the shared data folder beside the repository. Raises TrialError."""
    found = Path(given or os.environ.get("MARGIN_TRIAL_DATA") or BESIDE_THE_REPOSITORY)
    missing = [name for name in (DAILY, CRYPTO_DAILY, CRYPTO_MINUTE) if not (found / name).is_file()]
    if missing:
        raise TrialError(
            f"no {', '.join(missing)} in {found}; name the folder with --data or MARGIN_TRIAL_DATA"
            " (docs/trial_2008.md says what the files are)"
        )
    return found


class Bar(NamedTuple):
    """What an instrument did in an interval: first and last price."""

    instrument: str
    begins: str
    open: Decimal
    close: Decimal


def read(file: Path, *, symbols: Collection[str], begins: str, first: str, last: str) -> list[Bar]:
    """The bars of the symbols from `first` to `last`, as the column `begins` (ISO text) orders them.

    Symbols are read as tickers of that day: WM is Washington Mutual in 2008 and another company later.
    """
    names = instruments.names(symbols)
    with file.open(newline="", encoding="utf-8") as opened:
        rows = [row for row in csv.DictReader(opened) if row["symbol"] in symbols and first <= row[begins] <= last]
    named = [(names.on(row["symbol"], date.fromisoformat(row[begins][:10])), row) for row in rows]
    return [Bar(code, row[begins], Decimal(row["open"]), Decimal(row["close"])) for code, row in named if code]
