"""One camera: from a message to a placed frame, and to the picture that a sample holds."""

from __future__ import annotations

from typing import cast

from metabev_ros.config import CameraConfig, SensingConfig, Transport
from metabev_ros.errors import SensorDataError, assert_never, clean_text
from metabev_ros.sensing.calibration import Intrinsics, fixed_intrinsics, read_camera_info
from metabev_ros.sensing.checks import FrozenDetector, ImageCheck, Verdict
from metabev_ros.sensing.decoding import (
    PackedImage,
    read_compressed_image,
    read_image,
)
from metabev_ros.sensing.frames import CameraFrame, Look
from metabev_ros.sensing.inputs import Reading, SensorInput, require_frame
from metabev_ros.sensing.messages import CameraInfo, CompressedImage, Image
from metabev_ros.sensing.tf_tree import TfTree
from metabev_ros.sensing.untrusted import read_frame
from metabev_ros.structures import CameraCalibration, SensorKind, SensorState


class CameraInput(SensorInput[PackedImage]):
    """Cheap checks, calibration and judgement of one camera's images."""

    def __init__(self, camera: CameraConfig, config: SensingConfig) -> None:
        super().__init__(camera, SensorKind.CAMERA, camera.ego_from_camera, config)
        self._transport, self._rectified = camera.transport, camera.rectified
        self._frozen = FrozenDetector(config.frozen_frames)
        self._check = ImageCheck()
        self._intrinsics: Intrinsics | None = fixed_intrinsics(camera)
        self._problem = 'no CameraInfo'

    def read_info(self, message: CameraInfo) -> None:
        """Take a CameraInfo; one that is wrong makes the camera uncalibrated.

        Raises:
            SensorDataError: 'calibration'.
        """
        try:
            self._intrinsics = read_camera_info(message, self._rectified)
        except SensorDataError as error:
            self._intrinsics, self._problem = None, error.got
            raise

    def read(self, message: Image | CompressedImage) -> PackedImage:
        """The image, its frame, sizes and headers checked, nothing decoded.

        Raises:
            SensorDataError: what `decoding` raises, 'frame', or 'calibration' for a picture of
                another size than that of its CameraInfo.
        """
        require_frame(clean_text(read_frame(message.header)), self.frame, 'frame')
        match self._transport:
            case Transport.RAW:
                packed = read_image(cast(Image, message))
            case Transport.COMPRESSED:
                packed = read_compressed_image(message)
            case _:
                assert_never(self._transport)
        if self._intrinsics is not None:
            # A file of a few bytes may hold 32 million pixels: not before they are decoded.
            self._intrinsics.for_size(*packed.size)
        return packed

    def check_frozen(self, packed: PackedImage) -> Verdict:
        """Judge by what can be told without decoding: whether the content repeats."""
        return self._frozen.check(packed.fingerprint())

    def place(self, reading: Reading[PackedImage], tf: TfTree) -> CameraFrame:
        """Find the camera on the vehicle.

        Raises:
            SensorDataError: 'calibration' or 'transform'.
        """
        if self._intrinsics is None:
            raise SensorDataError('calibration', 'CameraInfo', 'a usable one', self._problem)
        intrinsics = self._intrinsics.for_size(*reading.data.size)
        calibration = CameraCalibration(
            intrinsics.width,
            intrinsics.height,
            intrinsics.matrix,
            self.pose(tf, reading.stamp_ns, intrinsics.matrix),
            intrinsics.distortion,
            intrinsics.distortion_model,
        )
        return CameraFrame(reading.stamp_ns, reading.arrival_ns, reading.data, calibration)

    def judge(self, look: Look) -> Verdict:
        """Judge the camera by the content of a picture."""
        if isinstance(look, SensorDataError):
            return Verdict(SensorState.INVALID, f'{look.reason}: {look.got}', look.reason)
        return self._check.check(look)
