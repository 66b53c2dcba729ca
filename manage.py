#!/usr/bin/env python
"""Django's command line for Margin Desk."""

import os
import sys
from pathlib import Path


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backoffice.settings")
    try:
        from django.core.management import execute_from_command_line
    except ImportError as error:
        raise SystemExit(
            "Django is not installed in this Python. Run bin/start once, then use .venv/bin/python manage.py."
        ) from error
    reach_running_house()
    execute_from_command_line(sys.argv)


def reach_running_house() -> None:
    """Without a DATABASE_URL of its own a command reaches the house that `bin/start` runs from this checkout."""
    import environ

    here = Path(__file__).resolve().parent
    environ.Env.read_env(here / ".env")
    addresses = Path(os.environ.get("MARGIN_HOME") or here / ".local") / "env"
    if "DATABASE_URL" not in os.environ and addresses.exists():
        environ.Env.read_env(addresses)


if __name__ == "__main__":
    main()
