"""Write what the story produced to files."""

import html
import json
import re
from collections.abc import Sequence
from decimal import Decimal
from email.message import EmailMessage
from pathlib import Path
from typing import Final

from mfa_watcher.cli.request_views import card_of, story_of
from sandbox.observations import Mail, Observations
from sandbox.records import Json

_PAGE: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>MFA Watcher sandbox</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem }}
table {{ border-collapse: collapse; width: 100% }} td, th {{ text-align: left; padding: .3rem .6rem;
border-bottom: 1px solid #ddd; vertical-align: top }} pre {{ background: #f6f6f6; padding: 1rem;
white-space: pre-wrap }}
</style>
<h1>MFA Watcher: mails, change requests and alerts of the demo</h1>
<h2>Mails</h2>
<table><tr><th>To</th><th>Subject</th><th></th></tr>
{mails}</table>
<h2>Change requests</h2>
<pre>{requests}</pre>
<h2>Alerts</h2>
<pre>{alerts}</pre>
<p><a href="timeline.txt">Timeline</a> · <a href="records.jsonl">CloudTrail records</a>
· <a href="users.json">Users</a></p>
</html>
"""


def write(observations: Observations, timeline: str, folder: Path) -> Path:
    """Write mails, requests, alerts, users, records and the timeline; return the index page."""
    mails = folder / "mails"
    mails.mkdir(parents=True, exist_ok=True)
    for old in mails.iterdir():
        old.unlink()
    names = [_write_mail(mail, number, mails) for number, mail in enumerate(observations.mails, 1)]
    in_order = sorted(observations.kind("REQUEST"), key=lambda item: str(item["opened_at"]))
    requests = "\n\n\n".join(_request_text(item, observations) for item in in_order)
    alerts = "\n\n".join(f"{alert.subject}\n\n{alert.message}" for alert in observations.alerts)
    rows = "".join(
        f"<tr><td>{html.escape(mail.to)}</td><td>{html.escape(mail.subject)}</td><td>"
        + " ".join(f'<a href="mails/{name}.{kind}">{kind}</a>' for kind in ("html", "txt", "eml"))
        + "</td></tr>\n"
        for mail, name in zip(observations.mails, names, strict=True)
    )
    page = folder / "index.html"
    page.write_text(
        _PAGE.format(mails=rows, requests=html.escape(requests), alerts=html.escape(alerts))
    )
    (folder / "requests.txt").write_text(requests + "\n")
    (folder / "alerts.txt").write_text(alerts + "\n")
    (folder / "timeline.txt").write_text(timeline)
    (folder / "users.json").write_text(_pretty(observations.kind("USER")))
    # One record a line, as `python -m mfa_watcher replay` reads them.
    (folder / "records.jsonl").write_text(
        "".join(json.dumps(entry["record"]) + "\n" for entry in observations.records)
    )
    return page


def _write_mail(mail: Mail, number: int, folder: Path) -> str:
    name = f"{number:02}-{re.sub(r'[^a-z0-9]+', '-', mail.to.partition('@')[0].lower())}"
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = mail.sender, mail.to, mail.subject
    message["Date"] = mail.at
    message.set_content(mail.text)
    message.add_alternative(mail.html, subtype="html")
    (folder / f"{name}.eml").write_bytes(bytes(message))
    (folder / f"{name}.html").write_text(mail.html)
    (folder / f"{name}.txt").write_text(f"Subject: {mail.subject}\nTo: {mail.to}\n\n{mail.text}")
    return name


def _request_text(item: Json, observations: Observations) -> str:
    card = [line.plain for line in card_of(item)]
    story = [line.plain for line in story_of(item, observations.history_of(item))]
    return "\n".join([*card, "", *story])


def _pretty(value: Json | Sequence[Json]) -> str:
    return json.dumps(value, indent=2, default=_plain, sort_keys=True)


def _plain(value: object) -> object:
    """Return DynamoDB's sets and numbers as JSON values."""
    match value:
        case set():
            return sorted(value)
        case Decimal():
            return int(value)
        case _:
            return str(value)
