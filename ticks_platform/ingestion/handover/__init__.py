"""How a feed gets its next owner: at once, or in a planned hand-over, in which both receive for a while.

`takeover` takes the feed's lease and its journals, `handover` records a planned hand-over, `received_twice` finds the
events that both owners received, `returned` those of a journal that comes back. Not here: the check of the lease in
each transaction (`lease`).
"""
