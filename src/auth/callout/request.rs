//! From what is known of a client to a question about it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::caller::Caller;
use super::desk::Asker;
use crate::auth::jwt::AuthorizationRequestClaims;
use crate::auth::jwt::authorization::{AuthorizationRequest, ServerId};
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
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut request = AuthorizationRequestClaims {
        subject: about.to_owned(),
        audience: AUDIENCE.to_owned(),
        expires: until(now, asker.patience),
        body,
        ..AuthorizationRequestClaims::default()
    };
    let text = request.sign_at(&asker.keys.signing, seconds(now)).into_bytes();
    let payload = match service {
        Some(service) => asker.keys.xkey.seal(&text, service)?,
        None => text,
    };
    Ok(Request { payload, xkey })
}

/// The first second at which nobody waits for an answer any more: a question that is waited for
/// less than a second is not over at once.
fn until(now: Duration, patience: Duration) -> i64 {
    let end = now.saturating_add(patience);
    seconds(end).saturating_add(i64::from(end.subsec_nanos() > 0))
}

fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_holds_for_as_long_as_its_answer_is_waited_for() {
        let cases = [(1000, 2000, 3), (1000, 500, 2), (1900, 500, 3), (1999, 1, 2), (1000, 1, 2)];
        for (now, patience, end) in cases {
            let [now, patience] = [now, patience].map(Duration::from_millis);
            assert_eq!(until(now, patience), end, "{now:?} and {patience:?}");
        }
        assert_eq!(until(Duration::MAX, Duration::MAX), i64::MAX);
    }
}
