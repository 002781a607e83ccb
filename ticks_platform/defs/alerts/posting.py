"""What the sensors share: the webhook, and texts of bounded length. Without TICKS_ALERT_WEBHOOK nothing exists."""

import html
import logging
import os

import dagster as dg
from pydantic import Field

from ticks_platform.alerts import delivery, webhook
from ticks_platform.alerts.delivery import Delivery
from ticks_platform.alerts.told import Told
from ticks_platform.alerts.webhook import WebhookError
from ticks_platform.escaping import chat
from ticks_platform.masking import mask

logger = logging.getLogger(__name__)

INTERVAL = 30
"""Seconds between evaluations of the sensors."""
LONGEST_REASON = 500
"""Characters of one run's or one check's own message."""


class AlertsResource(dg.ConfigurableResource[None]):
    """The webhook that alerts are posted to."""

    url: str = Field(description=f"A webhook that takes Slack's JSON, from {webhook.VARIABLE}.")

    def post(self, text: str) -> None:
        """Post a text. Raises WebhookError, which never shows the webhook."""
        webhook.post(self.url, text)


@dg.definitions
def resources() -> dg.Definitions:
    """The resource of the sensors; its value, a secret, is never shown."""
    return dg.Definitions(
        resources={"ticks_alerts": AlertsResource(url=dg.EnvVar(webhook.VARIABLE))} if is_on() else {}
    )


def is_on() -> bool:
    """Whether alerts are posted."""
    return bool(os.environ.get(webhook.VARIABLE))


def short(text: str) -> str:
    """One line of bounded length, in which Slack finds neither mention nor link."""
    text = chat(" ".join(mask(text).split()))
    return html.escape(text if len(text) <= LONGEST_REASON else text[: LONGEST_REASON - 2] + " …", quote=False)


def deliver(told: Told, alerts: AlertsResource, *, sensor: str, now: float) -> str:
    """Post what waits; says what was done. What the webhook does not take now keeps waiting.

    That it takes nothing is said where else somebody may look: on the terminal once, by `ticks status`, as a metric.
    """
    before = delivery.trouble()
    known = next((each for each in delivery.deliveries() if each.sensor == sensor), None)
    error = known.error if known is not None and told.waiting else None
    try:
        posted = told.post(alerts.post, now=now)
    except WebhookError as failed:
        delivery.write(Delivery(sensor, len(told.waiting), str(failed)))
        if before is None:
            logger.warning("%s", delivery.trouble())
        return f"{failed}; messages to be posted later: {len(told.waiting)}"
    # One that waits until it asks again has not been taken yet.
    delivery.write(Delivery(sensor, len(told.waiting), error if told.waiting and not posted else None))
    if before is not None and delivery.trouble() is None:
        logger.warning("alerts are delivered again")
    left = f"messages to be posted later: {len(told.waiting)}" if told.waiting else ""
    return "; ".join(filter(None, (f"posted: {posted}" if posted else "", left))) or "nothing to tell"
