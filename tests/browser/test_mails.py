"""The mails in a real browser: on a phone and on a desktop, light and dark."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from mfa_watcher.cli.mail import previews
from mfa_watcher.cli.samples import CONTEXT, SAMPLES
from mfa_watcher.mail.languages import languages
from mfa_watcher.mail.rendering import JinjaMailRenderer
from tests.support.hostile import HOSTILE, with_hostile

WIDTHS = (320, 800)
SCHEMES = {"dark": 0, "light": 1}  # as Blink numbers them
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
LONG_VALUES = ("longest name", "right to left", "words")

pytestmark = pytest.mark.skipif(
    CHROMIUM is None,
    reason=f"no browser: none of {', '.join(NAMES)} is on PATH (Debian: apt-get install chromium)",
)


Mails = list[dict[str, str]]


def mails() -> Mails:
    """Return every sample in every language, and with long and right-to-left values."""
    renderer = JinjaMailRenderer(CONTEXT)
    as_they_are = [{"name": preview.stem, "html": preview.rendered.html} for preview in previews()]
    hostile = [
        {
            "name": f"{name} with {value}",
            "html": renderer.render(with_hostile(mail, HOSTILE[value])).html,
        }
        for name, mail in SAMPLES.items()
        for value in LONG_VALUES
    ]
    return as_they_are + hostile


def measured(shown: Mails, folder: Path, scheme: int) -> list[dict[str, Any]]:
    """Return what a browser measures; it is started once for all mails."""
    script = Path(__file__).with_name("measure.js").read_text(encoding="utf-8")
    # A script ends at the first </script, wherever it stands.
    values = json.dumps(shown).replace("<", "\\u003c")
    page = folder / "page.html"
    page.write_text(
        f'<!DOCTYPE html><meta charset="utf-8"><body><script>const MAILS = {values};'
        f"const WIDTHS = {json.dumps(WIDTHS)};\n{script}</script>",
        encoding="utf-8",
    )
    flags = [
        *("--headless", "--disable-gpu", "--hide-scrollbars", "--no-first-run"),
        f"--blink-settings=preferredColorScheme={scheme}",
        f"--user-data-dir={folder / 'profile'}",
        # The browser's own sandbox does not start for root, as whom CI runs.
        *(["--no-sandbox"] if os.geteuid() == 0 else []),
    ]
    assert CHROMIUM
    browser = subprocess.run(  # noqa: S603 - our own page in the browser found on PATH
        [CHROMIUM, *flags, "--dump-dom", page.as_uri()],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    found = re.search(r'<pre id="results">([^<]+)</pre>', browser.stdout)
    assert found, f"the page's script did not come to its end: {browser.stderr[-2000:]}"
    results: list[dict[str, Any]] = json.loads(unquote(found[1]))
    return results


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_mail_is_easy_to_read_on_a_phone_and_on_a_desktop(
    scheme: str, tmp_path: Path
) -> None:
    shown = mails()
    results = measured(shown, tmp_path, SCHEMES[scheme])

    assert len(results) == len(shown) * len(WIDTHS)
    assert {result["lang"] for result in results} == set(languages())
    assert min(result["words"] for result in results) > 200
    # The scheme is really on: dark cards in the dark, light ones in the light.
    assert {result["background"] > 0.5 for result in results} == {scheme == "light"}
    troubles = [
        f"{result['name']} at {result['width']} px: {trouble}"
        for result in results
        for trouble in result["troubles"]
    ]
    assert not troubles, "\n".join(troubles[:50])


BAD = """<!DOCTYPE html><html><body><div class="card" style="background:#fff">
<h1>One</h1><h1>Two</h1><p style="color:#999">pale</p><p style="font-size:9px">tiny</p>
<p style="width:500px">wide</p><img src="data:,"><a href="x">x</a><a href="https://a.example"></a>
<p style="color:#949494;font-size:24px">large and pale enough</p>
<a href="https://b.example" style="display:inline-block">low</a><table><tr><td>a</table></div>"""


def test_what_is_hard_to_read_is_found(tmp_path: Path) -> None:
    [phone, desktop] = measured([{"name": "bad", "html": BAD}], tmp_path, SCHEMES["light"])

    for expected in (
        "has no lang",
        "has no title",
        "has not one h1",
        "has an image without alt",
        "link to x leads nowhere",
        "link to https://a.example has no text",
        "link to https://b.example is too low for a thumb",
        "has a table without heads",
        "contrast 2.85 at “pale”",
        "9 px is too small for “tiny”",
    ):
        assert expected in phone["troubles"]
        assert expected in desktop["troubles"]
    assert any(trouble.endswith("px wide") for trouble in phone["troubles"])
    assert not any("reaches" in trouble or "large" in trouble for trouble in desktop["troubles"])
