"""The explorer: a page on which a mask is bent and its accuracy seen at once, and the bundle of weights that it reads.

bundle.py makes the bundle from stored results, site.py puts it beside the page, server.py shows both on this machine;
page/ is the page itself: HTML, CSS and JavaScript modules as they are served, with no build step.
"""
