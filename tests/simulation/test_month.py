"""A simulated month, in which each user must get exactly the mails that the ladder promises.

``make simulation`` plays it with a thousand users, ``make test`` with fewer.
"""

import os
from collections import Counter, defaultdict
from datetime import datetime

import pytest

from tests.simulation.month import Month
from tests.simulation.oracle import Letter, Promise, foresee, in_mail_hours, latest
from tests.simulation.user_histories import DAY, ZONE, Script, write

USERS = int(os.environ.get("SIMULATED_USERS", "200"))
SEED = int(os.environ.get("SIMULATION_SEED", "1"))

Mails = list[tuple[datetime, Letter]]


@pytest.fixture(scope="module")
def script() -> Script:
    return write(USERS, SEED)


@pytest.fixture(scope="module")
def month(script: Script) -> Month:
    month = Month(script, seed=SEED)
    month.play()
    return month


@pytest.fixture(scope="module")
def promises(script: Script) -> dict[str, Promise]:
    return foresee(script)


def by_user(mails: Mails) -> dict[str, Mails]:
    found: dict[str, Mails] = defaultdict(list)
    for at, letter in mails:
        found[letter.user_id].append((at, letter))
    return found


def differences(script: Script, promised: Mails, got: Mails) -> list[str]:
    """Return what one user got too much, too little, too early or too late."""
    said = []
    waiting = sorted(promised, key=lambda mail: (mail[1], mail[0]))
    for at, letter in sorted(got, key=lambda mail: (mail[1], mail[0])):
        meant = next((mail for mail in waiting if mail[1] == letter), None)
        if meant is None:
            said.append(f"got, not promised: {at:%d %H:%M} {letter}")
            continue
        waiting.remove(meant)
        if not meant[0] <= at <= latest(script, meant[0]):
            said.append(f"promised at {meant[0]:%d %H:%M}, got at {at:%d %H:%M}: {letter}")
    return said + [f"promised, not got: {at:%d %H:%M} {letter}" for at, letter in waiting]


def test_each_user_gets_exactly_the_mails_of_the_escalation(
    script: Script,
    month: Month,
    promises: dict[str, Promise],
    capsys: pytest.CaptureFixture[str],
) -> None:
    got = by_user(month.letters())
    wrong = {
        life.user_id: said
        for life in script.lives
        if (said := differences(script, promises[life.user_id].letters, got[life.user_id]))
    }
    with capsys.disabled():
        print(table(script, month, promises, wrong))  # noqa: T201 - the figures are wanted
    told = [
        f"{life.user_id}, {life.kind}: {line}"
        for life in script.lives
        for line in wrong.get(life.user_id, ())
    ]
    assert told == []


def table(
    script: Script, month: Month, promises: dict[str, Promise], wrong: dict[str, list[str]]
) -> str:
    """Return the month in figures."""
    promised = Counter(_name(one) for made in promises.values() for _, one in made.letters)
    got = Counter(_name(one) for _, one in month.letters())
    kinds = Counter(life.kind for life in script.lives)
    exact = Counter(life.kind for life in script.lives if life.user_id not in wrong)
    rows = [f"\n\n{'mail':<32}{'promised':>10}{'got':>10}"]
    rows += [f"{kind:<32}{promised[kind]:>10}{got[kind]:>10}" for kind in sorted(promised | got)]
    rows += [f"{'all':<32}{promised.total():>10}{got.total():>10}", ""]
    rows += [f"{'user':<32}{'users':>10}{'exact':>10}"]
    rows += [f"{kind:<32}{kinds[kind]:>10}{exact[kind]:>10}" for kind in sorted(kinds)]
    rows += [f"{'all':<32}{kinds.total():>10}{exact.total():>10}", ""]
    records = sum(len(record.arrives) for life in script.lives for record in life.records)
    return "\n".join(rows) + (
        f"\n{records} records arrived, {month.runs} runs of remind, {month.crashes} crashes,"
        f" {len(month.sns.told)} alerts in {len(month.sns.told) - sum(month.sns.digests)} single"
        f" messages and {len(month.sns.digests)} digests\n"
    )


def _name(letter: Letter) -> str:
    return f"{letter.kind} {letter.step}" if letter.kind == "reminder" else letter.kind


def test_nobody_gets_two_reminders_a_day_and_none_outside_mail_hours(month: Month) -> None:
    reminders = [
        (at, letter)
        for at, letter in month.letters()
        if letter.kind in {"reminder", "final_warning"}
    ]
    assert [letter for at, letter in reminders if not in_mail_hours(at)] == []
    for mails in by_user(reminders).values():
        steps = dict.fromkeys(
            (letter.kind, letter.step, at.astimezone(ZONE).date()) for at, letter in mails
        )
        days = Counter(day for _, _, day in steps)
        assert days.most_common(1)[0][1] == 1


def test_every_intent_is_finished_and_sent_once(month: Month) -> None:
    states = Counter(
        item["status"]["S"]
        for (pk, _), item in month.table.items.items()
        if pk.startswith("INTENT#")
    )
    assert set(states) <= {"sent", "skipped"}
    sent = Counter(message.tags["intent"] for _, message in month.ses.sent)
    assert [intent for intent, times in sent.items() if times > 1] == []
    told = Counter(month.sns.told)
    assert [alert for alert, times in told.items() if times > 1] == []


def test_each_user_without_an_address_is_reported_to_security_once(
    month: Month, script: Script, promises: dict[str, Promise]
) -> None:
    told = month.reported_unreachable()
    names = {life.user_id: {state.name for _, state in life.states} for life in script.lives}
    expected = [user_id for user_id, made in promises.items() if made.unreachable]
    assert told.total() == len(expected)
    for user_id in expected:
        assert sum(told[name] for name in names[user_id]) >= 1


def test_the_simulated_month_has_crashes_all_kinds_of_users_and_mails_to_its_end(
    month: Month, script: Script
) -> None:
    assert month.crashes > 5
    assert len({life.kind for life in script.lives}) == 12
    assert max(at for at, _ in month.ses.sent) - min(at for at, _ in month.ses.sent) > 29 * DAY
