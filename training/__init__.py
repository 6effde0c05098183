"""Training of Cromwell's models in torch; nothing here is needed to run them."""
