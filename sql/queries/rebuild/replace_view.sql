CREATE OR REPLACE VIEW {view} AS {definition};
