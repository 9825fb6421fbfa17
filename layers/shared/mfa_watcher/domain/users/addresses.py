"""Where a user can be reached by mail."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

# SES takes only ASCII before the @, and an address must not contain a second one.
_ADDRESS = re.compile(
    r"(?P<local>[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64})@(?P<domain>[A-Za-z0-9.-]{1,253})"
)


@dataclass(frozen=True, slots=True)
class AddressBook:
    """How addresses are found.

    Only addresses in ``domains`` are used: users may be able to write their tags or user name, and
    mails name devices and requests. ``tags`` are tried in their order.
    """

    domains: frozenset[str]
    tags: tuple[str, ...] = ("email",)
    default_domain: str | None = None
    manager_tag: str = "manager"
    language_tag: str = "language"

    def candidates(
        self, user_name: str, tags: Mapping[str, str], *, override: str | None = None
    ) -> tuple[str, ...]:
        """Return all allowed addresses of a user, the one to use first.

        In this order: the one that security set, the user's tags, the user's name if it is an
        address, the user's name at the account's domain.
        """
        named = self._named(user_name, tags, override)
        return tuple(filter(self.allows, named))

    def manager(self, tags: Mapping[str, str]) -> str | None:
        """Return the address of a user's manager, under the same rule as the user's own."""
        address = _tag_value(tags, self.manager_tag)
        return address if address and self.allows(address) else None

    def language(self, tags: Mapping[str, str]) -> str | None:
        """Return the language that a tag names, as it is written there."""
        return _tag_value(tags, self.language_tag)

    def allows(self, address: str) -> bool:
        """Return whether a text is an address in an allowed domain."""
        found = _ADDRESS.fullmatch(address)
        return found is not None and found["domain"].casefold() in self.domains

    def disallowed_tags(self, tags: Mapping[str, str]) -> tuple[str, ...]:
        """Return the keys of address tags whose address is not allowed."""
        wanted = (*self.tags, self.manager_tag)
        return tuple(
            key for key in wanted if (found := _tag_value(tags, key)) and not self.allows(found)
        )

    def _named(
        self, user_name: str, tags: Mapping[str, str], override: str | None
    ) -> Iterator[str]:
        if override:
            yield override
        for key in self.tags:
            if address := _tag_value(tags, key):
                yield address
        yield user_name
        if self.default_domain:
            yield f"{user_name}@{self.default_domain}"


def is_address(text: str) -> bool:
    """Return whether a text is a mail address that SES may take, in whatever domain."""
    return _ADDRESS.fullmatch(text) is not None


def _tag_value(tags: Mapping[str, str], wanted: str) -> str | None:
    """Return a tag's value. Tag keys of IAM users are case-insensitive (IAM: tagging)."""
    for key, value in tags.items():
        if key.casefold() == wanted.casefold():
            return value.strip() or None
    return None
