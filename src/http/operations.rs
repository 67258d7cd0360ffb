//! What many operations of the API have in common, put into its document once: how to show who one is, refusals, other addresses.

use utoipa::{
    Modify,
    openapi::{
        Content, Deprecated, OpenApi, Ref, RefOr, Required, Response,
        path::{HttpMethod, Operation, ParameterBuilder, ParameterIn, PathItem},
        schema::{ObjectBuilder, Type},
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use crate::config::WEBHOOK_PATHS;

/// The envelope of an error; and what stands for it where answers look like Vapi's.
const REFUSAL: &str = "Envelope_NoData";
const REFUSAL_OF_FACE: &str = "VapiError";

/// How to show who one is.
pub(super) struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut OpenApi) {
        let components = document.components.get_or_insert_default();
        let token = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A token of API_TOKENS. Scopes, each with the one before: poll, read, place, admin."))
            .build();
        components.add_security_scheme("bearer", SecurityScheme::Http(token));
        let secret = ApiKeyValue::with_description("x-vapi-secret", "A webhook secret; signatures are accepted as well.");
        components.add_security_scheme("vapiSecret", SecurityScheme::ApiKey(ApiKey::Header(secret)));
    }
}

/// Refusals that follow from what an operation takes: a token, parameters, a look into the store.
pub(super) struct Refusals;

impl Modify for Refusals {
    fn modify(&self, document: &mut OpenApi) {
        for (path, item) in &mut document.paths.paths {
            let at_face = super::face::is_at(path);
            let asks_store = at_face || path.contains("/calls") || path.contains("/batches") || path.contains("/subscriptions");
            let operations = [&mut item.get, &mut item.post, &mut item.patch, &mut item.delete].into_iter().flatten();
            operations.for_each(|operation| refuse(operation, asks_store, if at_face { REFUSAL_OF_FACE } else { REFUSAL }));
        }
    }
}

fn refuse(operation: &mut Operation, asks_store: bool, schema: &str) {
    let takes = |scheme: &str| {
        let requirements = operation.security.iter().flatten();
        requirements.filter_map(|one| serde_json::to_value(one).ok()).any(|one| one.get(scheme).is_some())
    };
    let mut refusals = Vec::new();
    if takes("bearer") && !takes("vapiSecret") {
        refusals.push((401, "UNAUTHORIZED: no token, or none that is known"));
        refusals.push((403, "FORBIDDEN: the token's scope is too small; AUTH_NOT_CONFIGURED: no token could let this in; FOREIGN_ORIGIN"));
    }
    if operation.parameters.as_ref().is_some_and(|parameters| !parameters.is_empty()) {
        refusals.push((400, "INVALID_PARAMETER"));
    }
    if asks_store {
        refusals.push((503, "STORE_UNAVAILABLE: the store can't be asked right now"));
    }
    for (status, description) in refusals {
        let mut response = Response::new(description);
        response.content.insert("application/json".to_owned(), Content::new(Some(Ref::from_schema_name(schema))).into());
        operation.responses.responses.entry(status.to_string()).or_insert(RefOr::T(response));
    }
}

/// Other addresses and methods of what is in the document already.
pub(super) struct Aliases;

impl Modify for Aliases {
    fn modify(&self, document: &mut OpenApi) {
        let paths = &mut document.paths.paths;
        let mut more: Vec<(String, PathItem)> = Vec::new();
        if let Some(receive) = paths.get(WEBHOOK_PATHS[0]).and_then(|item| item.post.clone()) {
            for (number, path) in (2..).zip(&WEBHOOK_PATHS[1..]) {
                let mut post = receive.clone();
                post.operation_id = Some(format!("receiveWebhook{number}"));
                post.deprecated = Some(Deprecated::True);
                more.push(((*path).to_owned(), PathItem::new(HttpMethod::Post, post)));
            }
        }
        for path in ["/api/v1/vapi/calls/{id}", "/api/v1/vapi/calls/{id}/result"] {
            if let Some(get) = paths.get(path).and_then(|item| item.get.clone()) {
                more.push((format!("/t/{{token}}{path}"), PathItem::new(HttpMethod::Get, with_token_in_path(get))));
            }
        }
        paths.extend(more);
        for item in paths.values_mut() {
            item.head = item.get.as_ref().filter(|get| get.operation_id.as_deref() == Some("readCall")).map(without_body);
        }
    }
}

fn with_token_in_path(mut get: Operation) -> Operation {
    let token = ParameterBuilder::new()
        .name("token")
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some("A token of scope poll, for clients that can't send a header"))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .build();
    get.parameters.get_or_insert_default().insert(0, RefOr::T(token));
    get.operation_id = get.operation_id.map(|id| format!("{id}ByTokenInPath"));
    get.security = Some(Vec::new());
    get
}

fn without_body(get: &Operation) -> Operation {
    let mut head = get.clone();
    head.operation_id = Some("headCall".to_owned());
    head.summary = Some("Is there a result of the call? 200 or 404, without a body.".to_owned());
    for response in head.responses.responses.values_mut() {
        if let RefOr::T(response) = response {
            response.content.clear();
        }
    }
    head
}
