"""A throw-away database of the embedded PostgreSQL for benchmarks: on disk, with fsync, migrated by the owner."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]


@contextmanager
def opened() -> Iterator[None]:
    """Start a cluster, migrate it and point Django at it. Call before anything imports a model."""
    sys.path.insert(0, str(ROOT))
    from backoffice import database, embedded

    with tempfile.TemporaryDirectory(prefix="margin-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        cluster = embedded.start_postgresql(folder / "postgresql", log=folder / "postgresql.log")
        try:
            access = database.inside(cluster)
            os.environ.update(access.environment, DJANGO_SETTINGS_MODULE="backoffice.settings")
            owner = {**os.environ, "DATABASE_URL": access.owner_url}
            subprocess.run([sys.executable, "manage.py", "migrate", "-v", "0"], cwd=ROOT, env=owner, check=True)
            import django

            django.setup()
            with database.connected(access.owner_url) as connection:
                from backoffice import grants

                grants.grant(connection, application_role=access.application_role)
            yield
        finally:
            cluster.stop()
