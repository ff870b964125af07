-- The trail of corrections is append-only, for its owner too; what was received is never changed.
CREATE FUNCTION audit.refuse_correction_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit.correction is append-only';
END
$$;

CREATE TRIGGER correction_is_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.correction
    FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_correction_change();

CREATE FUNCTION flow.refuse_payload_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'flow.inbox: what was received is never changed';
END
$$;

-- An update of other columns does not fire it.
CREATE TRIGGER inbox_payload_is_kept
    BEFORE UPDATE OF payload, content_hash, source_id, version_at ON flow.inbox
    FOR EACH STATEMENT EXECUTE FUNCTION flow.refuse_payload_change();
