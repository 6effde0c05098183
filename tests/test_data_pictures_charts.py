"""Charts: the one form there and back, what is refused, scores; tables and mock-ups are in test_data_pictures_mockups.py."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from training.data import charts, charts_draw, charts_make, pictures_fonts
from training.data.charts import Chart, Series
from training.data.pictures_words import Words

LINES = Chart("line", (Series((1, 2, 3), (4, 5.5, 6), "north"), Series((1, 2, 3), (3, 2, 1), "south")), "Income", "day", "EUR")
CODE = """import matplotlib.pyplot as plt

fig, ax = plt.subplots()
ax.plot([1, 2, 3], [4, 5.5, 6], label="north")
ax.plot([1, 2, 3], [3, 2, 1], label="south")
ax.set_title("Income")
ax.set_xlabel("day")
ax.set_ylabel("EUR")
ax.legend()
plt.show()
"""


def test_the_one_form():
    assert charts.write(LINES) == CODE
    assert charts.parse(CODE) == LINES


def test_every_chart_is_read_back():
    rng = Random(1)
    words = Words(rng, ["alpha", "beta"])
    made = [charts_make.make(rng, words) for _ in range(400)]
    assert {chart.kind for chart in made} == set(charts.KINDS)
    assert all(charts.parse(charts.write(chart)) == chart for chart in made)


def test_odd_texts_are_read_back():
    chart = LINES._replace(title='say "hi" \\ \\n', series=(Series((0, -1), (1e-3, 20), "'"),))
    assert charts.parse(charts.write(chart)) == chart


@pytest.mark.parametrize(
    "change, reason",
    [
        (("[3, 2, 1]", "[3, 2, open('x')]"), "no literal"),
        (("ax.legend()", "__import__('os').system('true')"), "not a call of ax"),
        (("ax.legend()", "ax.figure.savefig('x')"), "not a call of ax"),
        (("ax.legend()", "ax.fill([1], [2])"), "ax.fill: arguments"),
        (("[3, 2, 1]", "[3, 2]"), "ax.plot: arguments"),
        (("[3, 2, 1]", "[3, 2, True]"), "ax.plot: arguments"),
        (("[3, 2, 1]", "[3, 2, 1e300]"), "ax.plot: arguments"),
        (("import matplotlib.pyplot as plt\n", "import os\n"), "begin and end"),
        (("ax.legend()", "ax.set_title('again')"), "takes one text, once"),
        (("ax.plot([1, 2, 3], [3, 2, 1]", "ax.barh(['a'], [3]"), "do not make one chart"),
        (("plt.show()", "plt.show("), "no Python"),
        (('ax.plot([1, 2, 3], [4, 5.5, 6], label="north")\n', "ax.stairs([1, 2], [0, 3, 3], fill=True)\n"), "edges do not increase"),
        (('ax.plot([1, 2, 3], [4, 5.5, 6], label="north")\n', 'ax.pie([0], labels=["a"], autopct="%d%%")\n'), "shares below 0"),
        (("Income", "x" * 30_000), "more than 20000"),
    ],
)
def test_any_other_code_is_no_chart(change, reason):
    with pytest.raises(charts.ChartError, match=reason):
        charts.parse(CODE.replace(*change))
    assert charts.score(CODE, CODE.replace(*change)) == charts.NOTHING


def test_scores_follow_what_is_wrong():
    assert charts.score(CODE, CODE) == charts.ChartScore(True, True, True, 1.0, 0.0, 1.0, True)
    number = charts.score(CODE, CODE.replace("5.5", "5"))
    assert number.labels == 1.0 and not number.exact and number.error == pytest.approx(0.5 / 5 / 12) and 0.8 < number.pixels < 1
    word = charts.score(CODE, CODE.replace("south", "sauth"))
    assert word.labels == pytest.approx(4 / 5) and word.error == 0
    kind = charts.score(CODE, CODE.replace("plot([", "scatter(["))
    assert not kind.kind and kind.error == 0 and kind.pixels < number.pixels
    fewer = charts.score(CODE, CODE.replace('ax.plot([1, 2, 3], [3, 2, 1], label="south")\n', ""))
    assert not fewer.series and fewer.error == pytest.approx(0.5) and fewer.labels == pytest.approx(4 / 5)


@pytest.mark.parametrize("text", ["$x", "$x^$ {", "_hidden", "ä 漢", "x" * 3000, "a\nb"])
def test_whatever_an_answer_calls_things_it_is_scored(text):
    answer = charts.write(LINES._replace(title=text, series=(LINES.series[0]._replace(label=text), LINES.series[1])))
    result = charts.score(CODE, answer)
    assert result.parses and not result.exact and 0 <= result.pixels <= 1 and result.error == 0


def test_a_drawn_chart_depends_on_its_numbers_and_look():
    faces, _ = pictures_fonts.find(pictures_fonts.SANS)
    rng = Random(2)
    look, _ = charts_draw.draw_look(rng, faces, 4)
    drawn = [charts_draw.draw(chart, look) for chart in (LINES, LINES, LINES._replace(title="other"))]
    assert drawn[0].shape == (look.height, look.width, 3) and drawn[0].dtype == np.uint8
    assert np.array_equal(drawn[0], drawn[1]) and not np.array_equal(drawn[0], drawn[2])
    kinds = [charts_make.make(rng, Words(rng, [])) for _ in range(25)]
    for chart in {chart.kind: chart for chart in kinds}.values():
        assert charts_draw.plain(chart).max() > 0.5


def test_small_pictures_fit_one_tile():
    faces, _ = pictures_fonts.find(pictures_fonts.SANS)
    rng = Random(3)
    looks = [charts_draw.draw_look(rng, faces, 1)[0] for _ in range(20)]
    assert all(look.width <= 256 and look.height <= 256 for look in looks)
