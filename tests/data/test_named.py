import sys
from pathlib import Path

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from recsys.data.named import source_by_name, split_by_name
from recsys.data.sources.movielens import MovieLens
from recsys.data.sources.synthetic import Synthetic
from recsys.data.sources.table import Table
from recsys.data.splits import KFoldSplit, LeaveLastSplit, RandomSplit
from recsys.errors import ConfigError
from recsys.paths import conf_dir

CONF = Path(conf_dir())


@pytest.mark.parametrize("name", sorted(file.stem for file in CONF.glob("data/*.yaml")))
def test_every_data_file_is_a_source(name: str, tmp_path: Path) -> None:
    (tmp_path / "ratings.csv").touch()
    options = {"path": str(tmp_path / "ratings.csv")} if name == "table" else {}
    source = source_by_name(name, **options)
    assert source.name == name
    assert list(source.check()) == []


@pytest.mark.parametrize("name", sorted(file.stem for file in CONF.glob("split/*.yaml")))
def test_every_split_file_is_a_split(name: str) -> None:
    split = split_by_name(name)
    assert split.describe().startswith(f"{name}(")
    assert list(split.check("ml-100k")) == []


def test_values_are_those_of_the_file_and_the_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_MIRROR", "/archives")
    source = source_by_name("ml-1m", verify=False)
    assert isinstance(source, MovieLens)
    assert (source.folder, source.scale, source.mirror, source.verify) == (
        "ml-1m",
        [1, 5],
        "/archives",
        False,
    )
    assert source_by_name("table", path="a.csv", scale=[0, 10]) == Table(
        "a.csv", scale=[0, 10], categorical=[]
    )
    assert split_by_name("kfold", k=3, fold=2) == KFoldSplit(k=3, fold=2)
    assert split_by_name("leave-last") == LeaveLastSplit()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: source_by_name("ml-100"), "data=ml-100: unknown name; choose ml-100k, ml-10m, ml-1m"),
        (lambda: split_by_name("base"), "split=base: unknown name; choose files, kfold, leave-last"),
        (lambda: source_by_name("table"), "data=table: option 'path' needs a value"),
        (lambda: split_by_name("random", folds=3), "split=random: no option 'folds'; choose seed, val, test"),
    ],
)
def test_wrong_names_and_options_are_reported(call, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        call()
    assert str(error.value).startswith(message)


def test_hydra_is_left_as_it_was() -> None:
    split_by_name("random")
    assert not GlobalHydra.instance().is_initialized()
    with hydra.initialize_config_dir(conf_dir(), version_base="1.3"):
        assert split_by_name("random") == RandomSplit()
        assert hydra.compose("prepare", ["data=synthetic"]).data.name == "synthetic"


def test_it_works_inside_a_hydra_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "app.yaml").write_text("key: 1\n")
    monkeypatch.setattr(sys, "argv", ["app", f"hydra.run.dir={tmp_path / 'run'}", "hydra.output_subdir=null"])
    seen = []

    def task(cfg: DictConfig) -> None:
        before = HydraConfig.get().runtime.output_dir
        seen.append(source_by_name("synthetic"))
        assert HydraConfig.get().runtime.output_dir == before
        assert GlobalHydra.instance().is_initialized()

    hydra.main(version_base="1.3", config_path=str(tmp_path / "conf"), config_name="app")(task)()
    assert seen == [Synthetic()]
