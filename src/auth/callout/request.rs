//! From what is known of a client to a question about it.

use std::time::Duration;

use super::caller::Caller;
use super::desk::Asker;
use crate::auth::jwt::authorization::{AuthorizationRequest, ServerId};
use crate::auth::jwt::{AuthorizationRequestClaims, claims};
use crate::auth::nkey::PublicKey;
use crate::auth::xkey::Sealed;

/// For whom questions are.
const AUDIENCE: &str = "nats-authorization-request";

/// A question, ready to be carried.
pub(super) struct Request {
    pub(super) payload: Vec<u8>,
    /// Public key of the server, if the question is sealed.
    pub(super) xkey: Option<String>,
}

/// Asks what the client is to be whose claims would be about `user`. `about` is whom the claims of
/// the question are about.
pub(super) fn write(
    asker: &Asker,
    caller: &Caller,
    [about, user]: [&str; 2],
    service: Option<&PublicKey>,
) -> Result<Request, Sealed> {
    let xkey = service.map(|_| asker.keys.xkey.public().to_string());
    let body = AuthorizationRequest {
        server_id: ServerId { xkey: xkey.clone().unwrap_or_default(), ..asker.server.clone() },
        user_nkey: user.to_owned(),
        client_info: caller.information(),
        connect_opts: caller.offered.clone(),
        client_tls: caller.tls(),
        ..AuthorizationRequest::default()
    };
    let now = claims::now();
    let mut request = AuthorizationRequestClaims {
        subject: about.to_owned(),
        audience: AUDIENCE.to_owned(),
        expires: now.saturating_add(seconds(asker.patience)),
        body,
        ..AuthorizationRequestClaims::default()
    };
    let text = request.sign_at(&asker.keys.signing, now).into_bytes();
    let payload = match service {
        Some(service) => asker.keys.xkey.seal(&text, service)?,
        None => text,
    };
    Ok(Request { payload, xkey })
}

fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}
