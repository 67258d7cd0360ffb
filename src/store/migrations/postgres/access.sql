-- Who may see what of the table and its views in `public`. Runs at each start: roles may come later, such as Supabase's.
DO $$
DECLARE
    results constant regclass := 'public.vapi_call_results';
    ours constant text := left('ringback_' || current_user, 63);
    theirs constant text := 'EXISTS (SELECT FROM public.service_requests request '
        'WHERE request.id::text = vapi_call_results.service_request_id::text AND request.user_id::text = auth.uid()::text)';
    owner oid;
    shown text;
BEGIN
    -- Forced: the owner obeys too, and so needs a policy of its own.
    IF NOT (SELECT relrowsecurity AND relforcerowsecurity FROM pg_class WHERE oid = results) THEN
        ALTER TABLE public.vapi_call_results ENABLE ROW LEVEL SECURITY;
        ALTER TABLE public.vapi_call_results FORCE ROW LEVEL SECURITY;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = results AND polname = ours) THEN
        EXECUTE format('CREATE POLICY %I ON public.vapi_call_results TO %I USING (true) WITH CHECK (true)', ours, current_user);
    END IF;

    -- A view shows what whoever asks may see, not what its owner may. Older servers can't: there nobody else may ask.
    FOREACH shown IN ARRAY ARRAY['vapi_call_messages', 'vapi_call_feedback', 'vapi_call_sessions'] LOOP
        IF current_setting('server_version_num')::integer >= 150000
            AND NOT EXISTS (SELECT FROM pg_class WHERE oid = ('public.' || shown)::regclass AND 'security_invoker=true' = ANY (reloptions)) THEN
            EXECUTE format('ALTER VIEW public.%I SET (security_invoker = true)', shown);
        END IF;
    END LOOP;

    FOREACH shown IN ARRAY ARRAY['vapi_call_results', 'vapi_call_messages', 'vapi_call_feedback', 'vapi_call_sessions'] LOOP
        EXECUTE format('REVOKE ALL ON public.%I FROM PUBLIC', shown);
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'anon') THEN
            EXECUTE format('REVOKE ALL ON public.%I FROM anon', shown);
        END IF;
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'authenticated') THEN
            EXECUTE format('REVOKE ALL ON public.%I FROM authenticated', shown);
            IF shown = 'vapi_call_results' OR current_setting('server_version_num')::integer >= 150000 THEN
                EXECUTE format('GRANT SELECT ON public.%I TO authenticated', shown);
            END IF;
        END IF;
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'service_role') THEN
            EXECUTE format('GRANT ALL ON public.%I TO service_role', shown);
        END IF;
    END LOOP;

    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'service_role')
        AND NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = results AND polname = 'ringback_service_role') THEN
        CREATE POLICY ringback_service_role ON public.vapi_call_results TO service_role USING (true) WITH CHECK (true);
    END IF;

    -- Rows whose service request is theirs. `=` never holds for null, so a call without a request is nobody's. Said twice: once to let them in,
    -- once so that nobody else's policy lets them in further (`_only`; `_none` as long as there are no requests that could be theirs). Whoever is
    -- also the owner or Supabase's service is not meant.
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'authenticated') THEN
        owner := (SELECT relowner FROM pg_class WHERE oid = results);
        IF to_regprocedure('auth.uid()') IS NOT NULL
            AND 2 = (SELECT count(*) FROM pg_attribute
                WHERE attrelid = to_regclass('public.service_requests') AND attname IN ('id', 'user_id') AND NOT attisdropped) THEN
            BEGIN
                IF NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = results AND polname = 'ringback_authenticated') THEN
                    EXECUTE 'CREATE POLICY ringback_authenticated ON public.vapi_call_results FOR SELECT TO authenticated USING (' || theirs || ')';
                END IF;
                IF NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = results AND polname = 'ringback_authenticated_only') THEN
                    EXECUTE format('CREATE POLICY ringback_authenticated_only ON public.vapi_call_results AS RESTRICTIVE FOR SELECT TO authenticated '
                        'USING (pg_has_role(current_user, %s::oid, ''USAGE'') OR current_user = ''service_role'' OR %s)', owner, theirs);
                END IF;
            EXCEPTION
                -- Then they see nothing.
                WHEN insufficient_privilege THEN NULL;
            END;
        END IF;
        IF EXISTS (SELECT FROM pg_policy WHERE polrelid = results AND polname = 'ringback_authenticated_only') THEN
            IF EXISTS (SELECT FROM pg_policy WHERE polrelid = results AND polname = 'ringback_authenticated_none') THEN
                DROP POLICY ringback_authenticated_none ON public.vapi_call_results;
            END IF;
        ELSIF NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = results AND polname = 'ringback_authenticated_none') THEN
            EXECUTE format('CREATE POLICY ringback_authenticated_none ON public.vapi_call_results AS RESTRICTIVE FOR SELECT TO authenticated '
                'USING (pg_has_role(current_user, %s::oid, ''USAGE'') OR current_user = ''service_role'')', owner);
        END IF;
    END IF;
END
$$;
