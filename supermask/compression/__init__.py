"""Deep Compression: prune, quantise, code (Han, Mao & Dally 2016, arXiv 1510.00149), and Dense-Sparse-Dense training.

quantisation.py   weights that share a few values: k-means, and fine-tuning of the shared values
coding.py         relative indices, and entropy coding to bytes
file.py           one network as one small file, and back
pruning.py        which part of each layer the paper keeps; dense-sparse-dense
"""
