"""The explorer: a web page on which masks are edited and their accuracy is shown at once, and the data it reads.

bundle.py makes the data bundle from stored results, site.py adds the page, single.py puts both into one HTML file, and
server.py serves them locally. page/ holds the page's HTML, CSS and JavaScript modules, which need no build step.
"""
