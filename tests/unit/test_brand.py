"""A brand's colour: whatever it is, what is written with it can be read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.domain.brand import CONTRAST_MIN, DARK_PAPERS, PAPERS, Brand, contrast
from farebox.domain.errors import FounderError
from farebox.domain.product import Product

COLOURS = st.integers(0, 0xFFFFFF).map(lambda number: f"#{number:06x}")


@given(COLOURS)
def test_any_colour_can_be_read_on_any_paper_and_written_upon(colour: str) -> None:
    brand = Brand(colour)
    for shade, papers in ((brand.light, PAPERS), (brand.dark, DARK_PAPERS)):
        assert all(contrast(shade.text, paper) >= CONTRAST_MIN for paper in papers)
        assert contrast(shade.on_fill, shade.fill) >= CONTRAST_MIN


def test_a_colour_that_can_be_read_is_taken_as_it_is() -> None:
    brand = Brand("#0f766e")
    assert (brand.light.text, brand.light.fill, brand.dark.fill) == ("#0f766e", "#0f766e", "#0f766e")


def test_a_light_colour_gets_a_darker_one_of_its_hue_for_text_and_dark_words_on_its_buttons() -> None:
    brand = Brand("#facc15")
    assert brand.light.fill == "#facc15"
    assert brand.light.on_fill == "#000000"
    assert contrast(brand.light.text, "#ffffff") > contrast("#facc15", "#ffffff")


def test_contrast_is_as_the_guidelines_have_it() -> None:
    assert contrast("#fff", "#000") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)
    assert contrast("#123456", "#123456") == 1


@pytest.mark.parametrize("colour", ["teal", "0f766e", "#0f766", "#0f766e00", "#ggg", "", 7, None])
def test_what_is_no_colour_is_told(colour: object) -> None:
    with pytest.raises(FounderError, match="write a colour as"):
        Brand(colour)  # type: ignore[arg-type]


@pytest.mark.parametrize("logo", ["", "  ", 7])
def test_what_is_no_file_is_told(logo: object) -> None:
    with pytest.raises(FounderError, match="a logo has to be the name of a file"):
        Brand(logo=logo)  # type: ignore[arg-type]


@pytest.mark.parametrize("tagline", [7, None, "two\nlines", "x" * 161])
def test_a_tagline_is_one_line(tagline: object) -> None:
    with pytest.raises(FounderError, match="tagline has to be one line"):
        Product(tagline=tagline)  # type: ignore[arg-type]


def test_a_brand_is_a_brand() -> None:
    with pytest.raises(FounderError, match="brand has to be a Brand"):
        Product(brand="#0f766e")  # type: ignore[arg-type]
