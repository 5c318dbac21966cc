"""Pictures of the documentation; `python tools/figures --help` names them."""
