import logging
import math

import pytest
import torch

from recsys.training.schedules import constant, cosine_restarts, cycle_ends, one_cycle, triangular

STEPS = 10  # in an epoch


def rates(schedule, max_epochs: int = 6, steps: int = STEPS, **arguments) -> list[float]:
    """The learning rate of every step of a run, with a peak of 1."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = schedule(optimizer, steps, max_epochs, **arguments)
    seen = []
    for _ in range(steps * max_epochs):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return seen


def test_cosine_restarts_every_cycle() -> None:
    seen = rates(cosine_restarts, cycle_epochs=2, floor=0.1)
    expected = [0.1 + 0.45 * (1 + math.cos(math.pi * (step % 20) / 20)) for step in range(60)]
    assert seen == pytest.approx(expected)
    assert seen[20] == seen[40] == 1.0


def test_cosine_cycles_can_grow() -> None:
    seen = rates(cosine_restarts, max_epochs=7, cycle_epochs=1, cycle_mult=2, floor=0)
    assert [step for step, rate in enumerate(seen) if rate == 1.0] == [0, 10, 30]


def test_a_cycle_of_part_of_an_epoch_restarts_within_it() -> None:
    seen = rates(cosine_restarts, max_epochs=1, cycle_epochs=0.5)
    assert [step for step, rate in enumerate(seen) if rate == 1.0] == [0, 5]


@pytest.mark.parametrize("schedule", [cosine_restarts, triangular])
def test_a_cycle_longer_than_the_run_is_shortened_and_said_so(schedule, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        seen = rates(schedule, max_epochs=2, cycle_epochs=50)
    assert seen == pytest.approx(rates(schedule, max_epochs=2, cycle_epochs=2))
    assert "schedule.cycle_epochs=50: shortened to max_epochs=2" in caplog.text


def test_one_cycle_peaks_once() -> None:
    seen = rates(one_cycle, max_epochs=4, warm_up=0.25)
    assert max(seen) == pytest.approx(1.0)
    assert seen.index(max(seen)) in (9, 10)
    assert seen[-1] < 1e-3


@pytest.mark.parametrize(
    ("mode", "peaks"), [("triangular", [1, 1, 1]), ("triangular2", [1, 0.55, 0.325]), ("exp_range", None)]
)
def test_triangular(mode: str, peaks: list[float] | None) -> None:
    seen = rates(triangular, mode=mode, cycle_epochs=2, floor=0.1, gamma=0.99)
    if peaks is None:
        peaks = [0.1 + 0.9 * 0.99**step for step in (10, 30, 50)]
    assert [seen[step] for step in (10, 30, 50)] == pytest.approx(peaks)
    assert [seen[step] for step in (0, 20, 40)] == pytest.approx([0.1] * 3)


@pytest.mark.parametrize("steps", [81, 80, 3, 2])
def test_triangular_starts_every_epoch_at_the_floor(steps: int) -> None:
    seen = rates(triangular, max_epochs=20, steps=steps, cycle_epochs=1, floor=0.1)
    assert seen[::steps] == pytest.approx([0.1] * 20)
    assert seen[steps // 2 :: steps] == pytest.approx([1] * 20)


def test_a_cycle_of_a_single_step_becomes_one_of_two() -> None:
    assert rates(triangular, max_epochs=4, steps=1, cycle_epochs=1) == pytest.approx([0.1, 1, 0.1, 1])


def test_constant_stays() -> None:
    assert set(rates(constant)) == {1.0}


@pytest.mark.parametrize(
    ("schedule", "max_epochs", "ends"),
    [
        ({"_target_": "x.cosine_restarts", "cycle_epochs": 2}, 5, {2, 4, 5}),
        ({"_target_": "x.cosine_restarts", "cycle_epochs": 1, "cycle_mult": 2}, 9, {1, 3, 7, 9}),
        ({"_target_": "x.cosine_restarts", "cycle_epochs": 2.5}, 6, {2, 5, 6}),
        ({"_target_": "x.triangular", "cycle_epochs": 9}, 4, {4}),
        ({"_target_": "x.one_cycle", "warm_up": 0.1}, 4, {4}),
        ({"_target_": "x.constant"}, 3, {1, 2, 3}),
    ],
)
def test_cycles_end_where_the_rate_is_lowest(schedule: dict, max_epochs: int, ends: set[int]) -> None:
    assert cycle_ends(schedule, max_epochs) == ends
