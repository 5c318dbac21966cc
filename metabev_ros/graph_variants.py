"""Variants of a model's graphs: runtime, precision, folder."""

from __future__ import annotations

import enum
from pathlib import Path


class GraphForm(enum.Enum):
    """Runtime that the graphs are written for: same weights, other operators."""

    ONNXRUNTIME = 'onnxruntime'
    TENSORRT = 'tensorrt'


class GraphPrecision(enum.Enum):
    """Arithmetic that the graphs carry in their types."""

    FP32 = 'fp32'
    FP16 = 'fp16'
    INT8 = 'int8'


def variant_folder(model: Path, form: GraphForm, precision: GraphPrecision) -> Path:
    """Return the folder of a variant of a model's graphs and its contract.

    The shipped one, fp32 for ONNX Runtime, is the model folder itself.
    """
    if (form, precision) == (GraphForm.ONNXRUNTIME, GraphPrecision.FP32):
        return Path(model)
    return Path(model) / f'{form.value}-{precision.value}'
