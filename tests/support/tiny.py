"""Overrides for runs of about a second, with a plain network; test_defaults.py tests the defaults."""

SMALL = ["data=synthetic", "data.ratings=3000", "data.users=60", "data.items=50", "batch_size=500"]
SHORT = ["max_epochs=2", "hardware=cpu", "logger=none"]
PLAIN = ["data.step=0", "model=embedding-net", "optimizer=adam", "snapshots=1", "l2.vectors=0", "l2.biases=0"]
QUICK = [*SMALL, *PLAIN, *SHORT]
