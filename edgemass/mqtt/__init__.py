"""The one way to an MQTT broker, for sinks, agent and fleet. It knows no topics."""

from edgemass.mqtt.connection import MqttConnection
from edgemass.mqtt.options import MqttOptions, client_of, parse
from edgemass.mqtt.session import Will
from edgemass.mqtt.subscriptions import Message
from edgemass.mqtt.sweep import Sweep

__all__ = ["Message", "MqttConnection", "MqttOptions", "Sweep", "Will", "client_of", "parse"]
