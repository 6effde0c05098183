"""cw-encode: runs the encoder over a context, keeps its states in the cache, and writes an encoding."""

from __future__ import annotations

from array import array

import click

from cromwell.contract import cli, settings


@cli.command("cw-encode", examples=[
    ("cw-context app.py:3-9 -m 'set the timeout to 30' | cw-encode | cw-generate | cw-apply", "the long way from a context to an edit"),
    ("cw-encode app.cwa -o app.cwe", "encode once; any number of cw-generate app.cwe start from there"),
    ("cw-encode app.cwa --joint | cw-inspect", "keep the joint embeddings too"),
])
@click.argument("context", metavar="[CONTEXT|-]", default="-")
@click.option("--joint", is_flag=True, help="add the joint embedding of every token to the encoding")
@settings.options("model", "threads", "isa", "cache")
@cli.output_option
def app(context: str, joint: bool, output: str | None, settings: settings.Settings) -> None:
    """Encode a context: its tokens, its pictures as tiles, and the states of the encoder, which the cache keeps.

    An encoding holds all that cw-generate needs; without the cache it only takes longer."""
    from cromwell import binding
    from cromwell.contract import artifact
    from cromwell.contract.cache import Cache
    from cromwell.contract.engine import open_model
    from cromwell.contract.errors import CommandError
    from cromwell.contract.model_input import picture_tiles, prompt_tokens
    from cromwell.contract.prefix import feed_prompt

    name = "standard input" if context == "-" else context
    with cli.open_input(context) as stream:
        source = artifact.read(stream, name, {"context"})
    # The output is opened first: what cannot be written should not be computed.
    with cli.output(output, binary=True) as outgoing, open_model(settings) as model:
        info, cache = model.info, Cache.of(settings)
        tokens = prompt_tokens(source.meta, source.arrays, model.tokenizer)
        pictures = picture_tiles(source.arrays, info.max_tiles)
        if len(tokens) >= info.max_positions:
            raise CommandError(f"{name}: a prompt of {len(tokens)} tokens leaves no room among the model's {info.max_positions} positions",
                               "make the context with a smaller --budget")
        arrays = {"target": source.arrays["target"], "tokens": artifact.Array("<i4", (len(tokens),), array("i", tokens).tobytes())}
        for number, picture in enumerate(pictures):
            arrays[f"pixels.{number}"] = artifact.Array("|u1", (picture.rows * picture.cols, 256, 256, 3), picture.tiles)
        if joint or settings.cache:  # else nothing would be left of the work
            tiles = sum(picture.rows * picture.cols for picture in pictures)
            with binding.Session(model, len(tokens), tiles, threads=settings.threads) as session:
                use = feed_prompt(session, tokens, pictures, cache, model.fingerprint)
                cli.detail(f"{len(tokens)} tokens: {use.restored_tokens} restored, {use.stored_tokens} stored")
                if joint:
                    arrays["joint"] = artifact.Array("<f4", (len(tokens), info.joint_size), session.joint(0, len(tokens)))
        meta = {**source.meta, "model": model.fingerprint, "prompt_tokens": len(tokens),
                "tiles": [{"rows": picture.rows, "cols": picture.cols} for picture in pictures]}
        entry = artifact.lineage_entry("cw-encode", {"joint": joint}, {"context": artifact.content_hash(source)}, model.fingerprint, None)
        artifact.write(artifact.Artifact("encoding", meta, arrays, [*source.lineage, entry]), outgoing)


def main() -> None:
    cli.command_main(app)
