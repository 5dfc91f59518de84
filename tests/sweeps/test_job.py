"""The command of a job, and its name in TensorBoard."""

from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from recsys.leaderboard.names import job_name
from recsys.sweeps.job import Job

NAMES = st.text(st.sampled_from("ab \\'\",=:[]{}()#%~"), min_size=1, max_size=12)


@given(NAMES)
def test_any_folder_name_survives_hydras_grammar(name: str) -> None:
    folder = Path("/runs") / name / "0"
    (override,) = [word for word in Job(0, ("seed=1",), folder).command if word.startswith("output_dir=")]
    assert OverridesParser.create().parse_override(override).value() == str(folder)


def test_a_job_name_has_the_swept_keys() -> None:
    words = ["data=x", "model.hidden=[128,64]", "+optimizer.amsgrad=true", "seed=-1", "split.seed=2"]
    swept = ["model.hidden", "optimizer.amsgrad", "seed", "split.seed"]
    assert job_name(swept, words) == "hidden=128-64,amsgrad=true,seed=-1,split.seed=2"
    assert job_name([], words) == ""
    assert job_name(["a/../b"], ["a/../b=1"]) == "-b=1", "a name is not a path"
