//! How a subscription looks, and what it is made of.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::{
    call::view::{At, View},
    push::{Named, target::Wanted},
};

/// A subscription. Its secret and the values of its headers are never shown again.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct Subscription {
    /// Its id.
    id: String,
    /// Where to; a query, which may hold a secret, is not shown.
    url: String,
    /// Types of events.
    events: Vec<String>,
    /// Of which calls; an empty list is of all.
    filter: Filter,
    /// How much of a call: `full` or `summary`.
    #[schema(value_type = String)]
    view: View,
    /// Names of the headers that are sent along.
    header_names: Vec<String>,
    /// What it is for.
    description: String,
    /// `active`, `paused` (its news are collected) or `disabled` (its endpoint answered 410; resume it).
    status: &'static str,
    /// The key that signs, `whsec_…`: shown once, when it was made; else `null`.
    secret: Option<String>,
    /// The secret before this one signs along until then.
    #[schema(value_type = Option<String>, format = DateTime)]
    old_secret_until: Option<At>,
    /// When it was made. It hears of nothing older.
    #[schema(value_type = String, format = DateTime)]
    created_at: At,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    updated_at: At,
}

/// Calls that a subscription is about.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct Filter {
    /// Assistants that talked.
    assistant_id: Vec<String>,
    /// Numbers of customer or provider.
    phone: Vec<String>,
    /// How the call turned out.
    status: Vec<String>,
    /// Values in the metadata, by key.
    metadata: BTreeMap<String, Vec<String>>,
}

/// What a subscription is made of. For changes, what is left out stays.
#[derive(utoipa::ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "read for the document only")]
pub(in crate::http) struct SubscriptionDraft {
    /// Where to: http or https, without a user. Private addresses only as `OUTBOUND_ALLOW` lists them.
    url: String,
    /// Types of events.
    #[schema(example = json!(["call.done"]))]
    events: Vec<String>,
    /// Of which calls: `assistantId`, `phone`, `status`, `metadata`; texts or lists of texts.
    filter: Option<Value>,
    /// `full` (default) or `summary`.
    view: Option<String>,
    /// Headers to send along, by name.
    headers: Option<BTreeMap<String, String>>,
    /// What it is for.
    description: Option<String>,
    /// The key that signs, `whsec_…`; one is made unless given. Only when it is made: see rotate.
    secret: Option<String>,
}

/// A new secret.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "read for the document only")]
pub(in crate::http) struct SecretDraft {
    /// `whsec_…`; one is made unless given.
    secret: Option<String>,
}

pub(super) fn shown(named: Named) -> Subscription {
    let Named { id, subscription } = named;
    let Wanted { assistant_id, phone, status, metadata } = subscription.filter;
    let address = subscription.url.reveal();
    Subscription {
        id,
        url: address.split_once('?').map_or_else(|| address.to_owned(), |(plain, _)| format!("{plain}?[redacted]")),
        events: subscription.events,
        filter: Filter { assistant_id, phone, status, metadata },
        view: subscription.view,
        header_names: subscription.headers.into_keys().collect(),
        description: subscription.description,
        status: subscription.standing.as_str(),
        secret: None,
        old_secret_until: subscription.old_secrets.first().map(|old| At(old.until)),
        created_at: At(subscription.created_at),
        updated_at: At(subscription.updated_at),
    }
}

pub(super) fn shown_with_secret(named: Named) -> Subscription {
    let secret = Some(named.subscription.secret.reveal().to_owned());
    Subscription { secret, ..shown(named) }
}
