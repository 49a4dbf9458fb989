"""A radiograph looks on the node's screen as on a radiologist's: bone white, air black, whatever the detector wrote."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from inference.errors import ImageRejected
from inference.prediction import Reason
from inference.radiograph import read_radiograph
from tests.builders import chest_film, set_unchecked

pytest.importorskip("gdcm")


def picture(film: Dataset) -> NDArray[np.float32]:
    film.ensure_file_meta()
    film.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    return read_radiograph(film).pixels


def film_of(stored: NDArray[Any], *, bits: int = 16, **attributes: Any) -> Dataset:
    """A film with these stored values and no window of its own."""
    film = chest_film(without=["WindowCenter", "WindowWidth"])
    film.Rows, film.Columns = stored.shape[:2]
    film.BitsAllocated = 8 * stored.dtype.itemsize
    film.BitsStored, film.HighBit = bits, bits - 1
    film.PixelRepresentation = int(stored.dtype.kind == "i")
    film.PixelData = stored.tobytes()
    for keyword, value in attributes.items():
        if isinstance(value, str):  # as it comes from a file, where nobody has converted it
            tag = Tag(keyword)
            film[tag] = RawDataElement(tag, dictionary_VR(tag), len(value), value.encode(), 0, False, True)
        else:
            set_unchecked(film, keyword, value)
    return film


def ramp(dtype: str = "<u2", low: int = 0, high: int = 65535) -> NDArray[Any]:
    """Every value from low to high once or more, darkest first."""
    return np.linspace(low, high, 256 * 256).reshape(256, 256).astype(dtype)


def table(descriptor: list[int], data: Any, vr: str = "US") -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", descriptor)
    item.add_new("LUTData", vr, data)
    return item


# --- polarity and bits ------------------------------------------------------------------------------------------


def test_both_polarities_of_one_film_look_the_same() -> None:
    light = picture(chest_film(photometric="MONOCHROME2"))
    dark = picture(chest_film(photometric="MONOCHROME1"))
    np.testing.assert_allclose(light, dark, atol=1 / 4095)


def test_the_spine_is_lighter_than_the_lungs() -> None:
    pixels = picture(chest_film(photometric="MONOCHROME1"))
    assert pixels[150, 140] > pixels[150, 85] + 0.2


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 15, 16])
def test_any_number_of_bits_gives_the_whole_grey_scale(bits: int) -> None:
    pixels = picture(film_of(ramp(high=2**bits - 1), bits=bits))
    assert pixels.dtype == np.float32
    assert pixels.min() == 0
    assert pixels.max() == 1
    np.testing.assert_allclose(pixels.ravel()[::257], np.linspace(0, 1, 256), atol=0.012)


def test_signed_values_keep_their_order() -> None:
    pixels = picture(film_of(ramp("<i2", -1000, 1000))).ravel()
    assert pixels[0] == 0
    assert pixels[-1] == 1
    assert (np.diff(pixels) >= 0).all()


def test_eight_bits_in_bytes_are_read() -> None:
    np.testing.assert_allclose(picture(film_of(ramp("u1", 0, 255), bits=8))[128, 0], 0.5, atol=0.01)


def test_an_overlay_in_the_unused_bits_is_not_seen() -> None:
    clean = ramp(high=4095)
    junk = clean | (np.indices(clean.shape).sum(axis=0) % 16 << 12).astype("<u2")
    np.testing.assert_array_equal(picture(film_of(junk, bits=12)), picture(film_of(clean, bits=12)))


def test_values_that_stand_high_in_their_cells_are_read_from_there() -> None:
    clean = ramp(high=4095)
    shifted = (clean << 4 | 0b1010).astype("<u2")
    np.testing.assert_array_equal(
        picture(film_of(shifted, bits=12, HighBit=15)), picture(film_of(clean, bits=12))
    )


def test_signed_values_of_twelve_bits_are_extended() -> None:
    signed = ramp("<i2", -2048, 2047)
    in_cells = (signed & 0x0FFF).astype("<i2")  # as modalities write them that leave the upper bits empty
    np.testing.assert_array_equal(picture(film_of(in_cells, bits=12)), picture(film_of(signed, bits=12)))


# --- modality LUT ----------------------------------------------------------------------------------------------------


def test_slope_and_intercept_come_before_the_window() -> None:
    film = film_of(
        ramp(), RescaleSlope="2", RescaleIntercept="-1000", WindowCenter="65000", WindowWidth="2000"
    )
    pixels, stored = picture(film), ramp()
    assert (pixels[stored < 32500] == 0).all()
    assert (pixels[stored > 33501] == 1).all()


def test_a_modality_lut_comes_before_the_window() -> None:
    upside_down = table([256, 0, 16], list(range(255, -1, -1)))
    film = film_of(ramp("u1", 0, 255), bits=8, ModalityLUTSequence=[upside_down])
    assert picture(film)[0, 0] == 1
    assert picture(film)[-1, -1] == 0


@pytest.mark.parametrize(
    "faulty",
    [
        {"RescaleSlope": "abc"},
        {"RescaleSlope": ""},
        {"RescaleSlope": "0"},
        {"RescaleIntercept": "NaN"},
        {"ModalityLUTSequence": [Dataset()]},
        {"ModalityLUTSequence": [table([256, 0, 16], [1, 2, 3])]},
        {"VOILUTSequence": [Dataset()]},
        {"VOILUTSequence": [table([256, 0, 16], [0] * 256)]},
        {"WindowCenter": "x", "WindowWidth": "y"},
        {"WindowCenter": "128"},
        {"WindowCenter": "128", "WindowWidth": "0"},
        {"WindowCenter": "128", "WindowWidth": "-5"},
        {"WindowCenter": "inf", "WindowWidth": "inf"},
        {"WindowCenter": "100000", "WindowWidth": "10"},
        {"WindowCenter": "0", "WindowWidth": "4000000"},
        {"PixelPaddingValue": None},
        {"PixelPaddingRangeLimit": 5},
    ],
    ids=str,
)
def test_a_malformed_or_useless_header_is_as_good_as_none(faulty: dict[str, Any]) -> None:
    plain = picture(film_of(ramp("u1", 0, 255), bits=8))
    np.testing.assert_allclose(picture(film_of(ramp("u1", 0, 255), bits=8, **faulty)), plain, atol=1e-6)


# --- windows and VOI LUTs --------------------------------------------------------------------------------------------


def window_picture(**attributes: Any) -> dict[int, float]:
    """What each 8-bit value looks like."""
    stored = ramp("u1", 0, 255)
    pixels = picture(film_of(stored, bits=8, **attributes))
    return {int(value): float(pixels[stored == value][0]) for value in np.unique(stored)}


def test_a_linear_window_is_the_standards() -> None:
    # PS3.3 C.11.2.1.2.1, its example of centre 2048 width 4096 made smaller: 128 and 256 show 0..255 unchanged.
    seen = window_picture(WindowCenter="128", WindowWidth="256")
    assert seen[0] == 0
    assert seen[255] == 1
    assert seen[51] == pytest.approx(51 / 255)
    seen = window_picture(WindowCenter="100", WindowWidth="101")
    assert (seen[49], seen[50]) == pytest.approx((0, 0.005))
    assert (seen[149], seen[150]) == pytest.approx((0.995, 1))


def test_an_exact_linear_window_is_the_standards() -> None:
    seen = window_picture(WindowCenter="100", WindowWidth="100", VOILUTFunction="LINEAR_EXACT")
    assert (seen[50], seen[75], seen[100], seen[150]) == pytest.approx((0, 0.25, 0.5, 1))


def test_a_sigmoid_window_is_the_standards() -> None:
    seen = window_picture(WindowCenter="100", WindowWidth="80", VOILUTFunction="SIGMOID")
    assert seen[100] == pytest.approx(0.5)
    assert seen[140] == pytest.approx(1 / (1 + np.exp(-2)))


def test_the_first_of_several_windows_is_shown() -> None:
    assert window_picture(WindowCenter=["100", "200"], WindowWidth=["101", "20"]) == window_picture(
        WindowCenter="100", WindowWidth="101"
    )


@pytest.mark.parametrize("vr", ["US", "OW", "packed"])
def test_a_voi_lut_is_looked_up_however_it_is_written(vr: str) -> None:
    entries = [value * value // 255 for value in range(256)]
    data: Any = {"US": entries, "OW": np.array(entries, "<u2").tobytes(), "packed": bytes(entries)}[vr]
    lut = table([256, 0, 8], data, "US" if vr == "US" else "OW")
    seen = window_picture(VOILUTSequence=[lut], WindowCenter="10", WindowWidth="5")
    assert seen[128] == pytest.approx((128 * 128 // 255) / 255)


def test_values_outside_a_lut_take_its_ends() -> None:
    seen = window_picture(VOILUTSequence=[table([100, 50, 16], list(range(1, 101)))])
    assert seen[0] == seen[50] == pytest.approx(0.01)
    assert seen[149] == seen[255] == 1


# --- padding ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_does_not_set_the_contrast(photometric: str) -> None:
    stored = ramp(high=1000) + 1000
    padded = stored.copy()
    padded[:100] = 60000
    pixels = picture(film_of(padded, PixelPaddingValue=60000, PhotometricInterpretation=photometric))
    assert (pixels[:100] == 0).all()
    assert pixels[100:].min() == 0
    assert pixels[100:].max() == 1


def test_a_range_of_padding_is_black() -> None:
    stored = ramp(high=1000) + 1000
    stored[:50], stored[50:100] = 0, 90
    pixels = picture(film_of(stored, PixelPaddingValue=0, PixelPaddingRangeLimit=100))
    assert (pixels[:100] == 0).all()
    assert np.median(pixels[100:]) == pytest.approx(0.5, abs=0.02)


def test_signed_padding_that_was_read_as_unsigned_is_still_padding() -> None:
    stored = ramp("<i2", -500, 500)
    stored[:100] = -2000
    pixels = picture(film_of(stored, PixelPaddingValue=65536 - 2000))
    assert (pixels[:100] == 0).all()
    assert np.median(pixels[100:]) == pytest.approx(0.5, abs=0.02)


def test_a_film_of_nothing_but_padding_is_black() -> None:
    assert (picture(film_of(np.full((200, 200), 7, "<u2"), PixelPaddingValue=7)) == 0).all()


# --- raw detector images ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_raw_image_is_turned_by_what_its_values_mean(sign: int, photometric: str) -> None:
    # PS3.3 C.8.11.3.1.2: sign 1 is "lower pixel values correspond to less X-ray beam intensity", which is bone.
    stored = ramp(high=4095)
    film = film_of(
        stored,
        bits=12,
        PresentationIntentType="FOR PROCESSING",
        PixelIntensityRelationship="LOG",
        PixelIntensityRelationshipSign=sign,
        PhotometricInterpretation=photometric,
    )
    pixels = picture(film)
    assert pixels[0, 0] == (1 if sign == 1 else 0)
    assert pixels[-1, -1] == (0 if sign == 1 else 1)


def test_a_raw_image_that_is_linear_in_the_dose_is_shown_logarithmically() -> None:
    film = film_of(
        ramp(high=10000),
        PresentationIntentType="FOR PROCESSING",
        PixelIntensityRelationship="LIN",
        PixelIntensityRelationshipSign=1,
    )
    seen = picture(film).ravel()
    tenth, half, most = (seen[int(share * seen.size)] for share in (0.1, 0.5, 0.95))
    # Between 10 % and 50 % of the dose lies more than between 50 % and 95 %, as ln 5 is more than ln 1.9.
    assert tenth - half == pytest.approx((half - most) * np.log(5) / np.log(1.9), rel=0.02)


# --- colour and the unusable -----------------------------------------------------------------------------------------


def coloured(channels: NDArray[Any], **attributes: Any) -> Dataset:
    return film_of(
        channels,
        bits=8,
        SamplesPerPixel=3,
        PlanarConfiguration=0,
        PhotometricInterpretation="RGB",
        **attributes,
    )


def test_a_grey_film_sent_as_colour_is_grey() -> None:
    grey = ramp("u1", 0, 255)
    pixels = picture(coloured(np.repeat(grey[:, :, None], 3, axis=2)))
    np.testing.assert_allclose(pixels, grey / 255, atol=1e-3)


def rejection(film: Dataset) -> Reason:
    with pytest.raises(ImageRejected) as rejected:
        picture(film)
    return rejected.value.reason


def test_a_colour_picture_is_rejected() -> None:
    channels = np.repeat(ramp("u1", 0, 255)[:, :, None], 3, axis=2)
    channels[:, :100, 2] = 0
    assert rejection(coloured(channels)) is Reason.COLOUR


@pytest.mark.parametrize(
    ("reason", "changed"),
    [
        (Reason.NO_PIXELS, {"PixelData": b""}),
        (Reason.MULTIPLE_FRAMES, {"NumberOfFrames": 2}),
        (Reason.TOO_SMALL, {"Rows": 127}),
        (Reason.TOO_SMALL, {"Columns": 0}),
        (Reason.TOO_LARGE, {"Rows": 50_000, "Columns": 2_001}),
        (Reason.UNDECODABLE_PIXELS, {"Rows": 400}),
        (Reason.UNDECODABLE_PIXELS, {"Rows": None}),
        (Reason.UNDECODABLE_PIXELS, {"BitsAllocated": 12}),
        (Reason.UNDECODABLE_PIXELS, {"BitsStored": None}),
        (Reason.UNDECODABLE_PIXELS, {"HighBit": 3}),
        (Reason.UNDECODABLE_PIXELS, {"SamplesPerPixel": 7}),
        (Reason.COLOUR, {"PhotometricInterpretation": "PALETTE COLOR"}),
    ],
    ids=str,
)
def test_what_is_no_readable_picture_is_rejected_with_its_reason(
    reason: Reason, changed: dict[str, Any]
) -> None:
    assert rejection(chest_film(**changed)) is reason


def test_an_object_without_pixel_data_is_rejected() -> None:
    assert rejection(chest_film(without=["PixelData"])) is Reason.NO_PIXELS


def test_out_of_memory_is_not_blamed_on_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("inference.decoding.get_decoder", exhausted)
    with pytest.raises(MemoryError):
        picture(chest_film())
