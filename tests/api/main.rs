//! One binary of integration tests.

mod store_contract;
mod store_speed;
mod store_support;
