"""`metabev export --precision fp16|int8`: a variant of a model's graphs with fewer bits.

Made and judged in a scratch folder (`agreement`); the files replace the old ones only then, the
contract last. The fp32 graphs stay what they are.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path

import onnxruntime

from metabev_ros.backends.onnxruntime_backend import OnnxRuntimeBackend
from metabev_ros.backends.torch_backend import load_network
from metabev_ros.contract import (
    Contract,
    load_contract,
    measured_errors_for,
    score_calibration_for,
)
from metabev_ros.errors import ConfigError, assert_never
from metabev_ros.files import read_checked, sha256_of
from metabev_ros.graph_specs import FUSION_OF, GRAPHS
from metabev_ros.graph_variants import GraphForm, GraphPrecision, variant_folder
from metabev_ros.lab.export.agreement import Agreement, measure_agreement, require_agreement
from metabev_ros.lab.export.calibration import CalibrationSet
from metabev_ros.lab.export.half import compute_in_half
from metabev_ros.lab.export.lint import lint
from metabev_ros.lab.export.quantise import quantise
from metabev_ros.lab.export.to_onnx import install_graphs, write_graphs
from metabev_ros.structures import Modality

Report = Callable[[str], None]


def export_precision(
    model: Path,
    form: GraphForm,
    precision: GraphPrecision,
    samples: CalibrationSet,
    report: Report,
) -> tuple[Contract, dict[Modality, Agreement]]:
    """Write the variant folder of a form and a precision.

    Args:
        model: folder with the fp32 graphs; for int8 those of the same form, for fp16 also
            weights.safetensors and config.yaml.
        samples: int8 ranges are measured on one part, both precisions judged on the other.
        report: called with one line per graph.

    Raises:
        ConfigError: for fp32, which `export_model` writes.
        ContractError: if the fp32 graphs are missing or the result does not agree with them.
    """
    reference = OnnxRuntimeBackend(_source(model, form, precision), 1)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        match precision:
            case GraphPrecision.FP16:
                contract = _write_fp16(scratch, model, form, report)
            case GraphPrecision.INT8:
                contract = _write_int8(scratch, model, form, reference, samples, report)
            case GraphPrecision.FP32:
                raise _not_lowered(precision)
            case _:
                assert_never(precision)
        found = measure_agreement(reference, OnnxRuntimeBackend(scratch, 1), samples.checked)
        require_agreement(found, precision)
        install_graphs(scratch, variant_folder(model, form, precision), contract)
    return contract, found


def _source(model: Path, form: GraphForm, precision: GraphPrecision) -> Path:
    """The fp32 graphs that the result is compared with.

    Raises:
        ConfigError: for fp32.
    """
    match precision:
        case GraphPrecision.FP16:
            return variant_folder(model, GraphForm.ONNXRUNTIME, GraphPrecision.FP32)
        case GraphPrecision.INT8:
            return variant_folder(model, form, GraphPrecision.FP32)
        case GraphPrecision.FP32:
            raise _not_lowered(precision)
        case _:
            assert_never(precision)


def _not_lowered(precision: GraphPrecision) -> ConfigError:
    return ConfigError(
        'export --precision', 'fp16 or int8 here', precision.value, 'leave the option out'
    )


def _write_int8(
    scratch: Path,
    model: Path,
    form: GraphForm,
    reference: OnnxRuntimeBackend,
    samples: CalibrationSet,
    report: Report,
) -> Contract:
    folder = _source(model, form, GraphPrecision.INT8)
    source = load_contract(folder)
    inputs = _graph_inputs(reference, samples)
    digests = {}
    for graph in GRAPHS:
        name = f'{graph}.onnx'
        content = quantise(
            read_checked(folder / name, source.digest_of(graph)), inputs[graph], form
        )
        lint(content, graph, form)
        (scratch / name).write_bytes(content)
        digests[name] = sha256_of(scratch / name)
        report(f'{name}: {len(content) / 1e6:.2f} MB')
    producer = {
        **source.producer,
        'onnxruntime': onnxruntime.__version__,
        'calibration': f'{samples.source}, {len(samples.measured)} samples',
    }
    contract = dataclasses.replace(
        source, precision=GraphPrecision.INT8.value, digests=digests, producer=producer
    )
    contract.save(scratch / 'contract.json')
    return contract


def _graph_inputs(reference: OnnxRuntimeBackend, samples: CalibrationSet) -> dict[str, list[dict]]:
    """Inputs of every graph on the calibration samples; BEV maps are those of fp32."""
    cameras, lidars = [list(part) for part in zip(*samples.measured, strict=True)]
    camera_bevs = [{'camera_bev': reference.encode_camera(inputs)} for inputs in cameras]
    lidar_bevs = [{'lidar_bev': reference.encode_lidar(inputs)} for inputs in lidars]
    return {
        'camera_encoder': cameras,
        'lidar_encoder': lidars,
        FUSION_OF[Modality.FUSED]: [
            {**camera, **lidar} for camera, lidar in zip(camera_bevs, lidar_bevs, strict=True)
        ],
        FUSION_OF[Modality.CAMERA]: camera_bevs,
        FUSION_OF[Modality.LIDAR]: lidar_bevs,
    }


def _write_fp16(scratch: Path, model: Path, form: GraphForm, report: Report) -> Contract:
    network, config = load_network(model)
    weights = sha256_of(model / 'weights.safetensors')
    contract = dataclasses.replace(
        write_graphs(
            scratch,
            compute_in_half(network),
            config,
            form,
            weights,
            report,
        ),
        precision=GraphPrecision.FP16.value,
        score_calibration=score_calibration_for(model, weights),
        measured_errors=measured_errors_for(model, weights),
    )
    contract.save(scratch / 'contract.json')
    return contract
