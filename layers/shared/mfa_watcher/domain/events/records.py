"""A CloudTrail record as the rest of the product uses it: typed, and only what is needed."""

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
    issuer_id: str | None = None
    issuer_name: str | None = None
    mfa_authenticated: bool | None = None
    """Whether the session's credentials were obtained with MFA; None if the record does not say."""

    @property
    def is_root(self) -> bool:
        """Return whether the account's root user acted.

        Only the type counts: a root record's ``userName`` may be the account's alias.
        """
        return self.type == "Root"

    @property
    def is_iam_user(self) -> bool:
        """Return whether an IAM user acted with their own credentials."""
        return self.type == "IAMUser"

    @property
    def is_federated_by_user(self) -> bool:
        """Return whether an IAM user acted with a session for their own access keys.

        ``GetFederationToken`` makes one, under a name that the user chooses; its issuer is the user
        (CloudTrail user guide, *userIdentity element*).
        """
        return self.type == "FederatedUser" and ":user/" in (self.issuer_arn or "")

    @property
    def acting_arn(self) -> str | None:
        """Return the ARN of who acted; for such a session that of the user and not its own name."""
        return self.issuer_arn if self.is_federated_by_user else self.arn

    @property
    def user_name(self) -> str | None:
        """Return the IAM user's name, ``root`` for root, None for anybody else or a hidden name."""
        if self.is_root:
            return "root"
        if self.is_federated_by_user:
            return self.issuer_name
        return self.name if self.name != HIDDEN_NAME else None

    @property
    def name_in_arn(self) -> str | None:
        """Return the last part of the ARN, for a record that has no ``userName``."""
        return self.arn.rsplit("/", 1)[-1] if self.arn else None

    @property
    def user_id(self) -> str | None:
        """Return the acting IAM user's unique id (``AIDA…``), which survives a rename."""
        if self.is_federated_by_user:
            return self.issuer_id
        return self.principal_id if self.is_iam_user and self.principal_id else None

    @property
    def role_name(self) -> str | None:
        """Return the name of the role whose session acted, with its path if it has one, or None."""
        _, is_role, name = (self.issuer_arn or "").partition(":role/")
        return name if is_role else None

    @property
    def role_account(self) -> str | None:
        """Return the account that this role belongs to, or None."""
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
    """The region. That of a sign-in depends on the endpoint, so no decision depends on it."""
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
    target_principal: str | None = None
    named: tuple[tuple[str, str], ...] = ()
    """Fields that name a call's resource, in the request or the response: field and value."""

    tags: tuple[tuple[str, str], ...] = ()

    # responseElements
    console_login: str | None = None
    response_user_name: str | None = None
    response_user_id: str | None = None
    password_reset_required: bool | None = None

    # additionalEventData
    mfa_used: str | None = None

    unreadable: tuple[str, ...] = ()
    """Names of the fields in the record whose values have an unexpected type."""

    @property
    def failed(self) -> bool:
        """Return whether the call itself failed (a sign-in has another field for it)."""
        return bool(self.error_code or self.error_message)

    @property
    def denied(self) -> bool:
        """Return whether the call failed because a permission was missing.

        Spellings differ by service and age: ``AccessDenied``, ``AccessDeniedException``,
        ``Client.UnauthorizedOperation``.
        """
        code = self.error_code or ""
        return code.startswith("AccessDenied") or code.endswith("UnauthorizedOperation")


@dataclass(frozen=True, slots=True)
class Event:
    """A record that can be decided about: it has an id, a time and an account."""

    id: str
    at: datetime
    account_id: str
    record: Record
