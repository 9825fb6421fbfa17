"""The table of cases in docs/change-requests.md, each row played through the real functions."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from moto.iam.models import iam_backends

from mfa_watcher.domain.users.people import Person
from tests.functions.approved import BOB, CARLA, PHONE, SUE, TABLET
from tests.functions.product import FULFIL_ROLE, Product
from tests.support.account import Account, Crash
from tests.support.builders import (
    ACCOUNT,
    ADMIN,
    ROOT,
    Json,
    denied_removal,
    iam_call,
    iam_user,
    sign_in,
)
from tests.template.cloudformation import ROOT as REPOSITORY

DOCS = REPOSITORY / "docs" / "change-requests.md"
COLUMNS = "| case | the request, and what is recorded | mails | alerts | what ends it |"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
REASON = {"reason": "Seen and spoken to in person"}


@dataclass(frozen=True)
class Row:
    """What the docs say of a case."""

    states: tuple[str, ...]
    """The last one is the one it ends in; none: there is no request."""
    violation: bool
    mails: Counter[str]
    alerts: Counter[str]


def rows() -> dict[str, Row]:
    """Read the tables of the docs."""
    found, inside = {}, False
    for line in DOCS.read_text(encoding="utf-8").splitlines():
        inside = line == COLUMNS or (inside and line.startswith("|"))
        if inside and line != COLUMNS and not line.startswith("|---"):
            case, recorded, mails, alerts, _ = (cell.strip() for cell in line[1:-1].split("|"))
            told = recorded.partition(":")[0]
            found[case] = Row(
                tuple(re.findall(r"`(\w+)`", told)),
                "violation" in told,
                _counted(mails),
                _counted(alerts),
            )
    return found


def _counted(cell: str) -> Counter[str]:
    counts: Counter[str] = Counter()
    for kind, severity, times in re.findall(
        r"`(\w+)`(?: \((\w+)\))?(?: \N{MULTIPLICATION SIGN}(\d+))?", cell
    ):
        counts[f"{kind} ({severity})" if severity else kind] += int(times or 1)
    return counts


def session(role: str, name: str) -> Json:
    """Return the identity of a role's session, as CloudTrail has it."""
    return {
        "type": "AssumedRole",
        "principalId": f"AROA{role.upper()}:{name}",
        "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{name}",
        "accountId": ACCOUNT,
        "sessionContext": {
            "sessionIssuer": {
                "type": "Role",
                "principalId": f"AROA{role.upper()}",
                "arn": f"arn:aws:iam::{ACCOUNT}:role/{role}",
                "accountId": ACCOUNT,
                "userName": role,
            }
        },
    }


EMERGENCY = session("Emergency", "eve")
FULFIL = session(FULFIL_ROLE, "mfa-watcher-fulfil")


@dataclass
class Play:
    """An account with ana, a console user with a phone, in which things happen."""

    product: Product
    records: int = 0
    id: str = ""
    """Of the latest request that was filed or opened."""
    ana: Json = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make ana."""
        self.account.new_user("ana", device=True)
        iam_backends[ACCOUNT]["aws"].users["ana"].id = "AIDAEXAMPLEANA"  # moto's look otherwise
        self.ana = iam_user("ana", "AIDAEXAMPLEANA")

    @property
    def account(self) -> Account:
        """The account."""
        return self.product.account

    @property
    def herself(self) -> Person:
        """ana, as a function's URL knows her."""
        return Person(self.ana["arn"], self.ana["principalId"], ACCOUNT)

    # --- what happens in IAM, and is recorded ---

    def see(self, record: Json) -> None:
        """Let the watcher see a record, made now."""
        self.records += 1
        at = f"{self.account.clock():%Y-%m-%dT%H:%M:%SZ}"
        id_ = f"{record['eventID'][:-4]}{self.records:04}"
        assert self.product.observe({**record, "eventTime": at, "eventID": id_}) == []
        self.deliver()

    def call(self, name: str, who: Json, **parameters: str) -> None:
        """Let somebody's successful call be seen."""
        self.see(iam_call(name, who, requestParameters=parameters))

    def tries(self, who: Json | None = None) -> None:
        """Let somebody be denied a removal."""
        self.see(denied_removal(who or self.ana, "ana"))

    def take(self, serial: str = PHONE) -> None:
        """Take a device off ana, unseen so far."""
        self.account.iam.deactivate_mfa_device(UserName="ana", SerialNumber=serial)

    def removed(self, who: Json, serial: str = PHONE) -> None:
        """Let somebody take a device off ana."""
        self.take(serial)
        self.call("DeactivateMFADevice", who, userName="ana", serialNumber=serial)

    def deleted_device(self, who: Json, serial: str = PHONE) -> None:
        """Let somebody delete what is left of a virtual device."""
        self.account.iam.delete_virtual_mfa_device(SerialNumber=serial)
        self.call("DeleteVirtualMFADevice", who, serialNumber=serial)

    def adds(self, who: Json, device: str = "tablet") -> None:
        """Let somebody add a device for ana."""
        serial = self.account.enrol("ana", device)
        self.call("EnableMFADevice", who, userName="ana", serialNumber=serial)

    def delete_ana(self) -> None:
        """Delete ana, unseen so far."""
        self.account.iam.delete_login_profile(UserName="ana")
        for device in self.account.iam.list_mfa_devices(UserName="ana")["MFADevices"]:
            self.take(device["SerialNumber"])
        self.account.iam.delete_user(UserName="ana")

    def deleted(self) -> None:
        """Let ana be deleted."""
        self.delete_ana()
        self.call("DeleteUser", ADMIN, userName="ana")

    # --- what people do at the desks ---

    def ask(self, desk: str, path: str, by: Person, body: Json, *, expect: int = 200) -> Json:
        """Call a desk."""
        status, answer = self.product.call(desk, "POST", f"/requests{path}", by, body)
        assert status == expect, answer
        self.deliver()
        return answer

    def file(self, by: Person = SUE, **details: object) -> None:
        """File a request for ana."""
        body: Json = {"user_name": "ana"}
        if details:
            body["details"] = {"reason": "The phone was stolen", **details}
        self.id = self.ask("change_desk", "", by, body, expect=201)["request"]["id"]

    def give_details(self, by: Person = SUE) -> None:
        """Return the details of the request that is open."""
        self.id = self.request["id"]
        body = {"reason": "The phone was stolen", "wanted": "fido"}
        self.ask("change_desk", f"/{self.id}/details", by, body)

    def decide(self, step: str, by: Person = BOB, *, expect: int = 200) -> None:
        """Approve, reject, reopen or acknowledge."""
        self.ask("approval_desk", f"/{self.request['id']}/{step}", by, REASON, expect=expect)

    def approved(self, **details: object) -> None:
        """Bring a request to its approval, and forget what was told on the way."""
        self.file(SUE, **{"wanted": "fido", **details})
        self.decide("approve")
        self.forget()

    def fulfil(self, by: Person = CARLA, *, expect: int = 200) -> None:
        """Carry the request out."""
        self.ask("fulfil", f"/{self.id}/fulfil", by, {}, expect=expect)

    def die_midway(self) -> None:
        """Let the carrying out die when the device is gone and no password is set yet."""
        self.account.calls.reset()
        self.account.calls.deadly = "iam:UpdateLoginProfile"
        with pytest.raises(Crash):
            self.fulfil()
        self.account.calls.reset()
        self.product.running = ""

    # --- what the clock does, and what comes of it all ---

    def wait(self, time: timedelta) -> None:
        """Let time go by, with the schedules at work."""
        step = DAY if time > 3 * DAY else DAY / 2
        for _ in range(round(time / step)):
            self.account.clock.move(step)
            self.product.expire()
            self.product.remind()
            self.deliver()

    def deliver(self) -> None:
        """Let mails and alerts out."""
        assert self.product.deliver() == []
        self.product.redeliver()

    def forget(self) -> None:
        """Count what is told from now on only."""
        self.told_before = self.told()

    told_before: Counter[str] = field(default_factory=Counter)

    @property
    def requests(self) -> list[Json]:
        """All requests that there are."""
        return self.account.items("REQUEST#", "STATE")

    @property
    def request(self) -> Json:
        """The only request."""
        [request] = self.requests
        return request

    def told(self) -> Counter[str]:
        """Count the mails and alerts that went out."""
        counts: Counter[str] = Counter()
        for item in self.account.items("INTENT#"):
            act, status = item["act"], item["status"]
            severity = f" ({act['severity']})" if "severity" in act else ""
            assert status in {"sent", "skipped"}, item
            counts[f"{act['kind']}{severity}"] += status == "sent"
        return +counts


Story = Callable[[Play], None]
STORIES: dict[str, Story] = {}


def case(name: str) -> Callable[[Story], Story]:
    """Tell how a row of the docs comes about."""

    def tell(story: Story) -> Story:
        STORIES[name] = story
        return story

    return tell


@pytest.mark.parametrize("name", rows())
def test_a_case_leads_to_what_the_docs_say(name: str, product: Product) -> None:
    row, play = rows()[name], Play(product)
    STORIES[name](play)
    play.deliver()

    assert [request["state"] for request in play.requests] == list(row.states[-1:])
    assert any(request["violation"] for request in play.requests) is row.violation
    assert play.told() - play.told_before == row.mails + row.alerts


def test_each_case_is_in_the_docs_once() -> None:
    lines = DOCS.read_text(encoding="utf-8").splitlines()

    assert STORIES.keys() == rows().keys()
    for name in STORIES:
        assert sum(line.startswith(f"| {name} |") for line in lines) == 1


# Attempts ---------------------------------------------------------------------------------------


@case("a user tries to remove their own device")
def _(play: Play) -> None:
    play.tries()


@case("somebody else tries to remove it")
def _(play: Play) -> None:
    play.tries(ADMIN)


@case("tries again within five minutes")
def _(play: Play) -> None:
    play.tries()
    play.account.clock.move(timedelta(minutes=4))
    play.tries()
    assert play.request["attempt_count"] == 2


@case("tries again an hour later")
def _(play: Play) -> None:
    play.tries()
    play.account.clock.move(HOUR)
    play.tries()


@case("tries again a day later")
def _(play: Play) -> None:
    play.tries()
    play.account.clock.move(DAY)
    play.tries()


@case("tries again after the details were given")
def _(play: Play) -> None:
    play.file(wanted="fido")
    play.tries(session("Security", "bob"))
    play.decide("approve", BOB, expect=403)


@case("a denied attempt that names no user")
def _(play: Play) -> None:
    record = denied_removal(play.ana, "ana")
    play.see({**record, "errorMessage": "not authorized", "userIdentity": session("Admin", "x")})


@case("an attempt that fails for another reason")
def _(play: Play) -> None:
    record = denied_removal(play.ana, "ana")
    asked = {"userName": "ana", "serialNumber": "GAKT1"}
    play.see(record | {"errorCode": "NoSuchEntityException", "requestParameters": asked})


@case("the fulfilling role is denied")
def _(play: Play) -> None:
    play.approved()
    play.die_midway()
    play.tries(FULFIL)


# Removals ---------------------------------------------------------------------------------------


@case("an administrator removes the only device")
def _(play: Play) -> None:
    play.removed(ADMIN)


@case("a user removes their own, without a guard policy")
def _(play: Play) -> None:
    play.removed(play.ana)


@case("one of several devices is removed")
def _(play: Play) -> None:
    play.account.enrol("ana", "tablet")
    play.removed(ADMIN)


@case("deactivated and deleted with one click")
def _(play: Play) -> None:
    play.removed(ADMIN)
    play.deleted_device(ADMIN)
    assert play.request["attempt_count"] == 2


@case("removed after a denied attempt")
def _(play: Play) -> None:
    play.account.enrol("ana", "tablet")
    play.tries()
    play.removed(ADMIN)


@case("removed by somebody else while approved")
def _(play: Play) -> None:
    play.approved()
    play.removed(ADMIN)
    assert "verdict" not in play.request


@case("a break-glass role removes a device")
def _(play: Play) -> None:
    play.removed(EMERGENCY)


@case("a break-glass role removes it while a request is open")
def _(play: Play) -> None:
    play.file()
    play.removed(EMERGENCY)
    assert play.request["attempt_count"] == 0


@case("a user without console password loses a device")
def _(play: Play) -> None:
    play.account.iam.delete_login_profile(UserName="ana")
    play.removed(ADMIN)


@case("off-boarded: removed and deleted at once")
def _(play: Play) -> None:
    play.adds(play.ana)
    play.delete_ana()
    play.call("DeactivateMFADevice", ADMIN, userName="ana", serialNumber=PHONE)
    play.call("DeleteUser", ADMIN, userName="ana")


@case("removed, and renamed before it is seen")
def _(play: Play) -> None:
    play.adds(play.ana)
    iam = play.account.iam
    for device in iam.list_mfa_devices(UserName="ana")["MFADevices"]:
        iam.deactivate_mfa_device(UserName="ana", SerialNumber=device["SerialNumber"])
    iam.update_user(UserName="ana", NewUserName="anna")
    play.call("DeactivateMFADevice", ADMIN, userName="ana", serialNumber=PHONE)
    play.call("UpdateUser", ADMIN, userName="ana", newUserName="anna")


@case("removed from a user never seen, who is not found")
def _(play: Play) -> None:
    play.call("DeactivateMFADevice", ADMIN, userName="never-seen", serialNumber="GAKT9")


@case("removed, and deleted within the grace")
def _(play: Play) -> None:
    play.removed(ADMIN)
    play.account.clock.move(HOUR / 2)
    play.deleted()


@case("removed, and deleted after the grace")
def _(play: Play) -> None:
    play.removed(ADMIN)
    play.account.clock.move(2 * HOUR)
    play.deleted()


@case("the remains of a device are deleted")
def _(play: Play) -> None:
    play.account.iam.create_virtual_mfa_device(VirtualMFADeviceName="never-assigned")
    play.deleted_device(ADMIN, f"arn:aws:iam::{ACCOUNT}:mfa/never-assigned")


@case("root's device is removed")
def _(play: Play) -> None:
    serial = f"arn:aws:iam::{ACCOUNT}:mfa/root-account-mfa-device"
    play.call("DeactivateMFADevice", ROOT, serialNumber=serial)


@case("root removes a user's device")
def _(play: Play) -> None:
    play.removed(ROOT)


# Other changes ----------------------------------------------------------------------------------


@case("a user adds a second device")
def _(play: Play) -> None:
    play.adds(play.ana)


@case("somebody else adds a device for a user")
def _(play: Play) -> None:
    play.adds(ADMIN)


@case("a device is resynchronised")
def _(play: Play) -> None:
    play.call("ResyncMFADevice", play.ana, userName="ana", serialNumber=PHONE)


@case("a user is deleted while their request is open")
def _(play: Play) -> None:
    play.file()
    play.deleted()


# At the desks -----------------------------------------------------------------------------------


@case("a user files for themselves")
def _(play: Play) -> None:
    play.file(play.herself)


@case("the service desk files for a user")
def _(play: Play) -> None:
    play.file(wanted="fido")


@case("a second request is filed")
def _(play: Play) -> None:
    play.file(wanted="fido")
    again = play.ask("change_desk", "", play.herself, {"user_name": "ana"}, expect=409)
    assert play.id in again["detail"]


@case("a user gives the details")
def _(play: Play) -> None:
    play.file()
    play.give_details(play.herself)


@case("an approver approves")
def _(play: Play) -> None:
    play.file(wanted="fido")
    play.decide("approve")
    assert play.request["devices"] == [PHONE]


@case("an approver rejects")
def _(play: Play) -> None:
    play.file(wanted="fido")
    play.decide("reject")


@case("an approval is taken back")
def _(play: Play) -> None:
    play.file(wanted="fido")
    play.decide("approve")
    play.account.clock.move(HOUR)
    play.decide("reject", CARLA)


@case("somebody approves their own request")
def _(play: Play) -> None:
    play.file(play.herself, wanted="fido")
    play.decide("approve", play.herself, expect=403)


@case("somebody approves who tried")
def _(play: Play) -> None:
    play.tries(session("Security", "bob"))
    play.give_details()
    play.decide("approve", BOB, expect=403)


@case("a user cancels their request")
def _(play: Play) -> None:
    play.file(play.herself)
    play.ask("change_desk", f"/{play.id}/cancel", play.herself, REASON)


@case("the service desk cancels it")
def _(play: Play) -> None:
    play.file()
    play.ask("change_desk", f"/{play.id}/cancel", SUE, REASON)


@case("a violation is acknowledged")
def _(play: Play) -> None:
    play.removed(ADMIN)
    play.decide("acknowledge")


# Carrying it out --------------------------------------------------------------------------------


@case("an approver fulfils it")
def _(play: Play) -> None:
    play.approved()
    play.fulfil()


@case("its CloudTrail records come")
def _(play: Play) -> None:
    play.approved()
    play.fulfil()
    play.call("DeactivateMFADevice", FULFIL, userName="ana", serialNumber=PHONE)
    play.call("DeleteVirtualMFADevice", FULFIL, serialNumber=PHONE)
    play.call("UpdateLoginProfile", FULFIL, userName="ana")
    assert play.request["attempt_count"] == 0


@case("the records of it come after the request was closed")
def _(play: Play) -> None:
    play.approved()
    play.fulfil()
    record = iam_call(
        "DeactivateMFADevice", FULFIL, requestParameters={"userName": "ana", "serialNumber": PHONE}
    )
    record["eventTime"] = f"{play.account.clock():%Y-%m-%dT%H:%M:%SZ}"
    play.account.clock.move(HOUR / 2)
    play.adds(play.ana)
    play.account.clock.move(DAY)
    assert play.product.observe(record) == []


@case("the fulfilling role removes another device")
def _(play: Play) -> None:
    play.account.enrol("ana", "tablet")
    play.approved(devices=[PHONE])
    play.fulfil()
    play.removed(FULFIL, TABLET)


@case("the fulfilling role acts without a request")
def _(play: Play) -> None:
    play.removed(FULFIL)


@case("the function stops midway and is called again")
def _(play: Play) -> None:
    play.approved()
    play.die_midway()
    play.fulfil()


@case("the function stops midway and is never called again")
def _(play: Play) -> None:
    play.approved()
    play.die_midway()
    play.wait(DAY)


@case("the answer is lost and it is called again")
def _(play: Play) -> None:
    play.approved()
    play.fulfil()
    play.fulfil()


@case("another approver calls meanwhile")
def _(play: Play) -> None:
    play.approved()
    play.die_midway()
    play.fulfil(BOB, expect=409)
    play.fulfil(CARLA)


@case("the user has no console password")
def _(play: Play) -> None:
    play.approved()
    play.account.iam.delete_login_profile(UserName="ana")
    play.fulfil(expect=409)
    assert play.account.iam.list_mfa_devices(UserName="ana")["MFADevices"]


@case("the user signs in with the new password at once")
def _(play: Play) -> None:
    play.approved()
    play.fulfil()
    play.account.clock.move(HOUR / 2)
    play.see(sign_in(play.ana))


@case("the user signs in two hours later, and adds none")
def _(play: Play) -> None:
    play.approved()
    play.fulfil()
    play.account.clock.move(2 * HOUR)
    play.see(sign_in(play.ana))


@case("the user adds the new device")
def _(play: Play) -> None:
    play.approved()
    play.fulfil()
    play.account.clock.move(HOUR / 2)
    play.adds(play.ana)
    assert "virtual" in play.request["ended_because"]


@case("a device is kept and no other wanted")
def _(play: Play) -> None:
    play.account.enrol("ana", "tablet")
    play.approved(devices=[PHONE], wanted="none")
    play.fulfil()
    assert play.request["state"] == "fulfilled"
    play.wait(3 * DAY)


# By the clock -----------------------------------------------------------------------------------


@case("nobody answers for 30 days")
def _(play: Play) -> None:
    play.file()
    play.wait(30 * DAY)


@case("nobody decides for 5 days")
def _(play: Play) -> None:
    play.file(wanted="fido")
    play.wait(5 * DAY)


@case("nobody fulfils an approved request")
def _(play: Play) -> None:
    play.approved()
    play.wait(DAY)


@case("an expired request is reopened")
def _(play: Play) -> None:
    play.approved()
    play.wait(DAY)
    play.decide("reopen")


@case("no new device within the window")
def _(play: Play) -> None:
    play.approved()
    play.fulfil()
    play.wait(6 * DAY)


@case("no new device, and the window is opened once more")
def _(play: Play) -> None:
    play.approved()
    play.fulfil()
    play.wait(3 * DAY)
    play.decide("reopen")
    play.fulfil()


@case("nobody acknowledges a violation for 15 days")
def _(play: Play) -> None:
    play.account.enrol("ana", "tablet")
    play.removed(ADMIN)
    play.wait(15 * DAY)
