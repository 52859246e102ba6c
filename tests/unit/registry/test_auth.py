"""Logins: where they come from, what registries ask for, and who is given what."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from edgemass.errors import ConfigError, RegistryError
from edgemass.registry.auth import Authorization, Login, challenges, find_login
from edgemass.registry.reference import Reference
from edgemass.registry.transport import Transport
from tests.simulators.manual_clock import ManualClock

ADDRESS = "oci://r.example.org/a"
BEARER = 'Bearer realm="https://t.example.org/token",service="r.example.org",scope="repository:a:pull"'
PULL = "repository:a:pull"


class Tokens:
    """A token server; asked: (address, query, form, Authorization)."""

    def __init__(self, answer: object = None) -> None:
        self.answer = {"token": "t1"} if answer is None else answer
        self.asked: list[tuple[str, Mapping[str, str], Mapping[str, str] | None, str | None]] = []

    def __call__(
        self, realm: str, query: Mapping[str, str], form: Mapping[str, str] | None, authorization: str | None
    ) -> bytes:
        self.asked.append((realm, query, form, authorization))
        return self.answer if isinstance(self.answer, bytes) else json.dumps(self.answer).encode()


def docker_config(path: Path, auths: object) -> Transport:
    path.write_text(json.dumps({"auths": auths, "credsStore": "desktop"}))
    return Transport(docker_config=str(path))


def test_every_challenge_of_a_header_is_understood() -> None:
    header = r'Basic realm="a, \"b\"", Bearer realm="https://t/",service=s , scope="x y"'
    assert [(item.scheme, item.parameters) for item in challenges(header)] == [
        ("basic", {"realm": 'a, "b"'}),
        ("bearer", {"realm": "https://t/", "service": "s", "scope": "x y"}),
    ]


@pytest.mark.parametrize(
    "header", ["", "=", '"', 'Bearer realm="never ends', "," * 5000, "a " * 5000, 'A b="' + "\\" * 9]
)
def test_a_challenge_that_is_nonsense_is_passed_over(header: str) -> None:
    for found in challenges(header):
        assert "realm" not in found.parameters or found.parameters["realm"] != ""


def test_the_address_goes_before_options_and_these_before_docker(tmp_path: Path) -> None:
    auth = base64.b64encode(b"docker:from docker").decode()
    transport = docker_config(tmp_path / "config.json", {"https://r.example.org/v1/": {"auth": auth}})
    (tmp_path / "password").write_text("from file\n")
    named = Transport(user="me", password_file=str(tmp_path / "password"), docker_config=transport.docker_config)

    def found(address: str, given: Transport) -> str:
        login = find_login(Reference.parse(address), given)
        return login.password if login else "nobody"

    assert found("oci://you:from%20address@r.example.org/a", named) == "from address"
    assert found(ADDRESS, named) == "from file"
    assert found(ADDRESS, transport) == "from docker"
    assert found("oci://other.example.org/a", transport) == "nobody"
    assert found(ADDRESS, Transport()) == "nobody"


@pytest.mark.parametrize(
    "content",
    ["", "[]", '{"auths": {"r.example.org": {"auth": "?"}}}', '{"auths": {"r.example.org": {"auth": "/w=="}}}'],
)
def test_a_file_with_damaged_logins_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ConfigError, match=r"config\.json: no logins"):
        find_login(Reference.parse(ADDRESS), Transport(docker_config=str(tmp_path / "config.json")))


def test_a_user_without_a_password_is_told_before_anything_is_asked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="user me has no password"):
        find_login(Reference.parse(ADDRESS), Transport(user="me"))
    with pytest.raises(ConfigError, match="cannot read"):
        find_login(Reference.parse(ADDRESS), Transport(user="me", password_file=str(tmp_path / "none")))


def test_a_login_is_not_told() -> None:
    assert "secret" not in repr(Login("me", "secret", "secret", "the address"))


def test_nobody_is_given_a_password_before_being_asked() -> None:
    authorization = Authorization("r", Login("me", "pw"), Tokens(), ManualClock(), plain=False)
    assert authorization.header(PULL) is None
    assert authorization.answer('Basic realm="r"', PULL)
    assert authorization.header(PULL) == f"Basic {base64.b64encode(b'me:pw').decode()}"
    assert not authorization.answer('Basic realm="r"', PULL)  # it was wrong, so it is not given again


def test_a_token_is_asked_for_as_the_registry_says_and_kept_as_long_as_it_lives() -> None:
    tokens, clock = Tokens({"access_token": "t1", "expires_in": 300}), ManualClock()
    authorization = Authorization("r", Login("me", "pw"), tokens, clock, plain=False)
    assert authorization.answer(BEARER, PULL)
    realm, query, form, header = tokens.asked[0]
    assert (realm, form) == ("https://t.example.org/token", None)
    assert query == {"service": "r.example.org", "scope": PULL, "account": "me"}
    assert header is not None
    assert header.startswith("Basic ")
    assert authorization.header(PULL) == "Bearer t1"
    assert authorization.header("repository:a:pull,push") is None
    clock.advance(299)
    assert authorization.header(PULL) is None


def test_a_token_of_docker_is_exchanged_by_post() -> None:
    tokens = Tokens()
    authorization = Authorization("r", Login("", "", "refresh"), tokens, ManualClock(), plain=False)
    assert authorization.answer(BEARER, PULL)
    _, query, form, header = tokens.asked[0]
    assert (query, header) == ({}, None)
    assert form is not None
    assert (form["grant_type"], form["refresh_token"]) == ("refresh_token", "refresh")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({}, "gave no token"),
        ({"token": "a\r\nX: y"}, "gave no token"),
        (b"<html>", "does not answer as one"),
        ({"token": 7}, "does not answer as one"),
        (b"[" * 100_000, "does not answer as one"),
    ],
)
def test_a_token_server_that_answers_nonsense_is_told(answer: object, reason: str) -> None:
    authorization = Authorization("r", None, Tokens(answer), ManualClock(), plain=False)
    with pytest.raises(RegistryError, match=reason):
        authorization.answer(BEARER, PULL)


@pytest.mark.parametrize("realm", ["http://t.example.org/", "file:///etc/passwd", "", "/token"])
def test_a_password_goes_to_no_token_server_without_tls(realm: str) -> None:
    tokens = Tokens()
    authorization = Authorization("r", Login("me", "pw"), tokens, ManualClock(), plain=False)
    with pytest.raises(RegistryError, match="wanted one that speaks TLS"):
        authorization.answer(f'Bearer realm="{realm}"', PULL)
    assert tokens.asked == []


def test_a_token_that_lives_for_ever_does_not_break_the_clock() -> None:
    authorization = Authorization("r", None, Tokens(b'{"token":"t","expires_in":1e308}'), ManualClock(), plain=False)
    assert authorization.answer(BEARER, PULL)
    assert authorization.header(PULL) == "Bearer t"
