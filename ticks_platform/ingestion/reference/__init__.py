"""What is known of the instruments: of feeds.yaml, of the providers' reference APIs, and of what markets let expect.

No ticks and no candles.
"""
