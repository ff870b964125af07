"""Webhooks of the simulated shop: signed, sent in the background, disabled after five failures in a row."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import requests

from erpcrm_orchestration.demo.faults import WEBHOOK, Faults

FAILURES_UNTIL_DISABLED = 5
TIMEOUT_S = 5


@dataclass(frozen=True)
class Webhook:
    """One subscription to a topic, for instance order.created."""

    webhook_id: int
    topic: str
    delivery_url: str
    secret: str
    status: str = "active"
    failures: int = 0


@dataclass(frozen=True)
class Sent:
    """One delivery; status None says that nobody answered."""

    topic: str
    delivery_id: str
    status: int | None


def signature(secret: str, body: bytes) -> str:
    """Return base64 of HMAC-SHA256 over the body."""
    return base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()


class WebhookSender:
    """Sends one after the other, in the order of the changes; a failed delivery is not sent again by the shop."""

    def __init__(self, faults: Faults, changed: Callable[[Webhook], None], source: str) -> None:
        self.sent: list[Sent] = []
        self._faults = faults
        self._changed = changed
        self._source = source
        self._worker: ThreadPoolExecutor | None = None
        self._waiting: list[Future[None]] = []
        self._late: list[tuple[int, bytes, str, str]] = []
        self._hooks: dict[int, Webhook] = {}
        self._deliveries = 0

    def keep(self, webhook: Webhook) -> None:
        """Add a webhook or take over its new state."""
        self._hooks[webhook.webhook_id] = webhook

    def secret(self, webhook_id: int) -> str:
        """Return the secret of a webhook, empty for an unknown one."""
        hook = self._hooks.get(webhook_id)
        return "" if hook is None else hook.secret

    def forget(self, webhook_id: int) -> None:
        """Remove a webhook."""
        self._hooks.pop(webhook_id, None)

    def send(self, topic: str, body: bytes) -> None:
        """Send a record to all active webhooks of the topic."""
        for hook in [hook for hook in self._hooks.values() if hook.topic == topic and hook.status == "active"]:
            self._queue(hook.webhook_id, body, topic)

    def _queue(self, webhook_id: int, body: bytes, topic: str) -> None:
        fault = self._faults.take("WEBHOOK", topic, prefix=WEBHOOK)
        name = None if fault is None else fault.name
        delivery = (webhook_id, body, topic, self._delivery_id(webhook_id))
        if name == "webhook_late":
            self._late.append(delivery)
            return
        times = {"webhook_lost": 0, "webhook_twice": 2}.get(name or "", 1)
        again = [(webhook_id, body, topic, self._delivery_id(webhook_id))] if name == "webhook_again" else []
        late, self._late = self._late, []
        for one in [*[delivery] * times, *again, *late]:
            self._submit(*one)

    def _delivery_id(self, webhook_id: int) -> str:
        self._deliveries += 1
        return f"{webhook_id:08x}{self._deliveries:024x}"

    def _submit(self, webhook_id: int, body: bytes, topic: str, delivery_id: str) -> None:
        if self._worker is None:
            self._worker = ThreadPoolExecutor(1, thread_name_prefix="webhooks")
        self._waiting.append(self._worker.submit(self._deliver, webhook_id, body, topic, delivery_id))

    def _deliver(self, webhook_id: int, body: bytes, topic: str, delivery_id: str) -> None:
        hook = self._hooks.get(webhook_id)
        if hook is None or hook.status != "active":
            return
        status = self._post(hook, body, topic, delivery_id)
        self.sent.append(Sent(topic, delivery_id, status))
        failures = 0 if status is not None and 200 <= status < 300 else hook.failures + 1
        status_now = "disabled" if failures >= FAILURES_UNTIL_DISABLED else "active"
        if (failures, status_now) != (hook.failures, hook.status):
            hook = replace(hook, failures=failures, status=status_now)
            self.keep(hook)
            self._changed(hook)

    def _post(self, hook: Webhook, body: bytes, topic: str, delivery_id: str) -> int | None:
        resource, _, event = topic.partition(".")
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "WooCommerce/10.4.2 Hookshot (WordPress/6.9)",
            "X-WC-Webhook-Source": self._source,
            "X-WC-Webhook-Topic": topic,
            "X-WC-Webhook-Resource": resource,
            "X-WC-Webhook-Event": event,
            "X-WC-Webhook-Signature": signature(hook.secret, body),
            "X-WC-Webhook-ID": str(hook.webhook_id),
            "X-WC-Webhook-Delivery-ID": delivery_id,
        }
        with requests.Session() as session:
            session.trust_env = False
            try:
                answer = session.post(hook.delivery_url, body, headers=headers, timeout=TIMEOUT_S, allow_redirects=False)
            except requests.RequestException:
                return None
            return answer.status_code

    def settle(self) -> None:
        """Wait until everything that was to be sent has been sent, what was held back included."""
        late, self._late = self._late, []
        for one in late:
            self._submit(*one)
        while self._waiting:
            self._waiting.pop().result()

    def stop(self) -> None:
        """End the thread that sends; the next change starts it again."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.shutdown(wait=True, cancel_futures=True)
        self._waiting.clear()
