"""What is wrong with a table, in the words of whoever writes TOML."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator
from typing import Literal, get_args, get_origin

import msgspec

_UNKNOWN = re.compile(r"Object contains unknown field `(?P<field>[^`]+)`( - at `\$\.(?P<table>\w+)`)?")
_MISSING = re.compile(r"Object missing required field `(?P<field>[^`]+)`(?: - at `\$\.?(?P<place>[^`]+)`)?$")
_MISFIT = re.compile(r"Expected `(?P<wanted>[^`]+)`, got `(?P<got>[^`]+)` - at `\$\.?(?P<place>[^`]+)`$")
_NO_CHOICE = re.compile(r"Invalid enum value (?P<got>.+) - at `\$\.?(?P<place>[^`]+)`$")

_WANTED = {
    "str": "text in quotes",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list in [ ]",
    "object": "a table",
}
_GOT = {**_WANTED, "str": "text", "float": "a number with a fraction", "array": "a list"}


def explain(problem: str, kind: type[msgspec.Struct]) -> str:
    """Msgspec's error about a table of this kind, said for people: the key, what it must be, what was found."""
    if match := _UNKNOWN.search(problem):
        kind = _inner(kind, match["table"]) or kind
        hint = nearest(match["field"], [field.encode_name for field in msgspec.structs.fields(kind)])
        where = f" of `{match['table']}`" if match["table"] else ""
        return f"unknown key `{match['field']}`{where}{hint}"
    if match := _MISSING.search(problem):
        where = f" of `{match['place']}`" if match["place"] else ""
        return f"the key `{match['field']}`{where} is missing"
    if match := _MISFIT.search(problem):
        wanted = [_WANTED.get(word, word) for word in match["wanted"].split(" | ") if word != "null"]
        return f"`{match['place']}` must be {' or '.join(wanted)}, found {_GOT.get(match['got'], match['got'])}"
    if (match := _NO_CHOICE.search(problem)) and (choices := _choices(kind, match["place"])):
        return f"`{match['place']}` must be one of {', '.join(choices)}, found {match['got']}"
    return problem.replace("`$.", "`")


def nearest(found: str, known: Collection[str]) -> str:
    """The end of an error that says what would have done."""
    near = difflib.get_close_matches(found, known, n=1)
    if near:
        return f"; did you mean `{near[0]}`?"
    return f"; known are {', '.join(known)}" if known else "; there are none"


def _inner(kind: type[msgspec.Struct], key: str | None) -> type[msgspec.Struct] | None:
    """The type of the table that may stand under a key."""
    for field in msgspec.structs.fields(kind):
        if field.encode_name == key:
            types = (field.type, *get_args(field.type))
            return next(
                (found for found in types if isinstance(found, type) and issubclass(found, msgspec.Struct)), None
            )
    return None


def _choices(kind: type[msgspec.Struct], place: str) -> list[str]:
    """What a key may be, where it is one of a few values; place: such as `mqtt.qos` or `days[...]`."""
    *tables, key = re.sub(r"\[[^\]]*\]", "", place).split(".")
    for table in tables:
        inner = _inner(kind, table)
        if inner is None:
            return []
        kind = inner
    return [
        str(value)
        for field in msgspec.structs.fields(kind)
        if field.encode_name == key
        for value in _literals(field.type)
    ]


def _literals(kind: object) -> Iterator[object]:
    for part in get_args(kind):
        if get_origin(kind) is Literal:
            yield part
        else:
            yield from _literals(part)
