//! `GET /ws`: calls as they go on, over a WebSocket.

use std::time::Duration;

use axum::{
    body::Bytes,
    extract::{
        FromRequestParts, State,
        ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code, rejection::WebSocketUpgradeRejection},
    },
    http::request::Parts,
    response::{IntoResponse, Response},
};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use super::{
    Api,
    auth::{Caller, ReadStream, refuse_foreign},
    observe::Told,
    stream::{Counted, HEARTBEAT, Wish, listen},
};
use crate::{
    envelope::{Envelope, NoData},
    error::ApiError,
    registry::{Reader, Said},
};

/// Bytes that a client may say at once: it has nothing to say.
const MOST_SAID: usize = 4_096;
/// A client that takes nothing for this long is let go.
const TAKE_DEADLINE: Duration = Duration::from_secs(10);
/// So long the end is told.
const CLOSE_DEADLINE: Duration = Duration::from_secs(1);

/// An upgrade that a page of another origin did not ask for.
pub(super) struct OwnOrigin(WebSocketUpgrade);

impl FromRequestParts<Api> for OwnOrigin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        refuse_foreign(api, &parts.headers)?;
        let no_upgrade = |why: WebSocketUpgradeRejection| ApiError::InvalidParameter(format!("This is a WebSocket: {}.", why.body_text()));
        WebSocketUpgrade::from_request_parts(parts, api).await.map(Self).map_err(no_upgrade)
    }
}

/// All calls as they go on, over a WebSocket: each message is one event, `{id, type, timestamp, callId, sequence, data}`.
///
/// The server closes with 1001 when it stops and with 1013 when the client is too slow; come back with `last_event_id`.
#[utoipa::path(
    get,
    path = "/api/v1/vapi/ws",
    operation_id = "streamCallsBySocket",
    tag = "Streams",
    params(
        super::docs::StreamParameters,
        ("close" = Option<String>, Query, description = "`done`: the socket closes after the first call.done"),
        ("last_event_id" = Option<String>, Query, description = "Go on after this event"),
        ("access_token" = Option<String>, Query, description = "A read token, for clients that can't send a header"),
    ),
    responses(
        (status = 101, description = "The socket"),
        (status = 400, description = "INVALID_PARAMETER: also when it is no WebSocket", body = Envelope<NoData>),
        (status = 403, description = "FOREIGN_ORIGIN, FORBIDDEN", body = Envelope<NoData>),
        (status = 429, description = "RATE_LIMITED: too many streams are open", body = Envelope<NoData>),
        (status = 503, description = "STORE_UNAVAILABLE, SHUTTING_DOWN", body = Envelope<NoData>),
    ),
    security(("bearer" = ["read"]))
)]
pub(super) async fn all(
    State(api): State<Api>,
    caller: Caller<ReadStream>,
    wish: Wish,
    OwnOrigin(upgrade): OwnOrigin,
) -> Result<Response, ApiError> {
    // A session ends, and nothing would end its socket; the dashboard needs none.
    if caller.until.is_some() {
        return Err(ApiError::Unauthorized);
    }
    let reader = listen(&api, None, wish).await?;
    let told = Told::by(caller.token);
    let counted = Counted::new(&api, "websocket");
    let lifecycle = api.lifecycle.clone();
    let answer = upgrade.max_message_size(MOST_SAID).max_frame_size(MOST_SAID).on_upgrade(async move |socket| {
        // Tracked, so that a stop waits until the end was told.
        let _ = lifecycle.spawn_quiet(serve(socket, reader, counted)).await;
    });
    Ok((told, answer).into_response())
}

/// Tells events until there are no more, or the client is gone.
async fn serve(mut socket: WebSocket, mut reader: Reader, _counted: Counted) {
    let mut beats = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut answered = true;
    let (code, why) = loop {
        let message = tokio::select! {
            said = reader.next() => match said {
                Some(said @ Said::Dropped(_)) => {
                    let _ = timeout(CLOSE_DEADLINE, socket.send(text(&said))).await;
                    break (close_code::AGAIN, "come back with last_event_id");
                }
                Some(said) => text(&said),
                None if reader.is_over() => break (close_code::NORMAL, "nothing more will come"),
                None => break (close_code::AWAY, "stopping; come back with last_event_id"),
            },
            heard = socket.recv() => match heard {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                // Whatever it says, it is there.
                Some(Ok(_)) => {
                    answered = true;
                    continue;
                }
            },
            _ = beats.tick() => {
                if !answered {
                    break (close_code::AWAY, "no answer to a ping");
                }
                answered = false;
                Message::Ping(Bytes::new())
            }
        };
        if !matches!(timeout(TAKE_DEADLINE, socket.send(message)).await, Ok(Ok(()))) {
            return;
        }
    };
    let close = Message::Close(Some(CloseFrame { code, reason: why.into() }));
    let _ = timeout(CLOSE_DEADLINE, async {
        socket.send(close).await?;
        // The other side says goodbye too.
        while let Some(Ok(_)) = socket.recv().await {}
        Ok::<_, axum::Error>(())
    })
    .await;
}

fn text(said: &Said) -> Message {
    Message::Text(said.json().into())
}
