"""The close of a day for SMA: the accounts of a complete sweep, measured by Regulation T alone, and posted."""

from datetime import date

from margin import policies, prices, sma, snapshot, sweep
from margin.engine import regulation
from margin.models import Sweep


def close(closed: Sweep, *, day: date) -> sma.Closed:
    """Raise SMA to the excess at the sweep's instant and prices, shard by shard; may run again.

    Accounts without a usable price keep the SMA they have. ValueError unless the sweep is complete.
    """
    if closed.state != Sweep.State.COMPLETE:
        raise ValueError(f"{closed} is {closed.state}; close on a complete one")
    in_force = {
        code: version
        for code, version in sweep.policies_of(closed.kind, closed.at).items()
        if regulation.is_governed(policies.read(version).policy)
    }
    raised, overtaken = 0, list[int]()
    if not in_force:
        return sma.Closed(0, ())
    for shard in closed.shards.all():
        snap = snapshot.take(
            prices=prices.of(closed),
            in_force=in_force,
            accounts=snapshot.Accounts(shard.first_account, shard.last_account, shard.account_ids),
            past=snapshot.Past(at=closed.at),
        )
        excess = regulation.excesses(snap.book, snap.instruments, snap.market, snap.rules)
        found = sma.close_of_day(excess, day=day, at=closed.at, sweep=closed)
        raised += found.raised
        overtaken += found.overtaken
    return sma.Closed(raised, tuple(overtaken))
