"""How long records of a client stay, what holds them longer, and their erasure by two people.

The law asks for years after an account was closed (17 CFR 240.17a-4(c): six, for account records; Directive 2014/65/EU
Art. 16(7): five, for what was said); how many is the policy's `retention_years`. Erased are names, addresses and
words; amounts, instants and the chain stay.
"""

from collections.abc import Callable, Mapping
from datetime import date, datetime

from accounts.models import Client
from margin import calls, chain, confidence, history_keys, policies
from margin.actors import Actor
from margin.calls import Refused
from margin.models import Dispute, Erasure, LegalHold, Request, Task
from margin.policy_terms import PolicyTerms
from margin.workflow import Verb

LONGEST_REASON = 400


def place_hold(client: Client, *, reason: str, at: datetime, actor: Actor) -> LegalHold:
    """Keep all that is known of the client until the hold is lifted."""
    said = _reason(actor, Verb.PLACE_LEGAL_HOLD, reason)

    def work() -> LegalHold:
        _lock(client)
        standing = client.legal_holds.filter(lifted_at=None).first()
        if standing is not None:
            raise Refused(f"client {client.code} is under {standing} since {standing.placed_at:%Y-%m-%d} already")
        erased = client.erasures.exclude(done_at=None).first()
        if erased is not None:
            raise Refused(f"client {client.code} was erased on {erased.done_at:%Y-%m-%d}; nothing is left to hold")
        kept = _kept(said, client, actor)
        hold = LegalHold.objects.create(client=client, reason=kept, placed_by_id=actor.user_id or 0, placed_at=at)
        _tell(client, Verb.PLACE_LEGAL_HOLD, {"hold": hold.pk}, kept, at, actor)
        return LegalHold.objects.get(pk=hold.pk)

    return chain.in_transaction(work)


def lift_hold(client: Client, *, reason: str, at: datetime, actor: Actor) -> LegalHold:
    """End the client's hold; what the law retains stays retained."""
    said = _reason(actor, Verb.LIFT_LEGAL_HOLD, reason)

    def work() -> LegalHold:
        _lock(client)
        hold = client.legal_holds.filter(lifted_at=None).first()
        if hold is None:
            raise Refused(f"client {client.code} is under no legal hold")
        hold.lifted_by_id, hold.lifted_at, hold.lift_reason = actor.user_id, at, _kept(said, client, actor)
        hold.save(update_fields=["lifted_by", "lifted_at", "lift_reason"])
        _tell(client, Verb.LIFT_LEGAL_HOLD, {"hold": hold.pk}, hold.lift_reason, at, actor)
        return LegalHold.objects.get(pk=hold.pk)

    return chain.in_transaction(work)


def retained_until(client: Client, *, at: datetime) -> date | None:
    """The last day on which records of the client's accounts must be kept; None: it never had one.

    Raises Refused while an account is open: its records are retained for years that have not begun.
    """
    in_force = policies.in_force(at)
    last: date | None = None
    for account in client.accounts.order_by("code"):
        if account.closed_on is None:
            raise Refused(f"account {account.code} of client {client.code} is open; its records must be kept")
        version = in_force.get(account.agreement)
        years = policies.read(version).terms.retention_years if version else PolicyTerms.retention_years
        until = _years_later(account.closed_on, years)
        last = until if last is None else max(last, until)
    return last


def check_erasable(client: Client, *, at: datetime) -> date | None:
    """Raise Refused while a hold or the law keeps the client's records; else until when the law did."""
    hold = client.legal_holds.filter(lifted_at=None).first()
    if hold is not None:
        raise Refused(f"client {client.code} is under {hold}; it must be lifted first")
    until = retained_until(client, at=at)
    if until is not None and at.date() <= until:
        raise Refused(f"records of client {client.code} must be kept until {until}; nothing was erased")
    if not confidence.is_kept():
        raise Refused("HISTORY_KEYS names no folder: words stand in the history in clear and cannot be erased")
    return until


def ask_erasure(client: Client, *, reason: str, at: datetime, actor: Actor) -> Erasure:
    """Ask that the client be erased; another person carries it out."""
    said = _reason(actor, Verb.ERASE, reason)
    until = check_erasable(client, at=at)

    def work() -> Erasure:
        _lock(client)
        known = client.erasures.first()
        if known is not None and known.done_at is not None:
            raise Refused(f"client {client.code} was erased on {known.done_at:%Y-%m-%d} already")
        if known is not None:
            raise Refused(f"{known} was asked for on {known.asked_at:%Y-%m-%d}; another person carries it out")
        kept = _kept(said, client, actor)
        asked = Erasure.objects.create(
            client=client, reason=kept, retained_until=until, asked_by_id=actor.user_id or 0, asked_at=at
        )
        return Erasure.objects.get(pk=asked.pk)

    return chain.in_transaction(work)


def erase(client: Client, *, forget: Callable[[Client, str], None], at: datetime, actor: Actor) -> Erasure:
    """Carry out what another person asked for: blank the rows, leave an event, then destroy the key.

    `forget` blanks the rows of the rooms above and below, in the same transaction. A key that outlived its erasure
    (the machine stopped between the two) is destroyed when it is called again.
    """
    calls.require(actor, Verb.ERASE)
    try:
        history_keys.folder()  # first: without it nothing is begun
    except history_keys.KeysMissing as missing:
        raise Refused(str(missing)) from None

    def work() -> Erasure:
        _lock(client)
        asked = client.erasures.filter(done_at=None).first()
        if asked is None:
            raise Refused(f"nobody asked to erase client {client.code}; ask first, then another person carries it out")
        if asked.asked_by_id == actor.user_id:
            raise Refused(f"{asked} needs two people: {actor.name} asked for it, another carries it out")
        asked.retained_until = check_erasable(client, at=at)
        asked.approved_by_id, asked.done_at = actor.user_id, at
        asked.save(update_fields=["retained_until", "approved_by", "done_at"])
        said = f"erased on {at:%Y-%m-%d}"
        told = _tell(client, Verb.ERASE, {"erasure": asked.pk}, _kept(asked.reason, client, actor), at, actor)
        _forget_words(told, said)
        forget(client, said)
        return asked

    done = client.erasures.exclude(done_at=None).first()
    if done is None or not confidence.has_key(client.pk):
        done = chain.in_transaction(work)
    confidence.destroy(client.pk, at=done.done_at or at)
    return done


def unfinished() -> list[str]:
    """Clients whose key and rows do not agree: after a crash, or a restore that brought back what was erased."""
    done = set(Erasure.objects.exclude(done_at=None).values_list("client", flat=True))
    stones = confidence.erased_clients()
    names = dict(Client.objects.filter(pk__in=done | stones).values_list("pk", "code"))
    keyed = {client for client in done if confidence.has_key(client)}
    return [f"client {names[pk]}: its rows are erased and its key is not" for pk in sorted(keyed)] + [
        f"client {names[pk]}: its key is destroyed and its rows were restored; erase it again"
        for pk in sorted((stones & names.keys()) - done)
    ]


def _forget_words(seqs: Mapping[int, int], said: str) -> None:
    """Rows beside the calls that hold what people wrote, by account; the event of the erasure wrote them last."""
    for account, seq in seqs.items():
        for request in Request.objects.filter(account=account):
            request.reason, request.decision, request.seq = said, said if request.decision else "", seq
            request.save()
        for dispute in Dispute.objects.filter(account=account):
            dispute.reason = dispute.opened_by = said
            dispute.decision, dispute.seq = said if dispute.decision else "", seq
            dispute.save()
        for task in Task.objects.filter(account=account):
            task.title, task.outcome, task.seq = said, said if task.outcome else "", seq
            task.save()


def _lock(client: Client) -> None:
    """One at a time: a hold that comes while an erasure runs waits for it, and the other way round."""
    Client.objects.select_for_update().get(pk=client.pk)
    chain.lock(client.accounts.values_list("pk", flat=True))


def _tell(
    client: Client, verb: Verb, details: dict[str, int], reason: str, at: datetime, actor: Actor
) -> dict[int, int]:
    """Leave an event on each of the client's accounts; its seq by account."""
    moves = [
        calls.Move(verb=verb, account_id=account, details=details, reason=reason)
        for account in client.accounts.order_by("pk").values_list("pk", flat=True)
    ]
    told: dict[int, int] = {}
    for start in range(0, len(moves), calls.LARGEST_BATCH):
        for outcome in calls.carry_out(moves[start : start + calls.LARGEST_BATCH], at=at, actor=actor):
            if outcome.error is not None:
                raise outcome.error
            told[outcome.move.account_id] = outcome.seq or 0
    return told


def _kept(words: str, client: Client, actor: Actor) -> str:
    """The words as a row keeps them; of a client whom a restore brought back, only that it was erased."""
    gone = confidence.erased_at(client.pk)
    return f"erased on {gone:%Y-%m-%d}" if gone else calls.to_keep(words, client_id=client.pk, actor=actor)


def _reason(actor: Actor, verb: Verb, reason: str) -> str:
    calls.require_reason(actor, verb, reason)
    if len(reason.strip()) > LONGEST_REASON:
        raise Refused(f"say the reason in at most {LONGEST_REASON} characters")
    return reason.strip()


def _years_later(day: date, years: int) -> date:
    """The same day of the year, the 28th of February for its 29th where there is none."""
    try:
        return day.replace(year=day.year + years)
    except ValueError:
        return day.replace(year=day.year + years, day=28)
