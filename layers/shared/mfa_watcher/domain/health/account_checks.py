"""Checks of how the account is protected: guard policy, root user and passwords."""

from collections.abc import Collection, Sequence

from mfa_watcher.domain.health import readings
from mfa_watcher.domain.health.results import Check, CheckResult, Findings, count, named

MIN_LENGTH = 14
"""CIS AWS Foundations Benchmark 5.0, recommendation 1.7."""

MIN_REMEMBERED = 24
"""CIS AWS Foundations Benchmark 5.0, recommendation 1.8, and the most that IAM can remember."""

LONG_ENOUGH_WITHOUT_CLASSES = 20
"""From this length on, character classes do not matter: our own decision, not the benchmark's."""

_CLASSES = 4
"""How many classes of characters IAM distinguishes."""


def check_guard_policy(
    policy: readings.GuardPolicy | None,
    console_users: Collection[str] | None,
    *,
    scp: str = "",
    scp_targets: Collection[str] = (),
) -> tuple[CheckResult, ...]:
    """Check that the guard policy denies, and that it applies to all console users.

    ``console_users`` is None if no users are known yet. ``scp`` is the id of a service control
    policy with the same text, which applies to everybody in its targets.
    """
    findings = Findings(Check.GUARD_POLICY)
    if policy is None or not policy.denies_removal:
        return findings.fail(
            "no longer denies the removal of devices" if policy else "does not exist any more",
            "deploy the stack again, and ask who changed it: the alerts name them",
        )
    attached = (("groups", policy.groups), ("users", policy.users), ("roles", policy.roles))
    targets = "; ".join(f"{kind} {named(names)}" for kind, names in attached if names)
    if scp and not scp_targets:
        return findings.fail(
            f"the service control policy {scp} is attached to nothing",
            "attach it to the organization's root or to organizational units"
            " (aws organizations attach-policy)",
        )
    if scp:
        also = f"; also attached to {targets}" if targets else ""
        return findings.or_ok(f"{scp} applies to {named(scp_targets)}{also}")
    if not targets:
        return findings.fail(
            "attached to nobody: users can remove their devices",
            "attach it to the groups of console users, or use it as a service control policy"
            " (docs/guard-policy.md)",
        )
    if console_users is None:
        return findings.unknown(
            f"attached to {targets}; the console users are not known yet",
            "run the sweep, then run the doctor again",
        )
    uncovered = [name for name in console_users if name.casefold() not in policy.covered_users]
    if uncovered:
        findings.warn(
            f"attached to {targets}, which leaves out {count(len(uncovered), 'console user')}:"
            f" {named(uncovered)}",
            "attach it to a group that they belong to",
        )
    return findings.or_ok(
        f"attached to {targets}; {count(len(console_users), 'console user')}, all covered"
    )


def check_root_mfa(root: readings.RootUser) -> tuple[CheckResult, ...]:
    """Check root's MFA (CIS AWS Foundations Benchmark 5.0, 1.4) and access keys (1.3)."""
    findings = Findings(Check.ROOT_MFA)
    if root.password and not root.mfa:
        findings.fail(
            "root has a password and no MFA device (CIS 5.0, 1.4)",
            "sign in as root and add a device, or remove root's credentials from the organization",
        )
    elif root.access_keys:
        findings.warn("root has access keys (CIS 5.0, 1.3)", "delete them")
    return findings.or_ok("root has MFA" if root.mfa else "root has no password and no access key")


def check_password_policy(policy: readings.PasswordPolicy | None) -> tuple[CheckResult, ...]:
    """Check the password policy (CIS AWS Foundations Benchmark 5.0, 1.7 and 1.8).

    The benchmark no longer requires passwords to expire; the last version that did was 1.2 (1.11).
    """
    findings = Findings(Check.PASSWORD_POLICY)
    command = "aws iam update-account-password-policy"
    if policy is None:
        return findings.fail(
            "there is none, and IAM's default only requires 8 characters (CIS 5.0, 1.7)",
            f"{command} --minimum-password-length {MIN_LENGTH}"
            f" --password-reuse-prevention {MIN_REMEMBERED} --allow-users-to-change-password",
        )
    # Each call replaces the whole policy: what it does not name returns to IAM's default.
    keep = "and repeat all other settings, because the command replaces the whole policy"
    if policy.length < MIN_LENGTH:
        findings.fail(
            f"{policy.length} characters are enough; CIS 5.0, 1.7 requires {MIN_LENGTH}",
            f"{command} --minimum-password-length {MIN_LENGTH}, {keep}",
        )
    if policy.remembered < MIN_REMEMBERED:
        findings.fail(
            f"{policy.remembered} former passwords are rejected;"
            f" CIS 5.0, 1.8 requires {MIN_REMEMBERED}",
            f"{command} --password-reuse-prevention {MIN_REMEMBERED}, {keep}",
        )
    if policy.classes < _CLASSES and MIN_LENGTH <= policy.length < LONG_ENOUGH_WITHOUT_CLASSES:
        findings.warn(
            f"{policy.classes} of 4 character classes are required",
            f"require all of them, or at least {LONG_ENOUGH_WITHOUT_CLASSES} characters",
        )
    age = f", valid for {policy.max_age} days" if policy.max_age else ""
    return findings.or_ok(
        f"{policy.length} characters, {policy.classes} of 4 character classes,"
        f" {policy.remembered} former passwords rejected{age}"
    )


def check_first_password(
    policy: readings.PasswordPolicy | None,
    simulated: Collection[str] | None,
    denied: Sequence[readings.DeniedCall],
) -> tuple[CheckResult, ...]:
    """Check that new users can set their own password, which they must do before they enrol.

    ``simulated`` names the users for whom IAM simulated the calls without MFA; None if no users
    are known yet.
    """
    findings = Findings(Check.FIRST_PASSWORD)
    if policy and policy.hard_expiry:
        findings.warn(
            "users cannot change an expired password themselves (hard expiry)",
            "remove the hard expiry from the password policy",
        )
    for action in sorted({one.action for one in denied}):
        users = [one.user for one in denied if one.action == action]
        policies = named({one.policy for one in denied if one.action == action and one.policy})
        by = f": {policies}" if policies else ""
        findings.fail(
            f"{named(users)} may not call {action} without MFA{by}",
            f"exempt {action} from what is denied without MFA, or allow it; the account's"
            " AllowUsersToChangePassword allows it where no policy denies it",
        )
    if simulated is None:
        findings.unknown(
            "no console user is known whose policies could be simulated",
            "run the sweep, then run the doctor again",
        )
    return findings.or_ok(
        f"{named(simulated)} may change their password without MFA"
        if simulated
        else "there is no console user"
    )
