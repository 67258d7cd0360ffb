//! What Vapi is asked for: assistants, written from requests.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::{
    config::ServerConfig,
    vapi::assistant::{Assistants, CallRequest, Server, TemplateError},
};

/// Hex digits at the end of an assistant's name.
const SUFFIX: usize = 8;

/// Writes what Vapi is asked for.
#[derive(Debug)]
pub struct Writer {
    assistants: Assistants,
    server: ServerConfig,
}

impl Writer {
    /// A writer whose assistants send their messages to `server`.
    ///
    /// # Errors
    /// [`TemplateError`] when a template is broken.
    pub fn new(server: ServerConfig) -> Result<Self, TemplateError> {
        Ok(Self { assistants: Assistants::new()?, server })
    }

    /// The assistant for a request, without any secret. The same request makes the same assistant, by name too.
    ///
    /// # Errors
    /// [`TemplateError`] when a template asks for what there is not.
    pub fn assistant(&self, request: &CallRequest) -> Result<Value, TemplateError> {
        let mut suffix = hex::encode(Sha256::digest(format!("{request:?}")));
        suffix.truncate(SUFFIX);
        self.assistants.write(request, &suffix, self.told())
    }

    fn told(&self) -> Server<'_> {
        let ServerConfig { url, credential_id, messages } = &self.server;
        Server { url: url.as_deref(), credential: credential_id.as_deref(), messages }
    }
}
