"""The regulator's desk: every register on the page and as files, for those who read the history."""

import pytest
from django.urls import reverse

from margin import registers
from margin.models import MarginCall


def days(call):
    return {"first": f"{call.issued_at:%Y-%m-%d}", "last": f"{call.issued_at:%Y-%m-%d}"}


def test_the_daily_record_shows_the_days_calls_and_is_there_as_files(house, sign_in):
    call = MarginCall.objects.first()
    browser = sign_in("Auditor")
    page = browser.get(reverse("admin:registers"), days(call))
    assert call.number in page.content.decode()
    sheet = browser.get(reverse("admin:register_file", args=("daily", "csv")), days(call))
    assert call.number in sheet.content.decode()
    paper = browser.get(reverse("admin:register_file", args=("daily", "pdf")), days(call))
    assert paper.content.startswith(b"%PDF")


@pytest.mark.parametrize("name", registers.REGISTERS)
def test_every_register_opens(house, sign_in, name):
    assert sign_in("Compliance").get(reverse("admin:register", args=(name,))).status_code == 200


@pytest.mark.parametrize("asked", [{"first": "yesterday"}, {"first": "2026-03-02", "last": "2026-03-01"},
                                   {"first": "1900-01-01", "last": "2026-01-01"}])  # fmt: skip
def test_what_cannot_be_shown_is_said(house, sign_in, asked):
    answer = sign_in("Auditor").get(reverse("admin:registers"), asked)
    assert answer.status_code == 200
    assert "today is shown" in answer.content.decode()
    assert sign_in("Auditor").get(reverse("admin:register_file", args=("daily", "csv")), asked).status_code == 404


def test_who_does_not_read_the_history_sees_no_register(house, sign_in):
    assert sign_in("Administrator").get(reverse("admin:registers")).status_code == 403
    assert sign_in("Auditor").get(reverse("admin:register", args=("none",))).status_code == 404
