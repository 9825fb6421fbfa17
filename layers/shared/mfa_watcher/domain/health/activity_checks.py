"""Checks of recent activity: the last sweeps, and the heartbeats of all event paths."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from mfa_watcher.domain.health.heartbeats import Heartbeat
from mfa_watcher.domain.health.results import Check, CheckResult, Findings, count, duration, named
from mfa_watcher.domain.sweep.user_inventory import SweepResult

SWEEP_LATE = timedelta(hours=10)
"""Two sweeps in a row did not happen, which is also when the alarm goes off."""


def check_last_sweep(
    sweeps: Mapping[str, SweepResult | None], *, now: datetime
) -> tuple[CheckResult, ...]:
    """Check how long ago each account was swept."""
    findings = Findings(Check.LAST_SWEEP)
    never = [account for account, swept in sweeps.items() if swept is None]
    done = {account: swept for account, swept in sweeps.items() if swept}
    late = [account for account, swept in done.items() if now - swept.at > SWEEP_LATE]
    look = "check the schedule, the dead-letter queue and the log of sweep"
    if never:
        findings.fail(
            f"never swept: {named(never)}", f"invoke sweep with {{}}; if that does not help, {look}"
        )
    if late:
        longest = max(now - done[account].at for account in late)
        findings.fail(f"not swept for {duration(longest)}: {named(late)}", look)
    oldest = max((now - swept.at for swept in done.values()), default=timedelta())
    users = sum(swept.user_counts.users for swept in done.values())
    return findings.or_ok(
        f"{count(len(sweeps), 'account')} with {count(users, 'user')},"
        f" the oldest sweep {duration(oldest)} ago"
    )


def check_heartbeats(
    heartbeats: Sequence[Heartbeat], *, now: datetime, silence_threshold: timedelta
) -> tuple[CheckResult, ...]:
    """Check when events last arrived from each account and region, by each event path."""
    findings = Findings(Check.HEARTBEAT)
    silent = [one for one in heartbeats if not one.since or one.is_silent(now, silence_threshold)]
    new = [one for one in heartbeats if not one.seen_at and one not in silent]
    look = (
        "check the trail, the forwarder and its dead letters there, and the policy of the hub's"
        " event bus"
    )
    if never := [_place(one) for one in silent if not one.seen_at]:
        findings.fail(f"no event ever arrived from {named(never)}", look)
    if stopped := [(_place(one), now - one.seen_at) for one in silent if one.seen_at]:
        longest = max(time for _, time in stopped)
        places = named(place for place, _ in stopped)
        findings.fail(f"no event arrived for {duration(longest)} from {places}", look)
    if new:
        findings.warn(
            f"no event arrived yet from {named(map(_place, new))}",
            "run the doctor again after the next canary event",
        )
    oldest = max((now - one.seen_at for one in heartbeats if one.seen_at), default=timedelta())
    return findings.or_ok(
        f"events arrive by {count(len(heartbeats), 'path')}, the oldest {duration(oldest)} ago"
    )


def _place(heartbeat: Heartbeat) -> str:
    source = heartbeat.source
    return f"{source.account_id} {source.region} ({source.path.label})"
