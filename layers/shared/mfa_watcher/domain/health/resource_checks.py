"""Checks of the watcher's own resources: event sources, functions, schedules, dead letters."""

from collections.abc import Mapping

from mfa_watcher.domain.health.readings import EventSource, Function
from mfa_watcher.domain.health.results import Check, CheckResult, Findings, count

_QUEUES = 4
"""For how many queues ``QueueConcurrency`` counts."""

_GONE = "does not exist any more"
_DEPLOY = "deploy the stack again"


def check_event_sources(sources: Mapping[str, EventSource | None]) -> tuple[CheckResult, ...]:
    """Check the mappings that invoke functions from the queues and the table's stream."""
    findings = Findings(Check.EVENT_SOURCES)
    for name, source in sources.items():
        if source is None:
            findings.fail(_GONE, _DEPLOY, name)
        elif source.state not in {"Enabled", "Enabling", "Creating", "Updating"}:
            findings.fail(
                f"is {source.state.casefold()}",
                "aws lambda update-event-source-mapping --enabled --uuid …, or deploy again",
                name,
            )
        elif source.last_result.startswith("PROBLEM"):
            findings.warn(source.last_result, "read the function's log", name)
    return findings.or_ok(f"{len(sources)} enabled")


def check_functions(functions: Mapping[str, Function | None]) -> tuple[CheckResult, ...]:
    """Check that the functions can run."""
    findings = Findings(Check.FUNCTIONS)
    for name, function in functions.items():
        if function is None:
            findings.fail(_GONE, _DEPLOY, name)
        elif function.reserved == 0:
            findings.fail(
                "cannot run: its reserved concurrency is 0",
                f"aws lambda delete-function-concurrency --function-name {name}",
                name,
            )
        elif function.state == "Failed":
            findings.fail("is in state Failed", _DEPLOY, name)
    return findings.or_ok(f"{len(functions)} can run")


def check_concurrency(unreserved: int, per_queue: int) -> tuple[CheckResult, ...]:
    """Check that the account lets the four queues' functions run, and another one beside them.

    A function that Lambda does not start in time costs its events one of their receives.
    """
    findings = Findings(Check.CONCURRENCY)
    needed = _QUEUES * per_queue
    text = f"the queues take up to {needed} concurrent executions of {unreserved} in this region"
    if needed >= unreserved:
        return findings.fail(
            text, "ask AWS to raise the quota of concurrent executions, or lower QueueConcurrency"
        )
    return findings.or_ok(text)


def check_schedules(schedules: Mapping[str, bool | None]) -> tuple[CheckResult, ...]:
    """Check that the schedules are enabled: True means enabled."""
    findings = Findings(Check.SCHEDULES)
    for name, enabled in schedules.items():
        if enabled is None:
            findings.fail(_GONE, _DEPLOY, name)
        elif not enabled:
            findings.fail(
                "is disabled", "enable it in EventBridge Scheduler, or deploy again", name
            )
    return findings.or_ok(f"{len(schedules)} enabled")


def check_dead_letters(queues: Mapping[str, int | None]) -> tuple[CheckResult, ...]:
    """Check that the dead-letter queues are empty, from their numbers of messages."""
    findings = Findings(Check.DEAD_LETTERS)
    for name, messages in queues.items():
        if messages is None:
            findings.fail(_GONE, _DEPLOY, name)
        elif messages:
            findings.fail(
                f"holds {count(messages, 'message')}",
                "read the attribute reason of each message, fix the cause, and send them again"
                " (aws sqs start-message-move-task)",
                name,
            )
    return findings.or_ok(f"{len(queues)} empty")
