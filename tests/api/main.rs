//! One binary of integration tests.

mod store_contract;
mod store_lists;
mod store_load;
mod store_speed;
mod store_sqlite;
mod store_support;
mod store_trouble;
