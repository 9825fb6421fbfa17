"""``mail preview``: what it writes, and what it leaves alone."""

import webbrowser
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest

from mfa_watcher.cli import main
from mfa_watcher.cli.mail import INDEX, MANIFEST, Preview, PreviewError, eml, previews, write
from mfa_watcher.cli.samples import CONTEXT, MANAGER, SAMPLES
from mfa_watcher.domain.users.user import MailKind
from mfa_watcher.mail.languages import languages
from mfa_watcher.mail.rendering import JinjaMailRenderer
from tests.support.hostile import HOSTILE, UNSEEN, with_hostile
from tests.support.languages import every_language

ALL = previews()
HEADERS = {
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "X-Auto-Response-Suppress",
    "MIME-Version",
    "Content-Type",
}
every_preview = pytest.mark.parametrize("preview", ALL, ids=[preview.stem for preview in ALL])


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> list[Preview]:
    """A few previews, rendered before, for tests of the folder that they are written to."""
    monkeypatch.setattr("mfa_watcher.cli.mail.previews", lambda: ALL[:6])
    return ALL[:6]


def parsed(preview: Preview) -> EmailMessage:
    """Return the message as a mail client reads it."""
    return message_from_bytes(bytes(eml(preview)), policy=policy.default)


def part(message: EmailMessage, kind: str) -> EmailMessage:
    found = message.get_body((kind,))
    assert isinstance(found, EmailMessage)
    return found


# The messages ------------------------------------------------------------------------------------


@every_preview
def test_message_is_read_by_a_parser_as_it_was_meant(preview: Preview) -> None:
    message = parsed(preview)
    text, html = part(message, "plain"), part(message, "html")

    assert not message.defects
    # A long subject begins on a line of its own, and Python's parser keeps the space before it.
    assert message["Subject"].lstrip() == preview.rendered.subject
    assert message.get_content_type() == "multipart/alternative"
    assert [each.get_content_type() for each in message.iter_parts()] == ["text/plain", "text/html"]
    assert text.get_content() == preview.rendered.text
    assert html.get_content() == preview.rendered.html + "\n"
    assert {text.get_content_charset(), html.get_content_charset()} == {"utf-8"}


@every_preview
def test_message_is_bytes_that_any_mail_server_takes(preview: Preview) -> None:
    head, _, _ = bytes(eml(preview)).partition(b"\n\n")

    assert head.isascii()
    assert max(map(len, head.splitlines())) <= 78


@every_preview
def test_message_keeps_its_conversation_together_and_automatic_replies_away(
    preview: Preview,
) -> None:
    message = parsed(preview)
    thread = getattr(preview.mail, "request_id", None) or getattr(preview.mail, "finding_id", None)

    assert message["Auto-Submitted"] == "auto-generated"
    assert (thread or "") in (message["References"] or "")
    assert (message["References"] is None) == (thread is None)


def test_manager_is_copied_on_the_final_warning_only() -> None:
    copied = {preview.mail.kind for preview in ALL if parsed(preview)["Cc"] == MANAGER}

    assert copied == {MailKind.FINAL_WARNING}


@pytest.mark.parametrize("name", SAMPLES)
@every_language
def test_hostile_values_add_no_header(name: str, language: str) -> None:
    renderer = JinjaMailRenderer(CONTEXT)
    for attempt in ("header injection", "line separators", "right to left", "half a pair", "words"):
        rendered = renderer.render(with_hostile(SAMPLES[name], HOSTILE[attempt]), language)
        message = parsed(Preview(name, languages()[language], SAMPLES[name], rendered))

        assert set(message.keys()) - {"Cc", "In-Reply-To", "References"} == HEADERS
        assert len(message.keys()) == len(set(message.keys()))
        assert not UNSEEN.search(message["Subject"])
        assert not message.defects


# The folder --------------------------------------------------------------------------------------


def test_preview_shows_every_sample_in_every_language(tmp_path: Path) -> None:
    index = write(tmp_path / "new" / "folder")
    page = index.read_text(encoding="utf-8")

    assert index.name == INDEX
    for name in SAMPLES:
        for language in languages():
            for ending in ("html", "txt", "eml"):
                assert (index.parent / f"{name}.{language}.{ending}").stat().st_size
                assert page.count(f'"{name}.{language}.html"') == 3


@pytest.mark.usefixtures("few")
def test_preview_can_be_written_again_and_takes_back_what_is_no_more(tmp_path: Path) -> None:
    write(tmp_path)
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    (tmp_path / "gone.en.html").write_text("from an earlier version")
    with (tmp_path / MANIFEST).open("a") as manifest:
        manifest.write("gone.en.html\n")

    write(tmp_path)

    again = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert again.keys() == first.keys()
    del again[MANIFEST], first[MANIFEST]
    assert again == first


def test_a_preview_that_was_broken_off_can_be_written_again(
    tmp_path: Path, few: list[Preview]
) -> None:
    write(tmp_path)
    for path in tmp_path.glob("*.eml"):
        path.unlink()

    write(tmp_path)

    assert len(list(tmp_path.glob("*.eml"))) == len(few)


@pytest.mark.usefixtures("few")
def test_what_is_not_from_a_preview_is_left_alone_and_named(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("mine")

    with pytest.raises(PreviewError, match=r"not from a preview \(index.html\): name a new or"):
        write(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]
    assert (tmp_path / "index.html").read_text() == "mine"


@pytest.mark.usefixtures("few")
def test_what_was_put_into_a_preview_stops_the_next_one(tmp_path: Path) -> None:
    write(tmp_path)
    for name in ("a", "b", "c", "d"):
        (tmp_path / name).mkdir()

    with pytest.raises(PreviewError, match=r"\(a, b, c, …\)"):
        write(tmp_path)


@pytest.mark.usefixtures("few")
def test_a_link_is_not_followed_whatever_it_is_called(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "preview", tmp_path / "elsewhere"
    elsewhere.write_text("mine")
    write(folder)
    (folder / INDEX).unlink()
    (folder / INDEX).symlink_to(elsewhere)

    with pytest.raises(PreviewError, match=INDEX):
        write(folder)

    assert elsewhere.read_text() == "mine"


@pytest.mark.usefixtures("few")
def test_a_folder_that_cannot_be_written_is_an_error_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("mine")

    for folder in (tmp_path / "file", tmp_path / "file" / "under"):
        assert main(["mail", "preview", str(folder)]) == 1

        said = capsys.readouterr().err
        assert said.startswith(f"mfa-watcher mail preview: cannot write to {folder}: ")
        assert said.count("\n") == 1


@pytest.mark.usefixtures("few")
def test_command_says_where_the_page_is_and_opens_it_if_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[str] = []

    def note(url: str) -> bool:
        opened.append(url)
        return False

    monkeypatch.setattr(webbrowser, "open", note)

    assert main(["mail", "preview", str(tmp_path)]) == 0
    assert opened == []
    assert main(["mail", "preview", "--open", str(tmp_path)]) == 0
    assert opened == [(tmp_path / INDEX).as_uri()]
    printed = capsys.readouterr()
    assert printed.out == f"{tmp_path / INDEX}\n" * 2
    assert "found no browser" in printed.err
