"""Addresses that the security team sets by hand."""

from dataclasses import replace
from datetime import datetime

from mfa_watcher.domain.decision import UserDecision
from mfa_watcher.domain.history import About, HistoryEntry
from mfa_watcher.domain.users.addresses import AddressBook
from mfa_watcher.domain.users.user import User


class AddressError(Exception):
    """The address cannot be set; the text says why."""


def set_address(  # noqa: PLR0913 - who sets what for whom, when, and under which rule
    user: User, address: str | None, book: AddressBook, by: str, now: datetime, *, event_id: str
) -> UserDecision:
    """Set or take back a user's address. One that bounced before counts as good again."""
    if address is not None and not book.allows(address):
        raise AddressError(
            f"{address!r} is no address in an allowed domain ({', '.join(sorted(book.domains))})"
        )
    bad = user.bad_addresses - {(address or "").casefold()}
    after = replace(user, address=address, bad_addresses=bad)
    what = f"address set to {address}" if address else "address left to the tags"
    subject = f"{user.key.account_id}/{user.key.user_id}"
    entry = HistoryEntry(About.USER, subject, now, event_id, what, by)
    return UserDecision(event_id, (entry,), user=after, renamed=user.version == 0)
