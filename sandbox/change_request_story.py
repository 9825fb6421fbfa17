"""Change requests in the story: from the attempt to the new device, with segregation of duties."""

from collections.abc import Callable
from typing import Final

from sandbox.command_line import password_from, run_requests, without_password
from sandbox.expectations import Scenario, alerted, denied, finding, mailed, request
from sandbox.setup import Sandbox
from sandbox.time_shift import days_pass


def request_of(sandbox: Sandbox, name: str) -> str:
    """Return the id of the change request about a user."""
    return next(
        str(item["id"])
        for item in sandbox.observations.kind("REQUEST")
        if item["subject_name"] == name
    )


def version_of(sandbox: Sandbox, name: str) -> str:
    """Return the version that the request about a user has now."""
    return next(
        str(item["version"])
        for item in sandbox.observations.kind("REQUEST")
        if item["subject_name"] == name
    )


# --- carol, who lost a phone --------------------------------------------------------------------


def victor_tries_for_carol(sandbox: Sandbox) -> None:
    """Victor, of the security team, tries to remove carol's device to help."""
    iam, serial = sandbox.actors["victor"].client("iam"), sandbox.actors.serial("carol-phone")
    denied(iam.deactivate_mfa_device, UserName="carol", SerialNumber=serial)


def carol_gives_details(sandbox: Sandbox) -> str:
    """Carol gives the details at the change desk, and lists their requests."""
    carol, id_ = sandbox.actors["carol"], request_of(sandbox, "carol")
    why = ("--reason", "my phone fell into the sea", "--wanted", "virtual")
    return "\n".join(
        [
            run_requests(sandbox.stack, carol, "details", id_, *why),
            run_requests(sandbox.stack, carol, "list"),
        ]
    )


def three_try_to_approve(sandbox: Sandbox) -> str:
    """Carol, victor, and petra without MFA try to approve."""
    id_, why = request_of(sandbox, "carol"), ("--reason", "I know that it is true")
    stack, actors = sandbox.stack, sandbox.actors
    approve = ("approve", id_, *why, "--seen", version_of(sandbox, "carol"))
    return "\n".join(
        [
            run_requests(
                stack, actors.as_approver("carol"), *approve, refused="the subject of the request"
            ),
            run_requests(stack, actors.as_approver("victor"), *approve, refused="tried to remove"),
            run_requests(stack, actors["petra"], *approve, refused="IAM does not allow you"),
        ]
    )


def petra_approves(name: str, *, why: str, step: str = "approve") -> Callable[[Sandbox], str]:
    """Petra, of the security team and with MFA, decides."""

    def act(sandbox: Sandbox) -> str:
        seen = ("--seen", version_of(sandbox, name))
        command = (step, request_of(sandbox, name), "--reason", why, *seen)
        return run_requests(sandbox.stack, sandbox.actors.as_approver("petra"), *command)

    return act


def petra_fulfils(name: str) -> Callable[[Sandbox], str]:
    """Petra has a request fulfilled, and hands over the new password."""

    def act(sandbox: Sandbox) -> str:
        petra, id_ = sandbox.actors.as_approver("petra"), request_of(sandbox, name)
        said = run_requests(sandbox.stack, petra, "fulfil", id_, "--yes")
        sandbox.actors.passwords[name] = password_from(said)
        sandbox.actors.issued_passwords.append(password_from(said))
        return without_password(said)

    return act


def carol_signs_in(sandbox: Sandbox) -> None:
    """Carol signs in with the password from petra, and sets another."""
    carol = sandbox.actors["carol"]
    sandbox.account.sign_in(
        "carol", source_ip=carol.source_ip, password=sandbox.actors.passwords["carol"]
    )
    sandbox.actors.change_password("carol")


def carol_enrols(sandbox: Sandbox) -> None:
    """Carol registers a new phone."""
    sandbox.actors.enrol("carol", device="carol-new-phone")


def petra_reads_the_history(sandbox: Sandbox) -> str:
    """Petra reads the history of carol's request."""
    petra, id_ = sandbox.actors.as_approver("petra"), request_of(sandbox, "carol")
    return run_requests(sandbox.stack, petra, "show", id_, "--history")


CAROL: Final = (
    Scenario(
        "victor tries to remove carol's device",
        "They are in the security team and want to help. The guard policy denies it.",
        victor_tries_for_carol,
        (request("carol"), mailed(), alerted("removal_denied", naming="carol")),
    ),
    Scenario(
        "carol gives the details",
        "At the change desk, with their own access key.",
        carol_gives_details,
        (
            request("carol", "submitted"),
            mailed(),
            alerted("request_waiting", naming="carol"),
        ),
    ),
    Scenario(
        "three people may not approve",
        "carol is the subject, victor tried to remove the device, petra signed in without MFA.",
        three_try_to_approve,
        (request("carol", "submitted"), mailed(), alerted()),
    ),
    Scenario(
        "petra approves",
        "They are not involved, and signed in with MFA.",
        petra_approves("carol", why="called carol back: the phone is gone"),
        (request("carol", "approved"), mailed("carol"), alerted()),
    ),
    Scenario(
        "petra has it fulfilled",
        "The only role that may do so removes the device and sets a new password.",
        petra_fulfils("carol"),
        (
            request("carol", "fulfilled"),
            finding("carol", opened=True),
            mailed("carol"),
            alerted("request_fulfilled", naming="carol"),
        ),
    ),
    Scenario(
        "carol signs in with the new password",
        "Without MFA, since there is no other way to enrol.",
        carol_signs_in,
        (request("carol", "fulfilled"), mailed(), alerted()),
    ),
    Scenario(
        "carol enrols a new phone",
        "This closes the finding and the request.",
        carol_enrols,
        (
            request("carol", "closed"),
            finding("carol", opened=False),
            mailed("carol"),
            alerted(),
        ),
    ),
    Scenario(
        "the history of the request",
        "Everything that happened, in order, with who did it and the evidence.",
        petra_reads_the_history,
        (mailed(), alerted()),
    ),
)


# --- dave, whose device an administrator removed ------------------------------------------------


def the_violation_is_acknowledged(sandbox: Sandbox) -> str:
    """Olivia tries to acknowledge their own violation; petra does it, with a reason."""
    stack, id_ = sandbox.stack, request_of(sandbox, "dave")
    command = ("acknowledge", id_, "--yes", "--seen", version_of(sandbox, "dave"), "--reason")
    own, others = "I removed it", "olivia knows the rule now; dave enrols again"
    petra = sandbox.actors.as_approver("petra")
    return "\n".join(
        [
            run_requests(stack, sandbox.actors["olivia"], *command, own, refused="only approvers"),
            run_requests(stack, petra, *command, others),
        ]
    )


DAVE: Final = (
    Scenario(
        "security acknowledges the violation",
        "Only security closes a violation, and not the person who caused it.",
        the_violation_is_acknowledged,
        (
            request("dave", "closed", violation=True),
            finding("dave", opened=True),
            mailed(),
            alerted(),
        ),
    ),
)


# --- alice, for whom the service desk files ------------------------------------------------------


def lena_files_a_request(sandbox: Sandbox) -> str:
    """Lena, at the service desk, files a request for alice, who called."""
    lena = sandbox.actors.in_service_desk_role("lena")
    why = ("--reason", "alice called: the phone is broken", "--wanted", "fido")
    return run_requests(sandbox.stack, lena, "open", "--user", "alice", *why)


def petra_reopens(sandbox: Sandbox) -> str:
    """Petra reopens the request, and has it fulfilled at once."""
    reopened = petra_approves("alice", why="it was forgotten", step="reopen")(sandbox)
    return f"{reopened}\n{petra_fulfils('alice')(sandbox)}"


ALICE: Final = (
    Scenario(
        "lena files a request for alice",
        "They use the service desk's role, which may file for anybody. alice receives a mail.",
        lena_files_a_request,
        (
            request("alice", "submitted"),
            mailed("alice"),
            alerted("request_waiting", naming="alice"),
        ),
    ),
    Scenario(
        "petra approves alice's request",
        "But nobody has it fulfilled.",
        petra_approves("alice", why="alice confirmed it by video"),
        (request("alice", "approved"), mailed("alice"), alerted()),
    ),
    Scenario(
        "the approval expires",
        "An approval is valid for one day.",
        days_pass(2),
        (
            request("alice", "expired"),
            mailed("alice"),
            alerted("request_expired", naming="alice"),
        ),
    ),
    Scenario(
        "petra reopens the request",
        "That is a new approval of an expired request.",
        petra_reopens,
        (
            request("alice", "fulfilled"),
            finding("alice", opened=True),
            mailed("alice", "alice"),
            alerted("request_fulfilled", naming="alice"),
        ),
    ),
    Scenario(
        "alice does not enrol",
        "Three days later there is no new device: one alert to security, and the reminders go on.",
        days_pass(3),
        (
            request("alice", "fulfilled"),
            mailed("alice"),
            alerted("enrolment_overdue", naming="alice"),
        ),
    ),
)
