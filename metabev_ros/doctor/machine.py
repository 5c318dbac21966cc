"""Memory, disk, GPU: what the machine itself has."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from metabev_ros.doctor.line import Line, State
from metabev_ros.errors import clean_text

GIB = 2**30
LEAST_MEMORY, ENOUGH_MEMORY = 2 * GIB, 6 * GIB  # bytes; the node, and training a small model
LEAST_DISK, ENOUGH_DISK = 1 * GIB, 10 * GIB  # bytes; a report, and recordings or training
LEAST_SHARED = 256 * 2**20  # bytes: four segments of config/fastdds_profile.xml
_GPU_SECONDS = 10.0  # until nvidia-smi counts as hanging


def examine_machine(folder: Path) -> Iterator[Line]:
    """Yield what the machine has.

    Args:
        folder: where outputs would be written.
    """
    yield check_processors(os.cpu_count() or 1, os.uname().machine)
    try:
        yield check_memory(Path('/proc/meminfo').read_text(encoding='ascii'))
    except (OSError, ValueError):
        yield Line('memory', State.OK, 'not known on this system')
    yield check_disk(str(folder), free_bytes(folder))
    yield check_shared_memory(free_bytes(Path('/dev/shm')))
    yield check_gpu(ask_gpu())


def check_processors(count: int, machine: str) -> Line:
    """Processors of this machine."""
    found = f'{count} x {machine}'
    if count < 2:
        return Line(
            'processors', State.MISSING, found, 'use a machine with two or more', 'the live node'
        )
    return Line('processors', State.OK, found)


def check_memory(meminfo: str) -> Line:
    """Memory, by the text of /proc/meminfo."""
    found = {
        name: int(value) * 1024
        for name, value in re.findall(r'^(\w+): +(\d+) kB$', meminfo, re.MULTILINE)
    }
    total, free = found.get('MemTotal', 0), found.get('MemAvailable', 0)
    text = f'{total / GIB:.1f} GiB, {free / GIB:.1f} GiB of it available'
    if free < LEAST_MEMORY:
        return Line(
            'memory', State.BROKEN, text, f'free memory: {LEAST_MEMORY / GIB:.0f} GiB are needed'
        )
    if free < ENOUGH_MEMORY:
        cure = f'have {ENOUGH_MEMORY / GIB:.0f} GiB available'
        return Line('memory', State.MISSING, text, cure, 'training, simulation')
    return Line('memory', State.OK, text)


def free_bytes(folder: Path) -> int | None:
    """Free bytes of a file system; None where it cannot be asked."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def check_disk(folder: str, free: int | None) -> Line:
    """Room for outputs."""
    if free is None:
        return Line('disk', State.BROKEN, f'{folder} cannot be asked', 'check the path')
    text = f'{free / GIB:.1f} GiB free at {folder}'
    if free < LEAST_DISK:
        cure = f'free {LEAST_DISK / GIB:.0f} GiB, or work elsewhere'
        return Line('disk', State.BROKEN, text, cure)
    if free < ENOUGH_DISK:
        cure = f'free {ENOUGH_DISK / GIB:.0f} GiB'
        return Line('disk', State.MISSING, text, cure, 'recordings, training')
    return Line('disk', State.OK, text)


def check_shared_memory(free: int | None) -> Line:
    """Shared memory, which Fast DDS sends images through."""
    name, who = 'shared memory', 'the live node with raw images'
    if free is None:
        return Line(name, State.MISSING, 'no /dev/shm', 'mount a tmpfs there', who)
    text = f'{free / 2**20:.0f} MiB free in /dev/shm'
    if free < LEAST_SHARED:
        cure = f'make /dev/shm larger (docker run --shm-size=1g): {LEAST_SHARED / 2**20:.0f} MiB'
        return Line(name, State.MISSING, text, cure, who)
    return Line(name, State.OK, text)


def ask_gpu() -> tuple[str, str]:
    """Answer of nvidia-smi and, where it gives none, why; the other is ''."""
    program = shutil.which('nvidia-smi')
    if program is None:
        return '', 'no nvidia-smi'
    query = '--query-gpu=name,memory.total,driver_version'
    try:
        done = subprocess.run(
            [program, query, '--format=csv,noheader'],
            capture_output=True,
            text=True,
            errors='replace',
            timeout=_GPU_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return '', f'nvidia-smi gave no answer in {_GPU_SECONDS:.0f} s'
    except OSError as error:
        return '', f'nvidia-smi: {error.strerror}'
    if done.returncode:
        return '', f'nvidia-smi: {clean_text((done.stdout + done.stderr).strip(), 120)}'
    return done.stdout.strip(), ''


def check_gpu(answer: tuple[str, str]) -> Line:
    """GPUs, by what `ask_gpu` got."""
    gpus, why = answer
    if gpus:
        return Line('GPU', State.OK, '; '.join(clean_text(gpu, 100) for gpu in gpus.splitlines()))
    cure = 'none needed for metabev_nano on a CPU; else install the driver of an NVIDIA GPU'
    return Line('GPU', State.MISSING, why or 'none', cure, 'larger models, TensorRT')
