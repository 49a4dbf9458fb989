"""What a radiologist sees in the heatmap, and what a viewer and an archive may rely on in its object."""

import os
import subprocess
import sys
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from config.peers import ResultKind
from config.sections import ResultsSettings
from dicom_node.results import build_results, encode
from dicom_node.results.colours import colour_scale
from dicom_node.results.heatmap_image import build_heatmap
from dicom_node.results.heatmap_picture import draw_heatmap
from dicom_node.results.lettering import Phrase, draw_lines, layout
from dicom_node.results.source import text_of
from dicom_node.results.study import Film
from inference.card import ModelCard
from inference.prediction import Attention, NotAnalysable, Outcome, Prediction, Reason, Region, Side
from inference.radiograph import Radiograph
from tests.builders import NAMES
from tests.readings import (
    CARD,
    LATERAL,
    USUAL,
    film,
    likely,
    radiograph,
    reading,
    results_of,
    uncertain,
    unlikely,
)

SIZES = [
    (512, 420),
    (512, 512),
    (620, 512),
    (3000, 2400),
    (2500, 3000),
    (60, 50),
    (2000, 90),
    (90, 2500),
    (1, 1),
]
LONG = replace(CARD, name="a-model-named-by-a-committee-" + "x" * 60, version="2026.03.01+build.of.the.day")


def picture_of(prediction: Prediction, rows: int = 320, columns: int = 280) -> NDArray[np.uint8]:
    return draw_heatmap(radiograph(rows, columns).pixels, prediction, CARD)


def film_in(picture: NDArray[np.uint8], pixels: NDArray[np.float32]) -> tuple[int, int]:
    """Where the film's top left pixel is: in the middle, below the rows that are not its first one."""
    first_row = np.rint(pixels[0] * 255).astype(int)
    left = (picture.shape[1] - len(first_row)) // 2
    beside = picture[:, left : left + len(first_row)].astype(int)
    far_off = np.abs(beside - first_row[:, None]).max(axis=(1, 2))
    assert far_off.min() <= 1, "the film's first row is nowhere in the picture"
    return int(far_off.argmin()), left


def colourfulness(picture: NDArray[np.uint8]) -> NDArray[np.int_]:
    """How far each pixel is from grey."""
    channels = picture.astype(int)
    spread: NDArray[np.int_] = channels.max(axis=2) - channels.min(axis=2)
    return spread


def lines_of_words(picture: NDArray[np.uint8]) -> list[NDArray[np.bool_]]:
    """The ink of each line that stands in a picture of a black film, cut out."""
    ink = picture.max(axis=2) > 100
    edges = np.flatnonzero(np.diff(ink.any(axis=1), prepend=False, append=False))
    return [line[:, line.any(axis=0)] for line in (ink[top:bottom] for top, bottom in edges.reshape(-1, 2))]


class TestPicture:
    def test_the_film_keeps_its_own_pixels_where_the_model_did_not_look(self) -> None:
        pixels = radiograph().pixels
        picture = picture_of(likely())
        top, left = film_in(picture, pixels)
        shown = picture[top : top + 320, left : left + 280].astype(int)
        expected = np.rint(pixels * 255).astype(int)[..., None]
        left_lung = np.s_[20:300, 180:280]
        assert np.abs(shown[left_lung] - expected[left_lung]).max() <= 1

    def test_the_colour_is_where_the_model_looked(self) -> None:
        pixels = radiograph().pixels
        picture = picture_of(replace(likely(), regions=()))
        top, left = film_in(picture, pixels)
        colour = colourfulness(picture[top : top + 320, left : left + 280])
        row, column = np.unravel_index(colour.argmax(), colour.shape)
        assert abs(row - 0.65 * 320) < 32
        assert abs(column - 0.3 * 280) < 28

    def test_what_lies_under_the_strongest_attention_is_still_seen(self) -> None:
        everywhere = Attention(1, 1, (1.0,))
        checks = np.indices((64, 64)).sum(axis=0).astype(np.float32) % 2
        picture = draw_heatmap(checks, replace(likely(), attention=everywhere, regions=()), CARD)
        plain = replace(likely(), attention=Attention(1, 1, (0.0,)), regions=())
        top, left = film_in(draw_heatmap(checks, plain, CARD), checks)
        lightness = picture[top : top + 64, left : left + 64].astype(int).sum(axis=2)
        assert np.abs(np.diff(lightness, axis=1)).min() > 200

    def test_regions_are_outlined_at_their_pixels(self) -> None:
        with_region = picture_of(likely(0.9, Region(180, 40, 240, 90))).astype(int)
        without = picture_of(replace(likely(0.9), regions=())).astype(int)
        top, left = film_in(picture_of(likely()), radiograph().pixels)
        changed = np.argwhere(np.abs(with_region - without).max(axis=2) > 8) - [top, left]
        first, last = changed.min(axis=0), changed.max(axis=0)
        assert np.abs(first - [40, 180]).max() <= 1
        assert np.abs(last - [89, 239]).max() <= 1

    @pytest.mark.parametrize(
        "region", [Region(0, 0, 1, 1), Region(5, 5, 7, 6), Region(0, 0, 50, 60), Region(49, 59, 50, 60)]
    )
    def test_the_smallest_and_the_largest_region_can_be_drawn(self, region: Region) -> None:
        assert picture_of(likely(0.9, region), 60, 50).ndim == 3

    @pytest.mark.parametrize("card", [CARD, LONG], ids=["short", "long"])
    @pytest.mark.parametrize(
        "prediction",
        [likely(0.999), uncertain(side=Side.BILATERAL), unlikely(0.001)],
        ids=["likely", "uncertain", "unlikely"],
    )
    @pytest.mark.parametrize(("rows", "columns"), SIZES)
    def test_words_never_reach_the_edge(
        self, rows: int, columns: int, prediction: Prediction, card: ModelCard
    ) -> None:
        black = np.zeros((rows, columns), dtype=np.float32)
        nowhere = replace(prediction, attention=Attention(1, 1, (0.0,)), regions=())
        picture = draw_heatmap(black, nowhere, card)
        ink = picture.max(axis=2) > 40
        assert ink.any()
        for edge in (ink[:4], ink[-4:], ink[:, :4], ink[:, -4:]):
            assert not edge.any()

    @pytest.mark.parametrize(("rows", "columns"), SIZES)
    def test_the_film_is_never_shrunk_or_cut(self, rows: int, columns: int) -> None:
        white = np.ones((rows, columns), dtype=np.float32)
        nowhere = replace(unlikely(), attention=Attention(1, 1, (0.0,)))
        picture = draw_heatmap(white, nowhere, CARD)
        assert (picture == 255).all(axis=2).sum() >= rows * columns
        assert picture.shape[1] >= columns

    @pytest.mark.parametrize(("rows", "columns"), [(2500, 2048), (2048, 2500), (3000, 300)])
    def test_a_small_picture_shows_the_whole_film_with_its_regions_where_they_are(
        self, rows: int, columns: int
    ) -> None:
        white = np.ones((rows, columns), dtype=np.float32)
        region = Region(columns // 4, rows // 2, columns // 2, rows * 3 // 4)
        found = replace(likely(), attention=Attention(1, 1, (0.0,)), regions=(region,))
        picture = draw_heatmap(white, found, CARD, longest_side=1000)
        bright = (picture == 255).all(axis=2)
        lines, across = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
        assert max(np.ptp(lines), np.ptp(across)) + 1 == 1000
        dark = ~bright[lines[0] : lines[-1] + 1, across[0] : across[-1] + 1]
        seen = np.flatnonzero(dark.any(axis=1)), np.flatnonzero(dark.any(axis=0))
        share = 1000 / max(rows, columns)
        for found_at, (first, last) in zip(
            seen, ((region.top, region.bottom), (region.left, region.right)), strict=True
        ):
            assert abs(found_at[0] - first * share) < 4
            assert abs(found_at[-1] - last * share) < 4

    def test_a_film_that_is_smaller_than_the_setting_keeps_its_pixels(self) -> None:
        white = np.ones((320, 300), dtype=np.float32)
        assert np.array_equal(draw_heatmap(white, likely(), CARD, 1024), draw_heatmap(white, likely(), CARD))

    def test_letters_grow_with_the_picture(self) -> None:
        def header_height(columns: int) -> int:
            white = np.ones((columns, columns), dtype=np.float32)
            picture = draw_heatmap(white, replace(unlikely(), attention=Attention(1, 1, (0.0,))), CARD)
            return int(np.argmax((picture[:, columns // 2 - 5 : columns // 2 + 5] == 255).all(axis=(1, 2))))

        assert header_height(3000) > 3 * header_height(700)

    def test_a_negative_is_quieter_than_a_likely_film(self) -> None:
        loud, quiet = colourfulness(picture_of(likely())), colourfulness(picture_of(unlikely()))
        head, film_rows = np.s_[:60], np.s_[70:380]
        assert quiet[head].max() < 20
        assert loud[head].max() > 100
        assert quiet[film_rows].max() < 0.6 * loud[film_rows].max()

    def test_an_uncertain_film_is_neither_as_a_likely_nor_as_an_unlikely_one(self) -> None:
        loud, doubtful = (picture_of(each).astype(int) for each in (likely(), uncertain()))
        head, film_rows = np.s_[:60], np.s_[70:380]

        def warmth(picture: NDArray[np.int_]) -> int:
            return int((picture[head][..., 0] - picture[head][..., 2]).max())

        assert warmth(loud) > 100
        assert warmth(doubtful) < 20
        assert colourfulness(doubtful[head]).max() > 100
        quiet = picture_of(unlikely())
        attention = [colourfulness(each[film_rows]).max() for each in (quiet, doubtful, loud)]
        assert attention == sorted(attention)

    def test_the_outline_is_dashed_where_pneumonia_is_uncertain(self) -> None:
        region = Region(100, 100, 200, 200)
        mint = (120, 255, 214)
        drawn, dashed = (
            int((picture_of(each) == mint).all(axis=2).sum())
            for each in (likely(0.9, region), uncertain(0.4, region))
        )
        assert 0.4 * drawn < dashed < 0.7 * drawn

    def test_between_the_dashes_is_the_film(self) -> None:
        white = np.ones((900, 900), dtype=np.float32)
        nowhere = replace(uncertain(0.4, Region(300, 300, 600, 600)), attention=Attention(1, 1, (0.0,)))
        picture = draw_heatmap(white, nowhere, CARD)
        top, left = np.argwhere((picture == 255).all(axis=2))[0]
        upper_side = picture[top + 300, left + 300 : left + 600].astype(int)
        share_of_film = (upper_side == 255).all(axis=1).mean()
        assert 0.25 < share_of_film < 0.5
        assert (upper_side.max(axis=1) < 50).any(), "a dash has a dark edge, to be seen on bone"

    @pytest.mark.parametrize(
        "prediction", [likely(), uncertain(), unlikely()], ids=["likely", "uncertain", "unlikely"]
    )
    @pytest.mark.parametrize(("rows", "columns"), SIZES)
    def test_the_legend_shows_the_colours_as_they_are_over_the_film(
        self, rows: int, columns: int, prediction: Prediction
    ) -> None:
        everywhere = replace(prediction, attention=Attention(1, 1, (1.0,)), regions=())
        grey_film = np.full((1000, 1000), 90 / 255, dtype=np.float32)
        strongest = draw_heatmap(grey_film, everywhere, CARD)[600, 500].astype(int)
        nowhere = replace(prediction, attention=Attention(1, 1, (0.0,)), regions=())
        picture = draw_heatmap(np.zeros((rows, columns), dtype=np.float32), nowhere, CARD).astype(int)
        [first, last] = (
            np.flatnonzero((np.abs(picture - colour).max(axis=2) <= 1).sum(axis=0) > 4)
            for colour in (np.array([90, 90, 90]), strongest)
        )
        assert first.min() < last.max()
        assert last.max() - first.min() > 0.2 * min(picture.shape[:2])

    @pytest.mark.parametrize(
        ("side", "words"),
        [
            (Side.LEFT, ", attention on the left lung"),
            (Side.RIGHT, ", attention on the right lung"),
            (Side.BILATERAL, ", attention on both lungs"),
            (None, ""),
        ],
    )
    def test_the_side_is_in_the_band_above_the_film(self, side: Side | None, words: str) -> None:
        black = np.zeros((900, 900), dtype=np.float32)
        nowhere = replace(likely(0.873, side=side), attention=Attention(1, 1, (0.0,)), regions=())
        _, score, *_ = lines_of_words(draw_heatmap(black, nowhere, CARD))
        expected = Image.new("RGB", (900, 60), (12, 12, 14))
        [line] = layout([Phrase(f"score 87.3%, likely from 50.0%{words}", (225, 225, 225))], 900, 20)
        draw_lines(ImageDraw.Draw(expected), [line], 10, 10)
        [written] = lines_of_words(np.asarray(expected))
        assert score.shape == written.shape
        assert (score == written).mean() > 0.99

    def test_the_same_input_gives_the_same_picture(self) -> None:
        assert (picture_of(likely()) == picture_of(likely())).all()

    def test_attention_on_a_single_cell_is_spread_smoothly(self) -> None:
        spot = Attention(9, 9, tuple(float(index == 40) for index in range(81)))
        black = np.zeros((450, 450), dtype=np.float32)
        picture = draw_heatmap(black, replace(likely(), attention=spot, regions=()), CARD)
        row = picture[picture.shape[0] // 2 - 10].astype(int)
        assert np.abs(np.diff(row, axis=0)).max() < 16


class TestColourScale:
    def test_its_steps_are_even_for_the_eye(self) -> None:
        lightness = _lightness(colour_scale())
        steps = np.diff(lightness)
        assert steps.min() >= 0
        assert lightness[-1] - lightness[0] > 60
        smooth = np.convolve(steps, np.ones(16) / 16, mode="valid")
        assert smooth.max() < 1.25 * smooth.min()

    def test_it_can_not_be_changed_by_accident(self) -> None:
        with pytest.raises(ValueError, match="read-only"):
            colour_scale()[0] = 0


def _lightness(colours: NDArray[np.uint8]) -> NDArray[np.float64]:
    """CIE L* by the definition, from sRGB."""
    share = colours / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    luminance = linear @ np.array([0.2126, 0.7152, 0.0722])
    lightness: NDArray[np.float64] = np.where(
        luminance > 0.008856, 116 * np.cbrt(luminance) - 16, 903.3 * luminance
    )
    return lightness


def heatmap_of(one: Film, rows: int = 60, columns: int = 50) -> Dataset:
    heatmap = build_heatmap(reading(one), radiograph(rows, columns), "source")
    return dcmread(BytesIO(encode(heatmap)))


class TestObject:
    def test_it_is_a_secondary_capture_beside_its_source(self) -> None:
        source = film(likely(), name=NAMES["cyrillic"])
        heatmap = heatmap_of(source)
        assert heatmap.SOPClassUID == SecondaryCaptureImageStorage
        assert heatmap.StudyInstanceUID == source.header.StudyInstanceUID
        assert heatmap.SeriesInstanceUID != source.header.SeriesInstanceUID
        assert str(heatmap.PatientName) == NAMES["cyrillic"].text
        (reference,) = heatmap.SourceImageSequence
        assert reference.ReferencedSOPInstanceUID == source.header.SOPInstanceUID
        assert reference.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"

    def test_its_pixels_are_the_picture(self) -> None:
        expected = draw_heatmap(radiograph(60, 50).pixels, likely(), CARD)
        assert (heatmap_of(film(likely())).pixel_array == expected).all()

    def test_it_says_that_words_are_burned_in_and_who_made_it_how(self) -> None:
        heatmap = heatmap_of(film(likely()))
        assert heatmap.BurnedInAnnotation == "YES"
        assert heatmap.RecognizableVisualFeatures == "NO"
        assert heatmap.ConversionType == "WSD"
        assert list(heatmap.ImageType) == ["DERIVED", "SECONDARY"]
        assert heatmap.ImageComments.startswith("AI - NOT FOR PRIMARY DIAGNOSIS")
        assert heatmap.SecondaryCaptureDeviceManufacturerModelName == CARD.name

    def test_nobody_can_measure_in_it(self) -> None:
        heatmap = heatmap_of(film(likely(), PixelSpacing=["0.2", "0.2"]))
        assert "PixelSpacing" not in heatmap
        assert "ImagerPixelSpacing" not in heatmap
        assert "NominalScannedPixelSpacing" not in heatmap

    def test_it_owns_up_to_a_lossy_source(self) -> None:
        lossy = film(
            likely(),
            LossyImageCompression="01",
            LossyImageCompressionRatio="12.5",
            LossyImageCompressionMethod="ISO_10918_1",
        )
        heatmap = heatmap_of(lossy)
        assert heatmap.LossyImageCompression == "01"
        assert heatmap.LossyImageCompressionRatio == 12.5
        assert heatmap.LossyImageCompressionMethod == "ISO_10918_1"

    @pytest.mark.parametrize(
        ("orientation", "expected"),
        [(["L", "F"], ["L", "F"]), (["R", "F"], ["R", "F"]), ("FP", []), ("", [])],
    )
    def test_the_orientation_is_the_sources_or_unsaid(
        self, orientation: str | list[str], expected: list[str]
    ) -> None:
        assert list(heatmap_of(film(likely(), PatientOrientation=orientation)).PatientOrientation) == expected

    @pytest.mark.parametrize(
        ("source", "setting", "written"),
        [("DX", "source", "DX"), ("CR", "source", "CR"), ("CR", "OT", "OT"), ("XX", "source", "OT")],
    )
    def test_its_modality_is_as_set(self, source: str, setting: str, written: str) -> None:
        results = results_of(reading(film(likely(), Modality=source)), heatmap_modality=setting)
        assert results[ResultKind.HEATMAP].Modality == written

    def test_its_series_starts_with_the_answer(self) -> None:
        description = heatmap_of(film(likely())).SeriesDescription
        assert description.startswith("PNEUMONIA LIKELY")
        assert "heatmap" in description
        assert len(description) <= 64

    def test_written_and_read_back_it_is_the_same(self) -> None:
        heatmap = build_heatmap(reading(film(likely())), radiograph(61, 51), "source")
        assert dcmread(BytesIO(encode(heatmap))) == heatmap

    def test_there_is_none_of_a_film_without_an_answer(self) -> None:
        with pytest.raises(ValueError, match="not analysed"):
            build_heatmap(reading(film(LATERAL)), radiograph(60, 50), "source")


class TestResultsOfAStudy:
    def test_a_likely_study_has_one_heatmap_of_the_film_with_the_highest_score(self) -> None:
        asked: list[Film] = []

        def radiograph_of(one: Film) -> Radiograph:
            asked.append(one)
            return radiograph(60, 50)

        films = [film(likely(0.5), "1"), film(likely(0.9), "2"), film(unlikely(), "3"), film(LATERAL, "4")]
        results = build_results(reading(*films), ResultsSettings(), [USUAL], radiograph_of)
        report, heatmap = results.values()
        assert (report.Modality, heatmap.Modality) == ("SR", "DX")
        assert asked == [films[1]]
        (reference,) = heatmap.SourceImageSequence
        assert reference.ReferencedSOPInstanceUID == text_of(films[1].header, "SOPInstanceUID")
        assert report.SeriesInstanceUID != heatmap.SeriesInstanceUID

    @pytest.mark.parametrize(
        ("outcome", "wanted", "objects"),
        [
            (unlikely(), False, 1),
            (unlikely(), True, 2),
            (uncertain(), False, 2),
            (likely(), False, 2),
            (NotAnalysable(Reason.BLANK), True, 1),
            (None, True, 1),
        ],
    )
    def test_others_have_one_only_as_set(self, outcome: Outcome | None, wanted: bool, objects: int) -> None:
        assert len(results_of(reading(film(outcome)), USUAL, heatmap_for_negatives=wanted)) == objects

    def test_the_heatmap_for_a_negative_is_of_the_highest_score(self) -> None:
        films = [film(unlikely(0.1), "1"), film(unlikely(0.3), "2"), film(LATERAL, "3")]
        results = results_of(reading(*films), heatmap_for_negatives=True)
        (reference,) = results[ResultKind.HEATMAP].SourceImageSequence
        assert reference.ReferencedSOPInstanceUID == text_of(films[1].header, "SOPInstanceUID")


DIGESTS = """
import hashlib
from dicom_node.results import encode
from tests.builders import NAMES
from tests.readings import film, likely, reading, results_of
study = reading(film(likely(), "1", name=NAMES["japanese"]), film(likely(0.7), "2"))
for result in results_of(study).values():
    print(hashlib.sha256(encode(result)).hexdigest())
"""


def test_two_processes_make_the_same_bytes() -> None:
    digests = [
        subprocess.run(
            [sys.executable, "-c", DIGESTS],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[2],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert digests[0] == digests[1]
    assert len(digests[0].split()) == 4
