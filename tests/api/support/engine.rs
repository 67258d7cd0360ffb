//! The engines that stories are told on.

/// The engines of this release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Memory,
    Sqlite,
    Postgres,
    Redis,
}

/// Runs stories, functions of an [`Engine`], as tests on every engine.
macro_rules! on_every_engine {
    ($($story:ident)*) => {
        mod memory {
            $(#[tokio::test] async fn $story() { super::$story($crate::support::engine::Engine::Memory).await; })*
        }
        mod sqlite {
            $(#[tokio::test] async fn $story() { super::$story($crate::support::engine::Engine::Sqlite).await; })*
        }
        mod postgres {
            $(#[tokio::test] async fn $story() {
                if $crate::support::postgres::is_tested() {
                    super::$story($crate::support::engine::Engine::Postgres).await;
                }
            })*
        }
        mod redis {
            $(#[tokio::test] async fn $story() {
                if $crate::support::redis::is_tested() {
                    super::$story($crate::support::engine::Engine::Redis).await;
                }
            })*
        }
    };
}
pub(crate) use on_every_engine;
