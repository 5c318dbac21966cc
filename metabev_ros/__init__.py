"""MetaBEV perception that keeps seeing when sensors fail."""

import pkgutil

# The generated `metabev_ros.msg` lies in the install tree: in a source checkout both must show.
__path__ = pkgutil.extend_path(__path__, __name__)
