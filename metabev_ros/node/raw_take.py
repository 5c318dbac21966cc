"""Takes serialized messages without holding the interpreter's lock.

rclpy copies a message twice while it holds the lock. For one of 300 MB, which anybody on the
network may send, that is a second in which no thread runs, the heartbeat neither. The same C
function called through ctypes lets the lock go, and what is too large is never copied into Python.
It also gives the publisher's identity, which rclpy leaves out.
"""

from __future__ import annotations

import ctypes
import logging
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from rclpy.executors import Executor, SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.subscription import Subscription

_OK, _NOTHING = 0, 401  # RCL_RET_OK, RCL_RET_SUBSCRIPTION_TAKE_FAILED
_GID_BYTES = 16  # that the graph and a message's info have in common
_COPIED = 2**14  # bytes; a message as small as this is copied sooner than shared
_BATCH = 8  # messages of one subscription in a row: others wait that long
_PAUSE = 0.005  # seconds; a frame is heard that much later at most
_NO_NUMBER = 2**64 - 1  # RMW_MESSAGE_INFO_SEQUENCE_NUMBER_UNSUPPORTED


@dataclass(frozen=True)
class MessageInfo:
    """Knowledge of the middleware about a message.

    Attributes:
        number: of its publisher's messages; None where the middleware does not count.
        publisher: its identity, as in the graph; b'' where that is not given.
        size: bytes of the message, also of one that was too large to be taken.
    """

    number: int | None = None
    publisher: bytes = b''
    size: int = 0


class _Allocator(ctypes.Structure):
    """rcutils_allocator_t: four functions and their state."""

    _fields_ = [(name, ctypes.c_void_p) for name in ('new', 'free', 'resize', 'zero', 'state')]


class _Bytes(ctypes.Structure):
    """rcutils_uint8_array_t."""

    _fields_ = [
        ('buffer', ctypes.c_void_p),
        ('length', ctypes.c_size_t),
        ('capacity', ctypes.c_size_t),
        ('allocator', _Allocator),
    ]


class _Info(ctypes.Structure):
    """rmw_message_info_t, and room for what later versions add."""

    _fields_ = [
        ('sent', ctypes.c_int64),
        ('received', ctypes.c_int64),
        ('number', ctypes.c_uint64),
        ('reception', ctypes.c_uint64),
        ('implementation', ctypes.c_void_p),
        ('publisher', ctypes.c_uint8 * _GID_BYTES),
        ('room', ctypes.c_uint8 * 192),
    ]


class _Buffer:
    """Bytes of the middleware, which numpy may look at for as long as this object lives."""

    def __init__(self, content: _Bytes, free: Callable[[Any], Any]) -> None:
        self._content, self._free = content, free
        self.__array_interface__ = {
            'data': (content.buffer, True),  # read-only
            'shape': (content.length,),
            'typestr': '|u1',
            'version': 3,
        }

    def __del__(self) -> None:
        self._free(ctypes.byref(self._content))


class RawTake:
    """`rcl_take_serialized_message` of the library that rclpy itself uses.

    Raises:
        AttributeError, OSError: from the constructor, where it is not to be found.
    """

    def __init__(self) -> None:
        library = ctypes.CDLL(cast(str, rclpy_implementation.__file__))
        self._take = library.rcl_take_serialized_message
        self._take.argtypes = [ctypes.c_void_p] * 4
        self._fini = library.rcutils_uint8_array_fini
        self._fini.argtypes = [ctypes.c_void_p]
        allocator = library.rcutils_get_default_allocator
        allocator.restype = _Allocator
        self._allocator: _Allocator = allocator()

    def __call__(
        self, subscription: int, limit: int
    ) -> tuple[bytes | memoryview, MessageInfo] | None:
        """The next message, b'' for one of more than `limit` bytes; None if there is none.

        A large one is not copied: its bytes are those of the middleware.

        Args:
            subscription: address of the rcl_subscription_t.
            limit: bytes.

        Raises:
            RuntimeError: where the middleware fails, as for want of memory.
        """
        taken, info = _Bytes(allocator=self._allocator), _Info()
        code = self._take(subscription, ctypes.byref(taken), ctypes.byref(info), None)
        buffer = _Buffer(taken, self._fini)
        if code == _NOTHING:
            return None
        if code != _OK:
            raise RuntimeError(f'rcl_take_serialized_message: {code}')
        size = int(taken.length)
        cdr = b''
        if size <= min(limit, _COPIED):
            cdr = ctypes.string_at(taken.buffer, size)
        elif size <= limit:
            cdr = np.asarray(buffer).data
        number = None if info.number == _NO_NUMBER else int(info.number)
        return cdr, MessageInfo(number, bytes(info.publisher), size)


class InputExecutor(SingleThreadedExecutor):
    """An executor that takes raw messages with `RawTake`, all that have come.

    A callback that wants them has the attribute `byte_limit` and takes (cdr, MessageInfo). To
    wait costs as much as to take ten messages: hundreds a second are heard in batches.
    """

    def __init__(self, take: RawTake) -> None:
        super().__init__()
        self._raw_take = take

    def _take_subscription(self, sub: Any) -> Callable[[], Any] | None:
        """As rclpy's, which calls it; the work that is returned runs next."""
        receiver: Any = getattr(sub.callback, '__self__', None)
        limit = getattr(receiver, 'byte_limit', None)
        if limit is None:
            return cast(Any, super())._take_subscription(sub)
        with sub.handle:
            taken = self._raw_take(sub.handle.pointer, limit)
        if taken is None:
            return None

        async def execute() -> None:
            more: tuple[bytes | memoryview, MessageInfo] | None = taken
            for _ in range(_BATCH):
                if more is None:
                    return
                receiver.take(*more)
                with sub.handle:
                    more = self._raw_take(sub.handle.pointer, limit)
            if more is not None:
                receiver.take(*more)

        return execute

    def _wait_for_ready_callbacks(
        self, *arguments: Any, **options: Any
    ) -> Generator[Any, None, None]:
        """As rclpy's, after a moment in which more can come."""
        time.sleep(_PAUSE)
        yield from cast(Any, super())._wait_for_ready_callbacks(*arguments, **options)


def input_executor() -> SingleThreadedExecutor:
    """An executor that takes raw messages without the lock, where this rclpy lets it."""
    # Before Jazzy an executor hands messages over in another way.
    is_new = hasattr(Executor, '_take_subscription') and not hasattr(
        Executor, '_execute_subscription'
    )
    if is_new and hasattr(Subscription, 'CallbackType'):
        try:
            return InputExecutor(RawTake())
        except (AttributeError, OSError) as error:
            logging.getLogger(__name__).info('messages are taken by rclpy: %s', error)
    return SingleThreadedExecutor()
