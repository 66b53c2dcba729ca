"""What the clock starts: thin tasks that read the database's time and make one call of the room.

Each may run twice, late, or be killed half-way, with the same end: the slot, the lease and the door decide.
"""

from datetime import UTC, datetime, timedelta

from celery import shared_task

from margin import (
    adaptive,
    booking,
    closing,
    consequences,
    epochs,
    reschedules,
    sealing,
    sending,
    shards,
    sweep,
    trades,
    warnings,
    watch,
)
from margin.actors import system
from margin.models import Shard, Sweep
from market import clock

HERE = 1  # a sweep of one shard is worked where it was begun


@shared_task(name="margin.sweep")
def run_sweep(kind: str) -> None:
    """Begin the sweep of the current slot, in session only, and hand out its shards."""
    at = clock.now()
    codes = watch.session_calendars(kind, at)
    if any(watch.is_in_session(code, at) for code in codes):
        _hand_out(sweep.begin(kind, at=at, slot_at=slot(at, kind)))


@shared_task(name="margin.attention")
def run_attention() -> None:
    """Look at the accounts whose calls fell due or were paid since their last sweep."""
    at = clock.now()
    ids = sweep.wanting_attention(at)
    if ids:
        _hand_out(sweep.begin(sweep.ATTENTION, at=at, slot_at=slot(at, sweep.ATTENTION), ids=ids))


@shared_task(name="margin.shard")
def work_shard(shard_id: int) -> None:
    """Work one shard of a sweep, and close the sweep if it was the last."""
    _work(Shard.objects.select_related("sweep").get(pk=shard_id))


@shared_task(name="margin.recover")
def recover() -> None:
    """Hand out the shards whose workers died, and close sweeps whose last shard was recorded by a dying one."""
    now = clock.now()
    for shard in sweep.lapsed(now):
        work_shard.delay(shard.pk)
    for running in Sweep.objects.filter(state=Sweep.State.RUNNING):
        sweep.finish(running, now=now)


@shared_task(name="margin.close_sma")
def close_sma() -> None:
    """Close New York's day for SMA once it is over, on a sweep after the close; begin that if there is none yet."""
    at = clock.now()
    day = closing.day_of(at)
    if not closing.is_over(day, at):
        return
    if closing.sweep_of(day) is None:
        _hand_out(sweep.begin(closing.KIND, at=at, slot_at=slot(at, closing.KIND)))
    closed = closing.sweep_of(day)
    if closed is not None:  # else its shards are at work: the next run closes
        closing.close(closed, day=day)


@shared_task(name="margin.trade_calls")
def review_trades() -> None:
    """Review the calls that come from trades on the day's latest sweep; finally, once New York has closed."""
    at = clock.now()
    swept = trades.latest(at)
    if swept is not None:
        trades.review(swept, at=at)


@shared_task(name="margin.reschedule")
def reschedule() -> None:
    """Move the deadlines that a day closed or opened out of turn changed."""
    reschedules.reschedule(at=clock.now(), actor=system("calendars"))


@shared_task(name="margin.adapt_rates")
def adapt_rates() -> None:
    """Publish the rates that follow volatility, from the closes of yesterday and before."""
    at = clock.now()
    adaptive.publish(on=at.date() - timedelta(days=1), at=at)


@shared_task(name="margin.restrict")
def restrict() -> None:
    """Lift what expired or whose call is over, place and record what calls closed by people brought."""
    consequences.settle(at=clock.now(), actor=system("restrictions"))


@shared_task(name="margin.report_prevention")
def report_prevention() -> None:
    """Tell operations how many warned accounts came back without a call, of the week gone by."""
    warnings.report(clock.now())


@shared_task(name="margin.seal")
def seal_history() -> None:
    """Look whether this is the database we knew, and seal what no seal covers yet."""
    at = clock.now()
    epochs.look(at=at)
    sealing.seal(at=at)


@shared_task(name="margin.anchor")
def anchor_history() -> None:
    """Write the newest seal down outside the database, and mail it to the auditors."""
    sealing.anchor(at=clock.now())


@shared_task(name="margin.send_orders")
def send_orders() -> None:
    """Hand released orders to their venues, and hear what those say."""
    sending.run(sending.open_venues(), clock=clock.now)


@shared_task(name="margin.reconcile_orders")
def reconcile_orders() -> None:
    """Compare what venues executed with what is booked, and alarm staff of every difference."""
    booking.reconcile(at=clock.now())


def slot(at: datetime, kind: str) -> datetime:
    """The start of the interval that `at` lies in: the name of the slot."""
    seconds = int(watch.INTERVALS.get(kind, watch.INTERVALS["crypto"]).total_seconds())
    return datetime.fromtimestamp(int(at.timestamp()) // seconds * seconds, UTC)


def _hand_out(begun: Sweep | None) -> None:
    if begun is None:
        return
    waiting = list(begun.shards.select_related("sweep"))
    if len(waiting) > HERE:
        for shard in waiting:
            work_shard.delay(shard.pk)
    elif waiting:
        _work(waiting[0])
    else:
        sweep.finish(begun, now=clock.now())


def _work(shard: Shard) -> None:
    at = shard.sweep.at
    shards.work(shard, now=clock.now(), in_force=sweep.policies_of(shard.sweep.kind, at))
    sweep.finish(shard.sweep, now=clock.now())
