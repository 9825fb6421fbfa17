"""Checks of how events reach the watcher: stack, trails, rules, forwarders and event bus."""

from collections.abc import Callable, Collection, Mapping, Sequence

from mfa_watcher.domain.health.readings import Rule, Stack, Trail
from mfa_watcher.domain.health.results import Check, CheckResult, Findings, count, named

_GOOD_STACK = frozenset(
    {"CREATE_COMPLETE", "IMPORT_COMPLETE", "UPDATE_COMPLETE", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"}
)

_REQUIRED_SOURCES = ("iam.amazonaws.com", "signin.amazonaws.com")
"""The services whose events a trail must record."""

_OWN_SOURCES = frozenset(
    f"{service}.amazonaws.com"
    for service in (
        *("cloudtrail", "dynamodb", "events", "kms", "lambda", "logs"),
        *("organizations", "scheduler", "sns", "sqs"),
    )
)
"""The services that the watcher is built on: their events show tampering with the watcher."""


def check_stack(stack: Stack) -> tuple[CheckResult, ...]:
    """Check the stack's region, and the result of its last deployment."""
    findings = Findings(Check.STACK)
    if stack.region != stack.iam_region:
        findings.fail(
            f"deployed in {stack.region}, but IAM's events only appear in {stack.iam_region}",
            f"deploy it in {stack.iam_region}",
        )
    if stack.status not in _GOOD_STACK:
        findings.fail(
            f"the last deployment ended as {stack.status}",
            "read the stack's events in CloudFormation, fix the cause and deploy again",
        )
    return findings.or_ok(f"{stack.name} in {stack.region} of account {stack.account_id}")


def check_trails(
    region: str, trails: Sequence[Trail], *, with_iam: bool
) -> tuple[CheckResult, ...]:
    """Check that a trail records write management events in a region; no rule fires without them.

    ``with_iam`` is whether IAM's events appear in the region. They are global service events, so
    the trail must record those, too.
    """
    findings = Findings(Check.TRAIL)
    faults = [(trail, _fault(trail, with_iam=with_iam)) for trail in trails]
    good = [trail for trail, fault in faults if not fault]
    if not good:
        seen = "; ".join(f"{trail.name} {fault}" for trail, fault in faults)
        return findings.fail(
            seen or "there is no trail",
            "create a multi-region trail that records write management events of all services,"
            " and start it (cloudtrail create-trail --is-multi-region-trail, start-logging)",
            region,
        )
    complete = [trail for trail in good if not any(one.narrowed_by for one in trail.selectors)]
    if not complete:
        fields = {name for one in good for each in one.selectors for name in each.narrowed_by}
        findings.unknown(
            f"{named(one.name for one in good)} filters events by {named(fields)},"
            " which the doctor cannot evaluate",
            "remove the field from the trail's advanced selectors, or create another trail",
            region,
        )
    elif missing := frozenset.intersection(*(_own_sources_left_out(trail) for trail in complete)):
        findings.warn(
            f"{named(one.name for one in complete)} does not record {named(missing)}:"
            " changes to the watcher's own resources there raise no alert",
            "add the service to the trail's selectors",
            region,
        )
    elif all(trail.delivery_error for trail in complete):
        findings.warn(
            f"{complete[0].name} is logging but cannot deliver to its bucket:"
            f" {complete[0].delivery_error}",
            "fix the bucket or its policy: events arrive, but no evidence is kept",
            region,
        )
    return findings.or_ok(f"{named(one.name for one in complete)} records write events", region)


def _own_sources_left_out(trail: Trail) -> frozenset[str]:
    left_out = [one.left_out for one in trail.selectors if one.writes]
    return frozenset.intersection(_OWN_SOURCES, *left_out)


def _fault(trail: Trail, *, with_iam: bool) -> str:
    writing = [one for one in trail.selectors if one.writes]
    missing = [
        source for source in _REQUIRED_SOURCES if all(source in one.left_out for one in writing)
    ]
    if not trail.logging:
        return "is stopped"
    if not writing:
        return "records no write management events"
    if missing:
        return f"does not record {', '.join(missing)}"
    if with_iam and not trail.global_events:
        return "does not record global services such as IAM"
    return ""


def check_rules(
    rules: Mapping[str, Rule | None], is_in_stack: Callable[[str], bool]
) -> tuple[CheckResult, ...]:
    """Check the stack's rules, by name. ``is_in_stack`` takes the ARN of a target."""
    findings = Findings(Check.RULES)
    remedy = "deploy the stack again, and ask who changed it: the alerts name them"
    for name, rule in rules.items():
        if rule is None:
            findings.fail("does not exist any more", remedy, name)
        elif not rule.enabled:
            findings.fail("is disabled", f"aws events enable-rule --name {name}", name)
        elif not any(map(is_in_stack, rule.targets)):
            findings.fail("has no target in the stack", remedy, name)
    return findings.or_ok(f"{len(rules)} enabled, with their targets")


def check_forwarders(
    rules: Mapping[str, Rule | None], dead_letters: Mapping[str, int | None], *, stack: Stack
) -> tuple[CheckResult, ...]:
    """Check the rules and dead letters of the hub account's forwarders, by region."""
    findings = Findings(Check.FORWARDERS)
    for region, rule in rules.items():
        if rule is None:
            findings.fail(
                "there is no forwarder: sign-ins in this region are not seen",
                f"deploy forwarder.yaml in this region with HubAccountId={stack.account_id}"
                f" HubStackName={stack.name}; or remove the region if nobody signs in there",
                region,
            )
        elif not rule.enabled:
            findings.fail(
                "the forwarder's rule is disabled: sign-ins in this region are not seen",
                f"aws events enable-rule --region {region} --name {forwarder_rule(stack.name)}",
                region,
            )
        elif stack.event_bus_arn not in rule.targets:
            findings.fail(
                "the forwarder's rule does not send to the hub's event bus",
                f"deploy forwarder.yaml in this region again; the target is {stack.event_bus_arn}",
                region,
            )
        elif dead_letters.get(region):
            findings.fail(
                f"{count(dead_letters[region] or 0, 'event')} did not reach the hub",
                "check that the hub's event bus accepts them, then empty the queue"
                f" {forwarder_dead_letters(stack.name)}: the next sweep finds what was missed",
                region,
            )
    return findings.or_ok(f"enabled in {named(rules)}" if rules else "no other region is expected")


def forwarder_rule(stack_name: str) -> str:
    """Return the name of a forwarder's rule for sign-ins."""
    return f"{stack_name}-forward-sign-in"


def forwarder_dead_letters(stack_name: str) -> str:
    """Return the name of a forwarder's dead-letter queue."""
    return f"{stack_name}-forward-dead-letters"


def check_event_bus(organization_id: str, accepted: Collection[str]) -> tuple[CheckResult, ...]:
    """Check that the event bus accepts events of the organization, and of nobody else.

    ``accepted`` holds the organizations that its policy names; ``*`` stands for everybody.
    """
    findings = Findings(Check.EVENT_BUS)
    if "*" in accepted:
        findings.fail(
            "anybody may send events to it",
            "remove the statement without a condition from the default event bus's policy",
        )
    elif organization_id and organization_id not in accepted:
        findings.fail(
            f"does not accept events of the organization {organization_id}",
            "deploy the stack again: the default event bus's policy lacks the statement",
        )
    return findings.or_ok(
        f"accepts events of {organization_id}"
        if organization_id
        else "accepts this account's events"
    )
