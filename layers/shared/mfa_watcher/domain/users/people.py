"""Which person an ARN stands for: segregation of duties needs different people."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Person:
    """A caller as IAM authenticated them (``requestContext.authorizer.iam``), or as STS names them.

    ``user_id`` is ``AIDA…`` of an IAM user, ``AROA…:session name`` of a role's session.
    """

    arn: str
    user_id: str
    account_id: str

    @property
    def is_iam_user(self) -> bool:
        """Return whether an IAM user calls with their own credentials."""
        return ":user/" in self.arn

    @property
    def role_name(self) -> str | None:
        """Return the name of the role whose session calls, without its path (STS omits it)."""
        _, is_session, rest = self.arn.partition(":assumed-role/")
        return rest.split("/", 1)[0] if is_session else None

    @property
    def name(self) -> str:
        """Return the person's name: of the IAM user, or of the role's session."""
        return principal_name(self.arn) or self.arn

    def may_be(self, arn: str) -> bool:
        """Return whether another ARN may stand for the same person."""
        return may_be_same_person(self.arn, arn)


def principal_name(arn: str) -> str | None:
    """Return the name of the IAM user or of the role's session that an ARN names, or None.

    Identity Center names a session after its user, most identity providers after the mail address.
    """
    resource = arn.split(":", 5)[-1] if arn.startswith("arn:") else ""
    kind, _, rest = resource.partition("/")
    if kind not in {"user", "assumed-role", "federated-user"} or not rest:
        return None
    return rest.rsplit("/", 1)[-1]


def may_be_same_person(one: str, other: str) -> bool:
    """Return whether two ARNs may stand for one person.

    In doubt they do: the names are compared without their case and without a mail domain, across
    users, roles and accounts. A wrong "yes" means that a colleague has to decide. A wrong "no"
    would break the segregation of duties.
    """
    if one.casefold() == other.casefold():
        return True
    names = [_bare_name(principal_name(arn)) for arn in (one, other)]
    return names[0] is not None and names[0] == names[1]


def _bare_name(name: str | None) -> str | None:
    return (name.split("@", 1)[0] or name).casefold() if name else None
