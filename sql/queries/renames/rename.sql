-- Renames rows. The symbol is named so that only its part of a compressed chunk is unpacked.
UPDATE {table} SET symbol = %(new)s
WHERE symbol = %(old)s AND {feeds} AND {within};
