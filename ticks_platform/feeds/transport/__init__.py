"""Connections to providers, the same for all connectors: from opening a WebSocket to reconnecting when it is lost.

`websocket` is one open WebSocket, `session` what is said on it, `reconnect` one connection after the other, `pool` all
connections of a feed at once. `state` has the states and who hears of them, `subscriptions` what is asked for and what
was answered, `silence` which symbols are silent for too long. Not here: what any one provider says (a folder of its own
beside this one), and what happens to the frames (`ticks_platform.ingestion`).
"""
