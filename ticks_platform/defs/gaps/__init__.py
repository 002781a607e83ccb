"""When a symbol was not received though data could have been sent, and getting that data from providers' histories.

The market calendar belongs here: it says when data can exist. Whether candles are complete is a question of `checks`.
"""
