//! What parameters and bodies may be, put into the API's document by name: so exactly that whoever makes requests from it makes good ones.
//!
//! The handlers check for themselves; the run of schemathesis (`tests/schemathesis`) compares the two.

use std::collections::BTreeMap;

use serde::Deserialize;
use utoipa::{
    Modify,
    openapi::{OpenApi, RefOr, Schema, path::Operation, path::ParameterIn},
};

/// Schemas of parameters by name, those of a path as `path.NAME`, those of one operation as `OPERATION.NAME`; of bodies by operation.
const SCHEMAS: &str = include_str!("schemas.json");

#[derive(Deserialize)]
struct Schemas {
    parameters: BTreeMap<String, RefOr<Schema>>,
    bodies: BTreeMap<String, RefOr<Schema>>,
}

/// Puts them in. Comes before other addresses are made of an operation.
pub(super) struct Exact;

impl Modify for Exact {
    fn modify(&self, document: &mut OpenApi) {
        let schemas: Schemas = serde_json::from_str(SCHEMAS).expect("a test reads it");
        for (path, item) in &mut document.paths.paths {
            let operations = [&mut item.get, &mut item.post, &mut item.patch, &mut item.delete].into_iter().flatten();
            operations.for_each(|operation| schemas.apply(path, operation));
        }
    }
}

impl Schemas {
    fn apply(&self, path: &str, operation: &mut Operation) {
        let id = operation.operation_id.clone().unwrap_or_default();
        for parameter in operation.parameters.iter_mut().flatten() {
            let RefOr::T(parameter) = parameter else { continue };
            let name = match parameter.parameter_in {
                // Ids of other things need no rule: any that does not exist is just not there.
                ParameterIn::Path if parameter.name == "id" && !path.contains("/call") => continue,
                ParameterIn::Path => format!("path.{}", parameter.name),
                _ => parameter.name.clone(),
            };
            let schema = self.parameters.get(&format!("{id}.{name}")).or_else(|| self.parameters.get(&name));
            if let Some(schema) = schema {
                parameter.schema = Some(schema.clone());
            }
        }
        if let (Some(schema), Some(RefOr::T(body))) = (self.bodies.get(&id), &mut operation.request_body) {
            for content in body.content.values_mut() {
                if let RefOr::T(content) = content {
                    content.schema = Some(schema.clone());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{SCHEMAS, Schemas};

    #[test]
    fn the_schemas_can_be_read_and_lose_nothing() {
        let schemas: Schemas = serde_json::from_str(SCHEMAS).unwrap();
        let plain: serde_json::Value = serde_json::from_str(SCHEMAS).unwrap();
        for (kind, all) in [("parameters", &schemas.parameters), ("bodies", &schemas.bodies)] {
            for (name, schema) in all {
                assert_eq!(serde_json::to_value(schema).unwrap(), plain[kind][name], "{name}");
            }
        }
    }
}
