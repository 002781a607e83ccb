"""How a feed comes to its next owner: at once, or planned, with both receiving for a while.

`takeover` is the way to the feed, `handover` what both owners write about it, `received_twice` which events both have
received. Not here: the lease itself, which `lease` checks in each transaction.
"""
