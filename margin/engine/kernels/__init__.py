"""The only place that imports numba: exact sums, sorting and decoding over flat arrays.

Everything here is sequential, releases the GIL and is compiled once into a cache. Importing this package costs
nothing: the compiled modules are loaded by the first call, or by `warm()`.
"""

import hashlib
import os
import stat
import tempfile
from functools import cache
from pathlib import Path
from types import ModuleType

# What a segment's mark says; the flags of its instruments are or-ed together.
UNPRICED = 1  # an instrument without a usable price, or without a rule
WIDE = 2  # too large for 128 bits at the common scale: summed with Python integers instead


def warm() -> None:
    """Compile every kernel, or load it from the cache. Safe to call often; takes seconds only the first time."""
    sums()
    floats()
    rows()
    pricing()
    cover()
    programs()
    grid()
    scenarios()


def sums() -> ModuleType:
    """The kernels that add: see `exact_sums`."""
    _choose_cache()
    from margin.engine.kernels import exact_sums

    return exact_sums


def floats() -> ModuleType:
    """The kernels that screen in float64: see `linear`."""
    _choose_cache()
    from margin.engine.kernels import linear

    return linear


def scenarios() -> ModuleType:
    """The kernels that net sixteen scenarios in float64: see `sixteen_points`."""
    _choose_cache()
    from margin.engine.kernels import sixteen_points

    return sixteen_points


def grid() -> ModuleType:
    """The kernels that put books of options through a grid of scenarios: see `scenario_grid`."""
    _choose_cache()
    from margin.engine.kernels import scenario_grid

    return scenario_grid


def rows() -> ModuleType:
    """The kernels that read and sort rows: see `stored_rows`."""
    _choose_cache()
    from margin.engine.kernels import stored_rows

    return stored_rows


def pricing() -> ModuleType:
    """The kernels that price options: see `pricing_options`."""
    _choose_cache()
    from margin.engine.kernels import pricing_options

    return pricing_options


@cache
def cover() -> ModuleType:
    """The kernel that lays out the program of the cheapest cover of option legs: see `cover_program`."""
    _choose_cache()
    from margin.engine.kernels import cover_program

    return cover_program


@cache
def programs() -> ModuleType:
    """The kernel that solves small mixed integer programs: see `simplex`."""
    _choose_cache()
    from margin.engine.kernels import simplex

    return simplex


def _choose_cache() -> None:
    """Numba caches beside the source; where that cannot be written, in a folder of this user alone.

    The folder is named by the text of all kernels: numba itself sees a change of a kernel's own file only, and would
    go on using what it compiled from the old text of another that is called from there.
    """
    if "NUMBA_CACHE_DIR" in os.environ:
        return
    beside = Path(__file__).parent / "__pycache__"
    folder = beside if _is_writable(beside) else _private_folder()
    os.environ["NUMBA_CACHE_DIR"] = str(folder / f"kernels-{_digest()}")


def _digest() -> str:
    text = b"".join(file.read_bytes() for file in sorted(Path(__file__).parent.glob("*.py")))
    return hashlib.sha256(text).hexdigest()[:12]


def _private_folder() -> Path:
    folder = Path(tempfile.gettempdir()) / f"margin-desk-kernels-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    # Cached kernels are code: never load them from a folder that somebody else could have filled.
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        folder = Path(tempfile.mkdtemp(prefix="margin-desk-kernels-"))
    return folder


def _is_writable(folder: Path) -> bool:
    existing = folder if folder.exists() else folder.parent
    return os.access(existing, os.W_OK | os.X_OK)
