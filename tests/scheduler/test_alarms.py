"""An alarm is kept first, then told once through every channel; many at once become few messages."""

import base64
import hashlib
import hmac
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message as MessageHandler
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from pydantic import SecretStr

from scheduler.alarms import plan_telling, tell_alarms
from scheduler.channels import open_channels
from schemas.errors import UsageError
from schemas.loop_settings import AlarmSettings
from schemas.settings import Settings, load_settings
from schemas.stream_settings import Webhook
from store.alarms import ToldLately, clear_alarm, open_alarms, raise_alarm
from store.connection import Connection
from tests.kafka.certificates import make_certificates
from tests.scheduler.given import NOON, behind, job, running
from tests.waiting import wait_until

SECRET = base64.b64encode(b"a secret of 24 bytes ...").decode()
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


class Mailbox(MessageHandler):
    """A mail server's memory, that refuses while `down`."""

    def __init__(self) -> None:
        super().__init__()
        self.mails: list[Message] = []
        self.down = False

    async def handle_RCPT(  # noqa: N802 - aiosmtpd calls it so
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Answer to a receiver."""
        if self.down:
            return "450 come back later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    def handle_message(self, message: Message) -> None:
        """Keep it."""
        self.mails.append(message)

    @property
    def subjects(self) -> list[str]:
        """Of the mails, in the order in which they came."""
        return [str(mail["Subject"]) for mail in self.mails]


class Receiver(ThreadingHTTPServer):
    """A webhook's receiver: keeps what it got, answers what it is told to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.answer = 204


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Receiver

    def do_POST(self) -> None:
        """Keep it and answer."""
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(self.server.answer)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def mail_server(box: Mailbox, **how: Any) -> Iterator[int]:
    """A mail server; yields its port."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = int(taken.getsockname()[1])  # its controller looks for the port that it was given, so not 0
    controller = Controller(box, hostname="127.0.0.1", port=port, **how)
    controller.start()
    try:
        yield port
    finally:
        controller.stop()


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, int]]:
    box = Mailbox()
    with mail_server(box) as port:
        yield box, port


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def mailing(port: int, **more: Any) -> Settings:
    """Settings with mail alone."""
    alarms = AlarmSettings(smtp_host="127.0.0.1", smtp_port=port, mail_to=("ada@plant", "bob@plant"), **more)
    return Settings(alarms=alarms)


def tell(connection: Connection, settings: Settings, now: datetime) -> int:
    """Tell what is to be told."""
    return tell_alarms(connection, settings.alarms, open_channels(settings), now=now)


def failed(connection: Connection, subject: str, now: datetime = NOON) -> None:
    """Raise an alarm."""
    raise_alarm(connection, "job_failed", subject, text=f"the job {subject} failed; look why", now=now)


def test_an_alarm_is_mailed_once_and_told_to_be_over_once(connection: Connection, mailbox: tuple[Mailbox, int]) -> None:
    box, port = mailbox
    settings = mailing(port)
    failed(connection, "score")
    assert tell(connection, settings, NOON) == 1
    assert tell(connection, settings, NOON + HOUR) == 0
    clear_alarm(connection, "job_failed", "score", now=NOON + HOUR)
    assert tell(connection, settings, NOON + HOUR) == 1
    assert tell(connection, settings, NOON + 2 * HOUR) == 0
    assert box.subjects == ["[coilflow] alarm: job failed (score)", "[coilflow] recovered: job failed (score)"]
    mail = box.mails[0]
    assert (mail["To"], mail["Auto-Submitted"]) == ("ada@plant, bob@plant", "auto-generated")
    assert "the job score failed; look why" in str(mail.get_payload())


def test_the_same_is_told_again_only_after_a_while_and_only_where_it_was_found_again(
    connection: Connection, mailbox: tuple[Mailbox, int]
) -> None:
    box, port = mailbox
    settings = mailing(port, repeat_h=24.0)
    failed(connection, "score")
    tell(connection, settings, NOON)
    for hours in range(1, 24):
        failed(connection, "score", NOON + hours * HOUR)
        assert tell(connection, settings, NOON + hours * HOUR) == 0
    assert tell(connection, settings, NOON + DAY) == 1
    assert tell(connection, settings, NOON + 3 * DAY) == 0
    assert box.subjects[1] == "[coilflow] still: job failed (score)"
    assert "found 24 times" in str(box.mails[1].get_payload())


def test_what_comes_and_goes_is_told_no_sooner(connection: Connection, mailbox: tuple[Mailbox, int]) -> None:
    box, port = mailbox
    settings = mailing(port, repeat_h=24.0)
    for minutes in range(0, 600, 10):
        now = NOON + timedelta(minutes=minutes)
        failed(connection, "score", now)
        tell(connection, settings, now)
        clear_alarm(connection, "job_failed", "score", now=now)
        tell(connection, settings, now)
    assert len(box.mails) == 2


def test_what_was_over_before_anybody_was_told_is_told_as_such(
    connection: Connection, mailbox: tuple[Mailbox, int]
) -> None:
    box, port = mailbox
    failed(connection, "score")
    clear_alarm(connection, "job_failed", "score", now=NOON)
    assert tell(connection, mailing(port), NOON) == 1
    assert tell(connection, mailing(port), NOON) == 0
    assert "over since 2026-11-20 12:00:00 UTC" in str(box.mails[0].get_payload())


def test_more_than_an_hour_may_have_are_told_in_one_summary(
    connection: Connection, mailbox: tuple[Mailbox, int]
) -> None:
    box, port = mailbox
    settings = mailing(port, most_an_hour=3)
    for number in range(10):
        failed(connection, f"job-{number}")
    assert tell(connection, settings, NOON) == 4
    assert box.subjects[-1] == "[coilflow] 7 more alarms: 7 job_failed"
    failed(connection, "late", NOON + HOUR / 2)
    assert tell(connection, settings, NOON + HOUR / 2) == 0
    assert tell(connection, settings, NOON + HOUR) == 1
    assert box.subjects[-1] == "[coilflow] alarm: job failed (late)"


def test_a_plan_never_exceeds_its_hour() -> None:
    assert plan_telling((), ToldLately(messages=0, summaries=0), most_an_hour=3).each == ()
    assert plan_telling((), ToldLately(messages=9, summaries=1), most_an_hour=3).together == ()


def test_a_mail_server_that_refuses_is_tried_again_later_with_the_same_id(
    connection: Connection, mailbox: tuple[Mailbox, int]
) -> None:
    box, port = mailbox
    settings = mailing(port)
    box.down = True
    failed(connection, "score")
    assert tell(connection, settings, NOON) == 0
    row = connection.execute("select message_id, error, attempts from coilflow.alarm_deliveries").fetchone()
    assert row is not None
    assert "come back later" in row["error"]
    box.down = False
    assert tell(connection, settings, NOON + timedelta(seconds=29)) == 0
    assert tell(connection, settings, NOON + timedelta(seconds=30)) == 1
    assert box.mails[0]["Message-ID"] == f"<{row['message_id']}@coilflow>"


@pytest.mark.parametrize("address", ["Ada <ada@plant", "a\nb@plant", "", "ä@ö", "@"])
def test_an_address_that_is_none_holds_up_nobody(
    connection: Connection, receiver: Receiver, mailbox: tuple[Mailbox, int], address: str
) -> None:
    _, port = mailbox
    webhook = Webhook(url=f"http://127.0.0.1:{receiver.server_port}/", secret=SecretStr(SECRET))
    alarms = AlarmSettings(smtp_host="127.0.0.1", smtp_port=port, mail_to=(address,), webhook="ops")
    settings = Settings(alarms=alarms, webhooks={"ops": webhook})
    failed(connection, "score")
    tell(connection, settings, NOON)
    assert len(receiver.got) == 1


def test_a_channel_that_never_answers_is_given_up_and_that_is_kept(connection: Connection) -> None:
    settings = mailing(9)
    failed(connection, "score")
    now = NOON
    for _ in range(20):
        assert tell(connection, settings, now) == 0
        now += HOUR
    given_up = connection.execute("select attempts from coilflow.alarm_deliveries where given_up_at is not null")
    assert given_up.fetchall() == [{"attempts": 20}]


def test_a_webhook_gets_a_signed_cloud_event_beside_the_mail(
    connection: Connection, mailbox: tuple[Mailbox, int], receiver: Receiver
) -> None:
    box, port = mailbox
    webhook = Webhook(url=f"http://127.0.0.1:{receiver.server_port}/", secret=SecretStr("whsec_" + SECRET))
    alarms = mailing(port).alarms.model_copy(update={"webhook": "ops"})
    settings = Settings(alarms=alarms, webhooks={"ops": webhook})
    receiver.answer = 500
    failed(connection, "score")
    assert tell(connection, settings, NOON) == 1
    receiver.answer = 204
    assert tell(connection, settings, NOON + HOUR) == 1
    assert len(box.mails) == 1
    (first, _), (headers, body) = receiver.got
    event = orjson.loads(body)
    assert (event["type"], event["id"]) == ("coilflow.alarm.raised", headers["webhook-id"])
    assert first["webhook-id"] == headers["webhook-id"]
    assert event["data"]["title"] == "alarm: job failed (score)"
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(base64.b64decode(SECRET), signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


def test_a_password_is_given_over_tls_and_only_to_a_server_that_is_trusted(
    connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(_server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: Any) -> AuthResult:
        given.append((data.login, data.password) if isinstance(data, LoginPassword) else data)
        return AuthResult(success=given[-1] == (b"coilflow", b"geheim"))

    given: list[Any] = []
    box, made = Mailbox(), make_certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.broker)
    with mail_server(box, authenticator=check, auth_required=True, require_starttls=True, tls_context=context) as port:
        named = {"smtp_tls": "starttls", "smtp_username": "coilflow"}
        failed(connection, "score")
        right = mailing(port, **named, smtp_password=SecretStr("geheim"))
        assert tell(connection, right, NOON) == 0
        assert given == []  # its certificate is nobody's whom we trust
        monkeypatch.setenv("SSL_CERT_FILE", str(made.authority))
        wrong = mailing(port, **named, smtp_password=SecretStr("falsch"))
        assert tell(connection, wrong, NOON + HOUR) == 0
        assert tell(connection, right, NOON + 2 * HOUR) == 1
    assert len(box.mails) == 1
    kept = connection.execute("select coalesce(error, '') as error from coilflow.alarm_deliveries").fetchall()
    assert "falsch" not in str(kept)


def test_without_channels_alarms_are_kept_and_nothing_is_told(connection: Connection) -> None:
    failed(connection, "score")
    assert tell(connection, Settings(), NOON) == 0
    assert [alarm.told_at for alarm in open_alarms(connection)] == [None]


def test_a_scheduler_tells_of_a_job_that_fails(
    database: str, connection: Connection, mailbox: tuple[Mailbox, int]
) -> None:
    box, port = mailbox

    def fail(_: object) -> None:
        raise ValueError("no")

    jobs = {"score": job(fail)}
    behind(database, jobs, 1)
    with running(database, jobs, settings=mailing(port)):
        wait_until(lambda: box.subjects)
    assert box.subjects[0] == "[coilflow] alarm: job failed (score)"
    assert connection.execute("select count(*) as n from coilflow.alarms").fetchone() == {"n": 1}


def test_an_alarm_webhook_that_is_not_defined_is_wrong_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COILFLOW_ALARMS__WEBHOOK", "ops")
    with pytest.raises(UsageError, match=r"alarms\.webhook names ops"):
        load_settings()
