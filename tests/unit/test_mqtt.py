from __future__ import annotations

import re
import socket
import ssl
import threading
from pathlib import Path

import pytest

from edgemass.clock import SystemClock
from edgemass.counters import Counters
from edgemass.errors import ConfigError, UsageError
from edgemass.mqtt import MqttConnection, MqttOptions, outbox, parse, trouble
from edgemass.mqtt.outbox import Outbox, Outgoing
from tests.simulators.manual_clock import ManualClock

OPTIONS = MqttOptions(host="broker.lan", port=1883, tls=False, client_id="edgemass-pi")


class TestAddress:
    def test_a_host_is_enough(self) -> None:
        assert parse("mqtt://broker.lan") == MqttOptions(host="broker.lan", port=1883, tls=False)

    def test_mqtts_has_its_own_port(self) -> None:
        options = parse("mqtts://broker.lan")
        assert (options.port, options.tls) == (8883, True)

    def test_everything_can_be_said(self, tmp_path: Path) -> None:
        secret = tmp_path / "secret"
        secret.write_text("hunter2\n", encoding="utf-8")
        options = parse(f"mqtt://me%40home@[::1]:1884?password_file={secret}&client_id=door&version=3.1.1")
        assert options == MqttOptions(
            host="::1",
            port=1884,
            tls=False,
            user="me@home",
            password_file=secret,
            client_id="door",
            version="3.1.1",
        )
        assert options.read_password() == "hunter2"
        assert options.where == "[::1]:1884"

    def test_a_changed_password_file_is_taken_up(self, tmp_path: Path) -> None:
        secret = tmp_path / "secret"
        secret.write_text("old", encoding="utf-8")
        options = parse(f"mqtt://me@host?password_file={secret}")
        secret.write_text("new", encoding="utf-8")
        assert options.read_password() == "new"

    @pytest.mark.parametrize("option", ["ca", "cert"])
    def test_certificates_mean_tls_whatever_the_scheme(self, option: str, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=f"{option}="):
            parse(f"mqtt://host?{option}={tmp_path / 'absent.pem'}")

    def test_tls_checks_name_and_authority(self) -> None:
        context = parse("mqtts://host").tls_context()
        assert context is not None
        assert context.check_hostname
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert parse("mqtt://host").tls_context() is None

    @pytest.mark.parametrize(
        ("address", "says"),
        [
            ("mqtt://", "write mqtt://"),
            ("mqtt:broker", "write mqtt://"),
            ("mqtt://host:99999", "Port out of range"),
            ("mqtt://host:x", "Port"),
            ("mqtt://host/my/topic", "topics are fixed"),
            ("mqtt://host?passwordfile=x", "did you mean password_file"),
            ("mqtt://host?colour=x", "known are"),
            ("mqtt://host?version=4", "5 or 3.1.1, found '4'"),
            ("mqtt://host?client_id=", "is empty"),
            ("mqtt://host?version=5&version=5", "twice"),
            ("mqtt://host?key=k.pem", "key without cert"),
            ("mqtt://host?password_file=x", "without a user"),
            ("mqtt://me:secret@host?password_file=x", "keep the file"),
        ],
    )
    def test_an_address_that_cannot_be_read_says_why(self, address: str, says: str) -> None:
        with pytest.raises(UsageError, match=says) as caught:
            parse(address)
        assert "secret" not in str(caught.value)

    @pytest.mark.parametrize("option", ["password_file", "ca", "cert"])
    def test_a_file_that_is_not_there_is_known_at_once(self, option: str, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="No such file"):
            parse(f"mqtt://me@host?{option}={tmp_path / 'absent'}")

    def test_a_file_that_is_no_certificate_is_known_at_once(self, tmp_path: Path) -> None:
        junk = tmp_path / "junk.pem"
        junk.write_text("junk", encoding="utf-8")
        with pytest.raises(ConfigError, match="PEM"):
            parse(f"mqtts://host?ca={junk}")
        with pytest.raises(ConfigError, match="belong together"):
            parse(f"mqtts://host?cert={junk}")

    def test_a_password_in_the_address_works_and_is_warned_of_without_being_shown(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        options = parse("mqtt://me:hunter2@host")
        assert options.read_password() == "hunter2"
        assert "password_file" in caplog.text
        assert "hunter2" not in caplog.text + repr(options)


class TestPause:
    def test_pauses_grow_up_to_eight_seconds(self) -> None:
        longest = [trouble.pause_s(failures, 0, slow=False, draw=lambda: 1.0) for failures in range(1, 8)]
        assert longest == [1, 2, 4, 8, 8, 8, 8]

    def test_pauses_grow_to_a_minute_after_ten_minutes(self) -> None:
        assert trouble.pause_s(100, 599, slow=False, draw=lambda: 1.0) == 8
        assert trouble.pause_s(100, 600, slow=False, draw=lambda: 1.0) == 60
        assert trouble.pause_s(100_000, 1e9, slow=False, draw=lambda: 1.0) == 60

    def test_pauses_are_spread_over_their_whole_length(self) -> None:
        assert trouble.pause_s(4, 0, slow=False, draw=lambda: 0.25) == 2

    def test_after_a_taken_over_session_it_waits_half_a_minute_at_least(self) -> None:
        assert trouble.pause_s(1, 0, slow=True, draw=lambda: 0.0) == 30
        assert trouble.pause_s(1, 0, slow=True, draw=lambda: 1.0) == 60


class TestTroubleNamesCauseAndRemedy:
    @pytest.mark.parametrize(
        ("error", "says"),
        [
            (socket.gaierror(-2, "Name or service not known"), "cannot find .*'broker.lan'.*DNS"),
            (ConnectionRefusedError(111, "Connection refused"), "nothing listens at broker.lan:1883"),
            (TimeoutError("timed out"), "no answer .*check the address"),
            (OSError(113, "No route to host"), "No route to host; check the network"),
            (UnicodeError("label too long"), "cannot be a host name"),
            (ConfigError("cannot read F"), "cannot read F"),
            (OSError(5, "Input/output error"), "Input/output error"),
        ],
    )
    def test_when_connecting_fails(self, error: Exception, says: str) -> None:
        why = trouble.failed(error, OPTIONS)
        assert "\n" not in why.text
        assert re.search(says, why.text), why.text

    @pytest.mark.parametrize(
        ("code", "message", "options", "says"),
        [
            (20, "unable to get local issuer certificate", "mqtts://host", "ca=FILE"),
            (10, "certificate has expired", "mqtts://host", "clock"),
            (9, "certificate is not yet valid", "mqtts://host", "clock"),
            (62, "Hostname mismatch", "mqtts://host", "name that stands in"),
            (23, "certificate revoked", "mqtts://host", "renew"),
        ],
    )
    def test_when_the_certificate_is_bad(self, code: int, message: str, options: str, says: str) -> None:
        error = ssl.SSLCertVerificationError(1, message)
        error.verify_code, error.verify_message = code, message
        why = trouble.failed(error, parse(options))
        assert message in why.text
        assert says in why.text

    @pytest.mark.parametrize(
        ("code", "says"),
        [
            (0x86, "mqtt://USER@HOST"),
            (0x87, "mqtt://USER@HOST"),
            (0x85, "client_id="),
            (0x84, "MQTT 5 and 3.1.1"),
            (0x88, "refuses connections now"),
            (0x8A, "banned"),
            (0x9A, "retain_available true"),
            (0x9B, "max_qos 1"),
        ],
    )
    def test_when_the_broker_refuses(self, code: int, says: str) -> None:
        assert says in trouble.refused(code, "its name", OPTIONS).text

    def test_a_wrong_password_names_user_and_file(self) -> None:
        options = MqttOptions(host="h", port=1883, tls=False, user="me", password_file=Path("secret"))
        why = trouble.refused(0x86, "Bad user name or password", options)
        assert "'me'" in why.text
        assert "secret" in why.text

    @pytest.mark.parametrize(("code", "says"), [(0x9A, "keeps no messages"), (0x9B, "takes QoS 0 only")])
    def test_when_the_broker_lacks_what_is_needed(self, code: int, says: str) -> None:
        assert says in trouble.dismissed(code, "its name", OPTIONS).text

    def test_a_taken_over_session_names_the_client_id_and_slows_down(self) -> None:
        why = trouble.dismissed(0x8E, "Session taken over", OPTIONS)
        assert why.slow
        assert "another client uses the same client id 'edgemass-pi'" in why.text


def outgoing(payload: bytes = b"x", qos: int = 0, topic: str = "t", deadline_ns: int | None = None) -> Outgoing:
    return Outgoing(topic, payload, qos, retain=False, deadline_ns=deadline_ns)


class TestOutbox:
    def test_keeps_the_order_and_sends_the_sure_ones_first(self) -> None:
        box = Outbox(Counters(), SystemClock())
        given = [outgoing(), outgoing(), outgoing(qos=1), outgoing(qos=1)]
        assert all(box.put(message) for message in given)
        taken = [box.take(room_in_flight=True) for _ in range(5)]
        assert taken == [given[2], given[3], given[0], given[1], None]

    def test_without_room_in_flight_only_qos_0_goes(self) -> None:
        box = Outbox(Counters(), SystemClock())
        sure, fleeting = outgoing(qos=1), outgoing()
        box.put(sure)
        box.put(fleeting)
        assert box.take(room_in_flight=False) is fleeting
        assert box.take(room_in_flight=False) is None

    def test_a_full_queue_loses_its_oldest_of_qos_0(self) -> None:
        counters = Counters()
        box = Outbox(counters, SystemClock(), max_bytes=10_000)
        given = [outgoing(bytes(1000)) for _ in range(100)]
        assert all(box.put(message) for message in given)
        assert box.held_bytes <= 10_000
        kept = []
        while (message := box.take(room_in_flight=True)) is not None:
            kept.append(message)
        assert kept == given[-len(kept) :]
        assert len(kept) == 9
        assert counters["dropped"] == counters["dropped.full"] == 91

    def test_a_full_queue_takes_no_more_of_qos_1(self) -> None:
        counters = Counters()
        box = Outbox(counters, SystemClock(), max_bytes=10_000)
        taken = [box.put(outgoing(bytes(1000), qos=1)) for _ in range(100)]
        assert taken == [True] * 9 + [False] * 91
        assert counters["dropped.full"] == 91

    @pytest.mark.parametrize("qos", [0, 1])
    def test_the_number_of_messages_is_bounded_too(self, qos: int) -> None:
        counters = Counters()
        box = Outbox(counters, SystemClock())
        for _ in range(outbox.MAX_MESSAGES + 5):
            box.put(outgoing(b"", qos=qos))
        assert counters["dropped.full"] == 5

    def test_a_message_larger_than_everything_is_refused_and_harms_no_other(self) -> None:
        box = Outbox(Counters(), SystemClock(), max_bytes=1000)
        small = outgoing()
        box.put(small)
        assert not box.put(outgoing(bytes(2000)))
        assert box.take(room_in_flight=True) is small

    def test_unacknowledged_messages_are_the_next_ones_again_in_their_order(self) -> None:
        box = Outbox(Counters(), SystemClock())
        given = [outgoing(qos=1) for _ in range(4)]
        for message in given:
            box.put(message)
        first, second = box.take(room_in_flight=True), box.take(room_in_flight=True)
        assert first is not None
        assert second is not None
        box.put_back([first, second], closed=True)
        assert [box.take(room_in_flight=True) for _ in range(4)] == given

    def test_a_message_that_breaks_every_connection_is_given_up(self) -> None:
        counters = Counters()
        box = Outbox(counters, SystemClock())
        given = [outgoing(qos=1) for _ in range(3)]
        for message in given:
            box.put(message)
        for _ in range(outbox.MAX_BREAKS):
            flying = [box.take(room_in_flight=True) for _ in given]
            box.put_back([message for message in flying if message is not None], closed=True)
        assert counters["dropped.undeliverable"] == 1
        assert [box.take(room_in_flight=True) for _ in given] == [*given[1:], None]

    def test_a_state_that_broke_connections_is_left_out_for_an_hour_however_often_it_is_said(self) -> None:
        counters, clock = Counters(), ManualClock()
        box = Outbox(counters, clock)

        def say(payload: bytes = b"xxx") -> bool:  # as on every connect
            return box.put(Outgoing("camera/door/snapshot", payload, 1, retain=True))

        def break_connection() -> None:
            flying = box.take(room_in_flight=True)
            assert flying is not None
            box.put_back([flying], closed=True)

        for _ in range(outbox.MAX_BREAKS):
            assert say()
            break_connection()
        assert box.take(room_in_flight=True) is None
        assert not say()
        assert counters["dropped.undeliverable"] == outbox.MAX_BREAKS + 1
        assert say(b""), "a smaller one may well pass"
        assert box.take(room_in_flight=True) is not None
        clock.advance(outbox.SUSPECT_NS / 1e9)
        assert say()
        break_connection()
        assert not say(), "one more break is enough"

    def test_a_state_that_a_broker_takes_after_all_is_not_left_out(self) -> None:
        box = Outbox(Counters(), clock := ManualClock())
        large = Outgoing("camera/door/snapshot", b"xxx", 1, retain=True)
        box.put(large)
        for _ in range(outbox.MAX_BREAKS):
            assert box.take(room_in_flight=True) is large
            box.put_back([large], closed=True)
        clock.advance(outbox.SUSPECT_NS / 1e9)
        again = Outgoing(large.topic, large.payload, 1, retain=True)
        assert box.put(again)
        assert box.take(room_in_flight=True) is again
        box.deliver(again)
        box.put(again)
        assert box.take(room_in_flight=True) is again
        box.put_back([again], closed=True)
        assert box.take(room_in_flight=True) is again

    def test_a_network_that_fails_again_and_again_costs_no_message(self) -> None:
        counters = Counters()
        box = Outbox(counters, SystemClock())
        given = outgoing(qos=1)
        box.put(given)
        for _ in range(10 * outbox.MAX_BREAKS):
            assert box.take(room_in_flight=True) is given
            box.put_back([given], closed=False)
        assert counters["dropped"] == 0

    def test_what_has_expired_is_not_sent(self) -> None:
        counters, clock = Counters(), ManualClock()
        box = Outbox(counters, clock)
        box.put(outgoing(qos=1, deadline_ns=clock.monotonic_ns() + 10**9))
        fresh = outgoing(qos=1)
        box.put(fresh)
        clock.advance(2)
        assert box.take(room_in_flight=True) is fresh
        assert counters["dropped.expired"] == 1

    def test_every_message_is_settled_once(self) -> None:
        told: list[tuple[str, str]] = []
        box = Outbox(Counters(), SystemClock())
        box.put(Outgoing("first", b"", 1, retain=False, settled=lambda done: told.append(("first", done))))
        box.put(Outgoing("second", b"", 1, retain=False, settled=lambda done: told.append(("second", done))))
        first = box.take(room_in_flight=True)
        assert first is not None
        box.deliver(first)
        box.drop_all("closed")
        assert told == [("first", ""), ("second", "closed")]
        assert box.empty

    def test_who_keeps_his_messages_leaves_half_of_the_room_to_others(self) -> None:
        box = Outbox(Counters(), SystemClock(), max_bytes=10_000)
        assert box.has_room(1_000_000)  # refused by `put`, but waiting would not help
        for _ in range(4):
            assert box.has_room(1000)
            box.put(outgoing(bytes(1000), qos=1))
        assert not box.has_room(1000)
        assert box.has_room(100)

    def test_who_waits_for_room_hears_of_every_sure_message_that_was_taken(self) -> None:
        told: list[int] = []
        box = Outbox(Counters(), SystemClock())
        box.on_settled(lambda: told.append(1))
        for qos in (0, 1, 1):
            box.put(outgoing(qos=qos))
        for _ in range(2):
            message = box.take(room_in_flight=True)
            assert message is not None
            box.deliver(message)
        fleeting = box.take(room_in_flight=True)
        assert fleeting is not None
        box.deliver(fleeting)
        assert len(told) == 2

    def test_who_waits_for_an_empty_box_hears_of_the_last_message(self) -> None:
        box = Outbox(Counters(), SystemClock())
        box.put(outgoing(qos=1))
        assert not box.wait(lambda: box.empty, 0)
        threading.Thread(target=box.drop_all, args=("closed",)).start()
        assert box.wait(lambda: box.empty, 60)


class TestConnectionBeforeItIsStarted:
    def connection(self) -> MqttConnection:
        return MqttConnection(OPTIONS)

    def test_needs_a_client_id(self) -> None:
        with pytest.raises(ValueError, match="client_id"):
            MqttConnection(parse("mqtt://host"))

    @pytest.mark.parametrize("topic", ["", "a/+/b", "a/#", "a\0b", "x" * 65536])
    def test_a_topic_that_is_none_is_a_programming_error(self, topic: str) -> None:
        connection = self.connection()
        with pytest.raises(ValueError, match="topic"):
            connection.publish(topic, b"")
        connection.close(0)

    @pytest.mark.parametrize("topic_filter", ["", "a/#/b", "a#", "a+/b", "$share/g/a#"])
    def test_a_filter_that_is_none_is_a_programming_error(self, topic_filter: str) -> None:
        connection = self.connection()
        with pytest.raises(ValueError, match="topic_filter"):
            connection.subscribe(topic_filter, lambda _: None)
        connection.close(0)

    def test_what_was_never_sent_is_counted_at_the_end(self) -> None:
        connection = self.connection()
        assert connection.publish("t", b"x", qos=1)
        assert connection.publish("t", b"x")  # no attempt has failed yet
        connection.close(0)
        assert connection.counters.snapshot() == {"dropped": 2, "dropped.closed": 2}
        assert not connection.publish("t", b"x", qos=1)
