-- The search_path that the platform's functions have, for procedures: one that commits cannot have such a setting.
CREATE OR REPLACE FUNCTION ticks_platform.own_search_path()
RETURNS text
LANGUAGE sql STABLE
SET search_path FROM CURRENT
AS $$
    SELECT current_setting('search_path')
$$;
