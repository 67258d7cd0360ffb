//! Double and trailing slashes are forgiven: the path is made regular before it is routed.

use std::task::{Context, Poll};

use axum::http::{Request, Uri, uri::PathAndQuery};
use tower::Service;

/// A service that sees regular paths only.
#[derive(Debug, Clone)]
pub struct Regular<S>(pub S);

impl<S, B> Service<Request<B>> for Regular<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        if let Some(regular) = regular(request.uri()) {
            *request.uri_mut() = regular;
        }
        self.0.call(request)
    }
}

/// The regular form of an address, or `None` when it is regular already.
fn regular(uri: &Uri) -> Option<Uri> {
    let path = uri.path();
    let irregular = path.contains("//") || (path.len() > 1 && path.ends_with('/'));
    if !irregular {
        return None;
    }
    let mut regular: String = path.split('/').filter(|part| !part.is_empty()).flat_map(|part| ["/", part]).collect();
    if regular.is_empty() {
        regular.push('/');
    }
    if let Some(query) = uri.query() {
        regular.extend(["?", query]);
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = PathAndQuery::try_from(regular).ok();
    Uri::from_parts(parts).ok()
}
