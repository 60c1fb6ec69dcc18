"""The HTTP source against a real server that is slow, flaky, wrong and hostile."""

from __future__ import annotations

import dataclasses
import gzip
import io
import logging
import socket
import threading
import time
import traceback
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest

from ml.adapters.sources import Source, download
from ml.adapters.sources.http import DatedUrls, without_secrets
from ml.adapters.sources.kinds.http import HttpSource
from ml.errors import DataRejected, EvergreenError, MissingArtifact, SettingsError, Unavailable

DAY = date(2013, 4, 1)
TABLE = b"day,carrier,flight\n2013-04-01,NA,7\n"

pytestmark = pytest.mark.timeout(60)


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the server sends once; ``closes`` cuts the connection without any answer."""

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    length: int | None = None
    delay_seconds: float = 0.0
    closes: bool = False
    chunked: bool = False


class Script:
    """The answers of a server in order, the last for ever, and the requests that it saw."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.seen: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.at: list[float] = []
        self.base = ""

    def url(self, path: str = "/in/{day}.csv") -> str:
        return self.base + path

    def next(self) -> Answer:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture
def server() -> Iterator[Script]:
    script = Script()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            script.seen.append(self.path)
            script.headers.append(dict(self.headers))
            script.at.append(time.monotonic())
            answer = script.next()
            time.sleep(answer.delay_seconds)
            self.close_connection = True
            if answer.closes:
                return
            self.send_response(answer.status)
            for name, value in answer.headers:
                self.send_header(name, value)
            if answer.chunked:
                self.send_header("Transfer-Encoding", "chunked")
            else:
                length = len(answer.body) if answer.length is None else answer.length
                self.send_header("Content-Length", str(length))
            self.send_header("Connection", "close")
            self.end_headers()
            with suppress(BrokenPipeError, ConnectionResetError):
                self._send(answer)

        def _send(self, answer: Answer) -> None:
            if not answer.chunked:
                self.wfile.write(answer.body)
                return
            for start in range(0, len(answer.body), 50_000):
                piece = answer.body[start : start + 50_000]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = True
        script.base = f"http://127.0.0.1:{running.server_address[1]}"
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield script
        running.shutdown()
        thread.join()


def _source(url: str, **limits: object) -> DatedUrls:
    quick = {
        "table_format": "csv",
        "timeout_seconds": 2.0,
        "retries": 2,
        "max_megabytes": 1.0,
        "backoff_seconds": 0.01,
    }
    return DatedUrls(url, url, **{**quick, **limits})  # type: ignore[arg-type]


def test_both_tables_of_a_day_come_from_their_urls(server: Script) -> None:
    server.answers = [Answer(body=TABLE)]
    source: Source = dataclasses.replace(_source(server.url()), labels_pattern=server.url("/out?date={day}&n=1"))
    assert source.inputs(DAY).to_dict("records") == [{"day": "2013-04-01", "carrier": "NA", "flight": 7}]
    assert len(source.labels(DAY)) == 1
    assert server.seen == ["/in/2013-04-01.csv", "/out?date=2013-04-01&n=1"]


def test_parquet_is_read_whatever_the_url_ends_in(server: Script) -> None:
    frame = pd.DataFrame({"day": [DAY], "a": [1]})
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    server.answers = [Answer(body=buffer.getvalue())]
    read = _source(server.url("/export/{day}"), table_format="parquet").inputs(DAY)
    assert read.to_dict("records") == [{"day": "2013-04-01", "a": 1}]


@pytest.mark.parametrize("chunked", [False, True])
def test_a_packed_body_is_unpacked(server: Script, chunked: bool) -> None:
    packed = gzip.compress(TABLE)
    server.answers = [Answer(body=packed, headers=(("Content-Encoding", "gzip"),), chunked=chunked)]
    assert len(_source(server.url()).inputs(DAY)) == 1


def test_settings_make_a_source_with_their_limits() -> None:
    section = HttpSource(
        kind="http",
        inputs="https://example.com/i/{day}",
        labels="https://example.com/l/{day}",
        format="csv",
        timeout_seconds=3,
        retries=1,
        max_megabytes=2,
    )
    source = DatedUrls.from_settings(section)
    assert (source.inputs_pattern, source.labels_pattern) == (section.inputs, section.labels)
    assert (source.table_format, source.timeout_seconds, source.retries, source.max_megabytes) == (
        "csv",
        3,
        1,
        2,
    )


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("https://example.com/inputs", "names no {day}"),
        ("https://example.com/{date}/{day}", "braces beside {day}"),
        ("ftp://example.com/{day}", "no http or https URL"),
        ("/data/{day}.csv", "no http or https URL"),
        ("https:///{day}.csv", "no http or https URL"),
        ("https://user:pa/ss@example.com/{day}", "no http or https URL"),
    ],
)
def test_an_impossible_url_is_refused_with_its_key(pattern: str, says: str) -> None:
    with pytest.raises(SettingsError, match=r"source\.inputs") as refused:
        DatedUrls(pattern, "https://example.com/{day}")
    assert says in str(refused.value)
    assert "pa/ss" not in str(refused.value)


# Failures that pass.


@pytest.mark.parametrize(
    "failure",
    [
        Answer(status=503),
        Answer(status=500),
        Answer(status=429),
        Answer(closes=True),
        Answer(body=TABLE[:20], length=len(TABLE)),
        Answer(body=TABLE, delay_seconds=2.0),
    ],
    ids=["503", "500", "429", "cut before the answer", "cut within the body", "too slow"],
)
def test_a_failure_that_passes_is_tried_again(server: Script, failure: Answer) -> None:
    server.answers = [failure, failure, Answer(body=TABLE)]
    assert len(_source(server.url(), timeout_seconds=1.0).inputs(DAY)) == 1
    assert len(server.seen) == 3


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (Answer(status=503), "it answers 503"),
        (Answer(status=429), "it answers 429"),
        (Answer(closes=True), "RemoteDisconnected"),
        (Answer(body=TABLE[:20], length=5000), "IncompleteRead"),
        (Answer(body=TABLE, delay_seconds=1.5), "ReadTimeout"),
    ],
    ids=["503", "429", "cut before the answer", "cut within the body", "too slow"],
)
def test_a_failure_that_stays_is_unavailable_after_the_retries(server: Script, failure: Answer, reason: str) -> None:
    server.answers = [failure]
    with pytest.raises(Unavailable, match=r"no answer for 2013-04-01 after 3 attempts") as failed:
        _source(server.url(), timeout_seconds=1.0).inputs(DAY)
    assert reason in str(failed.value)
    assert f"{server.base}/in/2013-04-01.csv" in str(failed.value)
    assert len(server.seen) == 3


def test_no_retries_means_one_attempt(server: Script) -> None:
    server.answers = [Answer(status=500), Answer(body=TABLE)]
    with pytest.raises(Unavailable, match="after 1 attempts"):
        _source(server.url(), retries=0).inputs(DAY)
    assert len(server.seen) == 1


def test_a_port_where_nobody_listens_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    with pytest.raises(Unavailable, match=r"NewConnectionError|ConnectionRefused"):
        _source(f"http://127.0.0.1:{port}/{{day}}.csv").inputs(DAY)


def test_a_host_that_nobody_knows_is_a_wrong_address_at_once() -> None:
    with pytest.raises(SettingsError, match=r"http://nowhere\.invalid/2013-04-01\.csv"):
        _source("http://nowhere.invalid/{day}.csv", retries=0).inputs(DAY)


def test_pauses_double(server: Script) -> None:
    server.answers = [Answer(status=500), Answer(status=500), Answer(status=500), Answer(body=TABLE)]
    _source(server.url(), retries=3, backoff_seconds=0.2).inputs(DAY)
    pauses = [after - before for before, after in pairwise(server.at)]
    for pause, least in zip(pauses, (0.2, 0.4, 0.8), strict=True):
        assert pause >= least


def test_a_pause_that_the_server_asks_for_is_kept(server: Script) -> None:
    server.answers = [Answer(status=503, headers=(("Retry-After", "1"),)), Answer(body=TABLE)]
    _source(server.url()).inputs(DAY)
    assert server.at[1] - server.at[0] >= 1.0


def test_a_pause_until_an_instant_is_kept(server: Script) -> None:
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=3), usegmt=True)
    server.answers = [Answer(status=429, headers=(("Retry-After", until),)), Answer(body=TABLE)]
    _source(server.url()).inputs(DAY)
    assert server.at[1] - server.at[0] >= 1.5


def test_a_pause_that_cannot_be_read_is_passed_over(server: Script) -> None:
    server.answers = [Answer(status=503, headers=(("Retry-After", "soon"),)), Answer(body=TABLE)]
    assert len(_source(server.url()).inputs(DAY)) == 1


def test_a_long_pause_is_left_to_the_orchestrator_instead_of_holding_the_task(server: Script) -> None:
    server.answers = [Answer(status=503, headers=(("Retry-After", "86400"),))]
    with pytest.raises(Unavailable, match="asks for a pause of 86400 s"):
        _source(server.url()).inputs(DAY)
    assert len(server.seen) == 1


# Failures that stay.


@pytest.mark.parametrize("status", [404, 410, 204])
def test_a_day_that_the_server_lacks_is_missing_at_once(server: Script, status: int) -> None:
    server.answers = [Answer(status=status)]
    with pytest.raises(MissingArtifact, match=rf"nothing for 2013-04-01: \S+csv answers {status}; .*source\.labels"):
        _source(server.url()).labels(DAY)
    assert len(server.seen) == 1


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_is_an_error_at_once_with_the_next_move(server: Script, status: int) -> None:
    server.answers = [Answer(status=status)]
    with pytest.raises(EvergreenError, match=rf"answers {status}: it wants other credentials; .*NETRC") as refused:
        _source(server.url()).inputs(DAY)
    assert type(refused.value) is EvergreenError
    assert len(server.seen) == 1


@pytest.mark.parametrize("status", [400, 206, 304])
def test_any_other_answer_is_an_error_and_no_table(server: Script, status: int) -> None:
    server.answers = [Answer(status=status, body=b"" if status == 304 else TABLE)]
    with pytest.raises(EvergreenError, match=f"answers {status} where 200 was expected"):
        _source(server.url()).inputs(DAY)


def test_one_redirect_is_followed(server: Script) -> None:
    server.answers = [Answer(status=302, headers=(("Location", "/there"),)), Answer(body=TABLE)]
    assert len(_source(server.url()).inputs(DAY)) == 1
    assert server.seen == ["/in/2013-04-01.csv", "/there"]


def test_a_redirect_loop_ends_soon(server: Script) -> None:
    server.answers = [Answer(status=302, headers=(("Location", "/again"),))]
    with pytest.raises(EvergreenError, match=r"redirects more than 5 times; set source.inputs"):
        _source(server.url()).inputs(DAY)
    assert len(server.seen) == 6


def test_a_redirect_to_a_local_file_is_not_followed(server: Script, tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_bytes(TABLE)
    server.answers = [Answer(status=302, headers=(("Location", f"file://{tmp_path}/secret.csv"),))]
    with pytest.raises(EvergreenError, match="InvalidSchema"):
        _source(server.url()).inputs(DAY)


def test_a_page_to_log_in_is_no_table(server: Script) -> None:
    page = b"<html>\n<body>Log in</body>\n"
    server.answers = [Answer(body=page, headers=(("Content-Type", "text/html; charset=utf-8"),))]
    with pytest.raises(DataRejected, match="answers a web page"):
        _source(server.url()).inputs(DAY)


def test_an_empty_body_is_rejected(server: Script) -> None:
    server.answers = [Answer()]
    with pytest.raises(DataRejected, match=r"in/2013-04-01.csv is empty \(0 bytes\)"):
        _source(server.url()).inputs(DAY)


def test_a_body_that_is_not_packed_as_it_says_is_rejected(server: Script) -> None:
    server.answers = [Answer(body=TABLE, headers=(("Content-Encoding", "gzip"),))]
    with pytest.raises(DataRejected, match="not packed as its Content-Encoding says"):
        _source(server.url()).inputs(DAY)


# Too large.

TOO_LARGE = r"is larger than 1 MB unpacked; if that is right, raise source\.max_megabytes"


def _large() -> bytes:
    return b"day,a\n" + b"2013-04-01,1\n" * 100_000


def test_a_body_that_is_announced_too_large_is_rejected_unread(server: Script) -> None:
    server.answers = [Answer(body=TABLE, length=10**12)]
    with pytest.raises(DataRejected, match=TOO_LARGE):
        _source(server.url()).inputs(DAY)
    assert len(server.seen) == 1


def test_a_body_of_unknown_length_is_rejected_where_it_grows_too_large(server: Script) -> None:
    server.answers = [Answer(body=_large(), chunked=True)]
    with pytest.raises(DataRejected, match=TOO_LARGE):
        _source(server.url()).inputs(DAY)


def test_a_length_that_is_no_number_or_negative_does_not_lift_the_limit(server: Script) -> None:
    for false_length in ("-1", "many"):
        server.answers = [Answer(body=_large(), headers=(("Content-Length", false_length),), chunked=True)]
        with pytest.raises(DataRejected, match=TOO_LARGE):
            _source(server.url()).inputs(DAY)


def test_a_table_as_large_as_the_limit_is_read(server: Script) -> None:
    body = _large()
    server.answers = [Answer(body=body)]
    assert len(_source(server.url(), max_megabytes=len(body) / 1e6).inputs(DAY)) == 100_000


def _bomb() -> bytes:
    """Pack 1 GB of zeros into 1 MB."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=9) as file:
        for _ in range(100):
            file.write(b"\0" * 10_000_000)
    return packed.getvalue()


def test_a_bomb_does_not_go_off(server: Script) -> None:
    bomb = _bomb()
    assert len(bomb) < 1_000_000
    server.answers = [Answer(body=bomb, headers=(("Content-Encoding", "gzip"),))]
    tracemalloc.start()
    try:
        with pytest.raises(DataRejected, match=TOO_LARGE):
            _source(server.url()).inputs(DAY)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20_000_000


# Secrets.

SECRETS = ("hunter2", "tok3n", "annabel")


def _messages(raised: BaseException, caplog: pytest.LogCaptureFixture) -> str:
    return "".join(traceback.format_exception(raised)) + caplog.text + "".join(str(r.args) for r in caplog.records)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(status=404),
        Answer(status=403),
        Answer(status=500),
        Answer(status=418),
        Answer(closes=True),
        Answer(delay_seconds=0.5),
        Answer(body=TABLE, length=10**12),
        Answer(body=TABLE, length=500),
        Answer(body=b"a,b\n1\n"),
        Answer(body=b"PAR1\0"),
        Answer(body=TABLE, headers=(("Content-Encoding", "gzip"),)),
        Answer(status=302, headers=(("Location", "/x?key=tok3n"),)),
        Answer(status=302, headers=(("Location", "gopher://annabel:hunter2@x/?key=tok3n"),)),
        Answer(status=302, headers=(("Location", "http://annabel:hunter2@[::bad/?key=tok3n"),)),
    ],
)
def test_no_message_traceback_or_log_line_tells_a_secret_of_the_url(
    server: Script, answer: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    server.answers = [answer]
    url = server.url("/in?date={day}&key=tok3n").replace("://", "://annabel:hunter2@")
    with caplog.at_level(logging.INFO), pytest.raises(EvergreenError) as raised:
        _source(url, timeout_seconds=0.2).inputs(DAY)
    messages = _messages(raised.value, caplog)
    assert f"{server.base}/in?..." in messages
    for secret in SECRETS:
        assert secret not in messages


def test_a_connection_that_fails_tells_no_secret_either(caplog: pytest.LogCaptureFixture) -> None:
    source = _source("http://annabel:hunter2@nowhere.invalid/{day}?key=tok3n")
    with caplog.at_level(logging.INFO), pytest.raises(SettingsError) as raised:
        source.inputs(DAY)
    for secret in SECRETS:
        assert secret not in _messages(raised.value, caplog)


def test_a_wrong_pattern_tells_no_secret_either() -> None:
    for pattern in (
        "https://annabel:hunter2@x/in?key=tok3n",
        "http://annabel:hunter2@x:port/{day}?key=tok3n",
    ):
        with pytest.raises(SettingsError) as refused:
            DatedUrls(pattern, pattern)
        for secret in SECRETS:
            assert secret not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://u:p@Data.example.com:8443/a/b?x=1#y", "https://data.example.com:8443/a/b?..."),
        ("http://[::1]:80/a", "http://[::1]:80/a"),
        ("http://u@h/{day}", "http://h/{day}"),
    ],
)
def test_a_url_is_shown_by_scheme_host_port_and_path_alone(url: str, shown: str) -> None:
    assert without_secrets(url, key="source.inputs") == shown


def test_credentials_come_from_the_file_that_netrc_names(
    server: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login annabel password hunter2\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    server.answers = [Answer(body=TABLE)]
    _source(server.url()).inputs(DAY)
    assert server.headers[0]["Authorization"].startswith("Basic ")


def test_every_failed_attempt_leaves_one_line_in_the_log(server: Script, caplog: pytest.LogCaptureFixture) -> None:
    server.answers = [Answer(status=503), Answer(body=TABLE)]
    with caplog.at_level(logging.INFO, logger=download.__name__):
        _source(server.url()).inputs(DAY)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 1
    assert "it answers 503; attempt 2 of 3" in lines[0]
