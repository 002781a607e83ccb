-- Makes a view again, as it was.
CREATE VIEW {view} {options} AS {definition};
