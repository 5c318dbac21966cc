"""The newest words of a running node, for the live page: thread-safe, and bounded in memory."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from typing import Any

from metabev_ros import wire
from metabev_ros.bags import BagMessage
from metabev_ros.drawing import BevView
from metabev_ros.errors import SensorDataError, clean_text
from metabev_ros.pages.ground import HALF_LENGTH, draw_frame
from metabev_ros.pages.messages import Status, read_frame, read_status
from metabev_ros.pages.parts import as_jpeg
from metabev_ros.pages.states import plain_status
from metabev_ros.wire.pictures import COMPRESSED_IMAGE

OVERLAY = 'overlay/compressed'
WATCHED = {
    topic: wire.OUTPUT_TYPES[topic] for topic in (wire.STATUS, wire.DETECTIONS, wire.BEV_MAP)
}
CAMERAS = {OVERLAY: COMPRESSED_IMAGE}
VIEW = BevView(640, 640, HALF_LENGTH)
RATE_WINDOW = 5.0  # seconds over which rates are counted
SILENT_AFTER = 1.0  # seconds without a word; the node's heart beats ten times as often
MOST_COUNTED = 1000  # messages of a topic in the window


class LiveState:
    """The last words of a node.

    Args:
        name: of the node, for people.
    """

    def __init__(self, name: str) -> None:
        self.name = clean_text(name)
        self._lock = threading.Lock()
        self._label: Status | None = None
        self._beat: Status | None = None
        self._heard: dict[str, deque[float]] = {}
        self._newest: dict[str, tuple[int, bytes]] = {}
        self._refused: Counter[str] = Counter()
        self._drawing = threading.Lock()
        self._drawn: tuple[int, bytes] = -1, b''
        self._count = 0

    def take(self, topic: str, cdr: bytes) -> None:
        """Take a message; one that cannot be read is counted.

        Args:
            topic: relative to the node.
        """
        now = time.monotonic()
        try:
            status = self._read_status(cdr) if topic == wire.STATUS else None
        except SensorDataError as error:
            with self._lock:
                self._refused[f'{topic}: {error.reason}'] += 1
            return
        with self._lock:
            is_label = status is not None and not status.is_heartbeat
            kind = 'heartbeats' if topic == wire.STATUS and not is_label else topic
            self._heard.setdefault(kind, deque(maxlen=MOST_COUNTED)).append(now)
            if status is not None and status.is_heartbeat:
                self._beat = status
            elif status is not None:
                self._label = status
            else:
                self._count += 1
                self._newest[topic] = self._count, cdr

    @staticmethod
    def _read_status(cdr: bytes) -> Status:
        msgtype = wire.OUTPUT_TYPES[wire.STATUS]
        return read_status(BagMessage(wire.STATUS, msgtype, 0, cdr))

    def plain(self) -> dict[str, Any]:
        """The state without its pictures, as JSON takes it."""
        now = time.monotonic()
        with self._lock:
            beat, label = self._beat, self._label
            heard = {kind: list(times) for kind, times in self._heard.items()}
            pictures = {topic: number for topic, (number, _) in self._newest.items()}
            refused = dict(self._refused.most_common(5))
        last = max((times[-1] for times in heard.values() if times), default=None)
        shown = beat or label
        output_ages = [times[-1] for times in (heard.get(wire.DETECTIONS),) if times]
        return {
            'node': self.name,
            'silence': None if last is None else round(now - last, 2),
            'is_silent': last is None or now - last > SILENT_AFTER,
            'status': None if shown is None else plain_status(shown, label),
            'output': None if label is None else plain_status(label),
            'output_age': round(now - output_ages[0], 2) if output_ages else None,
            'model': None if shown is None else shown.model,
            'dropped': None if shown is None else shown.dropped,
            'rates': {
                kind: round(sum(now - t <= RATE_WINDOW for t in times) / RATE_WINDOW, 1)
                for kind, times in sorted(heard.items())
            },
            'ground': max(
                (pictures[t] for t in (wire.DETECTIONS, wire.BEV_MAP) if t in pictures), default=0
            ),
            'cameras': pictures.get(OVERLAY, 0),
            'refused': refused,
        }

    def ground(self) -> bytes | None:
        """The newest map and boxes as a JPEG; None before there are any."""
        with self._lock:
            boxes, layers = self._newest.get(wire.DETECTIONS), self._newest.get(wire.BEV_MAP)
        if boxes is None:
            return None
        number = max(boxes[0], layers[0] if layers else 0)
        with self._drawing:  # however many look, it is drawn once
            if self._drawn[0] != number:
                self._drawn = number, self._draw(boxes[1], layers[1] if layers else None)
            return self._drawn[1]

    def _draw(self, boxes: bytes, layers: bytes | None) -> bytes:
        for content in (layers, None):
            try:
                return as_jpeg(draw_frame(read_frame(boxes, content), VIEW))
            except SensorDataError as error:
                with self._lock:
                    self._refused[f'{clean_text(error.where)}: {error.reason}'] += 1
        return as_jpeg(draw_frame(None, VIEW))

    def cameras(self) -> bytes | None:
        """The newest picture of the cameras as the node drew it; None before there is one."""
        with self._lock:
            newest = self._newest.get(OVERLAY)
        if newest is None:
            return None
        try:
            return bytes(wire.deserialize(newest[1], COMPRESSED_IMAGE).data)
        except SensorDataError:
            return None
