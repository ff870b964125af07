-- The monthly partitions of our tables, and the ones for the rest.
SELECT n.nspname AS schema_name, c.relname AS table_name
FROM pg_inherits i
JOIN pg_class c ON c.oid = i.inhrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname IN ('flow', 'supervision') AND c.relkind = 'r'
