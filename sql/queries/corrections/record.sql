INSERT INTO tick_correction ({columns}) VALUES %s;
