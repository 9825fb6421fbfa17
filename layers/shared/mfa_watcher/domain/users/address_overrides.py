"""Addresses that the security team sets by hand."""

from dataclasses import replace
from datetime import datetime

from mfa_watcher.domain.decision import UserDecision
from mfa_watcher.domain.history import About, HistoryEntry
from mfa_watcher.domain.users.addresses import AddressBook
from mfa_watcher.domain.users.user import User


class AddressError(Exception):
    """The address cannot be set; the text names the reason."""


def set_address(  # noqa: PLR0913 - who sets what for whom, when, and under which rule
    user: User, address: str | None, book: AddressBook, by: str, now: datetime, *, event_id: str
) -> UserDecision:
    """Set a user's address, or remove the one that was set. It may have bounced before."""
    if address is not None and not book.allows(address):
        allowed = ", ".join(sorted(book.domains))
        raise AddressError(f"{address!r} is not an address in an allowed domain ({allowed})")
    remaining_bad = user.bad_addresses - {(address or "").casefold()}
    after = replace(user, address=address, bad_addresses=remaining_bad)
    what = f"address set to {address}" if address else "address taken from tags again"
    subject = f"{user.key.account_id}/{user.key.user_id}"
    entry = HistoryEntry(About.USER, subject, now, event_id, what, by)
    return UserDecision(event_id, (entry,), user=after, renamed=user.version == 0)
