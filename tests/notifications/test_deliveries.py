"""Reports of mail providers: once each, in any order, forged or broken, and before we know what they are about."""

import json
import random
from datetime import timedelta
from itertools import permutations

import pytest
from django.db import connection
from django.test import Client

from notifications import deliveries, notices
from notifications.deliveries import Report
from notifications.models import Delivery, Notice
from tests.notifications import rows
from tests.notifications.rows import LATER

pytestmark = pytest.mark.django_db

ORDER = ("queued", "sent", "deferred", "delivered", "opened", "complained", "failed", "rejected", "bounced")


@pytest.fixture
def notice() -> Notice:
    rows.issued()
    notices.prepare(at=LATER)
    return Notice.objects.get()


def report(notice: Notice, state: str, number: int = 0, **options: object) -> Report:
    stated = {"metadata": {"notice": str(notice.pk)}, "event_id": f"{state}-{number}", "recipient": notice.to_address}
    return Report("Mailgun", state, {"event": state, "n": number}, **{**stated, **options})


def reset(notice: Notice) -> None:
    Notice.objects.filter(pk=notice.pk).update(state="queued", sent_at=None)


def state(notice: Notice) -> str:
    return Notice.objects.values_list("state", flat=True).get(pk=notice.pk)


def test_the_ranks_are_those_that_were_settled():
    assert tuple(Notice.State.values) == ORDER


def test_every_order_of_reports_ends_in_the_same_state(notice):
    """All 210 orders of three of {sent, deferred, delivered, opened, complained, bounced, queued}."""
    states = ("queued", "sent", "deferred", "delivered", "opened", "complained", "bounced")
    for number, order in enumerate(permutations(states, 3)):
        reset(notice)
        for one in order:
            deliveries.record(report(notice, one, number), at=LATER)
        assert state(notice) == max(order, key=ORDER.index), order


def test_all_states_with_one_to_three_copies_in_random_orders_end_bounced(notice):
    chance = random.Random(4)
    for number in range(20):
        reset(notice)
        copies = [one for one in ORDER for _ in range(chance.randint(1, 3))]
        chance.shuffle(copies)
        for one in copies:
            deliveries.record(report(notice, one, 1000 + number), at=LATER)
        assert state(notice) == "bounced"
    assert Delivery.objects.count() == 20 * len(ORDER)


def test_a_late_bounce_wins_and_an_opening_stays_as_evidence(notice):
    for one in ("delivered", "opened", "bounced"):
        deliveries.record(report(notice, one), at=LATER)
    assert state(notice) == "bounced"
    assert notice.deliveries.filter(state="opened").exists()


def test_a_click_counts_as_an_opening_and_a_subscription_as_nothing(notice):
    deliveries.record(report(notice, "subscribed"), at=LATER)
    assert state(notice) == "queued"
    deliveries.record(report(notice, "clicked"), at=LATER)
    assert state(notice) == "opened"


def test_a_duplicate_is_stored_once(notice):
    first = deliveries.record(report(notice, "delivered"), at=LATER)
    assert deliveries.record(report(notice, "delivered"), at=LATER + timedelta(hours=1)) == first
    assert Delivery.objects.count() == 1


def test_a_duplicate_without_an_id_is_known_by_what_it_says(notice):
    for _ in range(3):
        deliveries.record(report(notice, "delivered", event_id=""), at=LATER)
    assert Delivery.objects.count() == 1


def test_a_report_of_a_mail_that_a_lost_database_sent_says_nothing_of_another_with_its_number(notice):
    lost = {"notice": f"notice.{'0' * 32}@margin-desk.example"}
    deliveries.record(report(notice, "delivered", metadata=lost), at=LATER)
    assert state(notice) == "queued"
    deliveries.record(report(notice, "opened", metadata={"notice": notice.message_id.strip("<>")}), at=LATER)
    assert state(notice) == "opened"


def test_a_report_is_matched_by_message_id_where_the_provider_gives_no_metadata(notice):
    deliveries.record(
        report(notice, "delivered", metadata={}, message_id=notice.message_id.strip("<>"), recipient=""), at=LATER
    )
    assert state(notice) == "delivered"


def test_a_report_about_somebody_else_does_not_touch_the_notice(notice):
    deliveries.record(report(notice, "bounced", recipient="eve@evil.example"), at=LATER)
    assert state(notice) == "queued"
    assert Delivery.objects.get().notice is None


@pytest.mark.parametrize(
    "stated", ["", "x", "-1", "0", "99999999999999999999999", "1 OR 1=1", "١", "\x00", None, [1], {}]
)
def test_nonsense_about_the_notice_is_kept_unmatched(notice, stated):
    kept = deliveries.record(report(notice, "bounced", metadata={"notice": stated}), at=LATER)
    assert kept.notice is None
    assert state(notice) == "queued"


def test_a_report_that_came_before_its_notice_is_matched_later():
    early = Report("Mailgun", "delivered", {}, event_id="e1", message_id="notice.early@margin-desk.example")
    deliveries.record(early, at=LATER)
    rows.issued()
    notices.prepare(at=LATER)
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (now,) = cursor.fetchone()
    assert deliveries.match(at=now) == 0
    late = Notice.objects.get()
    Delivery.objects.get()
    deliveries.record(
        Report("Mailgun", "delivered", {}, event_id="e2", metadata={"notice": str(late.pk + 1)}), at=LATER
    )
    rows.issued()
    notices.prepare(at=LATER)
    assert deliveries.match(at=now) == 1
    assert Notice.objects.get(pk=late.pk + 1).state == "delivered"
    assert deliveries.match(at=now + timedelta(hours=25)) == 0


# --- the webhooks ---------------------------------------------------------------------------------------------


POSTMARK = "/webhooks/anymail/postmark/tracking/"


@pytest.fixture
def provider() -> Client:
    return Client(raise_request_exception=False)


def post(provider: Client, body: bytes | str, path: str = POSTMARK, **extra: object):
    return provider.post(path, data=body, content_type="application/json", **extra)


def delivered(notice: Notice) -> str:
    return json.dumps(
        {
            "RecordType": "Delivery",
            "MessageID": "883953f4-6105-42a2-a16a-77a8eac79483",
            "Recipient": notice.to_address,
            "DeliveredAt": "2026-03-02T11:00:05-05:00",
            "Details": "Test",
            "Metadata": {"notice": str(notice.pk)},
        }
    )


@pytest.mark.filterwarnings("ignore:Your Anymail webhooks are insecure")
def test_a_providers_report_moves_the_notice(provider, notice):
    assert post(provider, delivered(notice)).status_code == 200
    assert post(provider, delivered(notice)).status_code == 200
    kept = Delivery.objects.get()
    assert (kept.provider, kept.state, kept.notice) == ("Postmark", "delivered", notice)
    assert state(notice) == "delivered"
    assert Notice.objects.get().sent_at is not None


@pytest.mark.parametrize("header", [{}, {"HTTP_AUTHORIZATION": "Basic d3Jvbmc6d3Jvbmc="}, {"HTTP_AUTHORIZATION": "x"}])
def test_a_forged_report_without_the_secret_is_refused_and_changes_nothing(provider, notice, settings, header):
    settings.ANYMAIL = {"WEBHOOK_SECRET": "desk:secret"}
    assert post(provider, delivered(notice), **header).status_code == 400
    assert not Delivery.objects.exists()
    assert state(notice) == "queued"


BODIES = [
    b"",
    b"{",
    b"null",
    b"[]",
    b"1",
    b'"text"',
    b"[1, 2]",
    b"\xff\xfe",
    b"\x00",
    b'{"RecordType": 5}',
    b'{"RecordType": "Delivery", "DeliveredAt": "yesterday"}',
    b'{"RecordType": "Delivery", "DeliveredAt": 5}',
    b'{"RecordType": "Delivery", "Metadata": 5}',
    b'{"RecordType": "Delivery", "Metadata": []}',
    b'{"RecordType": "Delivery", "Recipient": {}}',
    b'{"RecordType": "Delivery", "Recipient": "\\u0000"}',
    b'{"RecordType": "Delivery", "Recipient": "\\ud800"}',
    b'{"RecordType": "Delivery", "MessageID": "' + b"x" * 100_000 + b'"}',
    b'{"RecordType": ["Delivery"]}',
    b'{"RecordType": "Inbound"}',
    b'{"FromFull": 1}',
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b'{"RecordType": "Delivery", "n": NaN}',
    b'{"RecordType": "Delivery", "n": 1e999}',
    b"a=b&c=d",
    b"<xml/>",
]
PATHS = [
    POSTMARK,
    "/webhooks/anymail/sendgrid/tracking/",
    "/webhooks/anymail/sparkpost/tracking/",
    "/webhooks/anymail/brevo/tracking/",
    "/webhooks/anymail/mandrill/",
    "/webhooks/anymail/mailjet/tracking/",
]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("path", PATHS)
def test_no_body_causes_a_server_error(provider, path, settings):
    settings.ANYMAIL = {"MANDRILL_WEBHOOK_KEY": "k"}
    answers = {body[:40]: post(provider, body, path).status_code for body in BODIES}
    assert {body: code for body, code in answers.items() if code >= 500} == {}
    assert 400 in answers.values()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_random_bodies_are_answered_and_kept_once(provider):
    chance = random.Random(7)
    alphabet = [b"{", b"}", b"[", b"]", b'"', b":", b",", b"RecordType", b"Delivery", b"1", b"null", b"\x00", b"\xc3"]
    for _ in range(100):
        body = b"".join(chance.choices(alphabet, k=chance.randint(0, 20)))
        codes = {post(provider, body).status_code for _ in range(2)}
        assert len(codes) == 1
        assert codes <= {200, 400}
    assert Delivery.objects.filter(state="malformed").exists()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_error_of_ours_asks_the_provider_to_send_again(provider, notice):
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE notifications_delivery RENAME TO notifications_delivery_away")
    assert post(provider, delivered(notice)).status_code == 500


def test_inbound_mail_has_no_door_here(provider):
    assert post(provider, b"{}", "/webhooks/anymail/postmark/inbound/").status_code == 404
