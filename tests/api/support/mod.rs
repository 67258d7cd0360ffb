//! What stories share.

pub(crate) mod answer;
pub(crate) mod app;
pub(crate) mod bodies;
pub(crate) mod browser;
pub(crate) mod calls;
pub(crate) mod endpoint;
pub(crate) mod kestra;
pub(crate) mod pooler;
pub(crate) mod postgres;
pub(crate) mod proxy;
pub(crate) mod receiver;
pub(crate) mod redis;
pub(crate) mod stream;
pub(crate) mod subscriber;
pub(crate) mod vapi;
