"""Overrides for runs of a second."""

TINY = ["data=synthetic", "data.ratings=3000", "data.users=60", "data.movies=50", "batch_size=500"]
QUICK = [*TINY, "max_epochs=2", "hardware=cpu", "logger=none"]
