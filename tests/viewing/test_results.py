"""Results of the report on the page, and movies to take away."""

from __future__ import annotations

import io
import json
import re
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from starlette.applications import Starlette

from helpers.asgi import ask, document
from helpers.compared_latents import latent_comparison
from helpers.null_facts import null_facts
from temporem.report.collect import collect
from temporem.report.sections import SECTIONS
from temporem.report.verdict import judge_run
from temporem.runs.run import load_run_config
from temporem.validation.null_facts import SimulatedFacts
from temporem.validation.storage import save_result
from temporem.viewing.answers import make_app
from temporem.viewing.gallery import Gallery
from temporem.viewing.sources import open_sources

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def app(validated_run: Path) -> Starlette:
    return make_app(Gallery(open_sources([validated_run])))


def texts_of(part: dict[str, Any]) -> list[str]:
    return [text for block in part["words"] for text in block["texts"]]


def test_verdict_is_that_of_the_report(app: Starlette, validated_run: Path) -> None:
    dataset, (run,) = collect([validated_run])
    verdict = judge_run(run, dataset)
    texts = texts_of(document(app, "/result?name=verdict"))
    assert texts[0] == verdict.headline
    assert set(verdict.sure) | set(verdict.limits) <= set(texts)


@pytest.mark.parametrize("name", ["half sets", "views"])
def test_figures_are_those_of_the_report(app: Starlette, validated_run: Path, name: str) -> None:
    dataset, runs = collect([validated_run], residuals=False)
    from temporem.report.findings import find

    section = SECTIONS[name](dataset, runs, find(runs))
    found = document(app, f"/result?name={name}")
    assert texts_of(found) == [text.removeprefix("run: ") for text in section.words]
    assert [one["csv"] for one in found["figures"]] == [one.csv for one in section.drawings]
    assert found["figures"]
    for figure in found["figures"]:
        root = ElementTree.fromstring(figure["svg"])
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert float(root.attrib["width"]) > 100
        assert figure["label"]


def test_half_sets_have_the_sentences_of_all_tests(app: Starlette, validated_run: Path) -> None:
    found = document(app, "/result?name=half sets")
    assert found["command"] == f"temporem view {validated_run} --half-sets"
    text = " ".join(texts_of(found))
    assert "Held-out movies: 2 movies" in text
    assert "half sets of 4 and 4 movies" in text


def test_null_tests_are_told(validated_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(validated_run, tmp_path / "run"))
    still = SimulatedFacts(gains=[1.0], agreements=[0.5], p_gain=0.5, p_agreement=0.5)
    facts = null_facts(still)
    save_result(run, "null_tests", facts)
    app = make_app(Gallery(open_sources([run])))
    assert any(facts.verdict in text for text in texts_of(document(app, "/result?name=half sets")))
    assert any(facts.verdict in text for text in texts_of(document(app, "/result?name=verdict")))


def test_compared_latents_are_told(validated_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(validated_run, tmp_path / "run"))
    save_result(run, "latents", latent_comparison({"run": 3.0, "z.49": -0.5}))
    app = make_app(Gallery(open_sources([run])))
    found = document(app, "/result?name=compared latents")
    assert texts_of(found)[0].startswith("run: the latents explain")
    assert any("z.49 explains less than run" in text for text in texts_of(found))
    assert len(found["figures"]) == 2
    assert found["command"] == ""


def test_what_was_not_measured_says_how(app: Starlette, validated_run: Path) -> None:
    found = document(app, "/result?name=compared latents")
    assert found["words"] == found["figures"] == []
    movies = load_run_config(validated_run).dataset
    assert found["command"] == f"temporem latents {movies} {validated_run}"
    found = document(app, "/result?name=kinetics")
    assert found["words"] == found["figures"] == []
    assert found["command"] == f"temporem kinetics {validated_run}"


def test_truth_is_offered_where_a_run_was_compared_with_it(
    app: Starlette, tiny_runs: dict[str, Path]
) -> None:
    assert "truth" not in document(app, "/describe")["results"]
    other = make_app(Gallery(open_sources([tiny_runs["tempor"], tiny_runs["static"]])))
    assert "truth" in document(other, "/describe")["results"]
    found = document(other, "/result?name=truth")
    assert found["figures"]
    assert any("tempor" in text and "static" in text for text in texts_of(found))


def test_dataset_alone_has_no_results(tiny_dataset: Path) -> None:
    app = make_app(Gallery(open_sources([tiny_dataset])))
    assert document(app, "/describe")["results"] == {}
    assert ask(app, "/result?name=verdict").status == 400


@pytest.mark.parametrize("name", ["", "nothing", "../config.yaml"])
def test_unknown_results_are_refused(app: Starlette, name: str) -> None:
    answer = ask(app, f"/result?name={name}")
    assert answer.status == 400
    assert set(json.loads(answer.body)) == {"error"}


def test_dataset_that_has_moved_is_told(validated_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(validated_run, tmp_path / "run")
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(re.sub(r"dataset: .*", "dataset: /nowhere", text))
    answer = ask(make_app(Gallery(open_sources([run]))), "/result?name=verdict")
    assert answer.status == 400
    assert "/nowhere" in json.loads(answer.body)["error"]


FRONT = "1,0,0,0,1,0,0,0,1,0,0,128"
BACK = "-1,0,0,0,1,0,0,0,-1,0,0,128"


def film(app: Starlette, kind: str, query: str) -> bytes:
    answer = ask(app, f"/movie.{kind}?panel=0&movie=0&levels=3&masks=0&speed=8&{query}")
    assert answer.status == 200, answer.body
    return answer.body


def test_gif_has_a_picture_of_every_frame_from_the_side_of_the_page(app: Starlette) -> None:
    images = []
    for camera in (FRONT, BACK):
        gif = Image.open(io.BytesIO(film(app, "gif", f"camera={camera}")))
        assert gif.n_frames == 3
        assert gif.size == (480, 480)
        images.append(np.asarray(gif.convert("L"))[60:400, 60:420] < 230)
    front, back = images
    assert front.any()
    assert (front ^ back).mean() > 0.01
    mirrored = (front ^ back[:, ::-1]).mean()  # what is seen from behind is the mirror image
    assert mirrored < 0.5 * (front ^ back).mean()


def shown(app: Starlette, query: str) -> np.ndarray:
    """First picture of a film without its words, RGB."""
    query = f"panel=0&movie=0&levels=3&speed=8&camera={FRONT}&{query}"
    answer = ask(app, f"/movie.gif?{query}")
    assert answer.status == 200, answer.body
    picture = Image.open(io.BytesIO(answer.body)).convert("RGB")
    return np.asarray(picture).astype(int)[60:400, 60:420]


def test_movie_has_colours_of_motion_unless_it_is_plain(tiny_dataset: Path) -> None:
    app = make_app(Gallery(open_sources([tiny_dataset])))
    pictures = [shown(app, f"masks=0&plain={plain}") for plain in ("false", "true")]
    coloured, plain = [(one[..., 0] - one[..., 2] > 60).mean() for one in pictures]
    assert coloured > 0.002
    assert plain == 0


def test_movie_has_the_mask(app: Starlette) -> None:
    whole, masked = [(shown(app, f"masks={n}").min(-1) < 230).mean() for n in (0, 2)]
    assert 0 < masked < whole


def test_mp4_begins_as_one(app: Starlette) -> None:
    assert film(app, "mp4", f"camera={FRONT}")[4:8] == b"ftyp"


@pytest.mark.parametrize(
    "query",
    [
        "camera=1,2,3",
        f"camera={FRONT},1",
        "camera=2,0,0,0,1,0,0,0,1,0,0,128",
        "camera=1,0,0,0,1,0,0,0,1,0,0,0",
        "camera=nan,0,0,0,1,0,0,0,1,0,0,128",
        f"camera={FRONT}&levels=3,3",
        f"camera={FRONT}&levels=x",
        f"camera={FRONT}&speed=nan",
        f"camera={FRONT}&movie=99",
        f"camera={FRONT}&masks=9",
        f"camera={FRONT}&masks=-1",
    ],
)
def test_movies_that_cannot_be_drawn_are_refused(app: Starlette, query: str) -> None:
    names = {part.split("=")[0] for part in query.split("&")}
    rest = {"panel": "0", "movie": "0", "levels": "3", "masks": "0", "speed": "8"}
    address = "&".join(f"{key}={value}" for key, value in rest.items() if key not in names)
    answer = ask(app, f"/movie.gif?{address}&{query}")
    assert answer.status == 400
    assert set(json.loads(answer.body)) == {"error"}


def test_other_kinds_of_movies_are_refused(app: Starlette) -> None:
    query = f"panel=0&movie=0&levels=3&masks=0&speed=8&camera={FRONT}"
    assert ask(app, f"/movie.exe?{query}").status == 400
