"""The wordings of edits between releases: rule -> templates, the last two of each kept for evaluation.

Several phrases make one instruction."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from .instructions import HELD_OUT
from .releases_phrases import Phrase

TEMPLATES: dict[str, tuple[str, ...]] = {
    "rename": (
        "rename {old} to {new}",
        "rename the {role} {old} to {new}",
        "call the {role} {old} {new}",
        "change the name of {old} to {new}",
        "use the name {new} for {old}",
        "give the {role} {old} the name {new}",
        "let {old} be named {new}",
    ),
    "use": (
        "use {new} instead of {old}",
        "replace {old} with {new}",
        "change {old} to {new}",
        "replace every {old} by {new}",
        "switch from {old} to {new}",
        "put {new} in place of {old}",
        "go from {old} to {new}",
    ),
    "replace_call": (
        "call {new} instead of {old}",
        "replace the calls of {old} with {new}",
        "use {new} instead of {old}",
        "switch from {old} to {new}",
        "replace {old} with {new}",
        "let it call {new}, not {old}",
        "migrate from {old} to {new}",
    ),
    "replace": (
        "replace {old} with {new}",
        "change {old} to {new}",
        "use {new} instead of {old}",
        "turn {old} into {new}",
        "make it {new} instead of {old}",
        "put {new} in place of {old}",
        "write {new} for {old}",
    ),
    "change_line": (
        "change {old} to {new}",
        "replace the line {old} with {new}",
        "replace {old} with {new}",
        "turn {old} into {new}",
        "rewrite {old} as {new}",
        "write {new} instead of {old}",
    ),
    "set": (
        "set {label} to {value}",
        "change {label} to {value}",
        "change {label} from {default} to {value}",
        "make {label} {value}",
        "assign {value} to {label}",
        "let {label} be {value}",
        "give {label} the value {value}",
    ),
    "return": (
        "return {new} instead of {old}",
        "return {new}, not {old}",
        "replace return {old} by return {new}",
        "change the return of {old} to {new}",
        "let it return {new} instead of {old}",
        "where it returns {old}, return {new}",
    ),
    "extend": (
        "extend the condition {old} by {role} {new}",
        "add {role} {new} to {old}",
        "change {old} to check {role} {new} as well",
        "append {role} {new} to the condition {old}",
        "let {old} go on with {role} {new}",
        "put {role} {new} behind {old}",
    ),
    "await": ("await {call}", "await the call of {call}", "add await before {call}", "let it await {call}", "put an await before {call}"),
    "add_argument": (
        "pass {new} to {call}",
        "pass {new} as the last argument of {call}",
        "add the argument {new} to the call of {call}",
        "also give {new} to {call}",
        "hand {new} to {call} too",
        "let {call} get {new} as well",
    ),
    "add_keyword": (
        "pass {label}={value} to {call}",
        "call {call} with {label}={value}",
        "add {label}={value} to the call of {call}",
        "set {label}={value} in the call of {call}",
        "give {call} {label}={value}",
        "let {call} have {label}={value}",
        "hand {label}={value} to {call}",
    ),
    "remove_keyword": (
        "remove {label} from the call of {call}",
        "do not pass {label} to {call}",
        "drop the argument {label} of {call}",
        "call {call} without {label}",
        "take {label} out of the call of {call}",
        "stop passing {label} to {call}",
    ),
    "keyword": (
        "pass {label}={value} to {call} instead of {label}={default}",
        "change {label} in the call of {call} to {value}",
        "call {call} with {label}={value}",
        "set {label} to {value} in {call}",
        "use {value} for {label} in the call of {call}",
        "let {label} be {value} when {call} is called",
    ),
    "import_name": (
        "also import {new} from {module}",
        "import {new} from {module} too",
        "add {new} to the import from {module}",
        "import {new} from {module}",
        "from {module} import {new} as well",
    ),
    "insert": (
        "add {stmt} {role} {what}",
        "insert {stmt} {role} {what}",
        "put {stmt} {role} {what}",
        "add the line {stmt} {role} {what}",
        "write {stmt} {role} {what}",
        "place {stmt} {role} {what}",
    ),
    "insert_if": (
        "add a check {role} {what}: if {test}, {stmt}",
        "{role} {what}, {stmt} if {test}",
        "insert if {test}: {stmt} {role} {what}",
        "add if {test}: {stmt} {role} {what}",
        "{stmt} if {test}, {role} {what}",
        "put a guard {role} {what}: {stmt} if {test}",
        "check {role} {what} and {stmt} if {test}",
    ),
    "add_else": (
        "add an else to {old}: {stmt}",
        "{stmt} in an else of {old}",
        "give {old} an else with {stmt}",
        "else {stmt}, for {old}",
        "let {old} have the else branch {stmt}",
    ),
    "remove": (
        "remove {old}",
        "delete {old}",
        "drop the line {old}",
        "remove the line {old}",
        "take out {old}",
        "get rid of {old}",
    ),
    "remove_if": (
        "remove the check {what}",
        "drop the case {what}",
        "remove the if {what} and what it does",
        "delete the branch for {what}",
        "take out the if {what}",
        "get rid of the case {what}",
    ),
    "wrap": (
        "put {what} into {new}",
        "wrap {what} in {new}",
        "do {what} inside {new}",
        "surround {what} with {new}",
        "run {what} under {new}",
        "move {what} into {new}",
    ),
    "wrap_if": (
        "do {what} only if {test}",
        "only {what} if {test}",
        "wrap {what} in if {test}",
        "put {what} under if {test}",
        "make {what} depend on {test}",
        "let {what} happen only when {test}",
    ),
    "wrap_try": (
        "wrap {what} in try, on {caught} {stmt}",
        "try {what}, except {caught}: {stmt}",
        "catch {caught} around {what} and {stmt}",
        "guard {what} with try / except {caught}: {stmt}",
        "handle {caught} from {what}: {stmt}",
    ),
    "unwrap": (
        "remove {old} but keep what is in it",
        "take the body out of {old}",
        "do the body of {old} always, without it",
        "drop {old} around its body",
        "unwrap {old}",
    ),
    "unwrap_try": (
        "remove the try but keep its body",
        "drop the error handling around the body of the try",
        "take the body out of the try",
        "do it without the try",
        "unwrap the try",
    ),
    "catch": (
        "catch {new} instead of {old}",
        "change except {old} to except {new}",
        "handle {new} instead of {old}",
        "let the except name {new} instead of {old}",
        "make except {old} except {new}",
    ),
    "catch_bare": (
        "catch {new} instead of everything",
        "replace the bare except with except {new}",
        "name {new} in the bare except",
        "let the bare except catch {new}",
        "narrow the bare except to {new}",
    ),
    "make_async": (
        "make {func} async",
        "turn {func} into a coroutine",
        "make {func} a coroutine",
        "let {func} be async",
        "define {func} as async",
    ),
    "make_sync": (
        "make {func} synchronous",
        "remove async from {func}",
        "make {func} a plain function",
        "let {func} not be async",
        "drop async of {func}",
    ),
    "returns": (
        "annotate the return of {func} as {new}",
        "change the return annotation of {func} to {new}",
        "add the return type {new} to {func}",
        "set the return type of {func} to {new}",
        "let {func} be annotated as returning {new}",
        "declare that {func} returns {new}",
    ),
    "remove_returns": (
        "remove the return annotation of {func}",
        "drop the return type of {func}",
        "delete the return annotation from {func}",
        "leave out the return type of {func}",
        "take away the return annotation of {func}",
    ),
    "annotate": (
        "annotate {label} as {new}",
        "add the type {new} to {label}",
        "set the type of {label} to {new}",
        "change the annotation of {label} to {new}",
        "declare {label} as {new}",
        "give {label} the annotation {new}",
    ),
    "remove_annotation": (
        "remove the annotation of {label}",
        "drop the type of {label}",
        "leave {label} without annotation",
        "delete the type of {label}",
        "take away the annotation of {label}",
    ),
    "bases": (
        "derive {func} from {new}",
        "change the bases of {func} to {new}",
        "make {func} inherit from {new}",
        "let {func} have the bases {new}",
        "set the base classes of {func} to {new}",
    ),
    "decorate": (
        "decorate {func} with {new}",
        "add {new} to {func}",
        "put {new} above {func}",
        "add the decorator {new} to {func}",
        "give {func} the decorator {new}",
    ),
    "undecorate": (
        "remove {old} from {func}",
        "drop the decorator {old} of {func}",
        "delete {old} above {func}",
        "take {old} off {func}",
        "leave {func} without {old}",
    ),
    "add_parameter": (
        "add the parameter {new} to {func}",
        "add parameter {new}",
        "give {func} the parameter {new}",
        "add the argument {new} to {func}",
        "let {func} take {new}",
        "extend {func} by the parameter {new}",
    ),
    "add_parameter_after": (
        "add the parameter {new} after {old}",
        "add {new} to {func}, after {old}",
        "insert the parameter {new} after {old}",
        "give {func} the parameter {new} behind {old}",
        "put the parameter {new} after {old}",
    ),
    "add_parameter_first": (
        "add {new} as the first parameter of {func}",
        "make {new} the first parameter of {func}",
        "let {func} take {new} first",
        "begin the parameters of {func} with {new}",
        "put {new} in front of the parameters of {func}",
    ),
    "remove_parameter": (
        "remove the parameter {old} of {func}",
        "drop parameter {old}",
        "delete the argument {old} from {func}",
        "remove {old} from the parameters of {func}",
        "let {func} do without the parameter {old}",
        "take away the parameter {old} of {func}",
    ),
    "keyword_only": (
        "make {label} keyword-only",
        "let {label} be passed by keyword only",
        "make the parameter {label} keyword-only",
        "take {label} by keyword only",
        "allow {label} as a keyword only",
    ),
    "default": (
        "change the default of {label} to {value}",
        "change the default of {label} from {default} to {value}",
        "set the default of {label} to {value}",
        "let {label} default to {value}",
        "make {value} the default of {label}",
        "use {value} as default for {label}",
    ),
    "give_default": (
        "give {label} the default {value}",
        "let {label} default to {value}",
        "add the default {value} to {label}",
        "make {label} optional, default {value}",
        "default {label} to {value}",
    ),
    "no_default": (
        "remove the default of {label}",
        "make {label} required",
        "drop the default of {label}",
        "leave {label} without a default",
        "let {label} be required",
    ),
}
_IN = ("in {func}, ", "{func}: ", "for {func}: ", "within {func}, ", "change {func}: ", "as to {func}: ")
_VAGUE = (
    "update {func}: ",
    "rework {func}: ",
    "improve {func}, for instance ",
    "change {func}, among other things ",
    "adapt {func}: ",
    "revise {func}: ",
)
_JOINED = ((" and ", " and "), (", ", " and "), ("; ", "; "), (", then ", ", then "))
_PROSE = frozenset(("role",))
_WORDS = frozenset(("the return", "that"))  # what a place may be called without quoting code


def word(rng: Random, phrases: Sequence[Phrase], function: str, complete: bool, held_out: bool) -> str:
    """One instruction of one to four phrases; without `complete` it says that there is more than they tell."""
    quote = rng.choice(("`", "`", ""))
    texts = []
    for phrase in phrases:
        every = TEMPLATES[phrase.rule]
        template = rng.choice(every[-HELD_OUT:] if held_out else every[:-HELD_OUT])
        # Code of several words reads as prose without quotes.
        marks = quote or ("`" if any(" " in value for slot, value in phrase.slots.items() if slot not in _PROSE) else "")
        filled = {}
        for slot, value in phrase.slots.items():
            bare = slot in _PROSE or value in _WORDS or f"={{{slot}}}" in template or f"{{{slot}}}=" in template
            filled[slot] = value if bare else marks + value + marks
        texts.append(template.format(**filled))
    first, last = rng.choice(_JOINED)
    text = texts[0] if len(texts) == 1 else first.join(texts[:-1]) + last + texts[-1]
    if function and (not complete or rng.random() < 0.2 and not any(phrase.slots.get("func") for phrase in phrases)):
        leads = _IN if complete else _VAGUE
        lead = rng.choice(leads[-HELD_OUT:] if held_out else leads[:-HELD_OUT])
        text = lead.format(func=quote + function + quote) + text
    roll = rng.random()
    if roll < 0.3 and text[0].isalpha() and not text.startswith(function or "\n"):
        text = text[0].upper() + text[1:]
    return text + ("." if 0.2 < roll < 0.4 and (quote or text[-1].isalpha()) else "")
