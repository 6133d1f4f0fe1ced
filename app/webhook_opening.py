"""Puts webhooks together out of the settings: what writes the outbox, what sends it, and the use cases.

Owns which part gets which setting; nothing but `main` calls it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack

from app.addresses import Allowed
from app.db.delivery_queue import DeliveryQueue
from app.db.engine import Database
from app.db.outbox import Outbox
from app.db.webhook_shelf import WebhookShelf
from app.settings import Settings
from app.supervision import background
from app.webhook_delivery import Deliverer, Places
from app.webhook_policy import Policy
from app.webhook_records import Delivery
from app.webhook_secrets import ServiceSecrets
from app.webhook_sending import Sender
from app.webhooks import Webhooks

DAY_S = 24 * 3600.0


def outbox_of(database: Database, settings: Settings) -> Outbox:
    """What notes who is to be told. It has to be refreshed before anything is written."""
    return Outbox(database, give_up_s=settings.webhook_give_up_s, is_shared=settings.redis_url is not None)


async def open_webhooks(
    stack: AsyncExitStack,
    database: Database,
    outbox: Outbox,
    settings: Settings,
    body: Callable[[Delivery], str],
) -> Webhooks:
    """The use cases of webhooks, with deliveries being sent until the stack is closed."""
    shelf, queue, allowed = WebhookShelf(database), DeliveryQueue(database), Allowed.of(settings.webhook_allow)
    sender = Sender(allowed, timeout_s=settings.webhook_timeout_s)
    stack.callback(sender.close)
    is_shared = settings.redis_url is not None
    given = settings.webhook_secret.get_secret_value() if settings.webhook_secret is not None else None
    secrets = ServiceSecrets(shelf, given, is_shared=is_shared)
    await secrets.read()
    deliverer = Deliverer(
        queue,
        shelf,
        sender,
        Policy(
            settings.webhook_retry_s,
            settings.webhook_retry_max_s,
            settings.webhook_check_s,
            settings.webhook_disable_s,
        ),
        Places(settings.webhook_at_once, settings.webhook_at_once_each),
        body=body,
        service_secrets=secrets.signing,
        on_disabled=outbox.refresh,
        is_alone=not is_shared,
        keep_s=settings.webhook_keep_days * DAY_S,
    )
    outbox.on_written = deliverer.wake
    await stack.enter_async_context(background(webhooks=deliverer.run()))
    return Webhooks(
        shelf,
        queue,
        outbox,
        sender,
        allowed,
        body=body,
        wake=deliverer.wake,
        service_secrets=secrets,
        give_up_s=settings.webhook_give_up_s,
        is_shared=is_shared,
    )
