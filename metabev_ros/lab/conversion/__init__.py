"""Known weights -> our weights, offline: nothing here runs in a vehicle.

`metabev convert` reads a checkpoint of another project (`checkpoint`), maps every key by the
rules of its source (`sources`, written down in `backbones` and `detectors`), turns the tensors
into our layout (`layouts`) and writes safetensors.
"""
