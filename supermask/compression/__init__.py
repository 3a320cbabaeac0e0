"""Deep Compression: prune, quantise, code (Han, Mao & Dally 2016, arXiv 1510.00149), and Dense-Sparse-Dense training.

quantisation.py   weights that share a few values: k-means, and fine-tuning of the shared values
coding.py         relative indices and entropy coding
file.py           encodes a network to a small file and decodes it
inference.py      inference on the compressed network, without decompression
pruning.py        the paper's fractions and bits per layer; masks of dense-sparse-dense training
dsd.py            dense-sparse-dense training
runs.py           description of one compressed network
"""
