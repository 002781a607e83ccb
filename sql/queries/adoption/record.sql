-- Records an adoption.
INSERT INTO ticks_platform.adoption (ticks, first_time, last_time, steps)
VALUES (%(rows)s, %(first_time)s, %(last_time)s, %(steps)s);
