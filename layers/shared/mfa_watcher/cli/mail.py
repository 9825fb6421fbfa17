"""``mfa-watcher mail preview``: writes every mail in every language into a folder."""

import argparse
import sys
import webbrowser
from dataclasses import dataclass
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mfa_watcher.cli.terminal import Actions, CommandError

if TYPE_CHECKING:
    from mfa_watcher.domain.notifications.mails import Mail
    from mfa_watcher.mail.languages import Language
    from mfa_watcher.ports.notifications import RenderedMail

DEFAULT_FOLDER = Path("mail-preview")
INDEX = "index.html"
MANIFEST = ".mfa-watcher-mail-preview"
"""The list of files that a preview wrote, which the next one may replace."""

_NAMES_SHOWN = 3


class PreviewError(CommandError):
    """The preview cannot be written to the folder. The text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Preview:
    """One sample in one language. Its files are named ``stem`` plus their type."""

    name: str
    language: "Language"
    mail: "Mail"
    rendered: "RenderedMail"

    @property
    def stem(self) -> str:
        """Return the name of its files without the last extension."""
        return f"{self.name}.{self.language.code}"


def add_command(commands: Actions) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser("mail", help="preview the mails")
    actions = parser.add_subparsers(title="actions", required=True, metavar="ACTION")
    preview = actions.add_parser(
        "preview",
        help="write every mail in every language into a folder, with one page that shows them all",
        description=(
            "Writes every mail in every language, with made-up data, as HTML, plain text and .eml,"
            f" and {INDEX}, which shows them at the width of a phone and of a desktop. Sends"
            " nothing and needs no AWS account."
        ),
        epilog="Exit code: 0; 1 if the folder cannot be written; 2 for a wrong call.",
    )
    preview.add_argument(
        "folder",
        nargs="?",
        metavar="DIR",
        type=Path,
        default=DEFAULT_FOLDER,
        help="a new or empty folder, or one of an earlier preview (%(default)s)",
    )
    preview.add_argument("--open", action="store_true", help="show the page in a browser")
    preview.set_defaults(run=run, command="mail preview")


def run(options: argparse.Namespace) -> None:
    """Write the preview."""
    index = write(options.folder)
    sys.stdout.write(f"{index}\n")
    if options.open and not webbrowser.open(index.resolve().as_uri()):
        sys.stderr.write("mfa-watcher mail preview: found no browser to open it with\n")


def previews() -> list[Preview]:
    """Return every sample, rendered in every language."""
    from mfa_watcher.cli.samples import ALIAS, CONTEXT, SAMPLES
    from mfa_watcher.mail.languages import languages
    from mfa_watcher.mail.rendering import JinjaMailRenderer

    renderer = JinjaMailRenderer(CONTEXT)
    return [
        Preview(name, language, mail, renderer.render(mail, language.code, alias=ALIAS))
        for name, mail in SAMPLES.items()
        for language in languages().values()
    ]


def write(folder: Path) -> Path:
    """Write the preview into a folder, and return its page. Raises PreviewError.

    Files of an earlier preview are replaced, or removed if they are not written any more. A folder
    that holds anything else is left alone.
    """
    files = _files(previews())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        earlier = _written_earlier(folder)
        # First, so that an interrupted preview can be written again.
        listed = "\n".join(sorted({*files, *earlier}))
        (folder / MANIFEST).write_text(f"{listed}\n", encoding="utf-8")
        for name, content in files.items():
            (folder / name).write_bytes(content)
        for name in earlier - files.keys():
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise PreviewError(f"cannot write to {folder}: {reason}") from error
    return folder / INDEX


def eml(preview: Preview) -> EmailMessage:
    """Return the message as it would be sent: made from what the adapter passes to SES."""
    from mfa_watcher.adapters.ses import SesMailer
    from mfa_watcher.cli.samples import MANAGER, SENDER, address_of
    from mfa_watcher.domain.users.user import MailKind
    from mfa_watcher.ports.notifications import Message

    mail, words = preview.mail, preview.rendered
    client = _RecordingSes()
    SesMailer(cast("Any", client), sender=SENDER, configuration_set=None).send(
        Message(
            to=address_of(mail),
            subject=words.subject,
            html=words.html,
            text=words.text,
            cc=MANAGER if mail.kind is MailKind.FINAL_WARNING else None,
            thread=mail.reference,
        )
    )
    request = client.request
    content = request["Content"]["Simple"]
    message = EmailMessage()
    message["From"] = request["FromEmailAddress"]
    message["To"] = ", ".join(request["Destination"]["ToAddresses"])
    if copies := request["Destination"].get("CcAddresses"):
        message["Cc"] = ", ".join(copies)
    message["Subject"] = str(make_header(decode_header(content["Subject"]["Data"])))
    # SES adds these two itself.
    message["Date"] = format_datetime(mail.at)
    message["Message-ID"] = f"<{preview.stem}@email.amazonses.com>"
    for header in content.get("Headers", ()):
        message[header["Name"]] = header["Value"]
    message.set_content(content["Body"]["Text"]["Data"])
    message.add_alternative(content["Body"]["Html"]["Data"], subtype="html")
    message.set_boundary(f"=_{preview.stem}")
    return message


class _RecordingSes:
    """Takes the place of the SES client, and keeps what it should send."""

    request: dict[str, Any]

    def send_email(self, **request: Any) -> dict[str, str]:  # noqa: ANN401 - SES's own shape
        self.request = request
        return {"MessageId": "preview"}


def _files(shown: list[Preview]) -> dict[str, bytes]:
    files = {INDEX: _page(shown).encode()}
    for preview in shown:
        files[f"{preview.stem}.html"] = preview.rendered.html.encode()
        files[f"{preview.stem}.txt"] = preview.rendered.text.encode()
        files[f"{preview.stem}.eml"] = bytes(eml(preview))
    return files


def _page(shown: list[Preview]) -> str:
    from mfa_watcher.mail.rendering import template_environment

    environment = template_environment(Path(__file__).parent, html=True)
    by_code = {preview.language.code: preview.language for preview in shown}
    return environment.get_template("preview.html.jinja").render(
        previews=shown, languages=by_code.values()
    )


def _written_earlier(folder: Path) -> set[str]:
    """Return the files of an earlier preview. Raises PreviewError if there are other files."""
    manifest = folder / MANIFEST
    names = set(manifest.read_text(encoding="utf-8").split()) if manifest.is_file() else set()
    found = {entry.name: entry for entry in folder.iterdir()}
    foreign = sorted(
        name
        for name, entry in found.items()
        if name not in {*names, MANIFEST} or entry.is_symlink() or not entry.is_file()
    )
    if foreign:
        some = ", ".join(foreign[:_NAMES_SHOWN]) + (", …" if foreign[_NAMES_SHOWN:] else "")
        raise PreviewError(
            f"{folder} holds files that are not from a preview ({some}): name a new or empty folder"
        )
    return names & found.keys()
