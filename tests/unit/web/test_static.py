"""The page works without the internet, and is small."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import edgemass.web

STATIC = Path(edgemass.web.__file__).parent / "static"
FILES = sorted(STATIC.iterdir())
MAX_BYTES = 60_000


def test_all_of_it_is_small() -> None:
    assert sum(path.stat().st_size for path in FILES) < MAX_BYTES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nothing_is_asked_of_another_server(path: Path) -> None:
    text = path.read_text().replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not re.findall(r"(?:https?:)?//[a-z][\w.-]*\.\w+", text)
    assert "@import" not in text


@pytest.mark.parametrize("name", ["index.html", "login.html"])
def test_pages_hold_no_script_or_style_of_their_own(name: str) -> None:
    """As the content security policy has it."""
    text = (STATIC / name).read_text()
    assert not re.findall(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=", text)


def test_texts_of_the_device_are_never_taken_for_html() -> None:
    text = (STATIC / "page.js").read_text()
    assert not re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text)


@pytest.mark.parametrize("name", ["index.html", "login.html"])
def test_pages_name_their_language_and_fit_phones(name: str) -> None:
    text = (STATIC / name).read_text()
    assert '<html lang="en">' in text
    assert 'name="viewport"' in text
