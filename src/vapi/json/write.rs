//! Canonical JSON: keys sorted, no white space, each value written in one way.

use super::{Node, Text};

impl Node<'_> {
    /// Canonical JSON text.
    #[must_use]
    pub fn canonical(&self) -> String {
        let mut json = Vec::new();
        self.write(&mut json);
        // Texts are UTF-8, and everything else is ASCII.
        String::from_utf8(json).unwrap_or_default()
    }

    /// Appends canonical JSON.
    pub fn write(&self, json: &mut Vec<u8>) {
        match self {
            Node::Null => json.extend_from_slice(b"null"),
            Node::Bool(true) => json.extend_from_slice(b"true"),
            Node::Bool(false) => json.extend_from_slice(b"false"),
            Node::Whole(number) => append(json, number),
            Node::Number(number) => append(json, number),
            Node::Text(text) => text.write(json),
            Node::List(items) => {
                json.push(b'[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        json.push(b',');
                    }
                    item.write(json);
                }
                json.push(b']');
            }
            Node::Object(members) => {
                json.push(b'{');
                for (at, (name, value)) in members.iter().enumerate() {
                    if at > 0 {
                        json.push(b',');
                    }
                    name.write(json);
                    json.push(b':');
                    value.write(json);
                }
                json.push(b'}');
            }
        }
    }
}

impl Text<'_> {
    fn write(&self, json: &mut Vec<u8>) {
        if self.is_plain {
            json.reserve(self.words.len() + 2);
            json.push(b'"');
            json.extend_from_slice(self.words.as_bytes());
            json.push(b'"');
        } else {
            append(json, self.words);
        }
    }
}

fn append<T: serde::Serialize + ?Sized>(json: &mut Vec<u8>, value: &T) {
    // A vector takes everything, and texts and numbers always serialise.
    let _ = serde_json::to_writer(json, value);
}
