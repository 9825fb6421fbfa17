"""Heartbeats: recording that events arrive."""

from dataclasses import dataclass, field
from datetime import datetime

from mfa_watcher.domain.events.records import Event
from mfa_watcher.domain.events.tampering import CANARY
from mfa_watcher.domain.health import heartbeats
from mfa_watcher.ports.accounts import Accounts
from mfa_watcher.ports.store import Store


@dataclass(frozen=True, slots=True)
class RecordHeartbeat:
    """Records that events arrive by the path of the function that it runs in."""

    accounts: Accounts
    store: Store
    path: heartbeats.EventPath
    _recorded: dict[heartbeats.HeartbeatSource, datetime] = field(default_factory=dict)

    def record(self, event: Event) -> None:
        """Record that an event arrived, at most once an hour for each account and region.

        Any event proves that the path works, whatever it means. A canary is always recorded: it
        comes every few hours, or because somebody waits for it. Raises ExternalServiceError.
        """
        region = event.record.region
        if region is None or not heartbeats.is_region(region):
            return
        source = heartbeats.HeartbeatSource(event.account_id, region, self.path)
        recorded = self._recorded.get(source)
        canary = (event.record.event_source, event.record.event_name) == CANARY
        recently = recorded is not None and event.at - recorded < heartbeats.RECORD_INTERVAL
        if recently and not canary:
            return
        if self.accounts.include(event.account_id):
            self.store.record_heartbeat(source, event.at)
            self._recorded[source] = event.at
