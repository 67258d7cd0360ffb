//! A call as it stands before a write.

use rusqlite::{Connection, OptionalExtension, params};

use super::{figures, rows};
use crate::{
    call::id::CallId,
    store::{Due, figures::Packed},
};

/// A call as it stands before a write: what decides, and what need not be written again.
pub(super) struct Standing {
    pub(super) n: i64,
    pub(super) revision: u64,
    pub(super) steady: Steady,
    pub(super) due: Option<Due>,
}

/// What seldom changes and stands in indexes: SQLite rewrites the index of every column that is named, changed or not.
#[derive(PartialEq)]
pub(super) struct Steady {
    pub(super) ended_at: Option<i64>,
    pub(super) assistant_id: Option<String>,
    pub(super) provider_id: Option<String>,
    pub(super) customer_digits: Option<String>,
    pub(super) provider_digits: Option<String>,
    /// `None`: nothing is counted yet.
    pub(super) measures: Option<Packed>,
}

impl Standing {
    pub(super) fn of(db: &Connection, id: &CallId) -> rusqlite::Result<Option<Self>> {
        let mut find = db.prepare_cached(
            "SELECT c.n, c.revision, d.reason, d.at, c.ended_at, c.assistant_id, c.provider_id, c.customer_digits, c.provider_digits, \
             c.marks, c.duration, c.cost, c.completion, c.fetches, c.score \
             FROM calls c LEFT JOIN dues d ON d.call = c.n WHERE c.id = ?1",
        )?;
        find.query_row([id.as_str()], |row| {
            let steady = Steady {
                ended_at: row.get(4)?,
                assistant_id: row.get(5)?,
                provider_id: row.get(6)?,
                customer_digits: row.get(7)?,
                provider_digits: row.get(8)?,
                measures: row.get::<_, Option<i64>>(9)?.map(|_| figures::packed(row, 9)).transpose()?,
            };
            Ok(Self { n: row.get(0)?, revision: row.get::<_, i64>(1)?.cast_unsigned(), steady, due: rows::due(row, 2)? })
        })
        .optional()
    }
}

impl Steady {
    pub(super) fn put(&self, db: &Connection, n: i64, measures: &Packed) -> rusqlite::Result<()> {
        let mut put = db.prepare_cached(
            "UPDATE calls SET ended_at = ?2, assistant_id = ?3, provider_id = ?4, customer_digits = ?5, provider_digits = ?6, \
             marks = ?7, duration = ?8, cost = ?9, completion = ?10, fetches = ?11, score = ?12 WHERE n = ?1",
        )?;
        let Self { ended_at, assistant_id, provider_id, customer_digits, provider_digits, .. } = self;
        let Packed { marks, duration, cost, completion, fetches, score } = measures;
        let values = params![
            n,
            ended_at,
            assistant_id,
            provider_id,
            customer_digits,
            provider_digits,
            marks,
            duration,
            cost,
            completion,
            fetches,
            score
        ];
        put.execute(values).map(drop)
    }
}
