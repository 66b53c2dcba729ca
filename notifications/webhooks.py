"""What anymail hears from mail providers, handed to `deliveries`: the one signal of the house."""

from typing import Any

from anymail.signals import tracking
from django.utils import timezone


class NotRecorded(Exception):
    """A good report could not be stored: the provider should send it again."""


def hear(sender: Any, event: Any, esp_name: str, **_: Any) -> None:
    """Record one report. Raises NotRecorded, which answers 500."""
    from notifications import deliveries

    try:
        report = deliveries.Report(
            provider=esp_name,
            state=str(event.event_type or "unknown"),
            raw=event.esp_event,
            event_id=str(event.event_id or ""),
            message_id=str(event.message_id or ""),
            recipient=str(event.recipient or ""),
            metadata=event.metadata if isinstance(event.metadata, dict) else {},
            at=event.timestamp if event.timestamp is not None and event.timestamp.tzinfo else None,
        )
        deliveries.record(report, at=timezone.now())
    except Exception as error:
        raise NotRecorded(f"a report of {esp_name} was not stored") from error


def listen() -> None:
    """Called once, when the room is ready."""
    tracking.connect(hear, dispatch_uid="notifications.deliveries")
