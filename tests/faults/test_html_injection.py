"""Pages of runs whose every string contains HTML: nothing of it becomes an element or an attribute."""

import dataclasses
import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from support.finished import finished_run
from support.run_records import write_failed, write_run
from support.tiny import QUICK

from recsys.analysis.publish import publish
from recsys.analysis.report import build_report
from recsys.data.ids import IdMap
from recsys.leaderboard.html import render_page
from recsys.leaderboard.ranking import rank
from recsys.leaderboard.runs import RunRecord, read_runs
from recsys.leaderboard.table import table
from recsys.runs.load import load_run
from recsys.runs.ratings import load_ratings

EVIL = (
    "\"'><script>alert(1)</script>&lt;&--!>--><img src=x onerror=alert(2) "
    "<a href=//x.invalid>x</a>%{x} $\\frac$ {{ 7 * 7 }} ]]>"
)
NAME = EVIL.replace("/", "").replace("=", "")  # of a folder or a key


class Outline(HTMLParser):
    """Records what a browser would make of a page: its elements, their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements, self.attributes, self.text = Counter[str](), dict[str, set[str]](), ""
        self.scripts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements[tag] += 1
        for name, value in attrs:
            self.attributes.setdefault(name, set()).add(value or "")

    def handle_data(self, data: str) -> None:
        if self.lasttag == "script" and self.cdata_elem == "script":
            self.scripts.append(data)
        else:
            self.text += data


def assert_same_outline(evil: Outline, plain: Outline) -> None:
    """Check that a page has only the elements and attributes of the same page with plain strings."""
    assert evil.elements.keys() <= plain.elements.keys()
    assert evil.elements["script"] == plain.elements["script"]
    assert evil.attributes.keys() <= plain.attributes.keys()
    assert not [name for name in plain.attributes if name.startswith("on")]
    assert not {"src", "href"} & plain.attributes.keys()


def leaderboard(folder: Path, text: str, name: str) -> str:
    """Return the page of runs in which every string is `text`, or `name` where "/" and "=" are not possible."""
    for job, dim in enumerate((4, 8, 16)):
        overrides = [f"{name}.dim={dim}", f"data.name={text}{job}"]
        write_run(folder / f"{name}{job}", overrides, 0.9 + job / 100, split=f"{text} aa")
    write_failed(folder / f"{name}3", text, [text])
    runs = read_runs(folder)
    assert len(runs) == 4
    configurations, failed = rank(runs), [run for run in runs if not run.completed]
    failed.append(RunRecord(name, (text,), {"status": text, "error": text}))  # as no file can make it
    return render_page(text, configurations, table(configurations), failed)


def test_the_leaderboard_shows_every_string_as_text(tmp_path: Path) -> None:
    evil = Outline(leaderboard(tmp_path / "evil", EVIL, NAME))
    plain = Outline(leaderboard(tmp_path / "plain", "plainword", "plainword"))
    assert_same_outline(evil, plain)
    assert evil.elements == plain.elements
    (_, *evil_code), (data, *plain_code) = evil.scripts, plain.scripts
    assert evil_code == plain_code, "only the data of the figures differs"
    assert len(json.loads(data)) == 3
    assert evil.text.count(EVIL) >= 5, (
        "headline, error, status and an override of the table and of the command"
    )
    assert f"job {NAME}3 failed: {EVIL}" in evil.text
    assert f"job {NAME} {EVIL}: {EVIL}" in evil.text


@pytest.mark.slow
def test_the_browser_runs_nothing_of_a_hostile_leaderboard(page, tmp_path: Path) -> None:
    problems: list[str] = []
    requests: list[str] = []
    page.on("dialog", lambda dialog: (problems.append(dialog.message), dialog.dismiss()))
    page.on("pageerror", lambda problem: problems.append(str(problem)))
    page.on("console", lambda message: problems.append(message.text))
    page.on("request", lambda request: requests.append(request.url))
    file = tmp_path / "page.html"
    file.write_text(leaderboard(tmp_path / "evil", EVIL, NAME), encoding="utf-8")
    page.goto(f"file://{file}")
    assert page.locator(".plot .plot-container").count() == page.locator("figure").count() == 3
    assert page.locator(".plot svg a, .plot img, .plot script").count() == 0
    shown = page.locator(".plot text").all_text_contents()
    for text in (f"{EVIL[:23]}\N{HORIZONTAL ELLIPSIS}", f"{NAME}.dim"):
        assert any(text in own.replace("\N{NO-BREAK SPACE}", " ") for own in shown)
    page.locator(".plot .point").first.hover(force=True)
    assert EVIL in page.locator(".hoverlayer").first.text_content().replace("\N{NO-BREAK SPACE}", " ")
    # Plotly reports that a text has dollar signs, and shows it as it is.
    assert set(problems) <= {"WARN: MathJax is not loaded. Math equations will not be rendered."}
    assert requests == [f"file://{file}"]


@pytest.mark.slow
def test_the_policy_refuses_other_scripts_and_requests(page, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    injected = (
        "<script>document.title = 'injected'</script><img src=x onerror=\"document.title = 'injected'\">"
    )
    file.write_text(leaderboard(tmp_path / "runs", "plainword", "plainword") + injected, encoding="utf-8")
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text))
    page.goto(f"file://{file}")
    assert page.locator(".plot .plot-container").count() == 3, "our own scripts run"
    assert page.title() != "injected"
    assert page.evaluate("fetch('data:text/plain,x').then(() => 'loaded', () => 'refused')") == "refused"
    assert sum("Content Security Policy" in text for text in refused) >= 3, "script, image and fetch"


def report(folder: Path, text: str) -> str:
    """Return the page of a run in which every title, genre, id and name is `text` with a number."""
    run = load_run(folder)
    ratings = load_ratings(run)
    data = ratings.dataset
    items = data.item_table.assign(title=[f"{text} {n:03}" for n in range(len(data.item_ids))])
    items["genres"] = np.where(items.index % 2 == 0, f"{text}a", f"{text}b")
    users = IdMap(np.array([f"{text} {n:03}" for n in range(len(data.user_ids))]), "user")
    result = run.result | {
        "data": run.result["data"] | {"name": text},
        "model": run.result["model"] | {"name": text},
        "baselines": {text: {"test/rmse": 1.0}},
    }
    checkpoint = dataclasses.replace(run.checkpoint, user_ids=users)
    evil = dataclasses.replace(run, checkpoint=checkpoint, result=result)
    evil_data = dataclasses.replace(data, name=text, item_table=items, user_ids=users)
    evil_ratings = dataclasses.replace(ratings, dataset=evil_data)
    return publish(build_report(evil, evil_ratings, 1000, 2, (1, 2)), evil).read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_report_shows_every_string_as_text(tmp_path: Path) -> None:
    folder = finished_run(tmp_path / "run", [*QUICK, "model.embedding_dim=4", "logger=csv"])
    evil, plain = Outline(report(folder, EVIL)), Outline(report(folder, "plainword"))
    assert_same_outline(evil, plain)
    assert evil.elements["svg"] == plain.elements["svg"] > 0
    assert plain.elements["script"] == 0
    assert all(re.match("#|data:image/png;base64,", link) for link in evil.attributes["xlink:href"])
    assert f"{EVIL} on {EVIL}" in evil.text
    assert evil.text.count(EVIL) == plain.text.count("plainword")
    assert evil.text.count(EVIL) > 8, "title, summary, genres in the table, items and users in captions"
