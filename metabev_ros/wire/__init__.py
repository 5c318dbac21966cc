"""ROS 2 messages as CDR bytes, in and out, without ROS.

`budget` says what a message may cost, `cdr` reads and writes bytes, `foreign` reads types that
only a bag defines; `outputs`, `tracks` and `status` say what this package publishes, where and as
which type. Node and replay send what is made here, byte for byte.
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
from metabev_ros.wire.foreign import ForeignType
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
    encode_result,
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
    'BEV_MAP',
    'DETECTIONS',
    'DIAGNOSTICS',
    'DRIVABLE_AREA',
    'HASH_DIGITS',
    'INJECTION_ACTIVE',
    'MARKERS',
    'MAX_BYTES',
    'OUTPUT_TYPES',
    'STATUS',
    'TEXT_LIMIT',
    'TRACKS',
    'Counters',
    'ForeignType',
    'OutMessage',
    'StatusReport',
    'check_result',
    'clean_text',
    'deserialize',
    'encode_diagnostics',
    'encode_result',
    'encode_status',
    'encode_tracks',
    'has_header_first',
    'header',
    'knows_type',
    'message_class',
    'read_stamp',
    'refusal_by_size',
    'sensor_level',
    'serialize',
    'stamp_to_ns',
    'type_definition',
    'typestore',
    'with_stamp',
]
