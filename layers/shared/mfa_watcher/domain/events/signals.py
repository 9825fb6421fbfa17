"""What a CloudTrail record means for the watcher."""

from dataclasses import dataclass
from enum import StrEnum

from mfa_watcher.domain.events import denials
from mfa_watcher.domain.events.records import Record
from mfa_watcher.domain.events.tampering import (
    STANDARD,
    Tampering,
    Watcher,
    find_tampering,
    is_canary,
    is_watched_call,
)
from mfa_watcher.domain.users.devices import owner_in

SIGN_IN_SOURCE = "signin.amazonaws.com"
IAM_SOURCE = "iam.amazonaws.com"
STS_SOURCE = "sts.amazonaws.com"
ROOT_USER_NAME = "AWS ROOT USER"
"""What IAM writes as ``userName`` when the root user changes its own device."""


class SignalKind(StrEnum):
    """What a record may mean."""

    SIGN_IN_WITHOUT_MFA = "sign_in_without_mfa"
    SIGN_IN_WITH_MFA = "sign_in_with_mfa"
    SIGN_IN_NOT_JUDGED = "sign_in_not_judged"
    SIGN_IN_FAILED = "sign_in_failed"
    DEVICE_REMOVAL = "device_removal"
    DEVICE_ENABLED = "device_enabled"
    DEVICE_RESYNCED = "device_resynced"
    CONSOLE_ACCESS_GRANTED = "console_access_granted"
    CONSOLE_ACCESS_REMOVED = "console_access_removed"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - a signal's name, no password
    USER_CREATED = "user_created"
    USER_DELETED = "user_deleted"
    USER_RENAMED = "user_renamed"
    USER_TAGGED = "user_tagged"
    PASSWORD_POLICY_CHANGED = "password_policy_changed"  # noqa: S105 - a signal's name
    ROOT_CREDENTIALS = "root_credentials"
    WATCHER_DISTURBED = "watcher_disturbed"
    IGNORED = "ignored"


class Outcome(StrEnum):
    """How a call ended."""

    SUCCEEDED = "succeeded"
    DENIED = "denied"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Signal:
    """The meaning of one record.

    ``subject`` is the user name in the record itself, ``root`` for the root user, or None.
    ``outcome`` is set only for ``device_removal``, ``tampering`` only for ``watcher_disturbed``.
    ``why`` is one sentence for an analyst.
    """

    kind: SignalKind
    why: str
    record: Record
    subject: str | None = None
    outcome: Outcome | None = None
    serial: str | None = None
    tampering: Tampering | None = None

    @property
    def root(self) -> bool:
        """Return whether the root user acted."""
        return self.record.identity.is_root

    @property
    def subject_is_root(self) -> bool:
        """Return whether the signal is about the root user itself."""
        named = self.record.user_name
        if named is None:
            return self.root and self.subject == "root"
        return named == ROOT_USER_NAME  # an IAM user may be called "root"

    @property
    def through_access_keys(self) -> bool:
        """Return whether a console was opened with access keys, past password and device."""
        signs_in = self.kind in {SignalKind.SIGN_IN_WITH_MFA, SignalKind.SIGN_IN_WITHOUT_MFA}
        return signs_in and self.record.identity.is_federated_by_user

    @property
    def subject_acted(self) -> bool:
        """Return whether the subject is the one who acted.

        IAM names are unique without regard to case (IAM ``CreateUser``).
        """
        caller = self.record.identity.user_name
        return bool(self.subject and caller and self.subject.casefold() == caller.casefold())

    @property
    def subject_id(self) -> str | None:
        """Return the subject's unique id (``AIDA…``) if the record itself has it."""
        if self.kind is SignalKind.USER_CREATED:
            return self.record.response_user_id
        if self.only_deletes_device_entity:
            return None
        about_the_caller = self.subject_acted or self.record.event_name == "ConsoleLogin"
        return self.record.identity.user_id if about_the_caller else None

    @property
    def only_deletes_device_entity(self) -> bool:
        """Return whether this call deletes a virtual device that no user has any more.

        ``DeleteVirtualMFADevice`` succeeds only for a device already deactivated, and names no
        user (IAM API reference): the subject can only be the caller.
        """
        return (
            self.record.event_name == "DeleteVirtualMFADevice" and self.outcome is Outcome.SUCCEEDED
        )

    @property
    def names_only_device(self) -> bool:
        """Return whether a removal names a device and neither its user nor, by its form, its owner.

        ``DeleteVirtualMFADevice`` has no parameter for a user (IAM API reference).
        """
        named = self.record.user_name or (self.serial and owner_in(self.serial))
        by_name = self.record.event_name == "DeleteVirtualMFADevice"
        return bool(by_name and self.serial and not named)

    def of_owner(self, name: str) -> "Signal":
        """Return a removal with the user whose device it is."""
        how = "the watcher knows whose it is"
        return _removal(self.record, self.outcome or Outcome.FAILED, name, self.serial, how)

    @property
    def removes_device(self) -> bool:
        """Return whether a device was removed from a user who had it."""
        removed = self.kind is SignalKind.DEVICE_REMOVAL and self.outcome is Outcome.SUCCEEDED
        return removed and not self.only_deletes_device_entity


_REMOVALS = frozenset({"DeactivateMFADevice", "DeleteVirtualMFADevice"})

_CHANGES: dict[str, tuple[SignalKind, str]] = {
    "EnableMFADevice": (SignalKind.DEVICE_ENABLED, "An MFA device was enabled for {subject}"),
    "ResyncMFADevice": (SignalKind.DEVICE_RESYNCED, "An MFA device of {subject} was resynced"),
    "CreateLoginProfile": (
        SignalKind.CONSOLE_ACCESS_GRANTED,
        "{subject} got a console password and can sign in from now on",
    ),
    "DeleteLoginProfile": (
        SignalKind.CONSOLE_ACCESS_REMOVED,
        "The console password of {subject} was removed",
    ),
    "ChangePassword": (SignalKind.PASSWORD_CHANGED, "{subject} changed their own password"),
    "UpdateLoginProfile": (
        SignalKind.PASSWORD_CHANGED,
        "A new console password was set for {subject}",
    ),
    "CreateUser": (SignalKind.USER_CREATED, "The user {subject} was created"),
    "DeleteUser": (SignalKind.USER_DELETED, "The user {subject} was deleted"),
    "TagUser": (SignalKind.USER_TAGGED, "Tags of {subject} were set"),
    "UntagUser": (SignalKind.USER_TAGGED, "Tags of {subject} were taken off"),
    "UpdateAccountPasswordPolicy": (
        SignalKind.PASSWORD_POLICY_CHANGED,
        "The account's password policy was changed",
    ),
    "DeleteAccountPasswordPolicy": (
        SignalKind.PASSWORD_POLICY_CHANGED,
        "The account's password policy was deleted, so AWS's default applies",
    ),
}

_ROOT_CREDENTIALS = {
    (IAM_SOURCE, "CreateAccessKey"): "The root user created an access key",
    (STS_SOURCE, "AssumeRoot"): "A session of the root user was opened in another account",
    (SIGN_IN_SOURCE, "PasswordRecoveryRequested"): "Somebody asked for a new root password",
    (SIGN_IN_SOURCE, "PasswordRecoveryCompleted"): "The root user's password was set anew by mail",
    (SIGN_IN_SOURCE, "PasswordUpdated"): "The root user's password was changed",
}
"""Ways to act as root in the future. The last three are about root alone (CloudTrail user guide,
*AWS Management Console sign-in events*)."""

IAM_CALLS = frozenset({*_CHANGES, *_REMOVALS, "UpdateUser"})
"""The calls to IAM that are signals. The event patterns of both templates have each of them."""


def classify(record: Record, watcher: Watcher = STANDARD) -> Signal:
    """Return what a record means, and why. Pure; never raises.

    ``watcher`` names the watcher's own resources, so that tampering with them is recognised.
    """
    match (record.event_source, record.event_name):
        case (_, None):
            return _ignored(record, "The record names no event")
        case (source, "ConsoleLogin") if source in {SIGN_IN_SOURCE, None}:
            return _classify_sign_in(record)
        case (source, name) if (source, name) in _ROOT_CREDENTIALS:
            return _classify_root_credentials(record)
        case (source, name) if name in _REMOVALS and source in {IAM_SOURCE, None}:
            return _classify_removal(record)
        case (source, name) if name in IAM_CALLS and source in {IAM_SOURCE, None}:
            return _classify_change(record)
        case _:
            return _classify_tampering(record, watcher)


def _classify_sign_in(record: Record) -> Signal:
    identity, subject = record.identity, record.identity.user_name
    result = (record.console_login or "").casefold()
    if result == "failure" or (record.failed and result != "success"):
        reason = f": {record.error_message}" if record.error_message else ""
        return Signal(SignalKind.SIGN_IN_FAILED, f"The sign-in failed{reason}", record, subject)
    if result != "success":
        return _ignored(record, "The sign-in record does not say whether it succeeded")
    if identity.is_federated_by_user:
        return _classify_own_session(record, subject)
    if not (identity.is_iam_user or identity.is_root):
        return Signal(
            SignalKind.SIGN_IN_NOT_JUDGED,
            f"A sign-in as {identity.type or 'an identity of unknown type'}: the identity provider"
            " checks MFA, and MFAUsed is not meaningful",
            record,
            subject,
        )
    who = "The root user" if identity.is_root else (subject or "An IAM user")
    if (record.mfa_used or "").casefold() == "yes":
        return Signal(
            SignalKind.SIGN_IN_WITH_MFA, f"{who} signed in to the console with MFA", record, subject
        )
    assumed = "" if record.mfa_used else " (the record has no MFAUsed, which counts as no)"
    return Signal(
        SignalKind.SIGN_IN_WITHOUT_MFA,
        f"{who} signed in to the console without MFA{assumed}",
        record,
        subject,
    )


def _classify_own_session(record: Record, subject: str | None) -> Signal:
    """Judge a console that a user opened with their access keys: ``MFAUsed`` says nothing of it."""
    how = f"{subject or 'An IAM user'} opened the console with a session for their own access keys"
    if record.identity.mfa_authenticated:
        return Signal(
            SignalKind.SIGN_IN_WITH_MFA, f"{how}, which they got with MFA", record, subject
        )
    assumed = " (the record does not say, which counts as no)"
    unsaid = assumed if record.identity.mfa_authenticated is None else ""
    why = f"{how}, which they got without MFA{unsaid}"
    return Signal(SignalKind.SIGN_IN_WITHOUT_MFA, why, record, subject)


def _classify_removal(record: Record) -> Signal:
    outcome = _outcome_of(record)
    subject, serial = record.user_name, record.serial
    how = "the request names it"
    if outcome is Outcome.DENIED and subject is None:
        target = denials.target_of(record.error_message or "")
        subject, serial = target.user, serial or target.serial
        how = "the denial's text names it"
        if subject is None and not (target.caller or serial):
            why = "the denial's text was cut before it could name the user"
            return _removal(record, outcome, None, serial, why)
    if subject is None and record.response_user_name:
        subject, how = record.response_user_name, "the response names it"
    if subject is None and serial and (owner := owner_in(serial)):
        subject, how = owner, "the device's serial number names it"
    if subject is None:
        subject, how = record.identity.user_name, "the call names nobody, so it is about the caller"
    if subject is None:
        how = "neither the call nor its caller names a user"
    return _removal(record, outcome, _with_plain_root(subject), serial, how)


def _removal(
    record: Record, outcome: Outcome, subject: str | None, serial: str | None, how: str
) -> Signal:
    what = {
        Outcome.SUCCEEDED: "was removed",
        Outcome.DENIED: "was to be removed, and IAM denied it",
        Outcome.FAILED: f"was to be removed, which failed ({record.error_code or 'no code'})",
    }[outcome]
    why = f"An MFA device of {subject or 'an unknown user'} {what}; {how}"
    if outcome is Outcome.SUCCEEDED and record.event_name == "DeleteVirtualMFADevice":
        why = (
            f"The virtual MFA device {serial or '(unnamed)'} was deleted, after it had been"
            f" deactivated; the call names no user"
        )
    return Signal(SignalKind.DEVICE_REMOVAL, why, record, subject, outcome, serial)


def _classify_change(record: Record) -> Signal:
    subject = _subject_of_change(record)
    outcome = _outcome_of(record)
    if outcome is not Outcome.SUCCEEDED:
        code = record.error_code or "no code"
        return _ignored(record, f"{record.event_name} did not succeed ({code}): no change", subject)
    if record.event_name == "UpdateUser":
        if record.new_user_name is None:
            return _ignored(record, "The path of the user changed, but not the name", subject)
        why = f"{subject or 'A user'} is called {record.new_user_name} from now on"
        return Signal(SignalKind.USER_RENAMED, why, record, subject)
    kind, text = _CHANGES[record.event_name or ""]
    if kind is SignalKind.PASSWORD_POLICY_CHANGED:
        subject = None
    why = text.format(subject=subject or "an unknown user")
    return Signal(kind, why, record, subject, serial=record.serial)


def _subject_of_change(record: Record) -> str | None:
    if record.event_name == "CreateUser":
        # IAM's own answer is the user as it now is; the request is only what was asked for.
        return record.response_user_name or record.user_name
    named = record.user_name or record.response_user_name
    if named is None and record.denied:
        target = denials.target_of(record.error_message or "")
        if target.user or not target.caller:
            return target.user
    if named is None and record.serial:
        named = owner_in(record.serial)
    return _with_plain_root(named or record.identity.user_name)


def _classify_root_credentials(record: Record) -> Signal:
    only_by_root = record.event_name in {"CreateAccessKey", "PasswordUpdated"}
    if only_by_root and not record.identity.is_root:
        return _ignored(record, f"{record.event_name}, and not by the root user")
    if record.event_source != SIGN_IN_SOURCE and record.failed and not record.denied:
        return _ignored(record, f"{record.event_name} did not succeed: nothing changed about root")
    why = _ROOT_CREDENTIALS[record.event_source or "", record.event_name or ""]
    if record.user_name:
        why = f"{why} for {record.user_name}"
    if record.target_principal:
        why = f"{why}: {record.target_principal}"
    if record.denied:
        why = f"{why}, which was denied"
    subject = record.user_name or record.response_user_name
    if record.event_source == SIGN_IN_SOURCE:
        subject = "root"
    return Signal(SignalKind.ROOT_CREDENTIALS, why, record, subject)


def _classify_tampering(record: Record, watcher: Watcher) -> Signal:
    if found := find_tampering(record, watcher):
        return Signal(SignalKind.WATCHER_DISTURBED, found.what, record, tampering=found)
    name = record.event_name
    if is_canary(record, watcher):
        return _ignored(record, "The watcher's own canary, which shows that events arrive")
    if is_watched_call(record) and record.failed and not record.denied:
        return _ignored(record, f"{name} did not succeed: nothing changed about the watcher")
    return _ignored(record, f"{name} is not an event that the watcher evaluates")


def _outcome_of(record: Record) -> Outcome:
    if record.denied:
        return Outcome.DENIED
    return Outcome.FAILED if record.failed else Outcome.SUCCEEDED


def _with_plain_root(subject: str | None) -> str | None:
    return "root" if subject == ROOT_USER_NAME else subject


def _ignored(record: Record, why: str, subject: str | None = None) -> Signal:
    return Signal(SignalKind.IGNORED, why, record, subject or _user_named_in(record))


def _user_named_in(record: Record) -> str | None:
    """Return the user that an ignored record names, so that lists of records can be searched."""
    signing_in = record.event_source == SIGN_IN_SOURCE
    caller = record.identity.user_name if signing_in else None
    return _with_plain_root(record.user_name or record.response_user_name or caller)
