//! Placing calls.
//!
//! | Module | What it does |
//! |---|---|
//! | [`writer`] | writes what Vapi is asked for |

pub mod writer;

pub use self::writer::Writer;
