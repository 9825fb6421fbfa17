"""The change desk: where users, or the service desk for them, ask for a change of their devices."""

from dataclasses import dataclass, replace

from mfa_watcher.domain.requests import steps
from mfa_watcher.domain.requests.change_request import ChangeRequest
from mfa_watcher.domain.users.people import Person
from mfa_watcher.domain.users.user import User, UserKey
from mfa_watcher.ports.accounts import Accounts
from mfa_watcher.ports.store import RequestPage, RequestSearch
from mfa_watcher.usecases.administer import NoSuchUserError
from mfa_watcher.usecases.desk import (
    ActiveRequestError,
    NotAllowedError,
    RequestWithHistory,
    WantedChange,
    _at_version,
    _Desk,
    _no_such,
)


@dataclass(frozen=True, slots=True)
class ChangeDesk(_Desk):
    """The requesters' desk: an IAM user sees and files his own requests, a service desk anybody's.

    Users of member accounts come here, too; the service desk is in the watcher's own account.
    Somebody else's request is, to a user, one that does not exist.
    """

    accounts: Accounts

    def list(self, by: Person, search: RequestSearch) -> RequestPage:
        """Give a page of the requests that the caller may know of. Raises NotAllowedError."""
        own = self._own(by)
        if own:
            if search.subject_name and search.subject_name.casefold() != by.name.casefold():
                raise NotAllowedError("you see your own requests only; leave `subject` out")
            search = replace(search, subject=own, subject_name=None)
        return self.store.requests(search)

    def show(self, by: Person, request_id: str) -> RequestWithHistory:
        """Give a request with its history. Raises NotAllowedError, NoSuchRequestError."""
        return self._shown(self._of(by, request_id))

    def file(
        self,
        by: Person,
        user_name: str | None = None,
        wanted: WantedChange | None = None,
        *,
        account_id: str | None = None,
        source_ip: str | None = None,
    ) -> ChangeRequest:
        """Open a request for the caller himself, or as a service desk for a user of any account.

        Raises NotAllowedError, NoSuchUserError, ActiveRequestError, InvalidDetailsError,
        WrongStepError if the user has no device, LostRaceError, IamReadError, ExternalServiceError.
        """
        step = self._step(by)
        own = self._own(by)
        name = user_name or by.name
        if own and name.casefold() != by.name.casefold():
            raise NotAllowedError("you can file for yourself only; the service desk files for all")
        if own is None and not user_name:
            raise NotAllowedError("you are no IAM user; name in `user_name` whom it is for")
        account_id = self._account(own, account_id)
        iam = self.iam_of(account_id)
        found = iam.user(name)
        devices = iam.devices(name) if found else None
        if found is None or devices is None or (own and own.user_id != found.user_id):
            raise NoSuchUserError(f"there is no IAM user {name} in account {account_id}")
        key = UserKey(account_id, found.user_id)
        user = self.store.user(key) or User(key, found.name)
        self._refuse_second(user)
        details = wanted.by(by, step.at) if wanted else None
        decision = steps.file(step, user, devices, details, source_ip=source_ip)
        return self._commit(decision, step)

    def give_details(
        self, by: Person, request_id: str, wanted: WantedChange, seen: int | None = None
    ) -> ChangeRequest:
        """Say what the user wants, and why. To say the same again changes nothing.

        Raises NotAllowedError, NoSuchRequestError, WrongStepError, InvalidDetailsError,
        LostRaceError, IamReadError.
        """
        request = self._of(by, request_id, seen)
        step = self._step(by)
        details = wanted.by(by, step.at)
        given = request.details
        if given and replace(details, given_at=given.given_at) == given:
            return request
        request.submitted(details, self.policy)  # refused, if at all, before IAM is asked
        user = self._user_of(request)
        devices = self._devices_of(user, request)
        if devices is None:
            raise NoSuchUserError(f"the user {user.name} is not there any more")
        return self._commit(steps.give_details(step, user, request, details, devices), step)

    def cancel(
        self, by: Person, request_id: str, reason: str, seen: int | None = None
    ) -> ChangeRequest:
        """Withdraw it. Raises as ``show`` does, WrongStepError, and LostRaceError."""
        request = self._of(by, request_id, seen)
        step = self._step(by)
        return self._commit(steps.cancel(step, self._user_of(request), request, reason), step)

    def _own(self, by: Person) -> UserKey | None:
        """Give whose requests the caller may know of; None: everybody's."""
        if by.is_iam_user:
            return UserKey(by.account_id, by.user_id)
        if by.account_id == self.account_id and self.policy.is_service_desk(by.role_name):
            return None
        raise NotAllowedError(
            "only IAM users, for themselves, and the service desk's roles in account"
            f" {self.account_id} are served here;"
            " approvers use the approval desk"
        )

    def _account(self, own: UserKey | None, named: str | None) -> str:
        """Give the account of whom a request is for: a user's is his own."""
        account_id = own.account_id if own else self.account_id
        if named in {None, account_id}:
            return account_id
        assert named is not None  # noqa: S101 - mypy does not see it
        if own:
            raise NotAllowedError("you can file for yourself only; leave `account_id` out")
        if not self.accounts.include(named):
            raise NoSuchUserError(f"account {named} is not watched")
        return named

    def _of(self, by: Person, request_id: str, seen: int | None = None) -> ChangeRequest:
        own = self._own(by)
        request = self._found(request_id)
        if own and request.subject != own:
            raise _no_such(request_id)
        return _at_version(request, seen)

    def _refuse_second(self, user: User) -> None:
        current = self.store.request(user.request_id) if user.request_id else None
        if current and current.state.is_active:
            raise ActiveRequestError(
                f"{user.name} has the request {current.id} already, which is {current.state};"
                " go on with that one"
            )
