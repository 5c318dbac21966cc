"""Many bags: each replayed once, wherever there is room, and ranked on one page."""
