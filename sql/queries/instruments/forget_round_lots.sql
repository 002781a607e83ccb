-- Deletes the round lots that feeds.yaml gave symbols of which it gives none now.
DELETE FROM round_lot
WHERE source = 'feeds.yaml' AND symbol = ANY (%(symbols)s);
