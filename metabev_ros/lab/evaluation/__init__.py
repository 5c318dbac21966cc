"""Measuring: detection and map metrics, evaluation runs, result records."""

from metabev_ros.lab.evaluation.detection import DetectionEvaluator, DetectionResult
from metabev_ros.lab.evaluation.map_segmentation import MapEvaluator, MapResult

__all__ = ['DetectionEvaluator', 'DetectionResult', 'MapEvaluator', 'MapResult']
