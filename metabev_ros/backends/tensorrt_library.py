"""TensorRT 10.3 to 11.x and TensorRT-RTX behind one face: the common core, everything by name.

Numeric flags changed their meaning between 10 and 11 (STRONGLY_TYPED is 1 in one and 0 in the
other), so no number of theirs stands in this package.
"""

from __future__ import annotations

import enum
import importlib
import re
from collections import deque
from typing import Any, Literal

from metabev_ros.errors import BackendError, ConfigError, MissingDependencyError


class Flavour(enum.Enum):
    """The two products; the value is the name of the Python module."""

    TENSORRT = 'tensorrt'
    RTX = 'tensorrt_rtx'


# First version that is supported, first that is not.
VERSIONS = {Flavour.TENSORRT: ((10, 3), (12, 0)), Flavour.RTX: ((1, 4), (2, 0))}
INSTALL = {
    Flavour.TENSORRT: 'install TensorRT 10.3 to 11.x from NVIDIA (docs/engines.md)',
    Flavour.RTX: 'pip install -r requirements/tensorrt.txt',
}
# Everything of the two modules that builder and runtime use; a test compares it with the code.
API = {
    'Builder': (
        'create_network',
        'create_builder_config',
        'create_optimization_profile',
        'build_serialized_network',
    ),
    'BuilderFlag': ('TF32',),
    'DataType': (),
    'IBuilderConfig': (
        'add_optimization_profile',
        'clear_flag',
        'create_timing_cache',
        'set_timing_cache',
        'get_timing_cache',
        'progress_monitor',
    ),
    'ICudaEngine': (
        'num_io_tensors',
        'get_tensor_name',
        'get_tensor_mode',
        'get_tensor_shape',
        'get_tensor_dtype',
        'get_tensor_profile_shape',
        'device_memory_size_v2',
        'create_execution_context',
    ),
    'IExecutionContext': ('set_input_shape', 'set_tensor_address', 'execute_async_v3'),
    'ILogger': ('Severity',),
    'INetworkDefinition': ('num_inputs', 'get_input', 'num_outputs', 'get_output'),
    'IOptimizationProfile': ('set_shape',),
    'IProgressMonitor': ('phase_start', 'step_complete', 'phase_finish'),
    'ITimingCache': ('serialize',),
    'NetworkDefinitionCreationFlag': ('STRONGLY_TYPED',),
    'OnnxParser': ('parse', 'num_errors', 'get_error'),
    'Runtime': ('deserialize_cuda_engine',),
    'TensorIOMode': ('INPUT', 'OUTPUT'),
}


class TensorRtLibrary:
    """One of the two modules, checked, with its messages kept.

    Args:
        module: the imported module.
        flavour: which one it is.

    Attributes:
        trt: the module.
        version: as it states it, e.g. '10.3.0'.
        logger: to be given to its objects; the last warnings and errors are in `messages`.

    Raises:
        BackendError: for a version that is not supported, naming what it lacks.
    """

    def __init__(self, module: Any, flavour: Flavour) -> None:
        self.trt, self.flavour, self.version = module, flavour, str(module.__version__)
        low, high = VERSIONS[flavour]
        match = re.match(r'(\d+)\.(\d+)', self.version)
        if match is None or not low <= (int(match[1]), int(match[2])) < high:
            raise BackendError(
                flavour.value,
                f'version {low[0]}.{low[1]} or newer, below {high[0]}.{high[1]}',
                self.version,
                INSTALL[flavour],
            )
        missing = missing_names(module)
        if missing:
            raise BackendError(
                f'{flavour.value} {self.version}',
                'the common core of TensorRT 10.3 to 11',
                f'a module without {", ".join(missing)}',
                INSTALL[flavour],
            )
        self.messages: deque[str] = deque(maxlen=20)
        self.logger = self._make_logger()

    @classmethod
    def load(cls, flavour: Flavour) -> TensorRtLibrary:
        """Import the module.

        Raises:
            MissingDependencyError: if it is not installed.
            BackendError: for a version that is not supported.
        """
        try:
            module = importlib.import_module(flavour.value)
        except (ImportError, OSError) as error:  # OSError: its shared libraries are not there
            raise MissingDependencyError(
                f'backend {flavour.value}',
                f'the module {flavour.value}',
                str(error)[:200],
                INSTALL[flavour],
            ) from error
        return cls(module, flavour)

    def make(self, kind: Literal['Builder', 'Runtime']) -> Any:
        """Make one of TensorRT's root objects.

        Raises:
            BackendError: if the library does not fit the driver.
        """
        try:
            return getattr(self.trt, kind)(self.logger)
        except TypeError as error:  # pybind11: "factory function returned nullptr"
            raise BackendError(
                f'{self.flavour.value} {self.version}',
                f'a {kind.lower()}',
                self.last_messages(),
                'check that it fits the driver',
            ) from error

    def last_messages(self, count: int = 3) -> str:
        """Return the newest messages of the library, on one line."""
        return ' | '.join(list(self.messages)[-count:])[-600:] or 'no message of TensorRT'

    def _make_logger(self) -> Any:
        trt, messages = self.trt, self.messages

        class KeepingLogger(trt.ILogger):
            """Keeps warnings and errors."""

            def __init__(self) -> None:
                trt.ILogger.__init__(self)  # pybind11 demands it without super()

            def log(self, severity: Any, message: str) -> None:
                if severity in (
                    trt.ILogger.Severity.WARNING,
                    trt.ILogger.Severity.ERROR,
                    trt.ILogger.Severity.INTERNAL_ERROR,
                ):
                    messages.append(' '.join(message.split()))

        return KeepingLogger()


def missing_names(module: Any) -> list[str]:
    """Names of `API` that a TensorRT module lacks."""
    return [
        f'{owner}.{name}' if name else owner
        for owner, names in API.items()
        for name in ('', *names)
        if not hasattr(module, owner) or (name and not hasattr(getattr(module, owner), name))
    ]


def parse_flavour(name: str) -> Flavour:
    """Flavour of a name such as 'tensorrt_rtx'.

    Raises:
        ConfigError: naming the choices.
    """
    try:
        return Flavour(name)
    except ValueError:
        raise ConfigError(
            'flavour',
            f'one of {[item.value for item in Flavour]}',
            repr(name),
            'correct the option',
        ) from None
