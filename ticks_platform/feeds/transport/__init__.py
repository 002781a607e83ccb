"""Connections to providers, the same for all connectors: open a WebSocket, keep it alive, reconnect.

`websocket` is one open WebSocket, `session` the protocol on it, `reconnect` one connection after the other, `pool` all
connections of a feed. `state` has the states and their changes, `subscriptions` the channels that are requested and
acknowledged, `silence` the symbols that are silent for too long, `history_client` HTTP requests. Not here: one
provider's protocol (a folder beside this one), and what happens to the frames (`ticks_platform.ingestion`).
"""
