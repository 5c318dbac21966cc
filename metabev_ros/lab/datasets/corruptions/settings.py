"""The settings of the robustness table: the paper's, at every degree, and beyond."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.corruptions.images import SEVERITIES, ImageKind
from metabev_ros.lab.datasets.corruptions.lidar import BeamChoice


class Failure(enum.Enum):
    """Kinds of failure; the first eight are MetaBEV's (Tables 2 and 8).

    The degree means:
        CLEAN: nothing. LIMITED_FIELD: degrees of azimuth kept, centred forward.
        MISSING_OBJECTS: chance of each object to lose all its points.
        BEAM_REDUCTION: beams kept of 32. VIEW_DROP, VIEW_NOISE: views hit, 0..6.
        OCCLUSION: 0 without, 1 with. MISSING_CAMERA, MISSING_LIDAR: 1.
        FROZEN_VIEWS: views that show what was 0.5 s ago. MISCALIBRATION: degrees of rotation of
        every camera. TIME_SKEW: ms by which all images are older than they claim.
        FOG: visibility in metres, both sensors. NIGHT: share of the light that remains.
        POINT_LOSS: share of points lost. SEVERAL: number of a combination, see COMBINATIONS.
        INDEPENDENT: chance of each sensor to be absent. LOST_SECTOR: degrees of azimuth without
        points, anywhere. ABSENT_VIEWS: cameras that give nothing, 0..6; they are not computed.
        IMAGE: severity 1..5 of a corruption of all images.
    """

    CLEAN = 'clean'
    LIMITED_FIELD = 'lf'
    MISSING_OBJECTS = 'mo'
    BEAM_REDUCTION = 'br'
    VIEW_DROP = 'vd'
    VIEW_NOISE = 'vn'
    OCCLUSION = 'oo'
    MISSING_CAMERA = 'mc'
    MISSING_LIDAR = 'ml'
    FROZEN_VIEWS = 'frozen'
    MISCALIBRATION = 'jitter'
    TIME_SKEW = 'skew'
    FOG = 'fog'
    NIGHT = 'night'
    POINT_LOSS = 'points'
    SEVERAL = 'several'
    INDEPENDENT = 'iid'
    LOST_SECTOR = 'sector'
    ABSENT_VIEWS = 'absent'
    IMAGE = 'image'


_WORDS = {
    Failure.CLEAN: 'clean',
    Failure.LIMITED_FIELD: 'LiDAR field limited to {:g} degrees',
    Failure.MISSING_OBJECTS: 'points of objects missing, rate {:g}',
    Failure.BEAM_REDUCTION: '{:g} LiDAR beams',
    Failure.VIEW_DROP: '{:g} views black',
    Failure.VIEW_NOISE: '{:g} views noise',
    Failure.OCCLUSION: 'obstacle occlusion',
    Failure.MISSING_CAMERA: 'missing camera',
    Failure.MISSING_LIDAR: 'missing LiDAR',
    Failure.FROZEN_VIEWS: '{:g} views frozen for 0.5 s',
    Failure.MISCALIBRATION: 'cameras turned by {:g} degrees',
    Failure.TIME_SKEW: 'images {:g} ms old',
    Failure.FOG: 'fog, {:g} m of visibility',
    Failure.NIGHT: 'night, {:g} of the light',
    Failure.POINT_LOSS: '{:g} of the points lost',
    Failure.INDEPENDENT: 'each sensor absent with chance {:g}',
    Failure.LOST_SECTOR: '{:g} degrees of the LiDAR lost, anywhere',
    Failure.ABSENT_VIEWS: '{:g} views absent',
    Failure.IMAGE: '{kind}, severity {:g}',
}


@dataclass(frozen=True)
class Setting:
    """One failure at one degree.

    Attributes:
        degree: see `Failure`.
        variant: which beams remain of BEAM_REDUCTION, kind of IMAGE; None for the others.
    """

    failure: Failure
    degree: float
    variant: BeamChoice | ImageKind | None = None

    def __post_init__(self) -> None:
        allowed = _DEGREES[self.failure]
        if not allowed(self.degree):
            raise ConfigError(
                f'Setting.degree of {self.failure.name}',
                'a degree of this failure',
                repr(self.degree),
                'see Failure',
            )
        wanted = _VARIANTS.get(self.failure, type(None))
        if not isinstance(self.variant, wanted):
            raise ConfigError(
                f'Setting.variant of {self.failure.name}', wanted.__name__, repr(self.variant)
            )

    @property
    def code(self) -> str:
        """Failure and variant: 'lf', 'br', 'br_even', 'image_snow'."""
        if isinstance(self.variant, ImageKind):
            return f'{self.failure.value}_{self.variant.value}'
        even = self.variant is BeamChoice.EVENLY_SPACED
        return f'{self.failure.value}_even' if even else self.failure.value

    @property
    def id(self) -> str:
        """'lf.120', 'mo.0_3', 'br_even.4'; a dot in the degree becomes an underscore."""
        return f'{self.code}.' + f'{self.degree:g}'.replace('.', '_')

    @property
    def words(self) -> str:
        """For tables."""
        if self.failure is Failure.SEVERAL:
            return COMBINATIONS[int(self.degree)]
        if self.failure is Failure.OCCLUSION and self.degree == 0:
            return 'no obstacle occlusion'
        if isinstance(self.variant, ImageKind):
            kind = self.variant.value.replace('_', ' ')
            return _WORDS[self.failure].format(self.degree, kind=f'images: {kind}')
        choice = {
            None: '',
            BeamChoice.BEVFUSION: ', central',
            BeamChoice.EVENLY_SPACED: ', evenly spaced',
        }
        return _WORDS[self.failure].format(self.degree) + choice[self.variant]

    @property
    def is_harmless(self) -> bool:
        """Tell whether the degree leaves the sample as it is: the clean end of a curve."""
        return (self.failure, self.degree) in {
            (Failure.CLEAN, 0),
            (Failure.LIMITED_FIELD, 360),
            (Failure.MISSING_OBJECTS, 0),
            (Failure.BEAM_REDUCTION, 32),
            (Failure.OCCLUSION, 0),
        }


def _share(value: float) -> bool:
    return 0 <= value <= 1


def _views(value: float) -> bool:
    return value in range(7)


_DEGREES = {
    Failure.CLEAN: lambda d: d == 0,
    Failure.LIMITED_FIELD: lambda d: 0 < d <= 360,
    Failure.MISSING_OBJECTS: _share,
    Failure.BEAM_REDUCTION: lambda d: d in (32, 16, 8, 4, 1),
    Failure.VIEW_DROP: _views,
    Failure.VIEW_NOISE: _views,
    Failure.OCCLUSION: lambda d: d in (0, 1),
    Failure.MISSING_CAMERA: lambda d: d == 1,
    Failure.MISSING_LIDAR: lambda d: d == 1,
    Failure.FROZEN_VIEWS: _views,
    Failure.MISCALIBRATION: lambda d: 0 <= d <= 45,
    Failure.TIME_SKEW: lambda d: d >= 0,
    Failure.FOG: lambda d: d > 0,
    Failure.NIGHT: lambda d: 0 < d <= 1,
    Failure.POINT_LOSS: _share,
    Failure.SEVERAL: lambda d: d in COMBINATIONS,
    Failure.INDEPENDENT: _share,
    Failure.LOST_SECTOR: lambda d: 0 <= d <= 360,
    Failure.ABSENT_VIEWS: _views,
    Failure.IMAGE: lambda d: d in SEVERITIES,
}
_VARIANTS = {Failure.BEAM_REDUCTION: BeamChoice, Failure.IMAGE: ImageKind}

# What SEVERAL does, in words; `suite` does it.
COMBINATIONS = {
    1: '2 views black, LiDAR 120 degrees forward, 8 central beams',
    2: '3 views noise, 80 % of the points lost',
    3: 'fog of 100 m, 1 view frozen for 0.5 s',
    4: 'night (0.25), occlusion, 16 beams',
}

CLEAN = Setting(Failure.CLEAN, 0)
_EVEN, _CENTRAL = BeamChoice.EVENLY_SPACED, BeamChoice.BEVFUSION
HEADLINE = (
    Setting(Failure.LIMITED_FIELD, 120),
    Setting(Failure.MISSING_OBJECTS, 1.0),
    Setting(Failure.BEAM_REDUCTION, 4, _CENTRAL),
    Setting(Failure.VIEW_DROP, 6),
    Setting(Failure.VIEW_NOISE, 6),
    Setting(Failure.OCCLUSION, 1),
    Setting(Failure.MISSING_CAMERA, 1),
    Setting(Failure.MISSING_LIDAR, 1),
)
PAPER = (
    *(Setting(Failure.LIMITED_FIELD, d) for d in (360, 240, 180, 120)),
    *(Setting(Failure.MISSING_OBJECTS, d) for d in (0.0, 0.1, 0.3, 0.5, 0.7, 1.0)),
    *(Setting(Failure.BEAM_REDUCTION, d, _CENTRAL) for d in (32, 16, 8, 4, 1)),
    *(Setting(Failure.BEAM_REDUCTION, d, _EVEN) for d in (32, 16, 8, 4, 1)),
    *(Setting(Failure.VIEW_DROP, d) for d in range(1, 7)),
    *(Setting(Failure.VIEW_NOISE, d) for d in range(1, 7)),
    Setting(Failure.OCCLUSION, 0),
    Setting(Failure.OCCLUSION, 1),
    Setting(Failure.MISSING_CAMERA, 1),
    Setting(Failure.MISSING_LIDAR, 1),
)
BEYOND = (
    *(Setting(Failure.FROZEN_VIEWS, d) for d in (1, 3, 6)),
    *(Setting(Failure.MISCALIBRATION, d) for d in (0.5, 1, 2, 5)),
    *(Setting(Failure.TIME_SKEW, d) for d in (50, 100, 200, 500)),
    *(Setting(Failure.FOG, d) for d in (200, 100, 50)),
    *(Setting(Failure.NIGHT, d) for d in (0.5, 0.25, 0.1)),
    *(Setting(Failure.POINT_LOSS, d) for d in (0.7, 0.8, 0.9)),
    *(Setting(Failure.SEVERAL, d) for d in COMBINATIONS),
    *(Setting(Failure.INDEPENDENT, d) for d in (0.1, 0.3, 0.5)),
    *(Setting(Failure.LOST_SECTOR, d) for d in (60, 120, 180)),
    *(Setting(Failure.ABSENT_VIEWS, d) for d in (1, 3, 5)),
)
# The paper names no severity: the middle one of five.
IMAGES = tuple(Setting(Failure.IMAGE, 3, kind) for kind in ImageKind)
ALL = (CLEAN, *PAPER, *BEYOND, *IMAGES)


class SettingGroup(enum.Enum):
    """Settings that are evaluated together; each group begins with the clean one."""

    CLEAN = 'clean'
    HEADLINE = 'headline'
    PAPER = 'paper'
    BEYOND = 'beyond'
    IMAGES = 'images'
    ALL = 'all'

    @property
    def settings(self) -> tuple[Setting, ...]:
        """The settings of the group, in the order of the suite."""
        return {
            SettingGroup.CLEAN: (CLEAN,),
            SettingGroup.HEADLINE: (CLEAN, *HEADLINE),
            SettingGroup.PAPER: (CLEAN, *PAPER),
            SettingGroup.BEYOND: (CLEAN, *BEYOND),
            SettingGroup.IMAGES: (CLEAN, *IMAGES),
            SettingGroup.ALL: ALL,
        }[self]
