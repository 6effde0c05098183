"""Training data: pinned packages, instruction edits with exact gold results, plain code and pictures of code, as token shards (docs/data.md)."""
