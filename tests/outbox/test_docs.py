"""The signature check that the docs show works on what the webhook sends."""

import re
import time
from pathlib import Path
from typing import Any

import pytest

from flows.outbox.to_webhook import signature, signing_key
from schemas.stream_settings import Webhook

PAGE = (Path(__file__).parents[2] / "docs" / "announcements.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("secret", ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "plain text"])
def test_the_example_accepts_our_signature_and_no_other(secret: str) -> None:
    [code] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 - our own page
    body, now_s = b'{"id":"1"}', int(time.time())
    key = signing_key("mes", Webhook.model_validate({"url": "http://localhost/", "secret": secret}))
    headers = {
        "webhook-id": "1",
        "webhook-timestamp": str(now_s),
        "webhook-signature": signature(key, event_id="1", timestamp_s=now_s, body=body),
    }
    assert names["is_ours"](headers, body, secret)
    assert not names["is_ours"](headers, body + b" ", secret)
    assert not names["is_ours"](headers, body, "another")
