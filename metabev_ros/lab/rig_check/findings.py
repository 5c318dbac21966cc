"""The faults that the check of a rig knows, each with what it means and what to do."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from metabev_ros.errors import clean_text

BAG = 'bag'  # whose findings are those of no single sensor
_TEXT = 160  # characters of a text that holds names out of a bag


class Severity(enum.Enum):
    """Weight of a finding."""

    BLOCKS = 'blocks'  # the sensor is not used at all
    WRONG = 'wrong'  # it is used, and what comes of it is wrong or goes missing at times
    NOTE = 'note'  # it works; something is missing that would make it better


class Kind(enum.Enum):
    """The faults, by the name that `--json` gives them."""

    NOT_IN_BAG = 'not_in_bag'
    WRONG_TYPE = 'wrong_type'
    QOS = 'qos'
    UNREADABLE = 'unreadable'
    ENCODING = 'encoding'
    IMAGE_SIZE = 'image_size'
    FRAME = 'frame'
    FRAMES_SWAPPED = 'frames_swapped'
    DIRECTION = 'direction'
    NO_CAMERA_INFO = 'no_camera_info'
    CALIBRATION = 'calibration'
    RECTIFICATION = 'rectification'
    NO_TF = 'no_tf'
    STAMP_ZERO = 'stamp_zero'
    STAMP_ORDER = 'stamp_order'
    STAMP_JUMP = 'stamp_jump'
    CLOCK_OFFSET = 'clock_offset'
    RATE = 'rate'
    GAPS = 'gaps'
    STOPS = 'stops'
    DUPLICATES = 'duplicates'
    FROZEN = 'frozen'
    PICTURE = 'picture'
    POINTS = 'points'
    POINT_UNIT = 'point_unit'
    INTENSITY = 'intensity'
    NO_POINT_TIME = 'no_point_time'
    UPSIDE_DOWN = 'upside_down'
    TILTED = 'tilted'
    HEIGHT = 'height'
    LIDAR_TURNED = 'lidar_turned'
    CAMERA_TURNED = 'camera_turned'
    NO_ODOMETRY = 'no_odometry'
    ODOMETRY_FRAME = 'odometry_frame'
    LOSSY = 'lossy'
    LEFT_OUT = 'left_out'


@dataclass(frozen=True)
class Advice:
    """Meaning of a kind.

    Attributes:
        severity: of its findings.
        title: a few words for a table.
        remedy: what to do.
    """

    severity: Severity
    title: str
    remedy: str


_B, _W, _N = Severity.BLOCKS, Severity.WRONG, Severity.NOTE
ADVICE: dict[Kind, Advice] = {
    Kind.NOT_IN_BAG: Advice(
        _B, 'not in the bag', 'correct the topic in the rig file, or record it'
    ),
    Kind.WRONG_TYPE: Advice(
        _B,
        'another message type',
        'set `transport` to what is sent (Image: raw, CompressedImage: compressed)',
    ),
    Kind.QOS: Advice(
        _B,
        'QoS cannot match',
        'let the publisher of /tf_static offer reliable and transient_local, or set '
        '`qos_overrides./tf_static.subscription.durability: volatile` and start the node first',
    ),
    Kind.UNREADABLE: Advice(
        _W, 'messages cannot be read', 'check the driver and its message package'
    ),
    Kind.ENCODING: Advice(
        _B, 'encoding', 'let the driver send an encoding of docs/rig.md, or name another topic'
    ),
    Kind.IMAGE_SIZE: Advice(
        _B,
        'images do not fit CameraInfo',
        'calibrate at the size that is sent, or set binning and ROI in CameraInfo',
    ),
    Kind.FRAME: Advice(
        _B, 'frame_id', 'correct the frame_id in the driver, or `frame` in the rig file'
    ),
    Kind.FRAMES_SWAPPED: Advice(
        _B, 'frames of two sensors swapped', 'swap the frame_ids (or the cables) of the two'
    ),
    Kind.DIRECTION: Advice(
        _W,
        'looks elsewhere than its name says',
        'look at the picture: swap the frames or the topics of the two, or rename it',
    ),
    Kind.NO_CAMERA_INFO: Advice(
        _B, 'no CameraInfo', 'publish CameraInfo, or give `intrinsics` in the rig file'
    ),
    Kind.CALIBRATION: Advice(_B, 'CameraInfo is not usable', 'calibrate the camera'),
    Kind.RECTIFICATION: Advice(
        _W,
        'rectified or not?',
        'look at straight edges near the border: straight means `rectified: true`, bent `false`; '
        'let CameraInfo, topic and rig file say the same',
    ),
    Kind.NO_TF: Advice(
        _B,
        'no pose',
        'publish it on /tf_static (and record that), or give `ego_from_camera` or '
        '`ego_from_lidar` in the rig file',
    ),
    Kind.STAMP_ZERO: Advice(_B, 'stamps are zero', 'let the driver set header.stamp'),
    Kind.STAMP_ORDER: Advice(
        _W,
        'stamps go back',
        'stamp in the driver at capture; look for a second publisher of the topic',
    ),
    Kind.STAMP_JUMP: Advice(
        _W, 'stamps jump', 'synchronise the clock of the sensor (PTP) before recording'
    ),
    Kind.CLOCK_OFFSET: Advice(
        _W,
        'clock offset',
        'synchronise its clock (PTP), or set `time_offset` to what is named here',
    ),
    Kind.RATE: Advice(_W, 'rate', 'correct `rate_hz` in the rig file, or the driver'),
    Kind.GAPS: Advice(
        _W, 'frames are missing', 'look for a full disk, bandwidth and dropped messages'
    ),
    Kind.STOPS: Advice(_W, 'not there all the time', 'look for a driver that died or came late'),
    Kind.DUPLICATES: Advice(
        _W, 'frames come twice', 'look for a second publisher or a relay of the same topic'
    ),
    Kind.FROZEN: Advice(_B, 'the same content again and again', 'restart the sensor or driver'),
    Kind.PICTURE: Advice(_B, 'shows nothing', 'check cover, exposure and cable'),
    Kind.POINTS: Advice(_B, 'no usable points', 'send x, y and z as finite numbers in metres'),
    Kind.POINT_UNIT: Advice(_B, 'not in metres', 'let the driver send metres'),
    Kind.INTENSITY: Advice(_W, 'intensity scale', 'set `intensity_scale` to what is named here'),
    Kind.NO_POINT_TIME: Advice(
        _N,
        'points have no time of their own',
        'let the driver send one and name it in `point_time`: motion is then taken out of a sweep',
    ),
    Kind.UPSIDE_DOWN: Advice(
        _W, 'upside down', 'turn its transform by 180 degrees about its x axis'
    ),
    Kind.TILTED: Advice(
        _W, 'the ground is tilted', 'calibrate roll and pitch of the LiDAR against the ego frame'
    ),
    Kind.HEIGHT: Advice(
        _W,
        'the ground is not at z = 0',
        'let the ego frame lie on the ground, or correct the height of the LiDAR',
    ),
    Kind.LIDAR_TURNED: Advice(
        _W, 'turned against the motion', 'calibrate its yaw against the ego frame'
    ),
    Kind.CAMERA_TURNED: Advice(
        _W,
        'points and picture do not meet',
        'look at the picture; calibrate the camera against the LiDAR',
    ),
    Kind.NO_ODOMETRY: Advice(
        _N,
        'no odometry',
        'publish nav_msgs/Odometry of the ego frame, or TF odom -> ego: without it nothing is '
        'moved to the time of the sample',
    ),
    Kind.ODOMETRY_FRAME: Advice(
        _W, 'odometry of another frame', 'let child_frame_id name the ego frame'
    ),
    Kind.LOSSY: Advice(_W, 'the bag is damaged', 'record it anew, or let `ros2 bag` reindex it'),
    Kind.LEFT_OUT: Advice(_N, 'not in the rig file', 'add it by hand if it is wanted'),
}


@dataclass(frozen=True)
class Finding:
    """One fault of one sensor.

    Attributes:
        kind: of fault.
        sensor: its name, or `BAG`.
        where: topic or transform.
        expected, got: as in errors.
    """

    kind: Kind
    sensor: str
    where: str
    expected: str
    got: str

    @property
    def severity(self) -> Severity:
        """Weight of it."""
        return ADVICE[self.kind].severity

    @property
    def title(self) -> str:
        """A few words for a table."""
        return ADVICE[self.kind].title

    @property
    def remedy(self) -> str:
        """The next step for a person."""
        return ADVICE[self.kind].remedy

    def text(self) -> str:
        """One line: where, expected, got, what to do."""
        where, got = clean_text(self.where, _TEXT), clean_text(self.got, _TEXT)
        return f'{where}: {self.title}: expected {self.expected}, got {got}; {self.remedy}'
