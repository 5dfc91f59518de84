"""Run folders from someone else: no code that they name is run, and no file in them takes more memory than its size."""

import json
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from support.finished import finished_run
from support.tiny import QUICK

from recsys.cli.explore import explore
from recsys.errors import RunError
from recsys.experiment.average import average
from recsys.experiment.evaluate import evaluate
from recsys.inference.recommender import Recommender
from recsys.runs.checkpoint import load_checkpoint
from recsys.training.module import RatingModule


class Code:
    """Unpickled, it creates the file `ran`."""

    def __reduce__(self) -> tuple:
        return os.mkdir, ("ran",)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run(tmp_path_factory.mktemp("run"), [*QUICK, "model=bias"])


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of a finished run, to be changed."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.fixture
def code(tmp_path: Path) -> dict[str, Any]:
    """A configuration that runs code when it is instantiated."""
    (tmp_path / "code.pkl").write_bytes(pickle.dumps(Code()))
    return {"_target_": "pandas.read_pickle", "filepath_or_buffer": str(tmp_path / "code.pkl")}


def change(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Change the content of a file of torch.save."""
    content = torch.load(path, weights_only=True)
    edit(content)
    torch.save(content, path)


def best(run: Path) -> Path:
    return run / "checkpoints" / "best.ckpt"


COMMANDS: dict[str, Callable[[Path], object]] = {
    "evaluate": lambda run: evaluate(str(run)),
    "explore": lambda run: explore(str(run)),
    "average": lambda run: average([run, shutil.copytree(run, run.with_name("second"))]),
}
PLACES: dict[str, Callable[[dict[str, Any], dict[str, Any]], object]] = {
    "data": lambda config, code: config.update(data=code),
    "data.name": lambda config, code: config["data"].update(name=code),
    "split.seed": lambda config, code: config["split"].update(seed=code),
    "split, in a list": lambda config, code: config["split"].update(seed=[[code]]),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("place", PLACES)
def test_code_in_the_configuration_of_a_checkpoint_is_not_run(
    place: str, command: str, run: Path, code: dict[str, Any]
) -> None:
    change(best(run), lambda content: PLACES[place](content["recsys"]["config"], code))
    with pytest.raises(RunError, match=r"uses 'pandas\.read_pickle'.*trust=true"):
        COMMANDS[command](run)
    assert not Path("ran").exists()
    Recommender.load(run).recommend(7)
    assert not Path("ran").exists()


def test_trusted_code_runs(run: Path, code: dict[str, Any]) -> None:
    """So the tests above would notice."""
    change(best(run), lambda content: content["recsys"]["config"]["data"].update(name=code))
    evaluate(str(run), trust=True)
    assert Path("ran").exists()


@pytest.mark.parametrize(
    "name", ["torch.hub.load", "no.such.module", "os.system", ["recsys.models.bias.Bias"]]
)
def test_the_class_of_a_network_is_not_imported(name: object, run: Path) -> None:
    change(best(run), lambda content: content["network"].update({"class": name}))
    with pytest.raises(RunError, match="not part of recsys"):
        Recommender.load(run)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["data", "hardware"])
def test_code_in_the_configuration_of_a_run_folder_is_not_run_by_resuming(
    place: str, run: Path, code: dict[str, Any], tmp_path: Path
) -> None:
    (run / "result.json").unlink()
    file = run / ".hydra" / "config.yaml"
    config = yaml.safe_load(file.read_text(encoding="utf-8"))
    config[place] = {**(config[place] or {}), "name": code}
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    command = [sys.executable, "-m", "recsys.cli.train", f"run={run}", "resume=true"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "uses 'pandas.read_pickle', which is not part of recsys" in done.stderr
    assert "Traceback" not in done.stderr
    assert not Path("ran").exists()


def test_code_in_the_record_of_a_sweep_is_not_run(run: Path, code: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="pip install optuna")
    from recsys.sweeps.journal import JOURNAL
    from recsys.sweeps.trial import trial_of

    (tmp_path / JOURNAL).touch()
    (tmp_path / "sweep.json").write_text(json.dumps({"swept": [], "pruner": code}), encoding="utf-8")
    with pytest.raises(RunError, match=r"sweep\.json: uses 'pandas\.read_pickle'"):
        trial_of(run.rename(tmp_path / "0"))
    assert not Path("ran").exists()


def zipped(path: Path, compress: bool, copies: int = 1, comment: bytes = b"") -> None:
    """Write the parts of a checkpoint again as a zip archive."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED) as archive:
        for name, data in parts.items():
            for _ in range(copies):
                archive.writestr(name, data)
        archive.comment = comment


def lies(path: Path) -> None:
    """Claim in the table of contents of an archive that a part is larger than the file."""
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\x01\x02")
    data[entry + 20 : entry + 28] = (10**9).to_bytes(4, "little") * 2
    path.write_bytes(data)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["checkpoints/best.ckpt", "data.pt"])
@pytest.mark.parametrize(
    ("attack", "message"),
    [
        (lambda path: zipped(path, compress=True), "claim to unpack to"),
        (lambda path: zipped(path, compress=False, copies=2), "two parts of the same name"),
        (lambda path: zipped(path, compress=False, comment=b"PK\x05\x06"), "damaged"),
        (lies, "claim to unpack to"),
        (lambda path: path.write_bytes(pickle.dumps({"recsys": {}}, 2)), "not an archive of torch.save"),
    ],
)
def test_archives_that_torch_does_not_write_are_refused_unread(
    attack: Callable[[Path], None], message: str, name: str, run: Path
) -> None:
    attack(run / name)
    with pytest.raises(RunError, match=rf"{name}: .*{message}"):
        Recommender.load(run)


def repeated(value: Any) -> list[Any]:
    """Return nested lists with 10^30 elements, which take little memory."""
    for _ in range(30):
        value = [value] * 10
    return value


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda content: content["recsys"].update(user_ids=torch.tensor([1]).expand(10**12)), "tensors take"),
        (
            lambda content: content["network"]["arguments"].update(n_users=10**11, n_items=10**11),
            "weights do not fit",
        ),
        (
            lambda content: content["scorers"][0].update(user_biases=torch.zeros(1, 1).expand(60, 1)),
            "not stored completely",
        ),
        (lambda content: content["network"]["arguments"].update(head=repeated("linear")), "more than"),
        (lambda content: content["recsys"].update(model=repeated(0)), "more than"),
        (lambda content: content["recsys"].update(scale=[1.0, complex(5)]), "complex"),
    ],
)
def test_content_that_unfolds_in_memory_is_refused(
    edit: Callable[[dict[str, Any]], object], message: str, run: Path
) -> None:
    change(best(run), edit)
    with pytest.raises(RunError, match=message):
        load_checkpoint(best(run))


def test_a_network_much_larger_than_its_file_is_refused(tmp_path: Path) -> None:
    """The weights of features are in the network, but not in the scorers that are compared with it."""
    run = finished_run(tmp_path / "run", [*QUICK, "model=neumf", "model.item.features=true"])
    change(best(run), lambda content: content["network"]["arguments"].update(n_item_features=4_000_000))
    with pytest.raises(RunError, match=r"best\.ckpt: describes a network of [0-9,]+ bytes in a file of"):
        load_checkpoint(best(run))


def test_a_run_answers_without_its_ratings(tmp_path: Path) -> None:
    """A file that grew overnight, or a machine that does not have it, changes no answer."""
    file = tmp_path / "ratings.csv"
    rows = [
        f"u{user},{item},{1 + (user * item) % 5}" for user in range(40) for item in range(user % 9, 40, 2)
    ]
    file.write_text("\n".join(["user,item,rating", *rows]) + "\n", encoding="utf-8")
    quick = [override for override in QUICK if not override.startswith("data")]
    run = finished_run(tmp_path / "run", ["data=table", f"data.path={file}", *quick, "model=bias"])
    ratings = {"3": 5, "4": 1}

    def answers(run: Path) -> list[Any]:
        recommender = Recommender.load(run)
        user = recommender.fold_in(ratings)
        return [
            recommender.recommend(["u7", "u8"]).to_csv(),
            recommender.predict(["u7", "nobody"], 3, on_unknown="bias").tolist(),
            recommender.biases.items.tolist(),
            user.recommend().to_csv(),
            user.uncertainty([3, 4]).tolist(),
        ]

    before = answers(run)
    with file.open("a", encoding="utf-8") as more:
        more.write("u0,39,5\nnew,39,5\n")
    assert answers(run) == before
    with pytest.raises(RunError, match="have changed"):
        evaluate(str(run))
    file.unlink()
    shutil.rmtree(os.environ["RECSYS_DATA"])
    assert answers(Path(shutil.move(run, tmp_path / "elsewhere"))) == before
    with pytest.raises(RunError, match=r"data\.path=.*No such file"):
        evaluate(str(tmp_path / "elsewhere"))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda content: content["network"].update({"class": "torch.nn.Linear"}), "not part of recsys"),
        (lambda content: content["network"]["arguments"].update(n_users=10**11), "instead of"),
        (lambda content: content["state_dict"].popitem(), "KeyError"),
        (lambda content: next(iter(content["state_dict"].values())).fill_(torch.nan), "not finite"),
    ],
)
def test_a_module_is_rebuilt_from_consistent_files_only(
    edit: Callable[[dict[str, Any]], object], message: str, run: Path
) -> None:
    assert RatingModule.load_from_checkpoint(best(run)).network.n_users == 60
    change(best(run), edit)
    with pytest.raises(RunError, match=message):
        RatingModule.load_from_checkpoint(best(run))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["checkpoints/best.ckpt", "data.pt", "result.json", "events.out.tfevents.9", ".hydra/config.yaml"]
)
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_pipe_or_a_device_in_a_run_is_refused(name: str, kind: str, run: Path) -> None:
    """Reading a pipe waits for ever, and /dev/zero has no end."""
    (run / name).unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(run / name)
    else:
        (run / name).symlink_to("/dev/zero")
    for command in (
        Recommender.load,
        lambda folder: evaluate(str(folder)),
        lambda folder: explore(str(folder)),
    ):
        with pytest.raises(RunError, match=r"a pipe or a device|has not finished"):
            command(run)
    if name.endswith(".ckpt"):
        with pytest.raises(RunError, match="not a regular file"):
            RatingModule.load_from_checkpoint(run / name)


@pytest.mark.parametrize("value", [torch.zeros(3, 3), torch.zeros(0), float("nan")], ids=repr)
@pytest.mark.parametrize("key", ["data", "split"])
def test_a_configuration_has_plain_values_only(key: str, value: object, run: Path) -> None:
    def edit(content: dict[str, Any]) -> None:
        content["recsys"]["config"][key]["seed"] = value

    change(run / "checkpoints" / "best.ckpt", edit)
    with pytest.raises(RunError, match=r"where a number or a string belongs|not a finite number"):
        evaluate(str(run))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("key", "value"), [("noise", 1e308), ("rank", -1), ("rank", 0)])
def test_absurd_values_are_one_error_without_warnings(key: str, value: float, run: Path) -> None:
    def edit(content: dict[str, Any]) -> None:
        content["recsys"]["config"]["data"][key] = value

    change(run / "checkpoints" / "best.ckpt", edit)
    with pytest.raises(RunError):
        evaluate(str(run))


def test_a_module_calls_no_function_that_the_file_names(run: Path) -> None:
    change(best(run), lambda content: content["hyper_parameters"].update(_instantiator="os.mkdir"))
    assert RatingModule.load_from_checkpoint(best(run)).network.n_users == 60


@pytest.mark.parametrize("ranking", ["x", None, 5, {}, [1], {"k": "x"}, {"k": 10, "threshold": "x"}])
def test_a_ranking_that_cannot_be_measured_is_refused(ranking: object, run: Path) -> None:
    change(best(run), lambda content: content["recsys"]["config"].update(ranking=ranking))
    with pytest.raises(RunError, match=r"ranking=.*: not valid in the configuration of the checkpoint"):
        evaluate(str(run))
    second = shutil.copytree(run, run.with_name("second"))
    with pytest.raises(RunError, match="ranking="):
        average([run, second], run.with_name("average"))
