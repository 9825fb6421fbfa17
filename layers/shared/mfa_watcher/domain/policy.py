"""The choices a security team makes: every compliance knob of the product stands here."""

from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase


@dataclass(frozen=True, slots=True)
class Policy:
    """How strict, how patient and how loud the watcher is."""

    ladder: tuple[timedelta, ...] = tuple(timedelta(days=days) for days in (0, 1, 3, 7, 14))
    """When a user is written to, counted from the opening of the finding; the first is day 0."""

    first_sign_in_grace: timedelta = timedelta(minutes=60)
    """A new console user has to sign in once without MFA to enrol: for this long after the
    access was granted, that is expected and neither alerted nor mailed about again."""

    same_attempt: timedelta = timedelta(minutes=5)
    """One click in the console makes two calls (deactivate, delete): removals by the same actor
    within this time are one attempt and one alert."""

    alert_again_after: timedelta = timedelta(days=1)
    """How long the same user's sign-ins without MFA stay one alert."""

    remember_events: timedelta = timedelta(days=35)
    """How long an event's id is kept to tell duplicates. Longer than an event can wait anywhere
    (24 h at EventBridge, 14 days in a queue, 14 more in its dead-letter queue). An older event
    cannot be told from a duplicate, so it is set aside instead of acted on."""

    break_glass_roles: frozenset[str] = frozenset()
    """Names of roles that may remove a device in an emergency, with their paths, and with ``*`` and
    ``?`` as the guard policy takes them."""

    def is_break_glass(self, role_name: str | None) -> bool:
        """Tell whether a role is one of the named emergency roles."""
        return role_name is not None and any(
            fnmatchcase(role_name.casefold(), pattern.casefold())
            for pattern in self.break_glass_roles
        )
