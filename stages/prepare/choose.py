"""What is shown beside the lines to rewrite: the selection of other files' lines, without what looks secret."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from cromwell.contract.cli import message
from cromwell.prepare.secrets import Secret, file_kind, secrets_in
from cromwell.prepare.tree import quoted

if TYPE_CHECKING:
    from cromwell.prepare.index import Index
    from cromwell.prepare.pack import Excerpt
    from cromwell.prepare.rank import Scored, Target


class LeftOut(NamedTuple):
    """Something secret that was left out of a selection."""

    path: str
    line: int
    kind: str


class Chosen(NamedTuple):
    """A selection: the lines shown, their text with LF line ends, their tokens with the wrappers, and every file's score."""

    excerpts: list[Excerpt]
    texts: list[bytes]
    tokens: int
    scores: list[Scored]
    left_out: list[LeftOut]


def warn(path: str, secret: Secret, what: str) -> None:
    """Says where something secret seems to stand, never what it is."""
    message(f"warning: {quoted(path)}:{secret.first_line}: looks like a secret ({secret.kind}); {what}")


def choose(index: Index, target: Target, instruction: str, budget_tokens: int, count_tokens: Callable[[bytes], int],
           allow_secrets: bool) -> Chosen:
    """Selects lines of other files for `budget_tokens`; excerpts that hold something secret, and all of a file of secrets, are left out
    and named on standard error, unless allowed."""
    from cromwell.contract.model_input import prompt_path
    from cromwell.prepare.pack import select, split_lines

    selection = select(index, target, instruction, budget_tokens, count_tokens)
    kept, texts, left_out, tokens = [], [], [], 0
    for path in dict.fromkeys(excerpt.path for excerpt in selection.excerpts):
        parts = [excerpt for excerpt in selection.excerpts if excerpt.path == path]
        try:
            data = index.read(index.by_path[path])
        except KeyError:
            message(f"{quoted(path)}: changed while it was read; left out")
            continue
        secrets: Sequence[Secret] = ()
        if not allow_secrets:
            kind = file_kind(path)
            secrets = [Secret(1, data.count(b"\n") + 1, kind)] if kind else secrets_in(path, data)
        lines = split_lines(data)
        for part in parts:
            inner = [secret for secret in secrets if secret.first_line <= part.last_line and secret.last_line >= part.first_line]
            if inner:
                for secret in inner:
                    if LeftOut(path, secret.first_line, secret.kind) not in left_out:
                        warn(path, secret, f"lines {part.first_line}-{part.last_line} left out (--allow-secrets shows them)")
                        left_out.append(LeftOut(path, secret.first_line, secret.kind))
                continue
            kept.append(part)
            texts.append(b"".join(lines[part.first_line - 1:part.last_line]))
            tokens += 2 + count_tokens(prompt_path(path) + b"\n" + texts[-1])
    return Chosen(kept, texts, tokens, selection.scores, left_out)


def from_here(root: str, path: str) -> str:
    """A path of the tree as artifacts hold it: relative to the current folder."""
    return os.path.relpath(os.path.join(root, path))
