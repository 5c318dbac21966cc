"""ROS 2 messages as CDR bytes, in and out, without ROS.

`budget` says what a message may cost, `cdr` reads and writes bytes, `foreign` reads types that
only a bag defines; `latched` knows which topics are kept for late subscribers; `outputs`, `tracks`
and `status` say what this package publishes, where and as which type. Node and replay send what is
made here, byte for byte.
"""

from metabev_ros.errors import TEXT_LIMIT, clean_text
from metabev_ros.wire.budget import MAX_BYTES, refusal_by_size
from metabev_ros.wire.cdr import (
    deserialize,
    has_header_first,
    header,
    knows_type,
    message_class,
    read_stamp,
    serialize,
    stamp_to_ns,
    type_definition,
    typestore,
    with_stamp,
)
from metabev_ros.wire.definitions import (
    AUTOWARE,
    AUTOWARE_TRACKS,
    DEFINITIONS,
    GRID_MAP,
    SCENE,
    VISION,
)
from metabev_ros.wire.foreign import ForeignType
from metabev_ros.wire.latched import is_latched
from metabev_ros.wire.outputs import (
    BEV_MAP,
    DETECTIONS,
    DIAGNOSTICS,
    DRIVABLE_AREA,
    HASH_DIGITS,
    MARKERS,
    OUTPUT_TYPES,
    STATUS,
    TRACKS,
    OutMessage,
    check_result,
    covariances,
    encode_result,
)
from metabev_ros.wire.standard import (
    SENSOR_PANEL,
    MadeOf,
    StandardOutput,
    chosen_outputs,
    encode_sensor_panel,
    encode_standard,
    encode_standard_tracks,
    is_latched_output,
    layer_topic,
    mode_of,
    standard_outputs,
)
from metabev_ros.wire.status import (
    INJECTION_ACTIVE,
    Counters,
    StatusReport,
    encode_diagnostics,
    encode_status,
    sensor_level,
)
from metabev_ros.wire.tracks import encode_tracks

__all__ = [
    'AUTOWARE',
    'AUTOWARE_TRACKS',
    'BEV_MAP',
    'DEFINITIONS',
    'DETECTIONS',
    'DIAGNOSTICS',
    'DRIVABLE_AREA',
    'GRID_MAP',
    'HASH_DIGITS',
    'INJECTION_ACTIVE',
    'MARKERS',
    'MAX_BYTES',
    'OUTPUT_TYPES',
    'SCENE',
    'SENSOR_PANEL',
    'STATUS',
    'TEXT_LIMIT',
    'TRACKS',
    'VISION',
    'Counters',
    'ForeignType',
    'MadeOf',
    'OutMessage',
    'StandardOutput',
    'StatusReport',
    'check_result',
    'chosen_outputs',
    'clean_text',
    'covariances',
    'deserialize',
    'encode_diagnostics',
    'encode_result',
    'encode_sensor_panel',
    'encode_standard',
    'encode_standard_tracks',
    'encode_status',
    'encode_tracks',
    'has_header_first',
    'header',
    'is_latched',
    'is_latched_output',
    'knows_type',
    'layer_topic',
    'message_class',
    'mode_of',
    'read_stamp',
    'refusal_by_size',
    'sensor_level',
    'serialize',
    'stamp_to_ns',
    'standard_outputs',
    'type_definition',
    'typestore',
    'with_stamp',
]
