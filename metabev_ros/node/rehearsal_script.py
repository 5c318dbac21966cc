"""What a rehearsal is told to do; no rclpy here: who writes a script need not have it."""

from __future__ import annotations

import json
from dataclasses import dataclass

from metabev_ros.errors import ConfigError

# Where the rehearsal notes, as JSON, when it started and what it did to the publishers.
ACTIONS_TOPIC, TEXT_TYPE = '/rehearsal/actions', 'std_msgs/msg/String'


@dataclass(frozen=True)
class TopicFault:
    """What happens to topics in [begin, end), seconds since the first message of the bag.

    Attributes:
        frozen: the last message is sent again and again with new stamps; else the publishers
            are destroyed, and made anew shortly before `end`.
    """

    name: str
    topics: tuple[str, ...]
    begin: float
    end: float
    frozen: bool


@dataclass(frozen=True)
class Script:
    """One rehearsal.

    Attributes:
        play: topics of the bag to play.
        copy: topics of the bag that are not played, only written beside the rest.
        record: topic -> message type of what the node under test publishes.
        ready_topic: one of `record`; playing starts after the first message on it. Empty: at
            once.
        timeout: seconds to wait for it and for the subscribers.
        tail: seconds to go on recording after the last message.
    """

    bag: str
    out: str
    play: tuple[str, ...]
    copy: tuple[str, ...]
    record: dict[str, str]
    ready_topic: str
    faults: tuple[TopicFault, ...]
    timeout: float = 60.0
    tail: float = 1.0

    @classmethod
    def from_json(cls, text: str) -> Script:
        """The script in a JSON text as `dataclasses.asdict` makes it.

        Raises:
            ConfigError: if it does not fit.
        """
        try:
            plain = json.loads(text)
            faults = tuple(
                TopicFault(**{**fault, 'topics': tuple(fault['topics'])})
                for fault in plain.pop('faults')
            )
            return cls(
                **{
                    **plain,
                    'play': tuple(plain['play']),
                    'copy': tuple(plain['copy']),
                    'faults': faults,
                }
            )
        except (ValueError, TypeError, KeyError) as error:
            raise ConfigError('rehearsal script', 'a script as JSON', str(error)) from error
