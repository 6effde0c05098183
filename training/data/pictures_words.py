"""How people ask for what a picture shows, and the words that charts, tables and mock-ups are made of."""

from __future__ import annotations

from random import Random

TEMPLATES = {
    "code": {
        "picture": (
            "write the code of this screenshot",
            "write the code in the picture",
            "transcribe this screenshot",
            "type the code that the picture shows",
            "code from the screenshot",
            "write this code",
            "copy the code of this image",
            "what is shown, as code",
            "turn this picture into code",
            "transcribe the code",
            "write down the code shown here",
            "insert the code of the screenshot",
            "write the code shown in the image",
            "screenshot to code",
            "reproduce this snippet",
            "read the code off this picture",
            "add the function from the screenshot",
            "same code as in the image",
            "ocr this",
            "type this up",
            "give me the text of this screenshot without the line numbers",
            "put the pictured code here",
            "the code in this image as text",
        )
    },
    "chart": {
        "picture": (
            "write the code that draws this chart",
            "plot this",
            "matplotlib code for this figure",
            "reproduce this chart with matplotlib",
            "recreate the plot",
            "code for this graph",
            "write plotting code for the picture",
            "turn this chart into code",
            "draw the same chart",
            "which code makes this plot",
            "write a script that draws this figure",
            "chart to code",
            "make this graph",
            "generate the code of this diagram",
            "read the data off this chart and plot it again",
            "same plot in python please",
            "rebuild this figure",
            "figure to code",
            "get me the matplotlib source of this picture",
            "write the script behind this chart",
        )
    },
    "table": {
        "picture": (
            "write this table as markdown",
            "table to markdown",
            "transcribe the table",
            "turn this table into markdown",
            "copy the table of the picture",
            "markdown of this table",
            "write down the table",
            "type up this table",
            "insert the table from the screenshot",
            "convert the image of a table to a markdown table",
            "read off the table",
            "this table, in markdown",
            "the table shown here as text",
            "put this table into the readme",
            "make a markdown table of this",
            "the rows and columns of this picture as markdown",
            "markdown table please",
        )
    },
    "mockup": {
        "picture": (
            "write the html of this mock-up",
            "turn this mock-up into html",
            "html for this page",
            "build this page",
            "code this design",
            "mock-up to html",
            "write markup for the screenshot",
            "recreate this form in html",
            "make this page in html",
            "html of the picture",
            "write the html that looks like this",
            "implement this screen",
            "convert the design to html",
            "screenshot to html",
            "page like in the image",
            "write this user interface as html",
            "the markup of this layout",
            "html please",
        )
    },
}

NOUNS = tuple(
    """account address age amount area art asset author average balance bank battery beer bill board boat book box brand bread budget
building bus cable camera capital car cart case cash cat cell chain chair change city class client clock cloud coal code coffee
color copper corn cost count country course cycle date day deal debt delay demand depth design desk dog door draft drive duty east
email energy engine entry error event export factor farm fee field file film fire fish flight floor flow food forest form frame
fruit fuel fund game gas gate gold goods grain grant graph grid group growth guest health heat height home hotel hour house import
income index invoice iron item job key lake lamp land laptop league length level library license light limit line link list load
loan login loss lunch mail map margin market mass meal member memory menu metal meter milk mine minute model money month motor
mouse music name network night noise north note number office oil option orange order output owner page paper park part party
patient pay peak phone photo plan plant plate point pool port post power press price profile profit project proof quality query
queue radio rail rain range rate ratio record region rent report result retail return revenue rice river road room route salary
sale sample score season seat sector security seed server service session share ship shop signal site size sleep soil south space
speed sport staff stage state station steel step stock store storm street student style sugar supply survey system table target
tax team tea temperature term test ticket tide time title token total town track trade traffic train travel tree trend trial truck
unit update user value version vehicle video view visit volume voter wage warehouse water wave week weight west wheat wheel width
wind window winter wood worker year yield zone""".split()
)
ADJECTIVES = tuple(
    """active annual big blue central clean cold daily dark deep digital direct dry early empty extra fast fine first free fresh full global
green heavy high hot idle inner large late light local long low main mean modern monthly net new next old online open outer past plain
prime public quick quiet rare raw ready real red remote rich round safe second sharp short simple slow small smart soft solar solid
steady strong sweet tall thin third top total urban warm weekly wet white whole wide wild young""".split()
)
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
UNITS = ("m", "km", "kg", "s", "ms", "h", "days", "%", "USD", "EUR", "MW", "GB", "count", "per day", "million", "points")


class Words:
    """Words by chance: everyday ones, and half of the time words out of real code, so that they must be read and cannot be guessed."""

    def __init__(self, rng: Random, pool: list[str]):
        """`pool`: lower-case ASCII words of code, which may be none."""
        self.rng, self.pool = rng, [word for word in pool if 3 <= len(word) <= 10]

    def noun(self) -> str:
        return self.rng.choice(self.pool) if self.pool and self.rng.random() < 0.5 else self.rng.choice(NOUNS)

    def phrase(self, most: int = 3) -> str:
        """One to `most` words, in one of the usual cases."""
        count = self.rng.choices(range(1, most + 1), (4, 4, 2, 1, 1)[:most])[0]
        words = [self.noun() if i == count - 1 or self.rng.random() < 0.4 else self.rng.choice(ADJECTIVES) for i in range(count)]
        text = " ".join(words)
        return self.rng.choice((text, text.capitalize(), text.capitalize(), text.title()))

    def distinct(self, count: int, most: int = 1) -> list[str]:
        """`count` different phrases in one case."""
        shape = self.rng.choice((str.lower, str.capitalize, str.title))
        found: list[str] = []
        while len(found) < count:
            text = shape(self.phrase(most))
            if text not in found:
                found.append(text)
        return found
