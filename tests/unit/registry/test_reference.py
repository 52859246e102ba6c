"""Addresses of models: what is read from them, and what is refused with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgemass.errors import UsageError
from edgemass.registry.reference import Reference, is_reference

DIGEST = f"sha256:{'0a' * 32}"


@pytest.mark.parametrize(
    ("text", "base_url", "repository", "wanted"),
    [
        ("oci://registry.example.org/models/door:1.2", "https://registry.example.org", "models/door", "1.2"),
        ("oci://registry.example.org:5000/door", "https://registry.example.org:5000", "door", "latest"),
        (f"oci://r.example.org/a/b_c.d@{DIGEST}", "https://r.example.org", "a/b_c.d", DIGEST),
        (f"oci://r.example.org/a:1@{DIGEST}", "https://r.example.org", "a", DIGEST),
        ("oci://127.0.0.1:5000/a", "http://127.0.0.1:5000", "a", "latest"),
        ("oci://localhost/a", "http://localhost", "a", "latest"),
        ("oci://[::1]:5000/a", "http://[::1]:5000", "a", "latest"),
        ("oci+https://localhost/a", "https://localhost", "a", "latest"),
        ("oci+http://10.0.0.7:5000/a", "http://10.0.0.7:5000", "a", "latest"),
        ("oci://localhost.example.org/a", "https://localhost.example.org", "a", "latest"),
        ("oci://127.0.0.1.example.org/a", "https://127.0.0.1.example.org", "a", "latest"),
    ],
)
def test_an_address_names_registry_repository_and_what_is_wanted(
    text: str, base_url: str, repository: str, wanted: str
) -> None:
    reference = Reference.parse(text)
    assert (reference.base_url, reference.repository, reference.wanted) == (base_url, repository, wanted)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("https://registry.example.org/door", "no address of a model"),
        ("oci://", "no host ''"),
        ("oci://registry.example.org", "no repository ''"),
        ("oci://registry.example.org/Door", "no repository 'Door'"),
        ("oci://registry.example.org/../door", "no repository"),
        ("oci://registry.example.org/a//b", "no repository"),
        ("oci://registry.example.org/door:", "no tag ''"),
        ("oci://registry.example.org/door:a/b", "no tag 'a/b'"),
        ("oci://registry.example.org/door:1?x=2", "no tag"),
        ("oci://registry.example.org/door@sha256:abc", "wanted 64 hexadecimal digits"),
        ("oci://ho st/door", "no host"),
        ("oci://host:99999999/door", "no host"),
        ("oci://host\r\nX: y/door", "no host"),
    ],
)
def test_what_is_no_address_is_refused(text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        Reference.parse(text)


@pytest.mark.parametrize("login", ["me:hunter%402", "me:hunter@2"])
def test_a_password_is_read_and_never_told(login: str) -> None:
    reference = Reference.parse(f"oci://{login}@r.example.org/a")
    assert (reference.user, reference.password) == ("me", "hunter@2")
    assert "hunter" not in f"{reference!r} {reference} {reference.address} {reference.base_url}"
    with pytest.raises(UsageError) as caught:
        Reference.parse(f"oci://{login}@r.example.org/A")
    assert "hunter" not in str(caught.value)


def test_a_folder_may_be_followed_by_name_and_tag_and_have_colons_itself(tmp_path: Path) -> None:
    layout = tmp_path / "a:b"
    layout.mkdir()
    (layout / "oci-layout").write_text("{}")
    found = [Reference.parse(f"{layout}{rest}") for rest in ("", ":door", ":door:1.2", f":door@{DIGEST}")]
    assert [(item.folder, item.repository, item.wanted) for item in found] == [
        (layout, "", "latest"),
        (layout, "door", "latest"),
        (layout, "door", "1.2"),
        (layout, "door", DIGEST),
    ]
    assert is_reference(f"{layout}:door:1.2")
    assert Reference.parse("new/folder:door:1").folder == Path("new/folder")


def test_names_and_bundle_folders_are_no_references(tmp_path: Path) -> None:
    assert not is_reference("picodet-s-320")
    assert not is_reference(str(tmp_path))
    assert not is_reference("demo:")
    assert is_reference("oci://r.example.org/a")
