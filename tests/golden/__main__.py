"""Run files of published cases through the engine: `python -m tests.golden FILE.csv …`.

Both documented formats are read by their columns alone. Prints per method what passed, failed (id, expected, got) and
is unsupported; the last line is `N passed, N failed, N unsupported`. Exit 1 if a case failed, 2 if a file cannot be
read.
"""

import sys
from pathlib import Path

from tests.golden import runner


def main(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__)
        return 0 if arguments else 2
    results = []
    for name in arguments:
        try:
            results += runner.run(Path(name))
        except (OSError, runner.NotGolden) as error:
            print(f"{name}: {error}", file=sys.stderr)
            return 2
    print(runner.report(results))
    return 1 if any(result.outcome == runner.FAILED for result in results) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
