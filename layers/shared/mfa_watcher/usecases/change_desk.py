"""The change desk: where users, or the service desk for them, ask for a change of their devices."""

from dataclasses import dataclass, replace

from mfa_watcher.domain.requests import steps
from mfa_watcher.domain.requests.change_request import ChangeRequest, file_request
from mfa_watcher.domain.users.people import Person
from mfa_watcher.domain.users.user import IamState, User, UserKey
from mfa_watcher.domain.users.user_state import Situation, finish, update_from_iam
from mfa_watcher.ports.accounts import Accounts
from mfa_watcher.ports.store import RequestPage, RequestSearch
from mfa_watcher.usecases.administer import NoSuchUserError
from mfa_watcher.usecases.desk import (
    ActiveRequestError,
    AskedStep,
    Desk,
    NotAllowedError,
    WantedChange,
)


@dataclass(frozen=True, slots=True)
class ChangeDesk(Desk):
    """Where requests are filed: an IAM user sees and files their own, a service desk everybody's.

    Users of member accounts are served too; the service desk is in the watcher's own account. To
    a user, somebody else's request does not exist.
    """

    accounts: Accounts

    def list(self, by: Person, search: RequestSearch) -> RequestPage:
        """Return a page of the requests that the caller may see. Raises NotAllowedError."""
        own = self._own_key(by)
        if own:
            if search.subject_name and search.subject_name.casefold() != by.name.casefold():
                raise NotAllowedError("you see your own requests only; leave `subject` out")
            search = replace(search, subject=own, subject_name=None)
        return self.store.requests(search)

    def file(
        self,
        by: Person,
        user_name: str | None = None,
        wanted: WantedChange | None = None,
        *,
        account_id: str | None = None,
        source_ip: str | None = None,
    ) -> ChangeRequest:
        """Open a request for the caller, or as a service desk for a user of any account.

        Raises NotAllowedError, NoSuchUserError, ActiveRequestError, InvalidDetailsError,
        WrongStepError if the user has no device, LostRaceError, IamReadError, ExternalServiceError.
        """
        own = self._own_key(by)
        name = user_name or by.name
        if own and name.casefold() != by.name.casefold():
            raise NotAllowedError(
                "you can file requests for yourself only; the service desk files for others"
            )
        if own is None and not user_name:
            raise NotAllowedError("you are not an IAM user; name the user in `user_name`")
        account_id = self._account_for(own, account_id)
        iam = self.iam_of(account_id)
        found = iam.user(name)
        devices = iam.devices(name) if found else None
        if found is None or devices is None or (own and own.user_id != found.user_id):
            raise NoSuchUserError(f"there is no IAM user {name} in account {account_id}")
        key = UserKey(account_id, found.user_id)
        user = self.store.user(key) or User(key, found.name)
        if user.gone_at:
            user = self._reinstated(
                by, user, IamState(exists=True, name=found.name, devices=devices)
            )
        self._refuse_second_request(user)
        now, event_id = self.clock(), self.new_id()
        request = file_request(user, by, now, self.policy, event_id=event_id)
        step = steps.RequestStep(by, now, event_id, self.policy, user, request)
        details = wanted.by(by, now) if wanted else None
        return self._commit(step, steps.file(step, devices, details, source_ip))

    def give_details(self, asked: AskedStep, wanted: WantedChange) -> ChangeRequest:
        """Record what the user wants, and why. The same details again change nothing.

        Raises NotAllowedError, NoSuchRequestError, WrongStepError, InvalidDetailsError,
        LostRaceError, IamReadError.
        """
        step = self._step(asked)
        details, given = wanted.by(step.by, step.at), step.request.details
        if given and replace(details, given_at=given.given_at) == given:
            return step.request
        step.request.submitted(details, self.policy)  # refuses before IAM is read
        devices = self._devices_of(step)
        if devices is None:
            raise NoSuchUserError(f"the user {step.user.name} does not exist any more")
        return self._commit(step, steps.give_details(step, details, devices))

    def _own_key(self, by: Person) -> UserKey | None:
        if by.is_iam_user:
            return UserKey(by.account_id, by.user_id)
        if by.account_id == self.account_id and self.policy.is_service_desk(by.role_name):
            return None
        raise NotAllowedError(
            "only IAM users, for themselves, and the service desk's roles in account"
            f" {self.account_id} are served here;"
            " approvers use the approval desk"
        )

    def _account_for(self, own: UserKey | None, named: str | None) -> str:
        """Return the account of the user that a request is for."""
        account_id = own.account_id if own else self.account_id
        if named is None or named == account_id:
            return account_id
        if own:
            raise NotAllowedError("you can file requests for yourself only; leave `account_id` out")
        if not self.accounts.include(named):
            raise NoSuchUserError(f"account {named} is not watched")
        return named

    def _reinstated(self, by: Person, user: User, iam_state: IamState) -> User:
        """Return a user who only seemed gone, with the request that ended because of that.

        The request may be a violation that nobody was alerted of yet: a new one must not hide it.
        """
        now, event_id = self.clock(), self.new_id()
        request = self.store.request(user.request_id) if user.request_id else None
        situation = Situation(event_id, now, None, user, self.policy, request, iam_state)
        why = "Found in IAM when a request was filed"
        decision = finish(situation, update_from_iam(situation), why, by.arn)
        self.store.commit(decision, now=now)
        return replace(decision.user, version=decision.user.version + 1)

    def _refuse_second_request(self, user: User) -> None:
        current = self.store.request(user.request_id) if user.request_id else None
        if current and current.state.is_active:
            raise ActiveRequestError(
                f"{user.name} already has the request {current.id}, which is {current.state};"
                " continue with that one"
            )
