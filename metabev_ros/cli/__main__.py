"""Entry of `python -m metabev_ros.cli`."""

from metabev_ros.cli import main

main()
