-- What other programs read: one row a call with a result. It may be there already, made by another program, with some of these columns;
-- then the missing ones are added and what is there is left as it is.
CREATE TABLE IF NOT EXISTS public.vapi_call_results (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    call_id text NOT NULL
);
ALTER TABLE public.vapi_call_results
    ADD COLUMN IF NOT EXISTS call_id text,
    ADD COLUMN IF NOT EXISTS assistant_id text,
    ADD COLUMN IF NOT EXISTS phone_number_id text,
    ADD COLUMN IF NOT EXISTS customer_phone text,
    ADD COLUMN IF NOT EXISTS status text,
    ADD COLUMN IF NOT EXISTS ended_reason text,
    ADD COLUMN IF NOT EXISTS started_at timestamptz,
    ADD COLUMN IF NOT EXISTS ended_at timestamptz,
    ADD COLUMN IF NOT EXISTS duration_minutes double precision,
    ADD COLUMN IF NOT EXISTS duration_sec double precision,
    ADD COLUMN IF NOT EXISTS transcript text,
    ADD COLUMN IF NOT EXISTS messages jsonb,
    ADD COLUMN IF NOT EXISTS recording_url text,
    ADD COLUMN IF NOT EXISTS analysis_summary text,
    ADD COLUMN IF NOT EXISTS analysis_structured_data jsonb,
    ADD COLUMN IF NOT EXISTS analysis_success_evaluation text,
    ADD COLUMN IF NOT EXISTS structured_outputs jsonb,
    ADD COLUMN IF NOT EXISTS provider_name text,
    ADD COLUMN IF NOT EXISTS provider_phone text,
    ADD COLUMN IF NOT EXISTS service_type text,
    ADD COLUMN IF NOT EXISTS location text,
    ADD COLUMN IF NOT EXISTS user_criteria text,
    ADD COLUMN IF NOT EXISTS urgency text,
    ADD COLUMN IF NOT EXISTS service_request_id text,
    ADD COLUMN IF NOT EXISTS correlation_id text,
    ADD COLUMN IF NOT EXISTS cost double precision,
    ADD COLUMN IF NOT EXISTS nps_score double precision,
    ADD COLUMN IF NOT EXISTS overall_feedback text,
    ADD COLUMN IF NOT EXISTS metadata jsonb,
    ADD COLUMN IF NOT EXISTS data_status text,
    ADD COLUMN IF NOT EXISTS version bigint,
    ADD COLUMN IF NOT EXISTS raw_webhook_payload jsonb,
    ADD COLUMN IF NOT EXISTS created_at timestamptz DEFAULT now(),
    ADD COLUMN IF NOT EXISTS updated_at timestamptz DEFAULT now();
CREATE UNIQUE INDEX IF NOT EXISTS vapi_call_results_call_id_key ON public.vapi_call_results (call_id);
CREATE INDEX IF NOT EXISTS vapi_call_results_created_at_idx ON public.vapi_call_results (created_at);
CREATE INDEX IF NOT EXISTS vapi_call_results_status_idx ON public.vapi_call_results (status);
CREATE INDEX IF NOT EXISTS vapi_call_results_assistant_id_idx ON public.vapi_call_results (assistant_id);
CREATE INDEX IF NOT EXISTS vapi_call_results_customer_phone_idx ON public.vapi_call_results (customer_phone);
CREATE INDEX IF NOT EXISTS vapi_call_results_service_request_id_idx ON public.vapi_call_results (service_request_id);
CREATE INDEX IF NOT EXISTS vapi_call_results_correlation_id_idx ON public.vapi_call_results (correlation_id);

-- Long texts: where the server can, they are compressed by what costs a commit least.
DO $$
DECLARE
    long text;
BEGIN
    FOREACH long IN ARRAY ARRAY['transcript', 'messages', 'raw_webhook_payload'] LOOP
        EXECUTE format('ALTER TABLE public.vapi_call_results ALTER COLUMN %I SET COMPRESSION lz4', long);
    END LOOP;
EXCEPTION
    WHEN feature_not_supported OR syntax_error THEN NULL;
END
$$;

CREATE OR REPLACE VIEW public.vapi_call_messages AS
SELECT r.call_id, said.position, said.message ->> 'role' AS role, said.message ->> 'message' AS message,
    to_timestamp((said.message ->> 'time')::double precision / 1000) AS time,
    (said.message ->> 'secondsFromStart')::double precision AS seconds_from_start, r.service_request_id
FROM public.vapi_call_results r
CROSS JOIN LATERAL jsonb_array_elements(CASE jsonb_typeof(r.messages::jsonb) WHEN 'array' THEN r.messages::jsonb ELSE '[]' END)
    WITH ORDINALITY AS said (message, position);

CREATE OR REPLACE VIEW public.vapi_call_feedback AS
SELECT r.call_id, r.nps_score, r.overall_feedback, r.analysis_success_evaluation, r.analysis_structured_data::jsonb ->> 'positives' AS positives,
    r.analysis_structured_data::jsonb ->> 'detractors' AS detractors,
    r.analysis_structured_data::jsonb ->> 'action_items' AS action_items,
    r.service_request_id, r.ended_at
FROM public.vapi_call_results r
WHERE r.nps_score IS NOT NULL OR r.overall_feedback <> '';

CREATE OR REPLACE VIEW public.vapi_call_sessions AS
SELECT r.call_id, r.correlation_id, r.service_request_id, r.assistant_id, r.customer_phone, r.provider_name, r.provider_phone, r.status,
    r.data_status, r.ended_reason, r.started_at, r.ended_at, r.duration_minutes, r.duration_sec, r.analysis_summary AS summary, r.cost,
    r.created_at, r.updated_at
FROM public.vapi_call_results r;
