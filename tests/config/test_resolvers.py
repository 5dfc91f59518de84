import pytest

from recsys.experiment.compose import compose


@pytest.mark.parametrize(
    ("overrides", "k"),
    [
        ([], 10),
        (["objective=val/ndcg@20"], 20),
        (["objective=val/hit@5"], 5),
        (["objective=val/ndcg@20", "ranking.k=30"], 30),
        (["objective=val/mae"], 10),
        (["objective=val/ndcg@x"], 10),
        (["objective=val/ndcg@99999999999999"], 10),
        (["objective=5"], 10),
    ],
)
def test_rankings_have_the_length_of_the_objective(overrides: list[str], k: int) -> None:
    assert compose(*overrides).ranking.k == k
