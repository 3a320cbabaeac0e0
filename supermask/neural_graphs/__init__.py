"""Neural graphs: classifiers that are a graph of small nodes, whose wiring is found by training or drawn at random."""
