"""What holds for US stocks whoever sends them: the rules of the consolidated tapes' conditions, and regular hours.

Not here: a provider's own codes for conditions, which its folder turns into the numbers of these rules.
"""
