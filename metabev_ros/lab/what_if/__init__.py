"""One's own bag with each sensor lost, late, frozen or blind in turn, and the price of it."""
