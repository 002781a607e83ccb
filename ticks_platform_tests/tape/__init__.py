"""Cases of the tape: frames of real shapes, and the candles that the market's own rules make of them.

`make tape CASES=DIR` runs every file of a folder through the platform: a feed's WebSocket on loopback, journal, loader,
candles, and the true-up of the day where REST tells more. CONTRIBUTING.md has the format of the files.
"""
