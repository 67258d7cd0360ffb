//! `/tokens`: who may do what, and who still does.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::{
    Api,
    auth::{Caller, Read},
    deadline::{CHANGE_DEADLINE, in_time},
    observe::Told,
};
use crate::{
    call::view::At,
    envelope::{Envelope, NoData, Pagination},
    error::ApiError,
};

/// A token of `API_TOKENS`.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct TokenView {
    /// Its name, as logs show it.
    name: String,
    /// What it may do: `poll`, `read`, `place` or `admin`.
    scope: &'static str,
    /// When it was used last, to the minute, by whom it let in; `null`: never, as far as anybody remembers.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<At>,
}

/// The tokens of `API_TOKENS` by name, what each may do, and when it was last used; never the tokens themselves.
#[utoipa::path(
    get,
    path = "/api/v1/vapi/tokens",
    operation_id = "listTokens",
    tag = "Operations",
    responses(
        (status = 200, description = "All of them", body = Envelope<Vec<TokenView>>),
        (status = 503, description = "STORE_UNAVAILABLE", body = Envelope<NoData>),
    ),
    security(("bearer" = ["read"]))
)]
pub(super) async fn list(State(api): State<Api>, caller: Caller<Read>) -> Result<Response, ApiError> {
    let mut rows = Vec::new();
    for token in &api.config.access.tokens {
        let last_used_at = in_time(CHANGE_DEADLINE, api.usage.last(&token.name)).await?.map(At);
        rows.push(TokenView { name: token.name.clone(), scope: token.scope.as_str(), last_used_at });
    }
    let count = rows.len();
    Ok((Told::by(caller.token), Json(Envelope::of(rows).paged(count, Pagination::whole(count)))).into_response())
}
