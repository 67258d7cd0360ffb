//! What came out, as a table for the README.

use std::fmt;

use crate::stats::Spread;

/// What is asked of a median.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Limit {
    /// No less than this.
    AtLeast(f64),
    /// Less than this.
    Below(f64),
    /// This far from 1 at most.
    Within(f64),
    /// Nothing: for whoever wants to know.
    None,
}

impl Limit {
    fn is_met(self, median: f64) -> bool {
        match self {
            Self::AtLeast(least) => median >= least,
            Self::Below(most) => median < most,
            Self::Within(share) => (median - 1.0).abs() <= share,
            Self::None => true,
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(least) => write!(f, "at least {least}"),
            Self::Below(most) => write!(f, "under {most}"),
            Self::Within(share) => write!(f, "{} to {}", 1.0 - share, 1.0 + share),
            Self::None => f.write_str("–"),
        }
    }
}

#[derive(Debug)]
struct Row {
    what: String,
    measured: &'static str,
    spread: Spread,
    limit: Limit,
}

/// All rows so far.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<Row>);

impl Table {
    /// One more row.
    pub(crate) fn add(&mut self, what: impl Into<String>, measured: &'static str, spread: Spread, limit: Limit) {
        let what = what.into();
        eprintln!("{what}, {measured}: {spread}, asked for {limit}");
        self.0.push(Row { what, measured, spread, limit });
    }

    /// Is everything as it should be?
    pub(crate) fn is_met(&self) -> bool {
        self.0.iter().all(|row| row.limit.is_met(row.spread.median))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| what | measured | median (quartiles) | asked for | met |\n|---|---|---|---|---|")?;
        for Row { what, measured, spread, limit } in &self.0 {
            let met = match limit {
                Limit::None => "–",
                limit if limit.is_met(spread.median) => "yes",
                _ => "no",
            };
            writeln!(f, "| {what} | {measured} | {spread} | {limit} | {met} |")?;
        }
        Ok(())
    }
}
