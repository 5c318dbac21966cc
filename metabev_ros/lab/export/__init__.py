"""Weights to ONNX graphs: export, lint, parity gate, fp16 and int8."""
