from __future__ import annotations

import pytest

from edgemass.sinks import Channel
from edgemass.sinks.mqtt import MqttSink, topic_level


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


def test_a_broker_is_a_channel_for_who_manages_the_device_and_for_rules() -> None:
    """Asked for at run time, where a method that is missing would only make the broker look like a file."""
    assert issubclass(MqttSink, Channel)
