"""`metabev import`: labelled data of others into sample records, a command per source."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metabev_ros.cli.app import RigOption, app, examples, rig_config
from metabev_ros.cli.importing import (
    ClassOption,
    ImportModelOption,
    PicturesOption,
    RayOption,
    RecordsOption,
    WorkersOption,
    class_changes,
    run_import,
)
from metabev_ros.cli.results import JsonOption
from metabev_ros.lab.spreading import Spread

import_app = typer.Typer(no_args_is_help=True, help='Labelled data -> records to learn from.')
app.add_typer(import_app, name='import')


@import_app.command(
    'nuscenes',
    epilog=examples(
        'metabev import nuscenes /data/nuscenes -o records/mini',
    ),
)
def import_nuscenes(
    path: Annotated[Path, typer.Argument(help='Folder with samples/, sweeps/, maps/, v1.0-*/.')],
    out: RecordsOption,
    version: Annotated[
        str,
        typer.Option(
            metavar='v1.0-mini|v1.0-trainval|v1.0-test', help='Which part of the data set.'
        ),
    ] = 'v1.0-mini',
    split: Annotated[
        str | None,
        typer.Option(
            metavar='SPLIT|FILE',
            help='mini_train, mini_val, train, val, or a text file with a scene a line; default: '
            'all scenes.',
        ),
    ] = None,
    model: ImportModelOption = None,
    classes: ClassOption = None,
    workers: WorkersOption = 2,
    ray_address: RayOption = None,
    pictures: PicturesOption = 8,
    as_json: JsonOption = False,
) -> None:
    """Import nuScenes v1.0, with its sweeps and, where the map expansion is there, its map."""
    from metabev_ros.lab.datasets.sources.nuscenes import NuScenes

    source = NuScenes(path, version, split, class_changes(classes))
    run_import(source, out, model, Spread(workers, ray_address), pictures, as_json)


@import_app.command(
    'kitti',
    epilog=examples(
        'metabev import kitti /data/kitti/object -o records/kitti',
    ),
)
def import_kitti(
    path: Annotated[Path, typer.Argument(help='Folder with training/velodyne/, label_2/ ...')],
    out: RecordsOption,
    split: Annotated[
        str,
        typer.Option(metavar='NAME', help='training, or the name of a list in ImageSets/.'),
    ] = 'training',
    model: ImportModelOption = None,
    classes: ClassOption = None,
    workers: WorkersOption = 2,
    ray_address: RayOption = None,
    pictures: PicturesOption = 8,
    as_json: JsonOption = False,
) -> None:
    """Import KITTI's 3D object benchmark: one camera, objects of its picture only."""
    from metabev_ros.lab.datasets.sources.kitti import KittiObject

    run_import(
        KittiObject(path, split, class_changes(classes)),
        out,
        model,
        Spread(workers, ray_address),
        pictures,
        as_json,
    )


@import_app.command(
    'kitti-tracking',
    epilog=examples(
        'metabev import kitti-tracking /data/kitti/tracking -o records/kitti_tracking',
    ),
)
def import_kitti_tracking(
    path: Annotated[Path, typer.Argument(help='Folder with training/velodyne/, label_02/ ...')],
    out: RecordsOption,
    model: ImportModelOption = None,
    classes: ClassOption = None,
    workers: WorkersOption = 2,
    ray_address: RayOption = None,
    pictures: PicturesOption = 8,
    as_json: JsonOption = False,
) -> None:
    """Import KITTI's tracking benchmark: drives with velocities and earlier sweeps."""
    from metabev_ros.lab.datasets.sources.kitti import KittiTracking

    source = KittiTracking(path, classes=class_changes(classes))
    run_import(source, out, model, Spread(workers, ray_address), pictures, as_json)


@import_app.command(
    'av2',
    epilog=examples(
        'metabev import av2 /data/av2/sensor -o records/av2 --split val',
    ),
)
def import_av2(
    path: Annotated[Path, typer.Argument(help='Folder with train/, val/ ...')],
    out: RecordsOption,
    split: Annotated[str, typer.Option(metavar='train|val|test', help='Which part.')] = 'val',
    model: ImportModelOption = None,
    classes: ClassOption = None,
    workers: WorkersOption = 2,
    ray_address: RayOption = None,
    pictures: PicturesOption = 8,
    as_json: JsonOption = False,
) -> None:
    """Import the Argoverse 2 sensor data set."""
    from metabev_ros.lab.datasets.sources.argoverse import Argoverse2

    run_import(
        Argoverse2(path, split, class_changes(classes)),
        out,
        model,
        Spread(workers, ray_address),
        pictures,
        as_json,
    )


@import_app.command(
    'synthetic',
    epilog=examples(
        'metabev import synthetic -o records/boxes --worlds 10',
    ),
)
def import_synthetic(
    out: RecordsOption,
    first_seed: Annotated[int, typer.Option(min=0, help='Seed of the first world.')] = 100_000,
    worlds: Annotated[int, typer.Option(min=1, help='Number of worlds.')] = 100,
    frames: Annotated[int, typer.Option(min=1, help='Samples of each.')] = 3,
    rate: Annotated[float, typer.Option(min=0.01, help='Samples a second.')] = 0.5,
    model: ImportModelOption = None,
    workers: WorkersOption = 2,
    ray_address: RayOption = None,
    pictures: PicturesOption = 8,
    as_json: JsonOption = False,
) -> None:
    """Render worlds, to mix them with real data."""
    from metabev_ros.lab.datasets.sources.synthetic import SyntheticDrives

    source = SyntheticDrives(first_seed, worlds, frames, rate)
    run_import(source, out, model, Spread(workers, ray_address), pictures, as_json)


@import_app.command(
    'streets',
    epilog=examples(
        'metabev import streets -o records/streets --worlds 10',
    ),
)
def import_streets(
    out: RecordsOption,
    first_seed: Annotated[int, typer.Option(min=0, help='Seed of the first world.')] = 1_000_000,
    worlds: Annotated[int, typer.Option(min=1, help='Number of worlds.')] = 100,
    frames: Annotated[int, typer.Option(min=1, help='Samples of each.')] = 6,
    spacing: Annotated[float, typer.Option(min=0.1, help='Seconds between them.')] = 1.5,
    cameras: Annotated[bool, typer.Option(help='With pictures.')] = True,
    model: ImportModelOption = None,
    workers: WorkersOption = 2,
    ray_address: RayOption = None,
    pictures: PicturesOption = 8,
    as_json: JsonOption = False,
) -> None:
    """Render drives through simulated streets: random places, rigs and weather."""
    from metabev_ros.lab.simulation.records import StreetDrives

    source = StreetDrives(first_seed, worlds, frames, spacing, cameras)
    run_import(source, out, model, Spread(workers, ray_address), pictures, as_json)


@import_app.command(
    'traffic',
    epilog=examples(
        'metabev import traffic scene.npz -o records/traffic',
    ),
)
def import_traffic(
    files: Annotated[
        list[Path], typer.Argument(help='Recorded scenes (.npz); each is driven again.')
    ],
    out: RecordsOption,
    first_seed: Annotated[int, typer.Option(min=0, help='Seed of the first drive.')] = 0,
    variants: Annotated[
        int, typer.Option(min=1, help='Drives of each scene: other rigs and weather.')
    ] = 1,
    spacing: Annotated[float, typer.Option(min=0.1, help='Seconds between samples.')] = 1.5,
    cameras: Annotated[bool, typer.Option(help='With pictures.')] = True,
    model: ImportModelOption = None,
    workers: WorkersOption = 2,
    ray_address: RayOption = None,
    pictures: PicturesOption = 8,
    as_json: JsonOption = False,
) -> None:
    """Drive recorded traffic again with simulated sensors. For evaluation, never to learn from."""
    from metabev_ros.lab.simulation.traffic_records import TrafficDrives

    source = TrafficDrives(tuple(files), first_seed, variants, spacing, cameras)
    run_import(source, out, model, Spread(workers, ray_address), pictures, as_json)


@import_app.command(
    'bag',
    epilog=examples(
        'metabev import bag drive.mcap --rig my_rig.yaml -o records/mine',
    ),
)
def import_bag(
    paths: Annotated[
        list[Path], typer.Argument(help='.mcap or .db3 files, or bag folders; each is a drive.')
    ],
    out: RecordsOption,
    rig: RigOption = None,
    boxes: Annotated[
        str,
        typer.Option(
            metavar='TOPIC',
            help='Topic of the boxes: Detection3DArray or SceneUpdate; default: the one that the '
            'bag has.',
        ),
    ] = '',
    tolerance: Annotated[
        float, typer.Option(min=0, max=0.5, help='Seconds from labels to their sample, at most.')
    ] = 0.05,
    every: Annotated[
        float, typer.Option(min=0, help='Seconds between records at least; 0: every sample.')
    ] = 0.0,
    labelled_range: Annotated[
        float | None,
        typer.Option(min=1, help='Metres up to which all objects are labelled; default: all.'),
    ] = None,
    licence: Annotated[
        str,
        typer.Option(
            metavar='TEXT', help='Licence of the data, for the card of what learns from it.'
        ),
    ] = "of the bag's owner",
    non_commercial: Annotated[
        bool, typer.Option('--non-commercial', help='What learns from it may not be sold.')
    ] = False,
    model: ImportModelOption = None,
    classes: ClassOption = None,
    workers: WorkersOption = 2,
    ray_address: RayOption = None,
    pictures: PicturesOption = 8,
    as_json: JsonOption = False,
) -> None:
    """Import labelled recordings: the very samples that a replay of them makes."""
    from metabev_ros.lab.datasets.sources.label_collection import LabelTopics
    from metabev_ros.lab.datasets.sources.labelled_bags import LabelledBags

    source = LabelledBags(
        tuple(paths),
        rig_config(rig),
        labels=LabelTopics(boxes),
        classes=class_changes(classes),
        tolerance_s=tolerance,
        spacing_s=every,
        labelled_range_m=labelled_range,
        licence=licence,
        is_commercial=not non_commercial,
    )
    run_import(source, out, model, Spread(workers, ray_address), pictures, as_json)
