"""Topics whose messages are kept for subscribers that come later."""

from __future__ import annotations

LATCHED_NAMES = ('tf_static', 'fault_injection')  # last parts of topics


def is_latched(topic: str) -> bool:
    """True for topics whose publishers are transient local."""
    return topic.rsplit('/', 1)[-1] in LATCHED_NAMES
