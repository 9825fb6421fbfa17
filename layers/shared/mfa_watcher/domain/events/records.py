"""A CloudTrail record as the rest of the product sees it: typed, and no more than is used."""

from dataclasses import dataclass, field
from datetime import datetime

HIDDEN_NAME = "HIDDEN_DUE_TO_SECURITY_REASONS"
"""What CloudTrail writes as user name when somebody signs in with a name that does not exist."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who acted (``userIdentity``)."""

    type: str | None = None
    name: str | None = None
    arn: str | None = None
    principal_id: str | None = None
    account_id: str | None = None
    issuer_arn: str | None = None

    @property
    def is_root(self) -> bool:
        """Tell whether the account's root user acted.

        Only the type counts: a root record's ``userName`` may be the account's alias.
        """
        return self.type == "Root"

    @property
    def is_iam_user(self) -> bool:
        """Tell whether an IAM user acted with credentials of his own."""
        return self.type == "IAMUser"

    @property
    def user_name(self) -> str | None:
        """Give the IAM user's name, ``root`` for root, None for anybody else or a hidden name."""
        if self.is_root:
            return "root"
        return self.name if self.name != HIDDEN_NAME else None

    @property
    def name_in_arn(self) -> str | None:
        """Give the last part of the ARN, for the odd record of a user without ``userName``."""
        return self.arn.rsplit("/", 1)[-1] if self.arn else None

    @property
    def user_id(self) -> str | None:
        """Give the acting IAM user's unique id (``AIDA…``), which survives a rename."""
        return self.principal_id if self.is_iam_user and self.principal_id else None

    @property
    def role_name(self) -> str | None:
        """Give the name of the role whose session acted, with its path if it has one, or None."""
        _, is_role, name = (self.issuer_arn or "").partition(":role/")
        return name if is_role else None

    @property
    def role_account(self) -> str | None:
        """Give the account that this role belongs to, or None."""
        before, is_role, _ = (self.issuer_arn or "").partition(":role/")
        return before.rpartition(":")[2] if is_role else None


@dataclass(frozen=True, slots=True)
class Record:
    """One CloudTrail record. A field is None where the record lacks it, or has another type."""

    event_id: str | None = None
    event_time: str | None = None
    at: datetime | None = None
    """``eventTime`` as an aware datetime; None if it is not an ISO time."""
    account_id: str | None = None
    region: str | None = None
    """Where it was seen. A sign-in's depends on the endpoint, so nothing is decided by it."""
    event_source: str | None = None
    event_name: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    source_ip: str | None = None
    user_agent: str | None = None
    identity: Identity = field(default_factory=Identity)

    # requestParameters
    user_name: str | None = None
    new_user_name: str | None = None
    serial: str | None = None
    named: tuple[tuple[str, str], ...] = ()
    """What a call on a resource names it by, in the request or the answer: field and value."""

    tags: tuple[tuple[str, str], ...] = ()

    # responseElements
    console_login: str | None = None
    response_user_name: str | None = None
    response_user_id: str | None = None
    password_reset_required: bool | None = None

    # additionalEventData
    mfa_used: str | None = None

    unreadable: tuple[str, ...] = ()
    """Fields that were there with a type we cannot use, by their names in the record."""

    @property
    def failed(self) -> bool:
        """Tell whether the call itself failed (a console sign-in says it elsewhere)."""
        return bool(self.error_code or self.error_message)

    @property
    def denied(self) -> bool:
        """Tell whether the call failed for want of permission.

        Spellings differ by service and age: ``AccessDenied``, ``AccessDeniedException``,
        ``Client.UnauthorizedOperation``.
        """
        code = self.error_code or ""
        return code.startswith("AccessDenied") or code.endswith("UnauthorizedOperation")


@dataclass(frozen=True, slots=True)
class Event:
    """A record that can be acted on: it has an id, a time and an account."""

    id: str
    at: datetime
    account_id: str
    record: Record
