"""The learning rate of every step, and the epochs at which cycles end."""

import logging
import math

import pytest
import torch

from recsys.training.schedules import Constant, CosineRestarts, OneCycle, Schedule, Triangular

STEPS_PER_EPOCH = 10


def rates(schedule: Schedule, max_epochs: int = 6, steps_per_epoch: int = STEPS_PER_EPOCH) -> list[float]:
    """Return the learning rate of every step of a run, with a peak of 1."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = schedule(optimizer, steps_per_epoch, max_epochs)
    rates = []
    for _ in range(steps_per_epoch * max_epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def test_cosine_restarts_every_cycle() -> None:
    found = rates(CosineRestarts(cycle_epochs=2, floor=0.1))
    expected = [0.1 + 0.45 * (1 + math.cos(math.pi * (step % 20) / 20)) for step in range(60)]
    assert found == pytest.approx(expected)
    assert found[20] == found[40] == 1.0


def test_cosine_cycles_can_grow() -> None:
    found = rates(CosineRestarts(cycle_epochs=1, cycle_mult=2, floor=0), max_epochs=7)
    assert [step for step, rate in enumerate(found) if rate == 1.0] == [0, 10, 30]


def test_a_cycle_of_half_an_epoch_restarts_within_the_epoch() -> None:
    found = rates(CosineRestarts(cycle_epochs=0.5), max_epochs=1)
    assert [step for step, rate in enumerate(found) if rate == 1.0] == [0, 5]


@pytest.mark.parametrize("schedule_class", [CosineRestarts, Triangular])
def test_a_cycle_longer_than_the_run_is_shortened_with_a_warning(
    schedule_class: type[CosineRestarts] | type[Triangular], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        found = rates(schedule_class(cycle_epochs=50), max_epochs=2)
    assert found == pytest.approx(rates(schedule_class(cycle_epochs=2), max_epochs=2))
    assert "schedule.cycle_epochs=50" in caplog.text
    assert "max_epochs=2" in caplog.text


def test_one_cycle_peaks_once() -> None:
    found = rates(OneCycle(warm_up=0.25), max_epochs=4)
    assert max(found) == pytest.approx(1.0)
    assert found.index(max(found)) in (9, 10)
    assert found[-1] < 1e-3


@pytest.mark.parametrize(
    ("mode", "peaks"),
    [
        ("triangular", [1, 1, 1]),
        ("triangular2", [1, 0.55, 0.325]),
        ("exp_range", [0.1 + 0.9 * 0.99**step for step in (10, 30, 50)]),
    ],
)
def test_triangular_cycles_peak_as_their_mode_says(mode: str, peaks: list[float]) -> None:
    found = rates(Triangular(mode=mode, cycle_epochs=2, floor=0.1, gamma=0.99))
    assert [found[step] for step in (10, 30, 50)] == pytest.approx(peaks)
    assert [found[step] for step in (0, 20, 40)] == pytest.approx([0.1] * 3)


@pytest.mark.parametrize("steps", [81, 80, 3, 2])
def test_triangular_cycles_of_one_epoch_start_at_the_floor(steps: int) -> None:
    found = rates(Triangular(cycle_epochs=1, floor=0.1), max_epochs=20, steps_per_epoch=steps)
    assert found[::steps] == pytest.approx([0.1] * 20)
    assert found[steps // 2 :: steps] == pytest.approx([1] * 20)


def test_a_triangular_cycle_has_at_least_two_steps() -> None:
    found = rates(Triangular(cycle_epochs=1), max_epochs=4, steps_per_epoch=1)
    assert found == pytest.approx([0.1, 1, 0.1, 1])


def test_constant_does_not_change() -> None:
    assert set(rates(Constant())) == {1.0}


@pytest.mark.parametrize(
    ("schedule", "max_epochs", "ends"),
    [
        (CosineRestarts(cycle_epochs=2), 5, {2, 4, 5}),
        (CosineRestarts(cycle_epochs=1, cycle_mult=2), 9, {1, 3, 7, 9}),
        (CosineRestarts(cycle_epochs=2.5), 6, {2, 5, 6}),
        (Triangular(cycle_epochs=9), 4, {4}),
        (OneCycle(warm_up=0.1), 4, {4}),
        (Constant(), 3, {1, 2, 3}),
    ],
    ids=str,
)
def test_cycles_end_where_the_rate_is_lowest(schedule: Schedule, max_epochs: int, ends: set[int]) -> None:
    assert schedule.cycle_ends(max_epochs) == ends


@pytest.mark.parametrize("cycle_epochs", [1e-300, 1e-9, 0.3, 1])
def test_cycles_of_at_most_one_epoch_end_in_every_epoch(cycle_epochs: float) -> None:
    for schedule in (CosineRestarts(cycle_epochs=cycle_epochs), Triangular(cycle_epochs=cycle_epochs)):
        assert schedule.cycle_ends(10**5) == set(range(1, 10**5 + 1))


def test_growing_cycles_may_begin_small() -> None:
    assert max(CosineRestarts(cycle_epochs=1e-300, cycle_mult=2).cycle_ends(9)) == 9


@pytest.mark.parametrize(("epochs", "cycle", "cycles"), [(10, 2, 5), (10, 6, 2), (1, 6, 1), (10, 0.5, 10)])
def test_patience_is_rounded_up_to_whole_cycles(epochs: int, cycle: float, cycles: int) -> None:
    assert CosineRestarts(cycle_epochs=cycle).patience_in_cycles(epochs) == cycles
    assert Triangular(cycle_epochs=cycle).patience_in_cycles(epochs) == cycles
    assert Constant().patience_in_cycles(epochs) == epochs
