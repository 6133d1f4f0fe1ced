"""What callers are told of webhooks that cannot be done: a branch of the tree in `errors`."""

from __future__ import annotations

from app.errors import AppError


class TooManyWebhooks(AppError):
    """As many receivers are registered as there may be."""

    status, code, title = 409, "too_many_webhooks", "There are too many webhooks"

    def __init__(self, most: int) -> None:
        super().__init__(f"{most} webhooks are registered already; remove one that is not needed.")


class SecretIsSet(AppError):
    """The setting gives the secret for receivers that a request named."""

    status, code, title = 409, "secret_is_set", "The secret is given by the settings"

    def __init__(self) -> None:
        super().__init__("COMFY_RELAY_WEBHOOK_SECRET gives this secret; change it there, and start the service again.")


class WebhookDisabled(AppError):
    """Nothing is delivered to it."""

    status, code, title = 409, "webhook_disabled", "The webhook is disabled"

    def __init__(self, webhook_id: str) -> None:
        super().__init__(
            f'The webhook {webhook_id!r} is disabled; PUT /api/webhooks/{webhook_id} with {{"enabled": true}} first.'
        )
