"""The change desk in the story: from an attempt to a new device, with four eyes."""

from collections.abc import Callable
from typing import Final

from sandbox.desk import ask, password_in, without_password
from sandbox.expectations import Scene, alerted, denied, finding, mailed, request
from sandbox.stage import Stage
from sandbox.timelapse import days_pass


def request_of(stage: Stage, name: str) -> str:
    """The id of the request about a user."""
    return next(
        str(item["id"]) for item in stage.evidence.kind("REQUEST") if item["subject_name"] == name
    )


# --- carol, who lost her phone ------------------------------------------------------------------


def victor_means_well(stage: Stage) -> None:
    """Victor, of the security team, tries to remove carol's device for her."""
    iam, serial = stage.cast["victor"].client("iam"), stage.cast.serial("carol-phone")
    denied(iam.deactivate_mfa_device, UserName="carol", SerialNumber=serial)


def carol_gives_details(stage: Stage) -> str:
    """Carol says at the desk what she wants instead, and why, and looks at her requests."""
    carol, id_ = stage.cast["carol"], request_of(stage, "carol")
    why = ("--reason", "my phone fell into the sea", "--wanted", "virtual")
    return "\n".join(
        [
            ask(stage.evidence.stack, carol, "details", id_, *why),
            ask(stage.evidence.stack, carol, "list"),
        ]
    )


def three_are_refused(stage: Stage) -> str:
    """Carol, victor, and petra without her second factor try to approve."""
    id_, why = request_of(stage, "carol"), ("--reason", "I know that it is true")
    stack, cast = stage.evidence.stack, stage.cast
    approve = ("approve", id_, *why)
    return "\n".join(
        [
            ask(stack, cast.with_mfa("carol"), *approve, refused="the subject of the request"),
            ask(stack, cast.with_mfa("victor"), *approve, refused="tried to remove"),
            ask(stack, cast["petra"], *approve, refused="IAM does not allow you"),
        ]
    )


def petra_approves(name: str, *, why: str, step: str = "approve") -> Callable[[Stage], str]:
    """Petra, of the security team and with MFA, decides."""

    def act(stage: Stage) -> str:
        command = (step, request_of(stage, name), "--reason", why)
        return ask(stage.evidence.stack, stage.cast.with_mfa("petra"), *command)

    return act


def petra_carries_out(name: str) -> Callable[[Stage], str]:
    """Petra has a request carried out, and hands the new password over."""

    def act(stage: Stage) -> str:
        petra, id_ = stage.cast.with_mfa("petra"), request_of(stage, name)
        said = ask(stage.evidence.stack, petra, "fulfil", id_, "--yes")
        stage.cast.passwords[name] = password_in(said)
        stage.cast.handed_over.append(password_in(said))
        return without_password(said)

    return act


def carol_signs_in(stage: Stage) -> None:
    """Carol signs in with the password that petra handed her, and has to set another."""
    carol = stage.cast["carol"]
    stage.account.sign_in(
        "carol", source_ip=carol.source_ip, password=stage.cast.passwords["carol"]
    )
    stage.cast.change_password("carol")


def carol_enrols(stage: Stage) -> None:
    """Carol registers her new phone."""
    stage.cast.enrol("carol", device="carol-new-phone")


def the_story_is_told(stage: Stage) -> str:
    """Petra reads carol's request from the beginning."""
    petra, id_ = stage.cast.with_mfa("petra"), request_of(stage, "carol")
    return ask(stage.evidence.stack, petra, "show", id_, "--history")


CAROL: Final = (
    Scene(
        "victor means well",
        "He is of the security team, and tries to remove carol's device for her.",
        victor_means_well,
        (request("carol"), mailed(), alerted("removal_denied", naming="carol")),
    ),
    Scene(
        "carol says what she wants",
        "At the change desk, with her own access key.",
        carol_gives_details,
        (
            request("carol", "submitted"),
            mailed(),
            alerted("request_waiting", naming="carol"),
        ),
    ),
    Scene(
        "nobody decides alone",
        "carol may approve, but not for herself; victor tried; petra has left her phone at home.",
        three_are_refused,
        (request("carol", "submitted"), mailed(), alerted()),
    ),
    Scene(
        "petra approves",
        "She has nothing to do with it, and signed in with MFA.",
        petra_approves("carol", why="called her back: her phone is gone"),
        (request("carol", "approved"), mailed("carol"), alerted()),
    ),
    Scene(
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
    Scene(
        "carol signs in with the new password",
        "Without MFA: there is no other way to enrol.",
        carol_signs_in,
        (request("carol", "fulfilled"), mailed(), alerted()),
    ),
    Scene(
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
    Scene(
        "what the auditor reads",
        "All that happened, in order, each with who did it and what proves it.",
        the_story_is_told,
        (mailed(), alerted()),
    ),
)


# --- dave, whose device an administrator removed ------------------------------------------------


def the_violation_is_acknowledged(stage: Stage) -> str:
    """Olivia tries to close what she did herself; petra does it, with a reason."""
    stack, id_ = stage.evidence.stack, request_of(stage, "dave")
    command = ("acknowledge", id_, "--yes", "--reason")
    own, others = "my own doing", "olivia was told the rule; dave enrols again"
    petra = stage.cast.with_mfa("petra")
    return "\n".join(
        [
            ask(stack, stage.cast["olivia"], *command, own, refused="tried to remove"),
            ask(stack, petra, *command, others),
        ]
    )


DAVE: Final = (
    Scene(
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


def lena_files(stage: Stage) -> str:
    """Lena, at the service desk, files a request for alice, who called her."""
    lena = stage.cast.at_the_service_desk("lena")
    why = ("--reason", "alice called: her phone is broken", "--wanted", "fido")
    return ask(stage.evidence.stack, lena, "open", "--user", "alice", *why)


def petra_tries_again(stage: Stage) -> str:
    """Petra opens the window once more, and this time has it carried out at once."""
    reopened = petra_approves("alice", why="it was forgotten", step="reopen")(stage)
    return f"{reopened}\n{petra_carries_out('alice')(stage)}"


ALICE: Final = (
    Scene(
        "lena files a request for alice",
        "She works in a role of the service desk, which files for anybody. alice is told of it.",
        lena_files,
        (
            request("alice", "submitted"),
            mailed("alice"),
            alerted("request_waiting", naming="alice"),
        ),
    ),
    Scene(
        "petra approves it",
        "And goes home.",
        petra_approves("alice", why="alice confirmed it by video"),
        (request("alice", "approved"), mailed("alice"), alerted()),
    ),
    Scene(
        "nobody carries it out",
        "The approved window ends after a day.",
        days_pass(2),
        (
            request("alice", "expired"),
            mailed("alice"),
            alerted("request_expired", naming="alice"),
        ),
    ),
    Scene(
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
    Scene(
        "alice does not come back",
        "Three days later she has no new device: security is told, once, and the ladder goes on.",
        days_pass(3),
        (
            request("alice", "fulfilled"),
            mailed("alice"),
            alerted("enrolment_overdue", naming="alice"),
        ),
    ),
)
