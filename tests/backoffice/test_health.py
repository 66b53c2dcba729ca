"""What load balancers, Prometheus and browsers get from the house."""

import pytest

from backoffice import health

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}


@pytest.fixture(autouse=True)
def forgetful():
    health.MIGRATED.clear()
    yield
    health.MIGRATED.clear()


@pytest.fixture
def with_broker(broker):
    from backoffice.celery import app

    before = app.conf.broker_url
    app.conf.broker_url = broker.url
    app.pool.force_close_all()
    yield
    app.conf.broker_url = before


def test_healthz_asks_nobody_anything(client):
    response = client.get("/healthz")  # no database mark: a query would fail this test
    assert (response.status_code, response.content) == (200, b"ok\n")


@pytest.mark.django_db
def test_readyz_is_ready_with_database_migrations_and_broker(client, with_broker):
    response = client.get("/readyz")
    assert response.json() == {"ready": True, "database": "ok", "migrations": "ok", "broker": "ok"}
    assert response.status_code == 200


@pytest.mark.django_db
def test_readyz_names_the_broker_that_is_away(client):
    from backoffice.celery import app

    before = app.conf.broker_url
    app.conf.broker_url = "redis://127.0.0.1:1/0"
    try:
        response = client.get("/readyz")
    finally:
        app.conf.broker_url = before
    assert response.status_code == 503
    assert response.json()["database"] == "ok"
    assert "refused" in response.json()["broker"]


def test_readyz_names_the_migration_that_is_not_applied(client, committed_db):
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'backoffice'")
    response = client.get("/readyz")
    assert response.status_code == 503
    assert "backoffice" in response.json()["migrations"]


@pytest.mark.django_db
def test_a_house_without_policies_expects_no_sweep(client):
    response = client.get("/healthz/sweeps")
    assert response.status_code == 200
    for age in response.json().values():
        assert age.pop("limit_seconds") > 0
        assert age == {"last_complete_at": None, "age_seconds": None, "expected": False, "ok": True}


@pytest.mark.django_db
def test_metrics_are_prometheus_text(client):
    response = client.get("/metrics")
    assert response.status_code == 200
    assert b"# TYPE margin_sweep_age_seconds gauge" in response.content


@pytest.mark.django_db
def test_metrics_of_production_want_the_token(client, settings):
    settings.ENVIRONMENT, settings.METRICS_TOKEN = "production", "secret-of-the-scraper"
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers={"authorization": "Bearer wrong"}).status_code == 401
    assert client.get("/metrics", headers={"authorization": "Bearer secret-of-the-scraper"}).status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/healthz", "/admin/login/", "/no-such-page", "/static/unfold/css/styles.css"])
def test_every_answer_carries_the_security_headers(client, path):
    response = client.get(path)
    assert {name: response.headers.get(name) for name in HEADERS} == HEADERS
    assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]


@pytest.mark.django_db
def test_only_the_admin_may_evaluate_scripts(client):
    assert "'unsafe-eval'" in client.get("/admin/login/").headers["Content-Security-Policy"]
    assert "unsafe" not in client.get("/healthz").headers["Content-Security-Policy"]
