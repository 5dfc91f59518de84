"""Overrides for runs that tests stop or kill: several seconds long, with several checkpoints."""

BASE = [
    *(
        "data=synthetic",
        "data.ratings=6000",
        "data.users=80",
        "data.items=100",
        "data.step=1",
        "batch_size=40",
    ),
    *("max_epochs=6", "patience=4", "hardware=cpu", "logger=none"),
]
SMALL = ["model=embedding-net", "model.embedding_dim=8", "model.hidden=[16]"]
RUN = [*BASE, *SMALL, "schedule.cycle_epochs=2"]
