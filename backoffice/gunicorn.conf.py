"""gunicorn's settings: `gunicorn -c backoffice/gunicorn.conf.py backoffice.wsgi`."""

import os
import threading
from pathlib import Path
from typing import Any

bind = os.environ.get("BIND", "127.0.0.1:8000")
workers = int(os.environ.get("WEB_WORKERS", "2"))
threads = int(os.environ.get("WEB_THREADS", "4"))
worker_class = "gthread"
preload_app = True  # the application is read once; checks refuse an unsafe production before anything is served
timeout = 60
graceful_timeout = 10
keepalive = 5
max_requests = 10_000
max_requests_jitter = 1_000
accesslog = os.environ.get("ACCESS_LOG") or None
control_socket_disable = True
if Path("/dev/shm").is_dir() and os.access("/dev/shm", os.W_OK):  # noqa: S108  the heartbeat file; a slow disk kills workers
    worker_tmp_dir = "/dev/shm"  # noqa: S108


def post_worker_init(worker: Any) -> None:
    """Load the cached kernels beside the first requests: a page that calls the engine must not wait for them."""
    threading.Thread(target=warm, name="warm-kernels", daemon=True).start()


def warm() -> None:
    from margin.engine import kernels

    kernels.warm()


def child_exit(server: Any, worker: Any) -> None:
    """Drop the dead worker's gauges from /metrics."""
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        from prometheus_client import multiprocess

        multiprocess.mark_process_dead(worker.pid)
