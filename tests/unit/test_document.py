"""Figures get into documents from the bundle's JSON alone; what the tables are made of is counted right."""

import json
from pathlib import Path

import pytest

from inference.card import SHIPPED
from inference.errors import DataUnusable
from inference.evaluation.demographics import demographics
from inference.evaluation.document import filled, main
from inference.evaluation.document_figures import BLOCKS, EVALUATION_NAME, Measured, load_measured, markdown
from inference.evaluation.goals import GOALS, Goal
from inference.evaluation.sample_size import consecutive_films, films_of_a_label
from inference.evaluation.tables import new_table
from inference.films.data import Film


@pytest.fixture(scope="module")
def measured() -> Measured:
    return load_measured(SHIPPED)


def document(folder: Path, text: str) -> Path:
    path = folder / "document.md"
    path.write_text(text, encoding="utf-8")
    return path


class TestFilling:
    def test_what_stood_in_a_mark_is_replaced_and_the_prose_kept(
        self, tmp_path: Path, measured: Measured
    ) -> None:
        path = document(
            tmp_path, "From <!-- figures: threshold -->9<!-- end --> on.\n\nNo <!-- comment -->.\n"
        )
        told = f"{measured.card.threshold:g}"
        assert filled(path, measured) == (
            f"From <!-- figures: threshold -->{told}<!-- end --> on.\n\nNo <!-- comment -->.\n"
        )

    def test_a_table_has_empty_lines_around_it(self, tmp_path: Path, measured: Measured) -> None:
        text = filled(document(tmp_path, "<!-- figures: goals -->old<!-- end -->\n"), measured)
        lines = text.split("\n")
        assert lines[1] == lines[-3] == ""
        assert len([line for line in lines if line.startswith("|")]) == 2 + len(GOALS)

    def test_the_command_writes_once_and_then_changes_nothing(self, tmp_path: Path) -> None:
        path = document(tmp_path, "".join(f"<!-- figures: {name} --><!-- end -->\n" for name in BLOCKS))
        assert main([str(SHIPPED), str(path)]) == 0
        written = path.read_text(encoding="utf-8")
        assert "kermany test" in written
        assert main([str(SHIPPED), str(path)]) == 0
        assert path.read_text(encoding="utf-8") == written

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("<!-- figures: acuracy --><!-- end -->", "no figures are called acuracy"),
            ("<!-- figures: goals -->", "behind it"),
            ("<!-- figures: goals --> <!-- figures: band --><!-- end -->", "behind it"),
        ],
    )
    def test_a_wrong_mark_is_named_and_no_document_is_touched(
        self, text: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        good = tmp_path / "good.md"
        good.write_text("<!-- figures: band --><!-- end -->", encoding="utf-8")
        bad = document(tmp_path, text)
        assert main([str(SHIPPED), str(good), str(bad)]) == 1
        assert words in capsys.readouterr().err
        assert good.read_text(encoding="utf-8") == "<!-- figures: band --><!-- end -->"


class TestMeasured:
    @pytest.fixture
    def bundle(self, tmp_path: Path) -> Path:
        """The shipped bundle without its evaluation."""
        for path in SHIPPED.iterdir():
            if path.name != EVALUATION_NAME:
                (tmp_path / path.name).symlink_to(path)
        return tmp_path

    def test_an_evaluation_that_is_missing_is_asked_for(self, bundle: Path) -> None:
        with pytest.raises(DataUnusable, match="dicom-node evaluate"):
            load_measured(bundle)

    @pytest.mark.parametrize("change", [{"model": {"sha256": "0" * 64}}, {"model": {}}])
    def test_an_evaluation_of_other_weights_is_refused(self, bundle: Path, change: dict[str, object]) -> None:
        evaluation = json.loads((SHIPPED / EVALUATION_NAME).read_text(encoding="utf-8"))
        (bundle / EVALUATION_NAME).write_text(json.dumps(evaluation | change), encoding="utf-8")
        with pytest.raises(DataUnusable, match="these weights"):
            load_measured(bundle)

    def test_a_short_evaluation_is_refused(self, bundle: Path) -> None:
        evaluation = json.loads((SHIPPED / EVALUATION_NAME).read_text(encoding="utf-8"))
        del evaluation["robustness"]
        (bundle / EVALUATION_NAME).write_text(json.dumps(evaluation), encoding="utf-8")
        with pytest.raises(DataUnusable, match="full"):
            load_measured(bundle)


def test_a_table_is_written_in_markdown_with_its_caption_and_indented_rows() -> None:
    table = new_table("", "films of", "AUC", caption="few")
    table.add_row("site", "0.9")
    table.add_row("  AP")
    assert markdown(table) == "| films of | AUC |\n| --- | ---: |\n| site | 0.9 |\n| &emsp;AP |  |\n\nfew"


FIGURES = {"groups": {"site": {"auc": {"value": 0.9, "interval": [0.8, 0.95]}}}}


class TestGoals:
    def test_a_goal_finds_its_figure(self) -> None:
        told = Goal("", ("groups", "site", "auc"), 0.9).measured(FIGURES)
        assert told is not None and told["value"] == 0.9

    def test_what_was_not_measured_is_said(self) -> None:
        assert Goal("", ("groups", "elsewhere", "auc"), 0.9).measured(FIGURES) is None

    def test_a_bound_is_kept_from_its_own_side(self) -> None:
        least, most = Goal("", (), 0.9), Goal("", (), 0.05, at_least=False)
        assert [least.reached(value) for value in (0.89, 0.9, 0.91)] == [False, True, True]
        assert [most.reached(value) for value in (0.04, 0.05, 0.06)] == [True, True, False]


class TestSampleSize:
    def test_buderers_formula(self) -> None:
        """1.96² · 0.9 · 0.1 / 0.05² = 138.3."""
        assert films_of_a_label(0.9, 0.05) == 139

    def test_consecutive_films_hold_enough_of_the_rarer_label(self) -> None:
        assert consecutive_films(0.9, 0.05, 0.1) == 1390
        assert consecutive_films(0.9, 0.05, 0.75) == consecutive_films(0.9, 0.05, 0.25) == 556


class TestDemographics:
    @staticmethod
    def film(patient: int, **known: object) -> Film:
        """A film; by its patient it is for training (1, 2, ...) or, where test is told, for the figures."""
        told = {
            "path": Path("film.png"),
            "patient": str(patient),
            "source": "site",
            "positive": True,
            "test": True,
            "duplicate": False,
            "view": "AP",
            "sex": "F",
            "age": 50.0,
            "subtype": "",
            "boxes": (),
            "probability": None,
        }
        return Film(**(told | known))  # type: ignore[arg-type]

    def test_films_and_patients_are_counted_by_source_part_and_label(self) -> None:
        films = [
            self.film(1),
            self.film(1, view="PA", boxes=((0, 0, 1, 1),)),
            self.film(2, sex="", age=None, probability=0.7),
            self.film(3, positive=False),
            self.film(4, positive=None),
            self.film(5, source="elsewhere"),
        ]
        told = demographics(films)
        assert set(told) == {"site", "elsewhere"} and set(told["site"]) == {"test"}
        assert set(told["site"]["test"]) == {"pneumonia", "normal", "other"}
        ill = told["site"]["test"]["pneumonia"]
        assert (ill["films"], ill["patients"]) == (3, 2)
        assert ill["views"] == {"AP": 2, "PA": 1}
        assert ill["sexes"] == {"F": 2, "not told": 1}
        assert (ill["ages"]["films"], ill["probabilities"], ill["boxes"]) == (2, 1, 1)

    def test_training_and_validation_are_told_apart(self) -> None:
        films = [self.film(number, test=False) for number in range(40)]
        parts = demographics(films)["site"]
        for name, validation in (("training", False), ("validation", True)):
            films_of_it = [film for film in films if film.validation is validation]
            assert parts[name]["pneumonia"]["films"] == len(films_of_it) > 0

    def test_duplicates_count_where_they_are_measured(self) -> None:
        assert demographics([self.film(1, duplicate=True)])["site"]["test"]["pneumonia"]["films"] == 1
        assert demographics([self.film(1, test=False, duplicate=True)]) == {"site": {}}

    def test_ages_of_few_films_are_not_told(self) -> None:
        """The quartiles of a single patient's films would be that patient's age."""
        few, enough = ([self.film(number, age=float(number)) for number in range(count)] for count in (9, 11))
        assert "quartiles" not in demographics(few)["site"]["test"]["pneumonia"]["ages"]
        assert demographics(enough)["site"]["test"]["pneumonia"]["ages"]["quartiles"] == [2.5, 5.0, 7.5]
