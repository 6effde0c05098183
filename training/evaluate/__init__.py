"""Evaluation: every figure that the README and a model card quote comes from one of these commands (docs/evaluation.md)."""
