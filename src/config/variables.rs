//! Every variable as data: what is read, what `.env.example` shows and what the README's table says can't drift apart.

use std::fmt::Write as _;

/// One variable of the environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// Its name; `NAME_FILE` works for each.
    pub name: &'static str,
    /// What counts when it is unset; empty: nothing.
    pub default: &'static str,
    /// What it is for, in one line of Markdown.
    pub meaning: &'static str,
    /// The commands that read it.
    pub commands: &'static str,
}

/// `doctor` checks all that `serve` reads.
const SERVE: &str = "serve, doctor";
const STORE: &str = "serve, doctor, migrate, export, import, rekey";
const CLIENT: &str = "healthcheck, call, result, listen, backfill, doctor";
const ADDRESS: &str = "healthcheck, call, result, listen, backfill, doctor, simulate, replay";
const ASSISTANT: &str = "serve, doctor, assistant-config";

const fn variable(name: &'static str, default: &'static str, commands: &'static str, meaning: &'static str) -> Variable {
    Variable { name, default, meaning, commands }
}

/// In the order in which people need them.
const VARIABLES: &[Variable] = &[
    variable(
        "HOST",
        "127.0.0.1",
        SERVE,
        "Address to listen on: an IP address or `localhost`; `::` or `0.0.0.0` for all. Anything else is ignored with a warning.",
    ),
    variable(
        "PORT",
        "8000",
        "serve, healthcheck, call, result, listen, backfill, doctor, simulate, replay",
        "Port to listen on; `0` picks a free one.",
    ),
    variable(
        "PUBLIC_URL",
        "",
        "serve, doctor, import, rekey, assistant-config",
        "Base address under which the world reaches this service. On Railway `https://$RAILWAY_PUBLIC_DOMAIN` without being set.",
    ),
    variable(
        "DATABASE_URL",
        "sqlite:ringback.db",
        "serve, doctor, migrate, backup, export, import, rekey",
        "Where calls are kept: `sqlite:PATH`, `postgres://USER:PASSWORD@HOST/DATABASE` or `redis://USER:PASSWORD@HOST/NUMBER` (any number of instances; `rediss://` with TLS), or `memory:` (gone after a restart). Off loopback, a path on an overlay or tmpfs, and a Redis that may lose what it took, need `?ephemeral=true` behind it.",
    ),
    variable(
        "DATABASE_MAX_CONNECTIONS",
        "5",
        STORE,
        "Connections that read the store at the same time. For PostgreSQL each instance has three more: two write, one listens; for Redis four.",
    ),
    variable(
        "MIGRATE",
        "auto",
        "serve, doctor, export, import, rekey",
        "`auto` brings an older schema up to date at the start, `check` refuses to start on one.",
    ),
    variable("CACHE_TTL_SECONDS", "1800", SERVE, "How long an answer stays in memory after its last change."),
    variable(
        "CACHE_MAX_MB",
        "256",
        SERVE,
        "Memory for answers, in MiB; with `memory:` it bounds what is kept, and the oldest finished calls leave first.",
    ),
    variable("RETENTION_DAYS", "90", SERVE, "Days after its end for which a call is kept; `0` keeps calls for good."),
    variable(
        "PAYLOAD_RETENTION_DAYS",
        "14",
        SERVE,
        "Days for which received bodies and what was delivered are kept, and for which a paused subscription collects; `0` keeps them as long as their call.",
    ),
    variable("RETENTION_ARCHIVE", "", SERVE, "Folder to which calls are written as JSON lines, one file a day, before they are removed."),
    variable(
        "DATA_KEY",
        "",
        STORE,
        "Encrypts what is stored: 32 bytes in base64 (`openssl rand -base64 32`). Several, newest first: the first encrypts, all decrypt. Without one, records are stored in clear.",
    ),
    variable(
        "LINK_PLAINTEXT",
        "false",
        SERVE,
        "With `DATA_KEY` and PostgreSQL: `true` still tells outcomes, in clear, to the tables `providers` and `interaction_logs`.",
    ),
    variable(
        "VAPI_API_KEY",
        "",
        SERVE,
        "Vapi's private key, to fetch what comes late. Without it nothing is fetched and a report settles its call as it comes.",
    ),
    variable("VAPI_PHONE_NUMBER_ID", "", SERVE, "Vapi's id of the phone number that calls are placed from, unless a request names one."),
    variable(
        "VAPI_CREDENTIAL_ID",
        "",
        ASSISTANT,
        "Your server credential at Vapi, put into assistants of placed calls. Without one they send the first webhook secret as `x-vapi-secret`.",
    ),
    variable("VAPI_API_URL", "https://api.vapi.ai", SERVE, "Vapi's API; `ringback simulate` prints the line for its fake."),
    variable(
        "VAPI_PASSTHROUGH",
        "false",
        SERVE,
        "`true`: what an admin token asks of `/vapi/*` and Ringback does not serve itself is passed on to Vapi, with our key.",
    ),
    variable(
        "VAPI_WEBHOOK_URL",
        "",
        ASSISTANT,
        "The whole address that Vapi sends webhooks to; unset: `{PUBLIC_URL}/api/v1/vapi/webhook`. https, or http on loopback.",
    ),
    variable("VAPI_WEBHOOK_PATH", "", SERVE, "One more path that takes webhooks, such as the one your old service had."),
    variable(
        "VAPI_WEBHOOK_SECRET",
        "",
        SERVE,
        "Secrets shared with Vapi, newest first, comma separated; 16 characters or more. `whsec_…` are keys for `standard` only.",
    ),
    variable(
        "VAPI_WEBHOOK_AUTH",
        "secret,bearer,signature,standard",
        SERVE,
        "The proofs that count: `x-vapi-secret`, `Authorization: Bearer`, an HMAC signature, Standard Webhooks.",
    ),
    variable("VAPI_WEBHOOK_HMAC", "", SERVE, "The `authenticationPlan` of your HMAC credential at Vapi, as JSON; unset: Vapi's defaults."),
    variable("VAPI_WEBHOOK_TOLERANCE_SECONDS", "300", SERVE, "How far a signed timestamp may be from our clock, both ways."),
    variable(
        "API_TOKENS",
        "",
        SERVE,
        "Who may use the API: `[scope:]name=token`, comma separated; scopes `poll`, `read`, `place`, `admin` (default). The token has 16 characters or more, or is given as `sha256:<hex>`.",
    ),
    variable(
        "ALLOW_UNAUTHENTICATED",
        "",
        SERVE,
        "What is open to everyone when listening off loopback without secret or tokens: `webhooks`, `reads`, or both.",
    ),
    variable("TRUSTED_PROXIES", "", SERVE, "Proxies whose `X-Forwarded-For` counts: addresses, ranges such as `10.0.0.0/8`, or `private`."),
    variable("CORS_ORIGINS", "", SERVE, "Origins of web pages that may use the API, such as `https://app.example.com`."),
    variable(
        "ENRICH_DELAYS_SECONDS",
        "3,5,8,15,30",
        SERVE,
        "Waits, one after another, before each time Vapi is asked for late data; `none` asks never.",
    ),
    variable(
        "RECONCILE_SECONDS",
        "1800",
        SERVE,
        "How often Vapi's list of calls is looked through for what webhooks did not bring, two hours back; `0` never.",
    ),
    variable(
        "RECONCILE_GRACE_SECONDS",
        "120",
        SERVE,
        "A live call that has been silent for so long is looked up at Vapi; a report that is missing so long after the end counts as lost.",
    ),
    variable(
        "RECONCILE_SCOPE",
        "ours",
        SERVE,
        "Whose calls are taken from that list: `ours`, those known here or of an assistant, number or server URL that webhooks came from; or `all` of the organisation.",
    ),
    variable("MAX_BODY_MB", "10", SERVE, "Largest request body, in MiB."),
    variable("MAX_WAITERS", "20000", SERVE, "Requests that may wait for a result at the same time; one more is answered at once."),
    variable("WAIT_MAX_SECONDS", "300", SERVE, "Longest `wait`; a longer one is cut to this."),
    variable("DIAL_ALLOW", "", SERVE, "Numbers that may be called, by how they begin, such as `+1,+4420`; unset: all."),
    variable("DIAL_MAX_PER_MINUTE", "60", SERVE, "Calls that each instance places in a minute; more are refused."),
    variable(
        "TOOLS",
        "",
        ASSISTANT,
        "Who answers what the assistant asks, as TOML: tools, other requests, the server URL you had before. Usually a file: `TOOLS_FILE`.",
    ),
    variable(
        "OUTBOUND_ALLOW",
        "",
        SERVE,
        "Private places that URLs given over the API may reach: hosts, `*.suffix` hosts, addresses, ranges, each with an optional port. Loopback and link-local only by their own address or range.",
    ),
    variable(
        "KESTRA_URL",
        "",
        SERVE,
        "Base address of the Kestra whose paused executions are resumed when a call is done, and whose flow can place calls.",
    ),
    variable("KESTRA_TENANT", "main", SERVE, "Its tenant, where a callback names none."),
    variable("KESTRA_NAMESPACE", "ai_concierge", SERVE, "The namespace of the flow that places calls of `callMethod: kestra`."),
    variable("KESTRA_FLOW", "place_call", SERVE, "That flow, such as the one in `examples/kestra/`."),
    variable(
        "KESTRA_ENABLED",
        "false",
        SERVE,
        "Calls of which nobody says `callMethod` are placed by Kestra; it must be healthy, nothing else places them then.",
    ),
    variable("KESTRA_USERNAME", "", SERVE, "A user there; with `KESTRA_PASSWORD`."),
    variable("KESTRA_PASSWORD", "", SERVE, "That user's password."),
    variable("KESTRA_API_TOKEN", "", SERVE, "An API token there, instead of user and password."),
    variable("KEEP_EVENTS", "default", SERVE, "`all` also keeps partial transcripts, speech updates and the like."),
    variable(
        "DOCTOR_SECONDS",
        "0",
        SERVE,
        "How often the running service makes the checks of `ringback doctor`, for `ringback_doctor_findings` and the log; `0` never.",
    ),
    variable(
        "SHUTDOWN_DELAY_SECONDS",
        "5",
        SERVE,
        "After SIGTERM, how long new connections are still taken while `/readyz` says no; `0` when unset on loopback.",
    ),
    variable("SHUTDOWN_GRACE_SECONDS", "25", SERVE, "How long running requests may then take to finish."),
    variable("RUST_LOG", "info", SERVE, "What is logged: a level, or levels by module, such as `info,ringback::store=debug`."),
    variable("LOG_FORMAT", "text", SERVE, "`text`, or `json` with one object a line."),
    variable(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "",
        SERVE,
        "Base address of an OpenTelemetry collector that takes traces as OTLP over HTTP, such as `http://localhost:4318`; unset: no traces.",
    ),
    variable("RINGBACK_URL", "", ADDRESS, "The running service that client commands talk to; unset: `http://127.0.0.1:$PORT`."),
    variable("BACKEND_URL", "", ADDRESS, "The older name of `RINGBACK_URL`, which goes before it."),
    variable("RINGBACK_TOKEN", "", CLIENT, "The token that client commands show."),
];

/// Opens `.env.example`.
const EXAMPLE_HEAD: &str = "\
# Settings of Ringback. Copy this file to `.env` and take away the `#` where you want another value than the default shown.
# The environment overrides this file. Instead of NAME, NAME_FILE may name a file that holds the value. Empty means unset.
# Lists are comma separated; seconds may have fractions. Put values with spaces, quotes, # or $ between single quotes.
";

/// All variables, in the order in which they are documented.
#[must_use]
pub fn variables() -> &'static [Variable] {
    VARIABLES
}

/// The default of `name`; empty if it has none.
pub(super) fn default_of(name: &str) -> &'static str {
    VARIABLES.iter().find(|variable| variable.name == name).map_or("", |variable| variable.default)
}

/// The text of `.env.example`.
#[must_use]
pub fn env_example() -> String {
    let mut text = EXAMPLE_HEAD.to_owned();
    for variable in VARIABLES {
        let _ = write!(text, "\n# {}\n#{}={}\n", variable.meaning, variable.name, variable.default);
    }
    text
}

/// The README's table of variables, in Markdown.
#[must_use]
pub fn readme_table() -> String {
    let mut table = "| Variable | Default | Meaning | Used by |\n|---|---|---|---|\n".to_owned();
    for variable in VARIABLES {
        let default = if variable.default.is_empty() { String::new() } else { format!("`{}`", variable.default) };
        let _ = writeln!(table, "| `{}` | {default} | {} | {} |", variable.name, variable.meaning, variable.commands);
    }
    table
}
