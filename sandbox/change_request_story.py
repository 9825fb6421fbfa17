"""The change desk in the story: from an attempt to a new device, with four eyes."""

from collections.abc import Callable
from typing import Final

from sandbox.command_line import password_from, run_requests, without_password
from sandbox.expectations import Scenario, alerted, denied, finding, mailed, request
from sandbox.setup import Sandbox
from sandbox.time_shift import days_pass


def request_of(sandbox: Sandbox, name: str) -> str:
    """The id of the request about a user."""
    return next(
        str(item["id"])
        for item in sandbox.observations.kind("REQUEST")
        if item["subject_name"] == name
    )


# --- carol, who lost her phone ------------------------------------------------------------------


def victor_means_well(sandbox: Sandbox) -> None:
    """Victor, of the security team, tries to remove carol's device for her."""
    iam, serial = sandbox.actors["victor"].client("iam"), sandbox.actors.serial("carol-phone")
    denied(iam.deactivate_mfa_device, UserName="carol", SerialNumber=serial)


def carol_gives_details(sandbox: Sandbox) -> str:
    """Carol says at the desk what she wants instead, and why, and looks at her requests."""
    carol, id_ = sandbox.actors["carol"], request_of(sandbox, "carol")
    why = ("--reason", "my phone fell into the sea", "--wanted", "virtual")
    return "\n".join(
        [
            run_requests(sandbox.observations.stack, carol, "details", id_, *why),
            run_requests(sandbox.observations.stack, carol, "list"),
        ]
    )


def three_are_refused(sandbox: Sandbox) -> str:
    """Carol, victor, and petra without her second factor try to approve."""
    id_, why = request_of(sandbox, "carol"), ("--reason", "I know that it is true")
    stack, actors = sandbox.observations.stack, sandbox.actors
    approve = ("approve", id_, *why)
    return "\n".join(
        [
            run_requests(
                stack, actors.with_mfa("carol"), *approve, refused="the subject of the request"
            ),
            run_requests(stack, actors.with_mfa("victor"), *approve, refused="tried to remove"),
            run_requests(stack, actors["petra"], *approve, refused="IAM does not allow you"),
        ]
    )


def petra_approves(name: str, *, why: str, step: str = "approve") -> Callable[[Sandbox], str]:
    """Petra, of the security team and with MFA, decides."""

    def act(sandbox: Sandbox) -> str:
        command = (step, request_of(sandbox, name), "--reason", why)
        return run_requests(sandbox.observations.stack, sandbox.actors.with_mfa("petra"), *command)

    return act


def petra_carries_out(name: str) -> Callable[[Sandbox], str]:
    """Petra has a request carried out, and hands the new password over."""

    def act(sandbox: Sandbox) -> str:
        petra, id_ = sandbox.actors.with_mfa("petra"), request_of(sandbox, name)
        said = run_requests(sandbox.observations.stack, petra, "fulfil", id_, "--yes")
        sandbox.actors.passwords[name] = password_from(said)
        sandbox.actors.issued_passwords.append(password_from(said))
        return without_password(said)

    return act


def carol_signs_in(sandbox: Sandbox) -> None:
    """Carol signs in with the password that petra handed her, and has to set another."""
    carol = sandbox.actors["carol"]
    sandbox.account.sign_in(
        "carol", source_ip=carol.source_ip, password=sandbox.actors.passwords["carol"]
    )
    sandbox.actors.change_password("carol")


def carol_enrols(sandbox: Sandbox) -> None:
    """Carol registers her new phone."""
    sandbox.actors.enrol("carol", device="carol-new-phone")


def the_story_is_told(sandbox: Sandbox) -> str:
    """Petra reads carol's request from the beginning."""
    petra, id_ = sandbox.actors.with_mfa("petra"), request_of(sandbox, "carol")
    return run_requests(sandbox.observations.stack, petra, "show", id_, "--history")


CAROL: Final = (
    Scenario(
        "victor means well",
        "He is of the security team, and tries to remove carol's device for her.",
        victor_means_well,
        (request("carol"), mailed(), alerted("removal_denied", naming="carol")),
    ),
    Scenario(
        "carol says what she wants",
        "At the change desk, with her own access key.",
        carol_gives_details,
        (
            request("carol", "submitted"),
            mailed(),
            alerted("request_waiting", naming="carol"),
        ),
    ),
    Scenario(
        "nobody decides alone",
        "carol may approve, but not for herself; victor tried; petra has left her phone at home.",
        three_are_refused,
        (request("carol", "submitted"), mailed(), alerted()),
    ),
    Scenario(
        "petra approves",
        "She has nothing to do with it, and signed in with MFA.",
        petra_approves("carol", why="called her back: her phone is gone"),
        (request("carol", "approved"), mailed("carol"), alerted()),
    ),
    Scenario(
        "petra has it carried out",
        "The device is removed by the only role that may, and carol gets a new password.",
        petra_carries_out("carol"),
        (
            request("carol", "fulfilled"),
            finding("carol", opened=True),
            mailed("carol"),
            alerted("request_fulfilled", naming="carol"),
        ),
    ),
    Scenario(
        "carol signs in with the new password",
        "Without MFA: there is no other way to enrol.",
        carol_signs_in,
        (request("carol", "fulfilled"), mailed(), alerted()),
    ),
    Scenario(
        "carol enrols her new phone",
        "That closes both, the finding and the request.",
        carol_enrols,
        (
            request("carol", "closed"),
            finding("carol", opened=False),
            mailed("carol"),
            alerted(),
        ),
    ),
    Scenario(
        "what the auditor reads",
        "All that happened, in order, each with who did it and what proves it.",
        the_story_is_told,
        (mailed(), alerted()),
    ),
)


# --- dave, whose device an administrator removed ------------------------------------------------


def the_violation_is_acknowledged(sandbox: Sandbox) -> str:
    """Olivia tries to close what she did herself; petra does it, with a reason."""
    stack, id_ = sandbox.observations.stack, request_of(sandbox, "dave")
    command = ("acknowledge", id_, "--yes", "--reason")
    own, others = "my own doing", "olivia was demo_run the rule; dave enrols again"
    petra = sandbox.actors.with_mfa("petra")
    return "\n".join(
        [
            run_requests(stack, sandbox.actors["olivia"], *command, own, refused="tried to remove"),
            run_requests(stack, petra, *command, others),
        ]
    )


DAVE: Final = (
    Scenario(
        "security looks into dave's case",
        "A violation is closed by security's word alone, and not by whoever did it.",
        the_violation_is_acknowledged,
        (
            request("dave", "closed", violation=True),
            finding("dave", opened=True),
            mailed(),
            alerted(),
        ),
    ),
)


# --- alice, for whom the service desk asks ------------------------------------------------------


def lena_files(sandbox: Sandbox) -> str:
    """Lena, at the service desk, files a request for alice, who called her."""
    lena = sandbox.actors.in_service_desk_role("lena")
    why = ("--reason", "alice called: her phone is broken", "--wanted", "fido")
    return run_requests(sandbox.observations.stack, lena, "open", "--user", "alice", *why)


def petra_tries_again(sandbox: Sandbox) -> str:
    """Petra opens the window once more, and this time has it carried out at once."""
    reopened = petra_approves("alice", why="it was forgotten", step="reopen")(sandbox)
    return f"{reopened}\n{petra_carries_out('alice')(sandbox)}"


ALICE: Final = (
    Scenario(
        "lena files a request for alice",
        "She works in a role of the service desk, which files for anybody. alice is demo_run of it.",
        lena_files,
        (
            request("alice", "submitted"),
            mailed("alice"),
            alerted("request_waiting", naming="alice"),
        ),
    ),
    Scenario(
        "petra approves it",
        "And goes home.",
        petra_approves("alice", why="alice confirmed it by video"),
        (request("alice", "approved"), mailed("alice"), alerted()),
    ),
    Scenario(
        "nobody carries it out",
        "The approved window ends after a day.",
        days_pass(2),
        (
            request("alice", "expired"),
            mailed("alice"),
            alerted("request_expired", naming="alice"),
        ),
    ),
    Scenario(
        "petra tries again",
        "An expired request can be opened once more, as a new approval.",
        petra_tries_again,
        (
            request("alice", "fulfilled"),
            finding("alice", opened=True),
            mailed("alice", "alice"),
            alerted("request_fulfilled", naming="alice"),
        ),
    ),
    Scenario(
        "alice does not come back",
        "Three days later she has no new device: security is demo_run, once, and the ladder goes on.",
        days_pass(3),
        (
            request("alice", "fulfilled"),
            mailed("alice"),
            alerted("enrolment_overdue", naming="alice"),
        ),
    ),
)
