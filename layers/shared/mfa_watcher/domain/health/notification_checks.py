"""Checks of mails and alerts: SES, mail domains and the topic of alerts."""

from collections.abc import Mapping

from mfa_watcher.domain.health.readings import SesAccount, Subscriptions
from mfa_watcher.domain.health.results import Check, CheckResult, Findings, count, named


def check_ses_account(account: SesAccount) -> tuple[CheckResult, ...]:
    """Check that SES sends, and to everybody."""
    findings = Findings(Check.SES_ACCOUNT)
    if not account.sending or account.enforcement == "SHUTDOWN":
        findings.fail(
            "the account may not send mails",
            "read the notice in SES's account dashboard; mails wait in the outbox meanwhile",
        )
    elif not account.production:
        findings.fail(
            "in the SES sandbox in this region: mails to unverified addresses are rejected",
            "request production access in this region (aws sesv2 put-account-details)",
        )
    elif account.enforcement not in {"", "HEALTHY"}:
        findings.warn(
            f"under review by AWS: {account.enforcement}",
            "reduce bounces and complaints before AWS pauses sending",
        )
    return findings.or_ok("has production access and may send")


def check_ses_identity(sender: str, identities: Mapping[str, bool]) -> tuple[CheckResult, ...]:
    """Check that the sender's address, or a domain it belongs to, is verified."""
    findings = Findings(Check.SES_IDENTITY)
    verified = [name for name, is_verified in identities.items() if is_verified]
    if not verified:
        pending = f"; not verified yet: {named(identities)}" if identities else ""
        findings.fail(
            f"neither {sender} nor its domain is a verified identity in this region{pending}",
            f"verify {sender.rpartition('@')[2]} in SES in this region"
            " (aws sesv2 create-email-identity)",
        )
    return findings.or_ok(f"{verified[0]} is verified" if verified else "")


def check_ses_quota(account: SesAccount, users: int | None) -> tuple[CheckResult, ...]:
    """Check that one day's quota is enough for a mail to each console user.

    ``users`` is how many there are; None if no sweep has counted them yet.
    """
    findings = Findings(Check.SES_QUOTA)
    if account.daily < 0:
        return findings.or_ok("no daily limit")
    if users is None:
        return findings.unknown(
            f"{account.daily:.0f} mails a day; no sweep has counted the users yet",
            "run the sweep, then run the doctor again",
        )
    seen = f"{account.daily:.0f} mails a day for {count(users, 'console user')}"
    if account.daily < users:
        findings.warn(
            seen, "request a higher quota; a mail to each user would take more than a day"
        )
    return findings.or_ok(seen)


def check_mail_domains(sender: str, domains: str, default: str) -> tuple[CheckResult, ...]:
    """Check where mails may go: the parameters MailDomains and DefaultMailDomain."""
    findings = Findings(Check.MAIL_DOMAINS)
    own = sender.rpartition("@")[2]
    allowed = [one.strip().casefold() for one in domains.split(",") if one.strip()] or [own]
    if default and default.casefold() not in allowed:
        findings.fail(
            f"users without an address get their mails at {default}, but MailDomains does not"
            " allow that domain",
            f"add {default} to MailDomains",
        )
    elif not domains:
        findings.warn(
            f"MailDomains is empty: only addresses at {own}, the sender's domain, get mails",
            "set MailDomains to the domains of your users' addresses",
        )
    return findings.or_ok(named(allowed))


def check_alert_topic(subscriptions: Subscriptions | None) -> tuple[CheckResult, ...]:
    """Check that somebody receives the alerts."""
    findings = Findings(Check.ALERT_TOPIC)
    if subscriptions is None:
        return findings.fail("does not exist any more", "deploy the stack again")
    pending = f"{subscriptions.pending} not confirmed yet" if subscriptions.pending else ""
    if not subscriptions.confirmed:
        findings.fail(
            f"nobody receives the alerts: {pending or 'there is no subscription'}",
            "confirm the subscription that SNS mailed to SecurityAddress, or subscribe a tool",
        )
    elif pending:
        findings.warn(pending, "confirm the subscription, or delete it")
    return findings.or_ok(count(subscriptions.confirmed, "confirmed subscription"))
