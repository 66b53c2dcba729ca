"""Charts are well-formed, tell their extremes in words, and never draw what is not a number."""

from xml.etree import ElementTree

import pytest

from margin.charts import bar_chart, line_chart

SVG = "{http://www.w3.org/2000/svg}"
NAN = float("nan")


def test_a_line_chart_says_its_title_its_unit_and_its_extremes() -> None:
    page = ElementTree.fromstring(line_chart("Margin <SPY>", ["a", "b", "c"], {"rate": [1.0, 4.0, 2.0]}, unit="%"))
    assert page.findtext(f"{SVG}title") == "Margin <SPY>"
    assert page.findtext(f"{SVG}desc") == "%, 3 points from a to c. rate: lowest 1 at a, highest 4 at b."


def test_a_missing_value_breaks_the_line_and_has_no_bar() -> None:
    labels, series = ["a", "b", "c", "d"], {"rate": [1.0, 2.0, NAN, 3.0]}
    line = ElementTree.fromstring(line_chart("t", labels, series, unit="%")).findall(f"{SVG}path")[0]
    assert line.attrib["d"].count("M") == 2
    assert line.attrib["d"].count("L") == 1
    bars = ElementTree.fromstring(bar_chart("t", labels, series, unit="%")).findall(f"{SVG}rect[@class='bar s0']")
    assert len(bars) == 3 + 1  # and the key of the legend


def test_every_value_lies_within_the_frame() -> None:
    page = ElementTree.fromstring(bar_chart("t", ["a", "b"], {"one": [-3.0, 7.0]}, unit="USD"))
    for bar in page.findall(f"{SVG}rect[@class='bar s0']"):
        assert 0 <= float(bar.attrib["y"]) <= float(bar.attrib["y"]) + float(bar.attrib["height"]) <= 420


def test_a_series_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="rate: 1 values for 2 labels"):
        line_chart("t", ["a", "b"], {"rate": [1.0]}, unit="%")


def test_a_chart_without_any_number_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one number"):
        line_chart("t", ["a"], {"rate": [NAN]}, unit="%")


@pytest.mark.parametrize("value", [0.0, -5.0, 1e-9, 123456789.0])
def test_any_size_of_number_has_an_axis(value: float) -> None:
    ElementTree.fromstring(line_chart("t", ["a"], {"rate": [value]}, unit="x"))
