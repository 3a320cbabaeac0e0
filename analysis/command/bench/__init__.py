"""How fast this toolkit is, beside PyTorch doing the same work in the same run."""
