"""Random games of approval between five people, changing rights and lies, against a model: the database alone judges.

Every statement runs as the application role, past all of our code. What the model allows is taken, and nothing else.
"""

import random
from dataclasses import dataclass, field, replace

import psycopg2
import pytest
from django.contrib.auth.models import Group, Permission
from django.db import connection

from margin.models import MarginCall
from tests.conftest import committed_clone
from tests.margin import rows
from tests.margin.liquidating import LATER, escalated
from tests.margin.world import minutes

ROLES = ("Supervisor", "Risk", "Operations", "Compliance")
CHECKERS = ("Supervisor", "Risk")
TURNS = 16
CONTENT = '{"lines": [{"instrument": %d, "quantity": "-1", "price": "50", "proceeds": "50"}], "game": %d}'


@dataclass
class Person:
    """What the model knows of one."""

    pk: int
    role: str
    is_active: bool = True
    manages: bool = False

    @property
    def may(self) -> bool:
        return self.is_active and not self.manages and self.role in CHECKERS


@dataclass
class Game:
    """One plan and what was said of it."""

    plan: int
    proposer: int | None
    state: str = "proposed"
    approvals: list[tuple[int, int]] = field(default_factory=list)  # approval id, person
    is_released: bool = False

    @property
    def needed(self) -> int:
        return 1 if self.proposer else 2


class House:
    """Plays statements and keeps the model; a statement that ends otherwise than the model says fails."""

    def __init__(self, connected, people, draw):
        self.connected, self.people, self.draw = connected, people, draw
        self.call = MarginCall.objects.get().pk
        self.instrument = rows.equity("XYZ").pk
        self.groups = {name: Group.objects.get(name=name).pk for name in ROLES}
        self.right = Permission.objects.get(codename="change_user").pk
        self.released = 0

    def run(self, statement, *values):
        with self.connected.cursor() as cursor:
            cursor.execute("SAVEPOINT turn")
            try:
                cursor.execute(statement, values)
                found = cursor.fetchone()[0] if cursor.description else True
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED; RELEASE turn")
            except psycopg2.Error:
                cursor.execute("ROLLBACK TO turn")
                return None
            return found

    def new_game(self, number):
        proposer = self.draw.choice([None, *(person.pk for person in self.people)])
        plan = self.run(
            "INSERT INTO margin_plan (call_id, state, content, proposed_by_id, proposed_at, expires_at, reason)"
            " VALUES (%s, 'proposed', %s, %s, %s, %s, '') RETURNING id",
            self.call, CONTENT % (self.instrument, number), proposer, LATER, LATER + minutes(15),
        )  # fmt: skip
        assert plan
        assert self.run(
            "INSERT INTO margin_planline (plan_id, instrument_id, quantity, price, fee) VALUES (%s, %s, -1, 50, 0)",
            plan, self.instrument,
        )  # fmt: skip
        return Game(plan, proposer)

    def over(self, game):
        if game.state in ("proposed", "approved"):
            assert self.run("UPDATE margin_plan SET state = 'expired' WHERE id = %s", game.plan)

    # --- turns: what the model expects, what the database does -----------------------------------------------

    def approve(self, game):
        person = self.draw.choice(self.people)
        lies = self.draw.random() < 0.2
        creator = self.draw.choice([0, *(one.pk for one in self.people)]) if lies else game.proposer or 0
        text = "0" * 64 if self.draw.random() < 0.1 else None
        late = self.draw.random() < 0.1
        at = LATER + minutes(20 if late else 1)
        expected = (
            game.state == "proposed" and person.may and person.pk != game.proposer and not late and text is None
            and creator == (game.proposer or 0) and person.pk not in [one for _, one in game.approvals]
        )  # fmt: skip
        made = self.run(
            "INSERT INTO margin_approval (plan_id, content_hash, creator, approver_id, approved_at)"
            " SELECT id, coalesce(%s, content_hash), %s, %s, %s FROM margin_plan WHERE id = %s RETURNING id",
            text, creator, person.pk, at, game.plan,
        )  # fmt: skip
        assert bool(made) == expected
        if made:
            game.approvals.append((made, person.pk))

    def call_it_approved(self, game):
        expected = game.state == "proposed" and len(game.approvals) >= game.needed
        assert bool(self.run("UPDATE margin_plan SET state = 'approved' WHERE id = %s", game.plan)) == expected
        game.state = "approved" if expected else game.state

    def release(self, game):
        known = [number for number, _ in game.approvals]
        used = known[: game.needed] if self.draw.random() < 0.8 else self.draw.choices([*known, 1], k=2)
        first, second = (*used, None, None)[:2]
        late = self.draw.random() < 0.1
        at = LATER + minutes(20 if late else 2)
        by_number = dict(game.approvals)
        who = [self.person(by_number[one]) for one in (first, second) if one in by_number]
        is_pair = first is not None and second is not None and first < second
        are_two = second is None if game.proposer else is_pair
        expected = (
            game.state == "approved" and not game.is_released and not late and are_two and first in by_number
            and (second is None or second in by_number) and all(one.may for one in who)
        )  # fmt: skip
        made = self.run(
            "INSERT INTO margin_release (plan_id, content_hash, creator, first_id, second_id, venue, currency,"
            " notional, largest, released_at) SELECT id, content_hash, creator, %s, %s, 'desk', 'USD', 0, 0, %s"
            " FROM margin_plan WHERE id = %s RETURNING plan_id",
            first, second, at, game.plan,
        )  # fmt: skip
        assert bool(made) == expected
        game.is_released = game.is_released or bool(made)
        self.released += bool(made)

    def edit(self, game):
        changed = "UPDATE margin_plan SET content = content || ' ', state = state WHERE id = %s"
        assert self.run(changed, game.plan) is None

    def person(self, pk):
        return next(one for one in self.people if one.pk == pk)

    def leave_or_return(self, game):
        person = self.draw.choice(self.people)
        person.is_active = not person.is_active
        assert self.run("UPDATE auth_user SET is_active = %s WHERE id = %s", person.is_active, person.pk)

    def change_role(self, game):
        person = self.draw.choice(self.people)
        person.role = self.draw.choice(ROLES)
        assert self.run("DELETE FROM auth_user_groups WHERE user_id = %s", person.pk)
        group = self.groups[person.role]
        assert self.run("INSERT INTO auth_user_groups (user_id, group_id) VALUES (%s, %s)", person.pk, group)

    def manage_users(self, game):
        person = self.draw.choice(self.people)
        person.manages = not person.manages
        if person.manages:
            statement = "INSERT INTO auth_user_user_permissions (user_id, permission_id) VALUES (%s, %s)"
        else:
            statement = "DELETE FROM auth_user_user_permissions WHERE user_id = %s AND permission_id = %s"
        assert self.run(statement, person.pk, self.right)


TURN = {
    House.approve: 8, House.call_it_approved: 4, House.release: 4, House.edit: 1, House.leave_or_return: 1,
    House.change_role: 1, House.manage_users: 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def people(django_db_setup, django_db_blocker, server):
    with committed_clone(server, django_db_blocker):
        escalated()
        made = [Person(rows.staff(f"p{number}", role).user_id, role) for number, role in enumerate((*ROLES, "Risk"))]
        connection.close()
        yield made


def play(connected, people, seed, *, games=50):
    """So many games in one transaction, which is taken back: longer ones drag every version of every row along."""
    house = House(connected, [replace(one) for one in people], random.Random(seed))
    for number in range(games):
        game = house.new_game(number)
        for turn in house.draw.choices(list(TURN), weights=list(TURN.values()), k=TURNS):
            turn(house, game)
        house.over(game)
    connected.rollback()
    return house.released


def test_no_random_game_gets_past_two_people(people, as_application):
    connected = as_application()
    assert sum(play(connected, people, seed) for seed in range(10)) > 25


@pytest.mark.long
def test_no_random_game_of_ten_thousand_gets_past_two_people(people, as_application):
    connected = as_application()
    assert sum(play(connected, people, seed) for seed in range(10, 210)) > 500
