from __future__ import annotations

import pytest

from edgemass.sinks.mqtt import topic_level


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("door", "door"),
        ("pi-7f3a.lan_2", "pi-7f3a.lan_2"),
        ("front/door", "front_door"),
        ("a+b#c d\te\0f", "a_b_c_d_e_f"),
        ("Tür", "Tür"),
        ("", "_"),
    ],
)
def test_a_name_becomes_one_level_of_a_topic(name: str, level: str) -> None:
    assert topic_level(name) == level
