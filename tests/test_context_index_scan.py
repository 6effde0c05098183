"""Definitions found by lexical rules are those of the syntax trees: names, first and last lines, on installed packages and on samples.

The figures are printed with -s; the bars are 99% for Python and 95% for other languages, in both directions."""

from __future__ import annotations

import collections
import importlib
import os
import re
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from cromwell.binding import index as native
from cromwell.prepare.index.kinds import parse_details
from cromwell.prepare.symbols import FUNCTION_VALUES

tree_sitter = pytest.importorskip("tree_sitter")
MOST_BYTES = 400_000
FUNCTIONS = {
    "function_definition", "function_declaration", "generator_function_declaration", "method_definition", "method_declaration",
    "constructor_declaration", "compact_constructor_declaration", "function_item",
}
CLASSES = {
    "class_definition", "class_declaration", "abstract_class_declaration", "class_specifier", "struct_specifier", "interface_declaration",
    "enum_declaration", "record_declaration", "struct_item", "enum_item", "union_item", "trait_item", "impl_item",
}
NAMES = {"identifier", "field_identifier", "qualified_identifier", "destructor_name", "operator_name", "type_identifier"}


def parser(module: str, function: str = "language") -> Any:
    grammar = pytest.importorskip(module)
    return tree_sitter.Parser(tree_sitter.Language(getattr(grammar, function)()))


def name_of(node: Any) -> str | None:
    """The name that a node defines, without what it lies in and without parameters of types; None when it defines nothing."""
    if node.type == "variable_declarator":
        value = node.child_by_field_name("value")
        if value is None or value.type not in FUNCTION_VALUES:
            return None
    elif node.type not in FUNCTIONS and node.type not in CLASSES:
        return None
    if node.type in ("struct_specifier", "class_specifier") and node.child_by_field_name("body") is None:
        return None  # a type that is used
    named = node.child_by_field_name("type" if node.type == "impl_item" else "name")
    inner = node.child_by_field_name("declarator")
    while named is None and inner is not None:
        if inner.type in NAMES:
            named = inner
        below = inner.child_by_field_name("declarator")
        inner = below or next((child for child in inner.named_children if child.type in ("function_declarator", "identifier")), None)
    if named is None:
        return None
    text = named.text.decode("utf-8", "replace")
    if node.type in ("impl_item", "struct_specifier", "class_specifier"):
        text = re.sub(r"<.*", "", text, flags=re.DOTALL)
    return re.split(r"::|\.", "".join(text.split()))[-1]


def by_tree(parse: Any, source: bytes) -> list[tuple[str, int, int]] | None:
    """(name, first line, last line) of every definition; None for a file that does not parse."""
    root = parse.parse(source).root_node
    if root.has_error:
        return None
    found, pending = [], [(root, None)]
    while pending:
        node, first = pending.pop()
        name, row = name_of(node), node.end_point[0]
        if name is not None:
            last = row if node.end_point[1] == 0 and row > node.start_point[0] else row + 1
            found.append((name, first or node.start_point[0] + 1, last))
        wraps = node.type in ("decorated_definition", "export_statement")
        pending += [(child, (first or node.start_point[0] + 1) if wraps else None) for child in node.named_children]
    return found


def by_rules(path: Path) -> list[tuple[str, int, int]]:
    with native.Survey(os.fsencode(path.parent), os.fsencode(path.name) + b"\0", 1, None, 1, 1 << 30, 1 << 30) as survey:
        found, _imports = parse_details(survey.details(0))
    return [(found.name.rpartition(".")[2], found.first_line, found.last_line) for found in found if found.kind in ("function", "class")]


def agreement(parse: Any, paths: list[Path]) -> tuple[float, float, int, list[tuple[str, object]]]:
    """Share of the trees' definitions that the rules find, share of those that they find which the trees have, the trees' number, and
    some of the differences."""
    both = mine = theirs = 0
    differences: list[tuple[str, object]] = []
    for path in paths:
        source = path.read_bytes()
        try:
            source.decode()
        except UnicodeDecodeError:
            continue
        right = by_tree(parse, source.replace(b"\r\n", b"\n")) if len(source) <= MOST_BYTES else None
        if right is None:
            continue
        wanted, found = collections.Counter(right), collections.Counter(by_rules(path))
        both += sum((wanted & found).values())
        mine += sum(found.values())
        theirs += sum(wanted.values())
        differences += [(path.name, item) for item in (wanted - found) + (found - wanted)]
    return both / max(1, theirs), both / max(1, mine), theirs, differences[:8]


def installed(suffixes: tuple[str, ...], most: int) -> list[Path]:
    """Evenly chosen files of the packages installed beside this Python, of the standard library and of the C headers."""
    found = []
    for place in dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib", "include")):
        for folder, folders, names in os.walk(place):
            folders[:] = sorted(name for name in folders if name not in ("__pycache__", "site-packages") and not name.startswith("."))
            found += [Path(folder, name) for name in sorted(names) if name.endswith(suffixes) and ".min." not in name]
    found = list(dict.fromkeys(found))
    return found[:: max(1, len(found) // most)]


@pytest.mark.parametrize(("language", "suffixes", "module", "bar"), [
    ("python", (".py",), "tree_sitter_python", 0.99),
    ("c", (".h", ".c"), "tree_sitter_c", 0.95),
    ("javascript", (".js", ".mjs"), "tree_sitter_javascript", 0.95),
])
def test_installed_packages(language: str, suffixes: tuple[str, ...], module: str, bar: float) -> None:
    recall, precision, count, differences = agreement(parser(module), installed(suffixes, 120))
    print(f"{language}: {count} definitions, {recall:.2%} found, {precision:.2%} of those found are right")
    if count < 50:
        pytest.skip(f"only {count} definitions are installed")
    assert min(recall, precision) >= bar, differences


SAMPLES = {
    "a.go": ("tree_sitter_go", "language", """package a

import "fmt"

// F is one.
func F(a int, f func(int) error) (int, error) {
	s := `raw } { ` + "}" + string('}')
	g := func() { fmt.Println(s) }
	g()
	return 0, nil
}

func (t *T[K]) Method() interface{ Close() error } { return nil }

func Generic[T any, U interface{ ~int }](x T) map[string]struct{} {
	return nil
}
"""),
    "a.rs": ("tree_sitter_rust", "language", """use std::fmt;
/// Doc
#[derive(Debug)]
pub(crate) struct A<'a, T: Into<String>> where T: Clone {
    x: &'a str, y: T, c: char,
}
struct Unit;
pub struct Pair(u8, u8);
impl<'a, T> fmt::Display for A<'a, T> where T: Clone + Into<String> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { let c = '}'; let r = r#"}"#; /* } /* } */ */ Ok(()) }
}
trait Shape { fn area(&self) -> f64; fn name(&self) -> String { "}".into() } }
enum E { A { x: i32 }, B(u8) }
pub async unsafe fn run<F>(f: F) -> Result<(), Box<dyn Fn() -> u8>>
where
    F: Fn(u8),
{
    fn inner() {}
    Ok(())
}
extern "C" fn c_call(x: i32) -> i32 { x }
mod m { pub const fn deep() -> [u8; 2] { [1, 2] } }
"""),
    "a.java": ("tree_sitter_java", "language", """package a.b;
import java.util.*;

@Deprecated(since = "1")
public abstract class A<T extends Comparable<T>> implements B, C<Map<String, T>> {
  private final Map<String, List<T>> m = new HashMap<>() {{ put("}", null); }};
  static { System.out.println('}'); }
  public A(int x) throws E { this.m.clear(); }
  @Override
  @X({"a", "b"})
  protected <U> Map<String, U> get(final Map<String, U> a, int... b) throws E, F {
    Runnable r = new Runnable() {
      @Override public void run() { }
    };
    if (x(a)) { return a; }
    for (int i : b) { }
    return b.length > 1 ? f(a) : null;
  }
  abstract int area();
  interface I { void a(); default int b() { return 1; } }
  enum Kind { ONE(1) { int f() { return 2; } }, TWO; Kind(int... x) { } int f() { return 1; } }
  record R(int a, String b) { R { a = 1; } }
}
"""),
    "a.cpp": ("tree_sitter_cpp", "language", """#include <vector>
namespace a::b {
template <class T, int N = (3 > 2)>
class Stack final : public Base<T>, private Other {
 public:
  Stack() : Base<T>(1), items_{1, 2} { }
  explicit Stack(int n) noexcept(true);
  ~Stack() override = default;
  T& operator[](int i) { return items_[i]; }
  bool operator==(const Stack& o) const { return true; }
  auto size() const -> int { return [this] { return 1; }(); }
  static constexpr const char* raw() { return R"x(})x"; }
  struct Node { int v; Node* next; };
 private:
  std::vector<T> items_;
};
}
template <typename T>
typename a::Stack<T>::Node* a::Stack<T>::find(const T& x) const {
  return nullptr;
}
extern "C" {
int g(void) { struct foo* p = 0; return 1'000; }
}
static inline unsigned long long h(int (*cb)(int), char s[]) { return 0; }
"""),
    "a.ts": ("tree_sitter_typescript", "language_typescript", """import { a } from './a'
export interface I<T> extends J { m(x: number): { a: 1 }; p?: string }
export default abstract class A<T = {}> extends B<T> implements I<T> {
  private static readonly x: Map<string, number> = new Map()
  constructor(private a: number, readonly b = {}) { super() }
  async *gen<U>(this: A, ...xs: U[]): AsyncIterable<{ u: U }> { for await (const x of y) { if (x) { z(x) } } }
  get value(): string { return `a${this.b ? `}` : '}'}` }
  ['computed'](): void { }
  #hidden() { return /[}/]\\}/g }
  abstract later(): void
}
export function over(a: string): void
export function over(a: any): asserts a is string { }
const arrow = async <T extends object>({ a }: T): Promise<T | undefined> => {
  return a ? call(a) : other
}
export const short = (x: number): number =>
  x + 1
let called = function () { return 1 }()
enum E { A = 1, B }
declare function nowhere(x: number): void
type F = (a: number) => { b: string }
const object = { method() { return 1 }, async other(a) { }, plain: function () { } }
"""),
    "a.js": ("tree_sitter_javascript", "language", """'use strict'
const x = require('./x')
export class A extends (B ?? C) { static s = () => 1; *[Symbol.iterator]() { } delete(a) { } static async get(b) { } }
function* g() { yield* h }
export const View = ({ items }) => <ul className="a">{items.map(i => <li key={i}>it's {`${i}`}</li>)}</ul>
var f = function named(a = {}, [b] = []) { return a / b / 2 }, c = 1
if (x) function inIf() { }
items.forEach(function each(i) { })
const $dollar$1 = async x => { await x }
async function later() {
  function inner() { return '}' }
}
"""),
    "a.py": ("tree_sitter_python", "language", '''"""doc
def no(): pass
"""
import os


@decorator(
    a=1)
# between
class A(B,
        metaclass=C):
    x = """
def no(): pass
"""

    async def f(self, a: dict = {"a": [1, 2]}, *, b=lambda: (yield)) -> "X":
        def inner(): return 1
        return f"{a!r:{b}}" \\
            "x"
        # belongs to f

    # belongs to A
    @property
    def g(self): return rb'\\''

# outside
if True:
    def h():
\t    pass
else:
    class H: pass
x = [
    1,
]
'''),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_samples(tmp_path: Path, name: str) -> None:
    module, function, source = SAMPLES[name]
    (tmp_path / name).write_text(source)
    right = by_tree(parser(module, function), source.encode())
    assert right is not None and len(right) >= 3
    assert sorted(set(by_rules(tmp_path / name))) == sorted(set(right))


@pytest.mark.parametrize(("name", "source", "wanted"), [
    ("a.rb", "module M\n  class A\n    def f\n      1\n    end\n  end\nend\n", [("M", 1, 7), ("A", 2, 6), ("f", 3, 5)]),
    ("a.swift", "public final class A {\n  func f() {\n  }\n}\n", [("A", 1, 4), ("f", 2, 3)]),
    ("a.sh", "function f {\n  x\n}\n", [("f", 1, 3)]),
    ("a.cs", "namespace N {\nclass A {\n  public int F(int x) { return x; }\n}\n}\n", [("A", 2, 4), ("F", 3, 3)]),
    ("a.md", "def f():\n", []),
    ("a.py", "def broken(:\n  x = (\n\ndef next():\n  pass\n", [("broken", 1, 2), ("next", 4, 5)]),
    ("b.py", "def \nclass\n@\nasync\n", []),
    ("a.c", "#ifdef A\nint f(int a) {\n#else\nint f(long a) {\n#endif\n  return '}';\n}\nint g() { return 2; }\n",
     [("f", 2, 7), ("g", 8, 8)]),
    ("b.c", "int old(a, b)\n  int a; char *b;\n{\n}\n", [("old", 1, 4)]),
])
def test_other_languages_and_broken_files(tmp_path: Path, name: str, source: str, wanted: list[tuple[str, int, int]]) -> None:
    (tmp_path / name).write_text(source)
    assert by_rules(tmp_path / name) == wanted


def test_long_and_hostile_texts_end_soon(tmp_path: Path) -> None:
    """Time in proportion to the text, whatever it is."""
    import time

    for suffix in (".py", ".ts", ".tsx", ".c", ".cpp", ".go", ".rs", ".java", ".rb"):
        for piece in ("f(", "{[(", "a<", "x = `${", "<a>", "/", "'", '"', "#if x\n{\n#else\n", "class a ", "(((a)))=>", "def f(\n", "r#\"",
                      "a.b::", "\n  "):
            path = tmp_path / f"x{suffix}"
            path.write_text(piece * (100_000 // len(piece)))
            start = time.thread_time()
            by_rules(path)
            assert time.thread_time() - start < 2, (suffix, piece)


def test_languages_are_known_by_name() -> None:
    assert {"", "python", "javascript", "typescript", "c", "cpp", "go", "rust", "java"} <= set(native.languages())
    assert importlib.import_module("cromwell.prepare.index").text_terms("") == []
