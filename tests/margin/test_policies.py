"""Policies: strict reading, two people, never edited, in force from their instant."""

import copy
from datetime import timedelta

import pytest
from django.db import DatabaseError, transaction

from backoffice.demo.policies import CRYPTO_LOAN, US_MARGIN
from margin import calls, policies
from margin.models import PolicyVersion
from tests.margin import rows
from tests.margin.rows import AT


def changed(path, value):
    terms = copy.deepcopy(US_MARGIN)
    place = terms
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return terms


WRONG = {
    "not an object": ([], "policy"),
    "no regimes": ({**US_MARGIN, "regimes": []}, "at least one"),
    "unknown key": ({**US_MARGIN, "colour": "red"}, "colour"),
    "unknown sweep": ({**US_MARGIN, "sweep": "bonds"}, "sweep"),
    "a number as a float": ({**US_MARGIN, "fee_rate": 0.001}, "fee_rate"),
    "a fee of one": ({**US_MARGIN, "fee_rate": "1"}, "fee_rate"),
    "no time for a plan": ({**US_MARGIN, "plan_minutes": 0}, "plan_minutes"),
    "more than a day for a plan": ({**US_MARGIN, "plan_minutes": 1441}, "plan_minutes"),
    "unknown regime": (changed(["regimes", 0, "regime"], "gut_feeling"), "gut_feeling"),
    "a regime twice": (changed(["regimes", 1, "regime"], "house"), "once"),
    "unknown methodology": (changed(["regimes", 0, "methodology"], "magic"), "magic"),
    "unknown measure": (changed(["regimes", 0, "measure"], "magic"), "magic"),
    "unknown kind": (changed(["regimes", 0, "kinds"], ["tulip"]), "tulip"),
    "a clock without a calendar": (changed(["regimes", 0, "clock", "calendar"], ""), "calendar"),
    "a clock with a wrong hour": (changed(["regimes", 0, "clock", "cut_off"], "25:00"), "25:00"),
    "a clock in no zone": (changed(["regimes", 0, "clock", "zone"], "Mars/Olympus"), "Mars"),
    "a negative tolerance": (changed(["regimes", 0, "tolerance"], "-1"), "tolerance"),
    "hysteresis downwards": (changed(["regimes", 0, "clear_rate"], "0.9"), "clear_rate"),
    "not a number": (changed(["regimes", 0, "warning_rate"], "NaN"), "warning_rate"),
    "a missing rate": (changed(["regimes", 0, "terms"], {}), "terms"),
}


@pytest.mark.parametrize(("terms", "named"), WRONG.values(), ids=WRONG.keys())
def test_wrong_terms_are_refused_with_the_key(terms, named):
    with pytest.raises(policies.BadTerms, match=named):
        policies.parse(terms)


@pytest.mark.parametrize("terms", [US_MARGIN, CRYPTO_LOAN])
def test_the_demonstration_policies_are_read(terms):
    assert policies.parse(terms).terms.regimes


@pytest.mark.django_db
class TestTwoPeople:
    @pytest.fixture
    def version(self):
        return policies.publish("p", terms=CRYPTO_LOAN, effective_at=AT, at=AT, actor=rows.staff("rita", "Risk"))

    def test_a_published_policy_binds_nobody_until_another_approves(self, version):
        assert policies.in_force(AT + timedelta(days=1)) == {}
        policies.approve(version, at=AT, actor=rows.staff("ron", "Risk"))
        assert policies.in_force(AT) == {"p": version}
        assert policies.in_force(AT - timedelta(seconds=1)) == {}

    def test_the_publisher_cannot_approve(self, version):
        with pytest.raises(calls.Refused, match="another person"):
            policies.approve(version, at=AT, actor=rows.staff("rita", "Risk"))

    def test_only_risk_publishes_and_approves(self, version):
        with pytest.raises(calls.Refused, match="Risk"):
            policies.approve(version, at=AT, actor=rows.staff("sue", "Supervisor"))

    def test_the_later_version_is_in_force_from_its_own_instant(self, version):
        approver = rows.staff("ron", "Risk")
        policies.approve(version, at=AT, actor=approver)
        tomorrow = AT + timedelta(days=1)
        second = policies.publish(
            "p", terms=CRYPTO_LOAN, effective_at=tomorrow, at=AT, actor=rows.staff("rita", "Risk")
        )
        policies.approve(second, at=AT, actor=approver)
        assert policies.in_force(AT)["p"].number == 1
        assert policies.in_force(tomorrow)["p"].number == 2

    def test_nothing_is_edited_once_approved(self, version):
        policies.approve(version, at=AT, actor=rows.staff("ron", "Risk"))
        for change in ({"terms": {}}, {"effective_at": AT - timedelta(days=1)}, {"approved_by": None}):
            with pytest.raises(DatabaseError, match="never edited"), transaction.atomic():
                PolicyVersion.objects.filter(pk=version.pk).update(**change)
