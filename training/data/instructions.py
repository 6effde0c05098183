"""How people word an instruction: templates for each kind and variant, quoting, case, courtesy and slips.

The last HELD_OUT templates of every list are never used for training; half of the evaluation instructions come from them."""

from __future__ import annotations

from random import Random

HELD_OUT = 2

_RENAME = (
    "rename {old} to {new}",
    "rename {role} {old} to {new}",
    "rename the {role} {old} to {new}",
    "{old} -> {new}",
    "rename {old} -> {new}",
    "change the name of {old} to {new}",
    "call {old} {new} instead",
    "{old} should be called {new}",
    "use the name {new} instead of {old}",
    "rename {old} as {new}",
    "rename all uses of {old} to {new}",
    "rename {old} into {new}",
    "s/{old}/{new}/",
    "the {role} {old} should be named {new}",
    "replace the {role} name {old} with {new}",
    "rename {role}: {old} to {new}",
    "give {old} the name {new}",
    "rename {old}, new name {new}",
    "rename {role} {old} => {new}",
    "please call the {role} {old} {new} from now on",
    "{new} is a better name for {old}",
)
_RENAME_IN = (
    "rename the {role} {old} of {func} to {new}",
    "in {func}, rename {old} to {new}",
    "rename {role} {old} of {func} to {new}",
    "rename {func}'s {role} {old} to {new}",
    "{func}: rename {old} to {new}",
    "rename {old} to {new} in {func}",
    "change {func} so that {old} is called {new}",
    "the {role} {old} in {func} becomes {new}",
)
TEMPLATES: dict[str, dict[str, tuple[str, ...]]] = {
    "rename": {"plain": _RENAME, "in": _RENAME_IN},
    "rename_attribute": {
        "attribute": (
            "rename attribute {old} to {new}",
            "rename the attribute {old} of {base} to {new}",
            "rename {full} to {full_new}",
            "{full} -> {full_new}",
            "change {full} to {full_new}",
            "replace {full} with {full_new}",
            "use {full_new} instead of {full}",
            "rename {base}'s attribute {old} to {new}",
            "the attribute {old} is now called {new}",
            "rename the field {old} to {new}",
            "attribute {old} -> {new}",
            "{full} should be {full_new}",
            "rename {full} to {new}",
            "call the attribute {old} {new}",
            "rename member {old} to {new}",
            "attribute {old} of {base} becomes {new}",
            "every {full} becomes {full_new}",
        ),
    },
    "change_constant": {
        "label": (
            "set {label} to {new}",
            "change {label} to {new}",
            "{label} = {new}",
            "make {label} {new}",
            "{label} should be {new}",
            "use {new} for {label}",
            "set the value of {label} to {new}",
            "change the value of {label} to {new}",
            "update {label} to {new}",
            "{label}: {new}",
            "let {label} be {new}",
            "set {label}={new}",
            "assign {new} to {label}",
            "I want {label} to be {new}",
            "{label} must be {new}",
            "put {new} as {label}",
            "give {label} the value {new}",
            "{label} needs to be {new}",
        ),
        "from_to": (
            "change {label} from {old} to {new}",
            "set {label} from {old} to {new}",
            "{label}: {old} -> {new}",
            "{label} {old} -> {new}",
            "change {label}={old} to {label}={new}",
            "{label} should be {new} instead of {old}",
            "{label} should be {new}, not {old}",
            "use {new} instead of {old} for {label}",
            "replace {old} with {new} for {label}",
            "update {label} from {old} to {new}",
            "change the {old} of {label} to {new}",
            "for {label} use {new}, not {old}",
            "move {label} from {old} to {new}",
            "switch {label} from {old} to {new}",
            "{label} is {old}, make it {new}",
            "change the value of {label} from {old} to {new}",
            "{label} goes from {old} to {new}",
        ),
        "call": (
            "pass {label}={new} to {call}",
            "call {call} with {label}={new}",
            "in the call of {call}, set {label} to {new}",
            "set {label} to {new} in {call}",
            "{call}: {label}={new}",
            "use {label}={new} when calling {call}",
            "change {label} to {new} in the call to {call}",
            "{call} should get {label}={new}",
            "give {call} {label}={new}",
            "the {label} passed to {call} should be {new}",
        ),
        "on": (
            "enable {label}",
            "turn on {label}",
            "turn {label} on",
            "switch {label} on",
            "activate {label}",
            "{label} on",
            "set {label} to true",
            "{label} should be enabled",
        ),
        "off": (
            "disable {label}",
            "turn off {label}",
            "turn {label} off",
            "switch {label} off",
            "deactivate {label}",
            "{label} off",
            "set {label} to false",
            "{label} should be disabled",
        ),
        "literal": (
            "change {old} to {new}",
            "replace {old} with {new}",
            "{old} -> {new}",
            "use {new} instead of {old}",
            "{old} should be {new}",
            "make it {new} instead of {old}",
            "replace {old} by {new}",
            "the {old} should be {new}",
            "turn {old} into {new}",
            "change the {old} to {new}",
            "swap {old} for {new}",
            "{new} instead of {old}",
            "put {new} where {old} is",
            "not {old} but {new}",
            "change value {old} to {new}",
            "{old} becomes {new}",
        ),
        "every": (
            "change every {old} to {new}",
            "replace all {old} with {new}",
            "replace every {old} by {new}",
            "use {new} instead of {old} everywhere",
            "all {old} -> {new}",
            "change all occurrences of {old} to {new}",
            "{old} should be {new} everywhere",
            "every {old} should be {new}",
            "replace each {old} with {new}",
            "turn every {old} into {new}",
            "each {old} becomes {new}",
            "wherever it says {old}, write {new}",
        ),
    },
    "change_default": {
        "default": (
            "change the default of {label} to {new}",
            "set the default of {label} to {new}",
            "default {label} to {new}",
            "make {new} the default for {label}",
            "{label} should default to {new}",
            "change the default value of {label} to {new}",
            "the default of {label} should be {new}",
            "let {label} default to {new}",
            "default {label}={new}",
            "use {new} as the default of {label}",
            "{label} default {new}",
            "set default {label} = {new}",
            "parameter {label}: default {new}",
            "update the default for {label} to {new}",
            "make {label} {new} by default",
            "{label} is {new} unless given",
            "if not given, {label} is {new}",
        ),
        "from_to": (
            "change the default of {label} from {old} to {new}",
            "default of {label}: {old} -> {new}",
            "{label}={old} -> {label}={new}",
            "make {label} default to {new} instead of {old}",
            "the default of {label} should be {new}, not {old}",
            "replace the default {old} of {label} with {new}",
            "change default {label} from {old} to {new}",
            "update the default value of {label} from {old} to {new}",
            "use {new} instead of {old} as default for {label}",
            "switch the default of {label} from {old} to {new}",
            "{label} defaults to {old}, make it {new}",
            "the default {label} goes from {old} to {new}",
        ),
        "function": (
            "in {func}, change the default of {label} to {new}",
            "set the default of {label} in {func} to {new}",
            "{func}: default {label}={new}",
            "make {label} of {func} default to {new}",
            "change the default of {func}'s {label} to {new}",
            "{func} should have {label}={new} by default",
            "the {label} parameter of {func} should default to {new}",
            "in {func} use {new} as default for {label}",
            "let {label} default to {new} in {func}",
        ),
        "switch_on": (
            "enable {label} by default",
            "turn {label} on by default",
            "{label} should be on by default",
            "make {label} default to true",
            "switch on {label} by default",
            "by default {label} is on",
        ),
        "switch_off": (
            "disable {label} by default",
            "turn {label} off by default",
            "{label} should be off by default",
            "make {label} default to false",
            "switch off {label} by default",
            "by default {label} is off",
        ),
    },
    "replace_call": {
        "call": (
            "replace {old} with {new}",
            "use {new} instead of {old}",
            "call {new} instead of {old}",
            "replace the call{many} to {old} with {new}",
            "{old} -> {new}",
            "{old}() -> {new}()",
            "replace {old}() by {new}()",
            "change {old} to {new}",
            "swap {old} for {new}",
            "switch from {old} to {new}",
            "change the call of {old} to {new}",
            "replace {old}( with {new}(",
            "use {new}() rather than {old}()",
            "{old} should be {new}",
            "replace call{many} to {old} by {new}",
            "migrate from {old} to {new}",
            "do not call {old}, call {new}",
            "{new} in place of {old}",
        ),
        "every": (
            "replace every call of {old} with {new}",
            "replace all calls to {old} with {new}",
            "change every {old}() to {new}()",
            "use {new} everywhere instead of {old}",
            "all {old} calls should be {new}",
            "replace all {old} -> {new}",
            "call {new} instead of {old} everywhere",
            "every {old} becomes {new}",
            "switch all uses of {old} to {new}",
        ),
    },
    "remove_statement": {
        "call": (
            "remove the {what} call",
            "remove the call to {what}",
            "delete the call to {what}",
            "drop the {what} call",
            "delete the {what} statement",
            "remove {what}",
            "get rid of the {what} call",
            "don't call {what}",
            "remove the line that calls {what}",
            "delete the line with {what}",
            "take out the {what} call",
            "no {what}() please",
            "drop {what}",
            "the {what} line can go",
            "without the {what} call",
        ),
        "sets": (
            "remove the assignment to {what}",
            "delete the line that sets {what}",
            "drop the assignment of {what}",
            "remove the line that assigns {what}",
            "don't set {what}",
            "remove the {what} assignment",
            "delete the {what} line",
            "stop setting {what}",
            "no need to set {what}",
            "{what} need not be set",
        ),
        "form": (
            "remove the {what}",
            "delete the {what} statement",
            "drop the {what}",
            "remove the {what} line",
            "take out the {what}",
            "get rid of the {what}",
            "no {what} here",
            "the {what} can go",
        ),
        "line": (
            "remove {what}",
            "delete {what}",
            "remove the line {what}",
            "delete the line {what}",
            "drop the line {what}",
            "remove this line: {what}",
            "get rid of {what}",
            "delete this: {what}",
            "take out {what}",
            "cut the line {what}",
            "the line {what} can go",
            "without {what}",
        ),
    },
    "insert_statement": {
        "before": (
            "add {stmt} before {what}",
            "insert {stmt} before {what}",
            "before {what} add {stmt}",
            "put {stmt} before the line {what}",
            "add the line {stmt} before {what}",
            "insert {stmt} above {what}",
            "before {what}, insert {stmt}",
            "add {stmt} above {what}",
            "{stmt} goes before {what}",
            "precede {what} with {stmt}",
        ),
        "after": (
            "add {stmt} after {what}",
            "insert {stmt} after {what}",
            "after {what} add {stmt}",
            "put {stmt} after the line {what}",
            "add the line {stmt} after {what}",
            "insert {stmt} below {what}",
            "after {what}, insert {stmt}",
            "add {stmt} below {what}",
            "{stmt} goes after {what}",
            "follow {what} with {stmt}",
        ),
        "return": (
            "add {stmt} before the return",
            "insert {stmt} before the return",
            "before returning, add {stmt}",
            "add {stmt} before return",
            "put {stmt} right before the return statement",
            "{stmt} before the return",
            "before the return statement insert {stmt}",
            "insert {stmt} just before it returns",
        ),
        "first": (
            "add {stmt} at the start of {what}",
            "insert {stmt} at the beginning of {what}",
            "start {what} with {stmt}",
            "add {stmt} at the top of {what}",
            "put {stmt} first in {what}",
            "{what}: add {stmt} at the start",
            "add {stmt} as the first statement of {what}",
            "at the beginning of {what} add {stmt}",
            "make {stmt} the first line of {what}",
            "{what} should begin with {stmt}",
        ),
    },
    "add_import": {
        "name": (
            "also import {new} from {module}",
            "import {new} from {module} too",
            "add {new} to the import from {module}",
            "from {module} import {new} as well",
            "add {new} to the {module} import",
            "import {new} from {module}",
            "we also need {new} from {module}",
            "from {module} also import {new}",
            "{new} is missing from the {module} import",
            "the import from {module} needs {new}",
        ),
        "before": (
            "add {stmt} before {what}",
            "insert {stmt} above {what}",
            "put {stmt} before {what}",
            "before {what} add {stmt}",
            "add the import {stmt} before {what}",
            "above {what}, add {stmt}",
            "{stmt} goes above {what}",
        ),
        "after": (
            "add {stmt} after {what}",
            "insert {stmt} below {what}",
            "put {stmt} after {what}",
            "after {what} add {stmt}",
            "add the import {stmt} after {what}",
            "below {what}, add {stmt}",
            "{stmt} goes below {what}",
        ),
    },
}
_QUOTES = (("", ""), ("`", "`"), ("'", "'"), ('"', '"'))
_CODE_SLOTS = frozenset(("old", "new", "label", "func", "call", "what", "stmt", "base", "full", "full_new", "module"))


def choices(kind: str, variant: str, held_out: bool) -> tuple[str, ...]:
    """The templates for a kind's variant: those for training, or those kept for evaluation."""
    every = TEMPLATES[kind][variant]
    return every[-HELD_OUT:] if held_out else every[:-HELD_OUT]


def word(rng: Random, kind: str, variant: str, slots: dict[str, str], held_out: bool = False) -> str:
    """One instruction. Names, values and statements stay letter for letter; only the words around them vary."""
    if kind == "nothing":
        kind = variant
        variant = {"rename": "plain", "change_constant": "label" if rng.random() < 0.6 else "from_to", "replace_call": "call"}[kind]
    elif kind == "rename":
        variant = "in" if slots["func"] and rng.random() < 0.25 else "plain"
    template = rng.choice(choices(kind, variant, held_out))
    courtesy = rng.choice(("please ", "Please ", "can you ", "could you ", "pls ")) if rng.random() < 0.04 else ""
    before, after = rng.choices(_QUOTES, (55, 27, 9, 9))[0]
    filled = {}
    for slot, value in slots.items():
        # Quotes would turn a value into a string: values and whatever holds quotes get none but backticks.
        own = any(quote in value for quote in "'\"") or (kind in ("change_constant", "change_default") and slot in ("old", "new"))
        bare = (
            slot not in _CODE_SLOTS
            or value in ("assert", "raise", "return")
            or (own and before != "`")
            or "s/{" in template
            or f"{{{slot}}}(" in template
            or "={" in template
        )
        filled[slot] = value if bare else before + value + after
    lead = template.split("{")[0]
    roll = rng.random()
    if template.startswith("s/"):
        pass
    elif lead and roll < 0.22 and not courtesy:
        template = template[0].upper() + template[1:]
    elif roll < 0.25:
        parts = template.split("{")
        template = "{".join([parts[0].upper(), *(part.split("}")[0] + "}" + part.split("}")[1].upper() for part in parts[1:])])
    elif roll < 0.30:
        template = _slip(rng, template)
    text = template.format(**filled)
    if rng.random() < 0.12 and (text[-1].isalpha() or before) and lead and not text.endswith("/"):
        text += "."
    return courtesy + text


def _slip(rng: Random, template: str) -> str:
    """A template with two neighbouring letters of one of its own words swapped."""
    places = []
    depth = 0
    for i in range(len(template) - 1):
        depth += {"{": 1, "}": -1}.get(template[i], 0)
        if not depth and template[i].isalpha() and template[i + 1].isalpha():
            places.append(i)
    if not places:
        return template
    i = rng.choice(places)
    return template[:i] + template[i + 1] + template[i] + template[i + 2 :]
