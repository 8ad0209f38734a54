"""Sends a signed webhook to a studio: `python send_webhook.py ADDRESS SECRET_FILE BODY_FILE`.

The signature is that of standardwebhooks.com. The id makes a repeated delivery the same run, so a
sender that got no answer sends the same id again.
"""

import sys
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import httpx
from standardwebhooks import Webhook


def send(address: str, secret: str, body: str, delivery: str) -> httpx.Response:
    """Post `body` to `address`, signed with `secret` (whsec_…). Raises httpx.HTTPError."""
    now = datetime.now(UTC)
    headers = {
        "Content-Type": "application/json",
        "webhook-id": delivery,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(delivery, now, body),
    }
    return httpx.post(address, content=body, headers=headers, timeout=30)


def main() -> None:
    """Send one delivery, and print the answer."""
    address, secret_file, body_file = sys.argv[1:]
    secret = Path(secret_file).read_text(encoding="utf-8").strip()
    body = Path(body_file).read_text(encoding="utf-8")
    answer = send(address, secret, body, f"msg_{uuid4()}")
    sys.stdout.write(f"{answer.status_code} {answer.text}\n")


if __name__ == "__main__":
    main()
