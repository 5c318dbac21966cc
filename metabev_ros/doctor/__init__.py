"""The machine examined before anything runs on it.

Only the standard library is imported here: what is missing must not stop the one who says so.
"""

from metabev_ros.doctor.examine import exit_code, plain_lines, report_text
from metabev_ros.doctor.line import Line, State
from metabev_ros.doctor.machine import examine_machine
from metabev_ros.doctor.remedies import remedy
from metabev_ros.doctor.software import examine_software

__all__ = [
    'Line',
    'State',
    'examine_machine',
    'examine_software',
    'exit_code',
    'plain_lines',
    'remedy',
    'report_text',
]
