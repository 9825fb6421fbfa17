"""Admitting approvers: the functions that decide and fulfil check by themselves who calls.

IAM's policies decide who may call, but an administrator outranks them, and whoever may invoke a
function directly writes the event, with the caller in it. So nothing here trusts the event alone.
"""

from dataclasses import dataclass

from mfa_watcher.domain.requests.approvers import Approvers
from mfa_watcher.domain.users.people import Person
from mfa_watcher.ports.callers import CallerProofs, RoleReader, UnprovenCallerError


@dataclass(frozen=True, slots=True)
class AdmitApprover:
    """Admits the sessions of the approver role and of the named permission sets, and nobody else.

    ``function`` names this function of this stack in its region; a proof is for it alone.
    """

    approvers: Approvers
    proofs: CallerProofs
    roles: RoleReader
    function: str

    def admit(self, stated: Person, proof: str | None, call: str) -> None:
        """Check the caller whom the event states, by the proof that they sent for this call.

        Raises NotAnApproverError, UnprovenCallerError, IamReadError and ExternalServiceError.
        """
        role_name = self.approvers.named_role_of(stated)
        if not proof:
            raise UnprovenCallerError(
                "the call has no proof of who makes it; use `mfa-watcher requests`, which sends one"
            )
        proven = self.proofs.person(proof, f"{self.function} {call}")
        if proven != stated:
            raise UnprovenCallerError("the proof is of another caller than the one who calls")
        if role_name:
            self.approvers.check_role(stated, self.roles.role(role_name))
