"""Configuration of a vehicle-like drive: mounts, motion, odometry; `config/drives/*.yaml`."""

from __future__ import annotations

from dataclasses import dataclass, replace

from metabev_ros.config.yaml import require
from metabev_ros.lab.datasets.synthetic.config import Weather
from metabev_ros.structures import DistortionModel

_D_LENGTHS = {
    DistortionModel.PLUMB_BOB: (0, 4, 5),
    DistortionModel.RATIONAL_POLYNOMIAL: (0, 8, 12, 14),
    DistortionModel.EQUIDISTANT: (4,),
}


@dataclass(frozen=True)
class CameraMount:
    """A camera where the rig file says neither what it sees nor where it sits.

    Attributes:
        name: of the rig's camera.
        position: metres in the ego frame.
        yaw, pitch, roll: degrees: to the left, downwards, and clockwise about the view.
        width, height: pixels.
        focal: pixels; centre: principal point in pixels, None for the middle of the image.
        distortion_model, distortion: of its lens, where its images are not rectified.
    """

    name: str
    position: tuple[float, ...]
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    width: int = 704
    height: int = 256
    focal: float = 557.04
    centre: tuple[float, ...] | None = None
    distortion_model: DistortionModel = DistortionModel.PLUMB_BOB
    distortion: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        where = f'drive.cameras.{self.name}'
        _check_position(where, self.position)
        require(
            32 <= self.width <= 4096 and 32 <= self.height <= 4096,
            f'{where}.width, height',
            '32..4096 pixels',
            (self.width, self.height),
        )
        require(0 < self.focal < 1e5, f'{where}.focal', 'pixels above 0', self.focal)
        centre = self.centre
        require(
            centre is None or len(centre) == 2, f'{where}.centre', 'two numbers, pixels', centre
        )
        lengths = _D_LENGTHS[self.distortion_model]
        require(
            len(self.distortion) in lengths,
            f'{where}.distortion',
            f'{" or ".join(map(str, lengths))} numbers for {self.distortion_model.value}',
            len(self.distortion),
        )

    def scaled(self, share: float) -> CameraMount:
        """The same view in another number of pixels."""
        centre = self.centre
        return replace(
            self,
            width=round(self.width * share),
            height=round(self.height * share),
            focal=self.focal * share,
            centre=centre and tuple((value + 0.5) * share - 0.5 for value in centre),
        )


@dataclass(frozen=True)
class LidarMount:
    """A spinning LiDAR that stands upright.

    Attributes:
        name: of the rig's LiDAR.
        position: metres in the ego frame, where the rig file fixes no pose.
        yaw: degrees from the ego's x axis to the LiDAR's, to the left.
        beams: number of rings; lowest, highest: their elevations, degrees.
        azimuths: columns of a revolution.
        last: azimuth at which a sweep ends, degrees in the ego frame; it turns clockwise.
        reach: metres.
    """

    name: str
    position: tuple[float, ...] = (0.94, 0.0, 1.84)
    yaw: float = -90.0
    beams: int = 32
    lowest: float = -30.67
    highest: float = 10.67
    azimuths: int = 1080
    last: float = 106.4
    reach: float = 80.0

    def __post_init__(self) -> None:
        where = f'drive.lidars.{self.name}'
        _check_position(where, self.position)
        require(1 < self.beams <= 256, f'{where}.beams', '2..256', self.beams)
        require(36 <= self.azimuths <= 4096, f'{where}.azimuths', '36..4096', self.azimuths)
        require(
            -89 < self.lowest < self.highest < 89,
            f'{where}.lowest, highest',
            'two rising elevations within 89 degrees',
            (self.lowest, self.highest),
        )
        require(5 <= self.reach <= 300, f'{where}.reach', '5..300 m', self.reach)


def _check_position(where: str, position: tuple[float, ...]) -> None:
    good = len(position) == 3 and all(abs(value) <= 10 for value in position)
    require(good, f'{where}.position', 'x, y and z within 10 m', position)
    require(position[2] > 0.1, f'{where}.position', 'a place above the ground', position)


@dataclass(frozen=True)
class OdometryNoise:
    """Errors of odometry and TF.

    Attributes:
        position, yaw: white, standard deviations, metres and radians.
        velocity, yaw_rate: white, m/s and rad/s.
        drift, yaw_drift: growth of the errors, m/s and rad/s.
    """

    position: float = 0.01
    yaw: float = 0.001
    velocity: float = 0.05
    yaw_rate: float = 0.002
    drift: float = 0.02
    yaw_drift: float = 0.0003

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            require(0 <= value <= 10, f'drive.odometry.{name}', '0..10', value)


@dataclass(frozen=True)
class VehicleConfig:
    """A drive that is like that of a vehicle.

    Attributes:
        cruise: m/s where nothing is in the way; None draws 11..15 from the seed.
        turn_radius: of the turns at crossings, metres.
        weather: fixed, or drawn from the seed.
        timing: the timing preset that it takes when none is asked for.
        odometry: its noise.
        cameras, lidars: mounts by the names of the rig's sensors; what the rig file fixes counts
            first.
    """

    cruise: float | None = None
    turn_radius: float = 9.0
    weather: Weather = Weather.BY_SEED
    timing: str = 'nuscenes'
    odometry: OdometryNoise = OdometryNoise()
    cameras: tuple[CameraMount, ...] = ()
    lidars: tuple[LidarMount, ...] = ()

    def __post_init__(self) -> None:
        cruise = self.cruise
        require(cruise is None or 2 <= cruise <= 20, 'drive.cruise', '2..20 m/s, or null', cruise)
        require(6 <= self.turn_radius <= 14, 'drive.turn_radius', '6..14 m', self.turn_radius)
        names = [mount.name for mount in (*self.cameras, *self.lidars)]
        require(len(set(names)) == len(names), 'drive', 'one mount for each name', names)
