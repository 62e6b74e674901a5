"""Ways to tell a person: e-mail by SMTP, and a webhook signed as Standard Webhooks 1.0.0 (standardwebhooks.com)."""

import smtplib
import ssl
import time
from collections.abc import Callable
from email.errors import MessageError
from email.message import EmailMessage
from functools import partial

import httpx
import orjson

from flows.outbox.to_webhook import signature, signing_key
from schemas.errors import BrokerError
from schemas.loop_settings import AlarmSettings
from schemas.settings import Settings
from schemas.stream_settings import Webhook
from store.alarms import Delivery

_SMTP_TIMEOUT_S = 10.0
_SAID_CHARACTERS = 200  # of an answer

Send = Callable[[Delivery], None]  # raises BrokerError where it did not arrive


def open_channels(settings: Settings) -> dict[str, Send]:
    """The channels that the settings name: `mail`, `webhook:NAME`; none where they name none.

    Raises:
        UsageError: a webhook's secret says that it is Base64, and is not.
    """
    alarms, channels = settings.alarms, dict[str, Send]()
    if alarms.smtp_host is not None and alarms.mail_to:
        channels["mail"] = partial(send_mail, alarms)
    if alarms.webhook is not None:
        webhook = settings.webhooks[alarms.webhook]
        channels[f"webhook:{alarms.webhook}"] = partial(post, webhook, signing_key(alarms.webhook, webhook))
    return channels


def send_mail(settings: AlarmSettings, delivery: Delivery) -> None:
    """Send a message by SMTP, to all receivers at once; an attempt repeated bears the same Message-ID.

    Raises:
        BrokerError: the server cannot be reached, refused, or its certificate is not trusted.
    """
    try:
        mail = _mail(settings, delivery)
        with _smtp(settings) as server:
            if settings.smtp_tls == "starttls":
                server.starttls(context=ssl.create_default_context())
            if settings.smtp_username is not None and settings.smtp_password is not None:
                server.login(settings.smtp_username, settings.smtp_password.get_secret_value())
            refused = server.send_message(mail)
    # An address that is none makes the mail itself fail: ValueError, MessageError or IndexError.
    except (smtplib.SMTPException, OSError, ValueError, MessageError, IndexError) as error:
        raise BrokerError(
            f"the mail server {settings.smtp_host}:{settings.smtp_port} did not take an alarm: {_reason(error)}",
            remedy="check alarms.smtp_* and the addresses; it is tried again",
        ) from error
    if refused:
        raise BrokerError(f"the mail server refused {', '.join(sorted(refused))}", remedy="correct alarms.mail_to")


def post(webhook: Webhook, secret: bytes, delivery: Delivery) -> None:
    """Post a message as a CloudEvent in structured mode; a redirect is not followed.

    Raises:
        BrokerError: the receiver cannot be reached or did not accept it.
    """
    body = orjson.dumps(
        {
            "specversion": "1.0",
            "id": str(delivery.message_id),
            "source": "coilflow/scheduler",
            "type": f"coilflow.alarm.{delivery.form}",
            "time": delivery.at,
            "datacontenttype": "application/json",
            "data": {"title": delivery.title, "text": delivery.text},
        }
    )
    event_id, now_s = str(delivery.message_id), int(time.time())
    headers = {
        "content-type": "application/cloudevents+json",
        "webhook-id": event_id,
        "webhook-timestamp": str(now_s),
        "webhook-signature": signature(secret, event_id=event_id, timestamp_s=now_s, body=body),
    }
    try:
        # The environment's proxies and .netrc are not ours: a webhook goes where the settings say.
        answer = httpx.post(webhook.url, content=body, headers=headers, timeout=webhook.timeout_s, trust_env=False)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise BrokerError(
            f"the webhook {webhook.url} cannot be reached: {type(error).__name__}: {error}",
            remedy="check its url; it is tried again",
        ) from error
    if not answer.is_success:
        said = f"{answer.status_code} {answer.reason_phrase}: {answer.text[:_SAID_CHARACTERS]}".rstrip(": ")
        raise BrokerError(f"the webhook {webhook.url} answered {said}", remedy="correct it there; it is tried again")


def _mail(settings: AlarmSettings, delivery: Delivery) -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"] = settings.mail_from, ", ".join(settings.mail_to)
    mail["Subject"] = f"[coilflow] {' '.join(delivery.title.split())}"
    mail["Date"] = delivery.at
    mail["Message-ID"] = f"<{delivery.message_id}@coilflow>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers
    mail.set_content(delivery.text)
    return mail


def _smtp(settings: AlarmSettings) -> smtplib.SMTP:
    host = settings.smtp_host or ""
    if settings.smtp_tls == "tls":
        context = ssl.create_default_context()
        return smtplib.SMTP_SSL(host, settings.smtp_port, timeout=_SMTP_TIMEOUT_S, context=context)
    return smtplib.SMTP(host, settings.smtp_port, timeout=_SMTP_TIMEOUT_S)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
