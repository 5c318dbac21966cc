"""Ranges of a graph's tensors on calibration samples: where int8 is to saturate.

BEV maps have long tails (the largest value after lift-splat is a hundred standard deviations), so
that a scale from the largest value would leave two bits for the rest. The range here is the one
with the smallest mean squared error of rounding and saturation together.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import onnx
from onnx import helper

from metabev_ros.errors import ConfigError

# |value| in steps of a 16th octave from 2^-16 to 2^16: one pass, and no maximum needed before.
_EDGES = 2.0 ** np.arange(-16, 16 + 1 / 16, 1 / 16)
_MIDDLES = np.sqrt(_EDGES[:-1] * _EDGES[1:])
_MOST_VALUES = 200_000  # of a tensor and sample; a stride leaves the others out


@dataclass
class ValueRange:
    """Histogram of one tensor's magnitudes.

    Attributes:
        counts: values of each magnitude, zeros left out.
        has_negative: whether any value was below zero.
    """

    counts: np.ndarray = field(default_factory=lambda: np.zeros(len(_MIDDLES), np.int64))
    has_negative: bool = False

    def add(self, values: np.ndarray) -> None:
        """Take more values in; those beyond the histogram count as its last bin."""
        values = values.reshape(-1)[:: -(-values.size // _MOST_VALUES)]
        magnitudes = np.abs(values[values != 0]).clip(_EDGES[0], _EDGES[-1])
        self.counts += np.histogram(magnitudes, _EDGES)[0]
        self.has_negative |= bool((values < 0).any())

    def clip(self, levels: int) -> float:
        """The magnitude that the last of `levels` steps is to stand for.

        Args:
            levels: 127 for signed, 255 for unsigned bytes.
        """
        ends = _EDGES[1:]
        if not self.counts.any():
            return 1.0  # all zero: any scale is exact
        step = ends[:, None] / levels
        rounding = np.minimum(step**2 / 12, _MIDDLES**2)
        beyond = np.maximum(_MIDDLES - ends[:, None], 0) ** 2
        error = (np.where(beyond > 0, beyond, rounding) * self.counts).sum(1)
        return float(ends[error.argmin()])

    def loss(self, levels: int) -> float:
        """Mean error of rounding and saturation over the mean magnitude, 0..1."""
        if not self.counts.any():
            return 0.0
        end = self.clip(levels)
        errors = np.where(_MIDDLES > end, _MIDDLES - end, np.minimum(end / levels / 4, _MIDDLES))
        return float((errors * self.counts).sum() / (_MIDDLES * self.counts).sum())


def value_ranges(
    model: onnx.ModelProto, names: Iterable[str], inputs: Iterable[dict[str, np.ndarray]]
) -> dict[str, ValueRange]:
    """Run the graph on calibration inputs and look at some of its tensors.

    Args:
        names: tensors, graph inputs and outputs among them.
        inputs: by input name, one dict a sample.

    Raises:
        ConfigError: if a value is not finite or there is no sample.
    """
    names = list(dict.fromkeys(names))
    session = _watching_session(model, names)
    outputs = [item.name for item in session.get_outputs()]
    ranges, samples = {name: ValueRange() for name in names}, 0
    for sample in inputs:
        results = cast('list[np.ndarray]', session.run(None, sample))
        values = {**sample, **dict(zip(outputs, results, strict=True))}
        for name, collected in ranges.items():
            if not np.isfinite(values[name]).all():
                raise ConfigError(
                    f'calibration sample {samples}',
                    'finite values in the network',
                    f'NaN or infinity in {name}',
                    'check the data and the weights',
                )
            collected.add(values[name])
        samples += 1
    if not samples:
        raise ConfigError(
            'calibration',
            'at least one sample',
            'none',
            'give a bag or drives with usable sensors',
        )
    return ranges


def _watching_session(model: onnx.ModelProto, names: list[str]) -> Any:
    """Load the graph into an `InferenceSession` with these tensors among its outputs."""
    import onnxruntime

    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    given = {item.name for item in (*model.graph.input, *model.graph.output)}
    watched.graph.output.extend(
        helper.make_empty_tensor_value_info(name) for name in names if name not in given
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3  # one order of summation
    return onnxruntime.InferenceSession(
        watched.SerializeToString(), options, providers=['CPUExecutionProvider']
    )
