-- Rights and guards that table declarations cannot express.

-- Analysts read schema mart and nothing else. On a company's server the role may be made by its administrator instead.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'erpcrm_analyst') THEN
        CREATE ROLE erpcrm_analyst NOLOGIN;
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'role erpcrm_analyst was not created: ask an administrator for CREATE ROLE erpcrm_analyst NOLOGIN';
    WHEN duplicate_object OR unique_violation THEN
        NULL;
END
$$;

REVOKE ALL ON SCHEMA hub, flow, supervision, automation, audit, mart FROM PUBLIC;

-- The audit trail is append-only, for its owner too.
CREATE FUNCTION audit.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit.change is append-only';
END
$$;

CREATE TRIGGER change_is_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.change
    FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change();
