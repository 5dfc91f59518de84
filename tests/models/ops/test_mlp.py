import copy
import multiprocessing

import pytest
import torch
from torch import nn

from recsys.models.ops.mlp import MLP, ROWS


def gradients(stack: MLP, rows: int, by_autograd: bool = False, cores: int = 1) -> dict[str, torch.Tensor]:
    """Outputs and all gradients of a training step whose masks are those of seed 0."""
    stack = copy.deepcopy(stack)
    stack.cores = cores
    x = torch.randn(rows, 6, dtype=stack[1].weight.dtype, requires_grad=True)
    torch.manual_seed(0)
    outputs = nn.Sequential.forward(stack, x) if by_autograd else stack(x)
    (outputs.float() * torch.arange(1.0, rows + 1)[:, None] / rows).square().mean().backward()
    return {"outputs": outputs, "x": x.grad, **{name: p.grad for name, p in stack.named_parameters()}}


@pytest.mark.parametrize("rows", [1, 7, ROWS, ROWS + 1, 3 * ROWS - 1])
@pytest.mark.parametrize(
    ("hidden", "dropouts", "first"),
    [([8, 12, 4], [0.5, 0.25], 0.3), (5, 0.0, 0.0), ([], 0.5, 0.5), ([3, 3], [0.0, 0.6], 0.0)],
)
def test_same_values_and_gradients_as_by_autograd(rows, hidden, dropouts, first) -> None:
    torch.manual_seed(1)
    stack = MLP(6, hidden, dropouts, first).double()
    torch.manual_seed(2)
    expected = gradients(stack, rows, by_autograd=True)
    torch.manual_seed(2)
    found = gradients(stack, rows, cores=2)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, msg=name)


def test_in_bfloat16_as_close_to_float32_as_autograd() -> None:
    torch.manual_seed(1)
    stack = MLP(6, [32, 16], 0.25, 0.1)

    def found(dtype: torch.dtype, by_autograd: bool) -> dict[str, torch.Tensor]:
        torch.manual_seed(2)
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            return gradients(stack, ROWS + 1, by_autograd)

    exact = found(torch.float32, by_autograd=True)
    ours, theirs = (found(torch.bfloat16, by_autograd) for by_autograd in (False, True))
    for name, value in exact.items():
        assert ours[name].dtype == theirs[name].dtype
        error, usual = ((of[name] - value).norm() / value.norm() for of in (ours, theirs))
        assert error < 2 * usual, name


def test_the_same_to_the_bit_on_any_number_of_cores() -> None:
    torch.manual_seed(1)
    stack = MLP(6, [32, 16], 0.5, 0.5)
    first, *others = (gradients(stack, 4 * ROWS, cores=cores) for cores in (1, 2, 3) if torch.manual_seed(2))
    for other in others:
        assert all(torch.equal(other[name], value) for name, value in first.items())


def test_no_rows() -> None:
    stack = MLP(6, [4], 0.5, 0.5)
    x = torch.empty(0, 6, requires_grad=True)
    outputs = stack(x)
    outputs.sum().backward()
    assert outputs.shape == (0, 1)
    assert x.grad.shape == (0, 6)
    assert stack[1].weight.grad.count_nonzero() == 0


def _in_child(stack: MLP, pipe) -> None:
    pipe.send({name: value.detach().numpy() for name, value in gradients(stack, 2 * ROWS, cores=2).items()})


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="nothing is forked here")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own() -> None:
    torch.manual_seed(1)
    stack = MLP(6, [4], 0.5, 0.5)
    torch.manual_seed(2)
    here = gradients(stack, 2 * ROWS, cores=2)  # whose threads do not come along
    torch.manual_seed(2)
    fork = multiprocessing.get_context("fork")
    receiver, sender = fork.Pipe(duplex=False)
    child = fork.Process(target=_in_child, args=(stack, sender))
    child.start()
    assert receiver.poll(30), "the child waits for threads that are not there"
    there = receiver.recv()
    child.join()
    for name, value in here.items():
        assert torch.equal(torch.from_numpy(there[name]), value.detach())
