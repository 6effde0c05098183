"""The model in torch, the twin of libcromwell/src/model; docs/model.md specifies both."""
