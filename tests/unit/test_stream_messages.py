"""What a message is about, how a rejection looks, and which broker the environment names."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from typing import Any

import pytest

from ml.errors import SettingsError
from ml.serving.problems import Refused, UnfitValue
from ml.serving.streams.messages import Incoming, identities, rejection, row_of
from ml.serving.streams.places import StreamPlaces, address
from ml.settings import PROJECT_ROOT
from tests.builders import settings

TASK = settings(task={"key": ["day", "flight", "carrier"]}).task
TYPES = {"day": "string", "flight": "int64", "carrier": "string", "distance": "double"}
ROW: dict[str, Any] = {"day": "2013-06-14", "flight": 1, "carrier": "UA", "distance": 3.5}
URL = "EVERGREEN_STREAM_URL"


def names(*rows: dict[str, Any]) -> list[str]:
    return [identity.name for identity in identities(rows, TASK, TYPES)]


def test_an_identity_is_of_key_and_day_whatever_the_order_the_other_values_and_the_writing_of_numbers() -> None:
    same = [ROW, {**ROW, "distance": 4.0}, dict(reversed(ROW.items())), {**ROW, "flight": 1.0}]
    others = [{**ROW, "day": "2013-06-15"}, {**ROW, "flight": 2}, {**ROW, "carrier": None}]
    assert len({*names(*same)}) == 1
    assert len({*names(ROW, *others)}) == 4


def test_a_correction_has_the_identity_of_what_it_corrects_and_other_contents() -> None:
    first, again, other = identities([ROW, dict(reversed(ROW.items())), {**ROW, "distance": 4.0}], TASK, TYPES)
    assert first == again
    assert first.name == other.name and first.content != other.content


@pytest.mark.parametrize("body", [b"{", b"\xff", b"", b"[]", b"7", b'{"flight": 1}', b'{"day": null}'])
def test_what_is_no_row_of_a_day_is_refused(body: bytes) -> None:
    with pytest.raises(Refused) as refused:
        row_of(Incoming(body, "in/0/1"))
    assert refused.value.status in {400, 422}


@pytest.mark.parametrize(("change", "column"), [({"flight": "x"}, "flight"), ({"day": "tomorrow"}, "day")])
def test_an_unfit_key_is_refused_by_its_column(change: dict[str, Any], column: str) -> None:
    with pytest.raises(Refused) as refused:
        identities([{**ROW, **change}], TASK, TYPES)
    assert [value.column for value in refused.value.values] == [column]


def rejected(body: bytes) -> dict[str, Any]:
    refused = Refused(422, "column 'distance': expected a number", values=[UnfitValue("distance", 0, "a number")])
    written = rejection(Incoming(body, "in/0/1"), refused, model="flights", inputs="in", topic="bad")
    assert written == rejection(Incoming(body, "in/0/1"), refused, model="flights", inputs="in", topic="bad")
    facts: dict[str, Any] = json.loads(written.body)
    return facts


def test_a_rejection_has_the_reason_the_next_move_and_the_message_as_it_came() -> None:
    facts = rejected(b'{"distance": "far"}')
    assert facts["problems"] == [{"column": "distance", "row": 0, "expected": "a number"}]
    assert facts["message"] == '{"distance": "far"}'
    assert facts["position"] == "in/0/1" and "send the message to in again" in facts["next"]
    assert base64.b64decode(rejected(b"\xff\x00")["message_base64"]) == b"\xff\x00"


def test_a_rejection_is_never_so_large_that_the_broker_would_not_take_it() -> None:
    facts = rejected(b"\x00" * 1_000_000)
    assert facts["message_bytes"] == 1_000_000 and "message" not in facts


def test_topics_have_the_models_name_and_the_password_is_shown_nowhere() -> None:
    places = StreamPlaces.load("flights", of=2, environ={URL: "kafkas://me:se%2Fcret@a:1,b:2?mechanism=SCRAM-SHA-512"})
    assert (places.inputs, places.predictions) == ("flights.inputs", "flights.predictions")
    assert (places.rejected, places.group) == ("flights.rejected", "evergreen-flights")
    assert places.kafka is not None and places.kafka.servers == ("a:1", "b:2") and places.kafka.encrypted
    assert (places.kafka.user, places.kafka.password) == ("me", "se/cret")
    assert places.kafka.is_idempotent
    assert "cret" not in repr(places)
    places = StreamPlaces.load("flights", of=1, environ={URL: "kafka://a:1?idempotence=off"})
    assert places.kafka is not None and not places.kafka.is_idempotent


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({}, "EVERGREEN_STREAM_URL is not set"),
        ({URL: "amqp://me:secret@host"}, "is not a broker's address"),
        ({URL: "kafka://me:secret@host:1?acks=0"}, "write EVERGREEN_STREAM_URL as kafka"),
        ({URL: "kafka://"}, "write EVERGREEN_STREAM_URL as kafka"),
        ({URL: "kafka://host:1?mechanism=MD5"}, "use one of PLAIN"),
        ({URL: "kafka://host:1?idempotence=0"}, "use one of on, off"),
        ({URL: "redis://host", "EVERGREEN_STREAM_TOPIC": "x"}, "EVERGREEN_STREAM_TOPIC is not a variable"),
        ({URL: "redis://host", "EVERGREEN_STREAM_INPUTS": "x"}, "is the same for 2 models"),
        ({URL: "redis://host", "EVERGREEN_STREAM_REJECTED": "{model}.inputs"}, "must differ"),
    ],
)
def test_what_is_wrong_in_the_environment_is_named_without_a_password(environ: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words) as error:
        StreamPlaces.load("flights", of=2, environ=environ)
    assert "secret" not in str(error.value)


def test_a_port_is_a_number() -> None:
    assert address({}) == ("127.0.0.1", 8087)
    with pytest.raises(SettingsError, match="is not a port"):
        address({"EVERGREEN_STREAM_PORT": "http"})


def test_without_what_reads_topics_the_command_says_how_to_install_it() -> None:
    code = "import sys; sys.modules['faststream'] = None; from ml.cli.consume import main; sys.exit(main([]))"
    environ = {**os.environ, URL: "kafka://me:hunter2@host:1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT_ROOT, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "run 'make streaming'" in done.stderr and "hunter2" not in done.stderr
