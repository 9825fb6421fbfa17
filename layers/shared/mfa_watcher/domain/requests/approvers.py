"""Who may decide and fulfil: sessions that only a person with MFA can have, under a fixed name."""

import re
from dataclasses import dataclass
from hashlib import sha256

from mfa_watcher.domain.users.people import Person

PROOF_HEADER = "x-mfa-watcher-proof"
"""The header of a call with the caller's proof of who they are."""

CALL_HEADER = "x-mfa-watcher-call"
"""The signed header of the proof itself: the call that it is for."""

_PERMISSION_SET_ROLE = re.compile(r"AWSReservedSSO_(?P<name>[\w+=,.@-]+)_[0-9a-f]{16}")
_IDENTITY_CENTER_PATH = "/aws-reserved/sso.amazonaws.com/"


class NotAnApproverError(Exception):
    """The caller is nobody whom the account named as an approver; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Role:
    """A role as ``iam:GetRole`` returns it. The id (``AROA…``) is never used for another role."""

    role_id: str
    path: str


@dataclass(frozen=True, slots=True)
class Approvers:
    """Whom the account named.

    ``role_id`` is the unique id of the stack's approver role: its trust policy demands MFA and the
    user's own name as the session's name. A role with the same name is another role.
    ``permission_sets`` are names of Identity Center's permission sets. Identity Center names such a
    session after its user; whether there was MFA is its own setting.
    """

    role_id: str | None
    permission_sets: frozenset[str]

    def named_role_of(self, person: Person) -> str | None:
        """Return the name of the role whose path and id must still be read; None: of no role.

        Raises NotAnApproverError.
        """
        role_name = person.role_name
        if role_name and self.role_id and _role_id(person) == self.role_id:
            return None
        found = _PERMISSION_SET_ROLE.fullmatch(role_name or "")
        if found and found["name"] in self.permission_sets:
            return role_name
        raise _not_an_approver()

    @staticmethod
    def check_role(person: Person, role: Role | None) -> None:
        """Raise NotAnApproverError unless Identity Center made the role of the person's session.

        Only Identity Center can create a role with that path (IAM user guide, "Reserved paths").
        """
        made_by_it = role is not None and role.path.startswith(_IDENTITY_CENTER_PATH)
        if not (role and made_by_it and role.role_id == _role_id(person)):
            raise _not_an_approver()


def call_text(method: str, path: str, body: str) -> str:
    """Return the text that a caller signs with a proof, so that it is for this call alone."""
    return f"{method} {path} {sha256(body.encode()).hexdigest()}"


def _role_id(person: Person) -> str:
    return person.user_id.partition(":")[0]


def _not_an_approver() -> NotAnApproverError:
    return NotAnApproverError(
        "only approvers are served here: assume the approver role of the stack with MFA (output"
        " ApproverRoleArn; `mfa-watcher requests … --approver-role` does it), or use a permission"
        " set that the stack's parameter ApproverPermissionSets names"
    )
