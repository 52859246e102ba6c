from __future__ import annotations

import base64
import re

import pytest

from edgemass.sources._http_auth import Credentials, authorization

# The example of RFC 7616, 3.9.1.
MUFASA = Credentials("Mufasa", "Circle of Life")
CNONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
COMMON = (
    'realm="http-auth@example.org", qop="auth, auth-int", nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", '
    'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
)
SHA256 = f"Digest {COMMON}, algorithm=SHA-256"
MD5 = f"Digest {COMMON}, algorithm=MD5"
BASIC = 'Basic realm="http-auth@example.org"'
MD5_RESPONSE = "8ca523f5e9506fed4657c9700eebdbec"
SHA256_RESPONSE = "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"


def answer(*challenges: str, credentials: Credentials = MUFASA) -> str | None:
    return authorization(challenges, credentials, method="GET", target="/dir/index.html", cnonce=CNONCE)


@pytest.mark.parametrize(("challenge", "response"), [(MD5, MD5_RESPONSE), (SHA256, SHA256_RESPONSE)])
def test_digest_is_what_rfc_7616_shows(challenge: str, response: str) -> None:
    header = answer(challenge)
    assert header is not None
    for field in (
        'username="Mufasa"',
        'uri="/dir/index.html"',
        f'response="{response}"',
        f'cnonce="{CNONCE}"',
        "qop=auth",
        "nc=00000001",
        'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"',
    ):
        assert field in header


def test_a_challenge_without_qop_is_answered_as_old_cameras_want_it() -> None:
    # The example of RFC 2069, 2.4, with the response of its erratum 749.
    header = answer(
        'Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"',
        credentials=Credentials("Mufasa", "CircleOfLife"),
    )
    assert header is not None
    assert 'response="1949323746fe6a43ef61f9606e7febea"' in header
    assert "qop" not in header
    assert "cnonce" not in header


@pytest.mark.parametrize(
    ("challenges", "response"),
    [
        ((BASIC, MD5, SHA256), SHA256_RESPONSE),
        ((SHA256, BASIC, MD5), SHA256_RESPONSE),
        ((BASIC, MD5), MD5_RESPONSE),
        ((f"{BASIC}, {MD5}",), MD5_RESPONSE),
        ((f"{MD5}, {BASIC}",), MD5_RESPONSE),
        ((SHA256.replace("SHA-256", "SHA-512-256"), MD5), MD5_RESPONSE),
        ((SHA256.replace('"auth, auth-int"', '"auth-int"'), MD5), MD5_RESPONSE),
    ],
)
def test_the_strongest_challenge_that_is_understood_is_answered(challenges: tuple[str, ...], response: str) -> None:
    assert f'response="{response}"' in str(answer(*challenges))


def test_a_session_digest_differs_and_names_its_algorithm() -> None:
    header = str(answer(MD5.replace("algorithm=MD5", "algorithm=MD5-sess")))
    assert "algorithm=MD5-sess" in header
    assert MD5_RESPONSE not in header


def test_basic_carries_user_and_password_in_utf_8() -> None:
    header = answer(BASIC, credentials=Credentials("jörg", "a:b"))
    assert header == "Basic " + base64.b64encode("jörg:a:b".encode()).decode()


def test_quotes_in_names_are_escaped_and_read_back() -> None:
    header = str(
        answer(MD5.replace("http-auth@example.org", r"the \"front\" one"), credentials=Credentials('a"b', "c"))
    )
    assert r'username="a\"b"' in header
    assert r'realm="the \"front\" one"' in header
    assert re.search(r'response="[0-9a-f]{32}"', header)


@pytest.mark.parametrize("challenges", [(), ("Bearer realm=x",), ("Negotiate",), ("Digest realm=x",), ("",)])
def test_what_is_not_understood_is_not_answered(challenges: tuple[str, ...]) -> None:
    assert answer(*challenges) is None
