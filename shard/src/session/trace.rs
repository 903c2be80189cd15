//! Operations as log lines, for an operator who asked to see them. Secrets never appear.

use crate::engine::Exchange;
use crate::error::Violation;
use crate::event::What;
use crate::limits::SNIPPET_BYTES;
use crate::wire::client::ClientOp;
use crate::wire::redact::redacted;

use super::client::ClientSession;

impl ClientSession {
    pub(super) fn trace_in(&self, exchange: &mut Exchange, op: &ClientOp<'_>) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut body = None;
        let line = match op {
            ClientOp::Connect(json) => format!("CONNECT {}", redacted(json)),
            ClientOp::Publish(publish) => {
                let verb = if publish.header_len > 0 { "HPUB" } else { "PUB" };
                let mut line = format!("{verb} {}", text(publish.subject));
                if !publish.reply.is_empty() {
                    line = format!("{line} {}", text(publish.reply));
                }
                if publish.header_len > 0 {
                    line = format!("{line} {}", publish.header_len);
                }
                body = Some(publish.payload).filter(|payload| !payload.is_empty());
                format!("{line} {}", publish.payload.len())
            }
            ClientOp::Subscribe { subject, queue, sid } => match queue {
                Some(queue) => format!("SUB {} {} {}", text(subject), text(queue), text(sid)),
                None => format!("SUB {} {}", text(subject), text(sid)),
            },
            ClientOp::Unsubscribe { sid, max } => match max {
                Some(max) => format!("UNSUB {} {max}", text(sid)),
                None => format!("UNSUB {}", text(sid)),
            },
            ClientOp::Ping => "PING".to_owned(),
            ClientOp::Pong => "PONG".to_owned(),
            ClientOp::Err(_) | ClientOp::Info(_) | ClientOp::Ok => return,
        };
        self.report(exchange, What::Received(format!("[{line}]")));
        if let Some(body) = body {
            let shown = text(body.get(..exchange.options.traced_payload_max).unwrap_or(body));
            let dots = if shown.len() < body.len() { "..." } else { "" };
            self.report(exchange, What::Received(format!("MSG_PAYLOAD: [{shown:?}{dots}]")));
        }
    }

    pub(super) fn trace_mapped(&self, exchange: &mut Exchange, subject: &[u8], mapped: &[u8]) {
        let [subject, mapped] = [subject, mapped].map(String::from_utf8_lossy);
        self.report(exchange, What::Received(format!("[MAPPING {subject} -> {mapped}]")));
    }

    pub(super) fn trace_out(&self, exchange: &mut Exchange, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        let line = text.trim_end().trim_start_matches('+');
        if !line.starts_with("INFO") {
            self.report(exchange, What::Sent(format!("[{line}]")));
        }
    }

    /// Shows an operator the beginning of input that could not be read, unless it may hold
    /// credentials.
    pub(super) fn report_input(
        &self,
        exchange: &mut Exchange,
        bytes: &[u8],
        violation: &Violation,
    ) {
        if matches!(violation, Violation::MaxPayload) {
            return;
        }
        let secret = bytes.first().is_some_and(|byte| byte.eq_ignore_ascii_case(&b'c'));
        let shown = if secret { 0 } else { SNIPPET_BYTES.min(bytes.len()) };
        let shown = bytes.get(..shown).unwrap_or_default();
        self.report(exchange, What::Unreadable(shown.into()));
    }
}
