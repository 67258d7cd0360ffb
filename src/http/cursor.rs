//! Where a list goes on: `pagination.nextCursor`, which clients send back as it is.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::parameters::Parameters;
use crate::{call::time::Millis, error::ApiError};

/// What the cursor of a query means, if it has one.
pub(super) fn after<T>(parameters: &Parameters, read: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>, ApiError> {
    let wrong = || ApiError::InvalidParameter("cursor must be pagination.nextCursor of an earlier page.".to_owned());
    parameters.text("cursor").map(|cursor| read(cursor).ok_or_else(wrong)).transpose()
}

/// The cursor of a page that ends with the row of this moment and id.
pub(super) fn written(at: Millis, id: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{}~{id}", at.0))
}

/// The row that [`written`] was given, if `id` takes what stands there.
pub(super) fn row<T>(cursor: &str, id: impl FnOnce(&str) -> Option<T>) -> Option<(Millis, T)> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    let (at, rest) = text.split_once('~')?;
    Some((Millis(at.parse().ok()?), id(rest)?))
}

#[cfg(test)]
mod tests {
    use super::{row, written};
    use crate::call::time::Millis;

    #[test]
    fn a_cursor_leads_back_to_its_row_and_nothing_else_does() {
        let is_short = |id: &str| (id.len() < 9).then(|| id.to_owned());
        assert_eq!(row(&written(Millis(-7), "a~b"), is_short), Some((Millis(-7), "a~b".to_owned())));
        for odd in [written(Millis(1), "much too long"), "MX5h!".to_owned(), "MX".to_owned(), String::new()] {
            assert_eq!(row(&odd, is_short), None, "{odd}");
        }
    }
}
