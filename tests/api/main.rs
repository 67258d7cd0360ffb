//! One binary of integration tests.

mod store_contract;
mod store_support;
