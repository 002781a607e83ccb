"""The live page: candles that move with the ticks, feeds, gaps and rejected events, in a browser on this machine.

A process of its own, which reads and never writes. `queries` asks the database, `hub` does that for all viewers at
once, `app` has the endpoints, `server` the socket. `static` is the page: HTML, CSS and JavaScript modules as they are,
without a build step. docs/live-page.md describes the endpoints. Not here: anything that Dagster shows.
"""
