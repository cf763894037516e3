"""The site from its sources: tutorials that run, pages generated from the registry, one strict build.

Works in a checkout, beside `mkdocs.yml`, `docs/` and `tutorials/`. `python -m mmgraph.docs build` does all of it.
"""
