"""Tables that were there before the platform: found, refused in words, and adopted with their rows.

`relations` tells ours from others, `plan` what an adoption would do, `adopt` does it in one transaction. Does not
belong here: tables of an older release of ours, which their files in sql/schema alter.
"""
