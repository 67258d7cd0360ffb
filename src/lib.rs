//! Ringback.
pub mod call;
pub mod cli;
pub mod clock;
<<<<<<< HEAD
pub mod config;
pub mod lifecycle;
=======
pub mod simulate;
>>>>>>> h-sim
pub mod store;
pub mod vapi;
