"""Where a user can be reached by mail."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

# SES takes ASCII only before the @, and an address may not smuggle in a second one.
_ADDRESS = re.compile(
    r"(?P<local>[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64})@(?P<domain>[A-Za-z0-9.-]{1,253})"
)


@dataclass(frozen=True, slots=True)
class Address:
    """A mail address and how it was found."""

    address: str
    found_by: str


@dataclass(frozen=True, slots=True)
class AddressBook:
    """How addresses are found.

    Only addresses in ``domains`` are ever used: a tag or a user name is something that a user may
    be able to write, and a mail names devices and requests.
    """

    domains: frozenset[str]
    tag: str = "email"
    default_domain: str | None = None

    def find(self, user_name: str, tags: Mapping[str, str]) -> Address | None:
        """Find a user's address: his tag, his name if it is one, his name at the own domain."""
        wanted = self.tag.casefold()
        # Tag keys of IAM users are unique without regard to case (IAM: tagging conventions).
        tagged = next((v for k, v in tags.items() if k.casefold() == wanted), None)
        if tagged and self._allowed(tagged.strip()):
            return Address(tagged.strip(), f"tag {self.tag}")
        if self._allowed(user_name):
            return Address(user_name, "user name")
        if self.default_domain and self._allowed(guess := f"{user_name}@{self.default_domain}"):
            return Address(guess, "user name at the default domain")
        return None

    def _allowed(self, text: str) -> bool:
        found = _ADDRESS.fullmatch(text)
        return found is not None and found["domain"].casefold() in self.domains
