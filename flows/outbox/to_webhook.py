"""To a webhook: one signed POST an event, as Standard Webhooks 1.0.0 (standardwebhooks.com) has it."""

import hashlib
import hmac
import threading
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import orjson

from flows.outbox.outcomes import SENT, Outcome, Publish, failed, refused
from schemas.errors import UsageError
from schemas.stream_settings import Webhook
from store.outbox import OutboxRow

_AT_ONCE = 8  # requests: a receiver that takes 100 ms gets 80 events a second
_LATER = frozenset({408, 429})  # of the refusals, those that a later attempt may not meet
_ENCODED_SECRET = "whsec_"  # noqa: S105 - how Standard Webhooks marks a secret in Base64
_SAID_CHARACTERS = 200  # of an answer, kept as the reason of a refusal


@contextmanager
def webhook_publisher(name: str, webhook: Webhook) -> Iterator[Publish]:
    """Post to a URL; a redirect is not followed, since it would give the event to somebody else.

    Raises:
        UsageError: the secret says that it is Base64, and is not.
    """
    secret = signing_key(name, webhook)
    # The environment's proxies and .netrc are not ours: a webhook goes where the settings say.
    with (
        httpx.Client(timeout=webhook.timeout_s, trust_env=False) as client,
        ThreadPoolExecutor(_AT_ONCE, thread_name_prefix=f"webhook-{name}") as threads,
    ):

        def publish(rows: Sequence[OutboxRow]) -> Sequence[Outcome]:
            down = threading.Event()
            return list(threads.map(lambda row: _post(client, webhook.url, secret, row, down), rows))

        yield publish


def signing_key(name: str, webhook: Webhook) -> bytes:
    """Bytes of the secret: what follows `whsec_` is Base64, any other text is taken as it is.

    Raises:
        UsageError: what follows `whsec_` is no Base64.
    """
    secret = webhook.secret.get_secret_value()
    if not secret.startswith(_ENCODED_SECRET):
        return secret.encode()
    try:
        return b64decode(secret.removeprefix(_ENCODED_SECRET), validate=True)
    except ValueError:  # its message may show the secret
        raise UsageError(
            f"the secret of the webhook {name} begins with {_ENCODED_SECRET} but goes on in no Base64",
            remedy=f"copy it from the receiver again, or leave {_ENCODED_SECRET} away where it is plain text",
        ) from None


def signature(secret: bytes, *, event_id: str, timestamp_s: int, body: bytes) -> str:
    """`v1,` and the HMAC-SHA-256, in Base64, of id, time and body joined by dots."""
    signed = f"{event_id}.{timestamp_s}.".encode() + body
    return "v1," + b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()


def _post(client: httpx.Client, url: str, secret: bytes, row: OutboxRow, down: threading.Event) -> Outcome:
    if row.event is None:
        return refused("a dead letter goes to Kafka alone")
    if down.is_set():
        return failed("not tried: the request before it failed")
    body, event_id, now_s = orjson.dumps(row.event), str(row.event_id), int(time.time())
    headers = {
        "content-type": "application/cloudevents+json",
        "webhook-id": event_id,
        "webhook-timestamp": str(now_s),
        "webhook-signature": signature(secret, event_id=event_id, timestamp_s=now_s, body=body),
    }
    try:
        answer = client.post(url, content=body, headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        down.set()
        return failed(f"{type(error).__name__}: {error}")
    said = f"{answer.status_code} {answer.reason_phrase}"
    if answer.is_success:
        return SENT
    if answer.is_client_error and answer.status_code not in _LATER:
        return refused(f"{said}: {answer.text[:_SAID_CHARACTERS]}".rstrip(": "))
    down.set()
    return failed(said)
