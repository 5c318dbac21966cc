"""QoS that publishers offered, as a bag holds it, against what the node asks for.

The node listens with best effort and volatile, which every publisher matches; /tf_static alone
is asked for as reliable and transient local, so that a node that starts late hears it too.
"""

from __future__ import annotations

from typing import Any, cast

import yaml

from metabev_ros.lab.rig_check.look import TopicLook

_LIMIT = 2**16  # characters of profiles
# rmw's numbers, which rosbag2 wrote before Iron, and the names that it writes now.
_RELIABLE, _LATCHED = ('1', 'reliable'), ('1', 'transient_local')


def offered_profiles(text: str) -> list[dict[str, str]]:
    """Profiles with their policies as lower-case text; empty where there are none to be read."""
    if not text or len(text) > _LIMIT:
        return []
    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return []
    if not isinstance(found, list):
        return []
    profiles = [one for one in cast('list[Any]', found) if isinstance(one, dict)]
    return [
        {str(key): str(value).lower() for key, value in cast('dict[Any, Any]', one).items()}
        for one in profiles
    ]


def latched_problem(look: TopicLook | None) -> str:
    """Reason why the node's subscription to /tf_static would match no publisher, '' for none."""
    profiles = offered_profiles(look.qos) if look is not None else []
    problems: list[str] = []
    for profile in profiles:
        faults = []
        if profile.get('reliability') not in (*_RELIABLE, None):
            faults.append('best effort')
        if profile.get('durability') not in (*_LATCHED, None):
            faults.append('volatile')
        if not faults:
            return ''
        problems.append(' and '.join(faults))
    return problems[0] if problems else ''
