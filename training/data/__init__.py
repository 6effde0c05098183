"""Training data: pinned packages, edits with exact gold results, plain code and pictures, as token shards (docs/data.md)."""
