//! From a request to its answer.

use ringbus_shard::engine::{Treated, Treatment};
use ringbus_shard::event::Asked;
use ringbus_shard::ids::ClientId;
use ringbus_shard::io::Control;
use serde::Deserialize;

use crate::monitor::answers::Endpoints;

use super::line::Request;
use super::messages::{self, ServerInfo};
use super::options::Options;

/// What requests are answered from.
pub(super) struct Desk<'a> {
    pub(super) endpoints: &'a Endpoints,
    pub(super) control: &'a Control,
    /// This server as it signs the answer.
    pub(super) server: ServerInfo,
}

/// What every server listens to, and this one.
pub(super) fn patterns(server_id: &str) -> [String; 6] {
    [
        "$SYS.REQ.SERVER.PING".to_owned(),
        "$SYS.REQ.SERVER.PING.*".to_owned(),
        format!("$SYS.REQ.SERVER.{server_id}.*"),
        "$SYS.REQ.ACCOUNT.*.*".to_owned(),
        "$SYS.REQ.ACCOUNT.NSUBS".to_owned(),
        SUBSCRIBERS.to_owned(),
    ]
}

/// How many subscribers there are: `subject` or `subject queue`, in the account of who asks.
const SUBSCRIBERS: &str = "$SYS.DEBUG.SUBSCRIBERS";

/// Who asks from another account, as the server itself said when the request crossed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asking {
    acc: String,
    svc: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ClientRequest {
    cid: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CountRequest {
    acc: String,
    subject: String,
}

/// How a request is answered.
#[derive(Debug)]
pub(super) enum Answer {
    /// Not at all: it is for another server, nobody waits for it, or it is none.
    None,
    /// With this.
    Now(Vec<u8>),
    /// With what comes of reading the configuration again.
    Reloaded,
}

impl Desk<'_> {
    /// The answer to a request of an operator. What only asks is done only for those who wait for
    /// the answer.
    pub(super) fn answer(&self, request: &Request) -> Answer {
        let tokens: Vec<&str> = request.subject.split('.').collect();
        let acts = match tokens.as_slice() {
            ["$SYS", "REQ", "SERVER", _, "RELOAD"] => return Answer::Reloaded,
            ["$SYS", "REQ", "SERVER", _, what] => matches!(*what, "KICK" | "LDM"),
            _ => false,
        };
        if request.reply.is_empty() && !acts {
            return Answer::None;
        }
        if request.subject == SUBSCRIBERS {
            return self.subscribers(request).map_or(Answer::None, Answer::Now);
        }
        self.answer_now(&tokens, &request.body).map_or(Answer::None, Answer::Now)
    }

    fn answer_now(&self, tokens: &[&str], body: &[u8]) -> Option<Vec<u8>> {
        match tokens {
            ["$SYS", "REQ", "SERVER", "PING"] => self.server_data("STATSZ", body),
            ["$SYS", "REQ", "SERVER", "PING", kind] => self.server_data(kind, body),
            ["$SYS", "REQ", "SERVER", _, "KICK"] => Some(self.treat(body, Treatment::Kick)),
            ["$SYS", "REQ", "SERVER", _, "LDM"] => Some(self.treat(body, Treatment::LameDuck)),
            ["$SYS", "REQ", "SERVER", _, kind] => self.server_data(kind, body),
            ["$SYS", "REQ", "ACCOUNT", "NSUBS"] => Some(self.count(body)),
            ["$SYS", "REQ", "ACCOUNT", name, kind] => self.account_data(name, kind, body),
            _ => None,
        }
    }

    fn options(&self, body: &[u8]) -> Result<Option<Options>, Vec<u8>> {
        let options = Options::parse(body);
        let options = options.map_err(|why| messages::failure(&self.server, 400, &why, false))?;
        Ok(options.is_for(&self.endpoints.facts()).then_some(options))
    }

    fn server_data(&self, kind: &str, body: &[u8]) -> Option<Vec<u8>> {
        let options = match self.options(body) {
            Ok(options) => options?,
            Err(answer) => return Some(answer),
        };
        match kind {
            "IDZ" => return Some(self.server.idz()),
            "STATSZ" => {
                return Some(match self.endpoints.statsz() {
                    Ok(statsz) => messages::statsz(&self.server, &statsz),
                    Err(why) => messages::failure(&self.server, 500, &why, true),
                });
            }
            _ => {}
        }
        Some(self.sign(self.endpoints.data(kind, &options.query)?))
    }

    fn account_data(&self, name: &str, kind: &str, body: &[u8]) -> Option<Vec<u8>> {
        let mut options = match self.options(body) {
            Ok(options) => options?,
            Err(answer) => return Some(answer),
        };
        options.query.set("acc", name);
        let all = name == "PING";
        Some(match kind {
            "INFO" => self.sign(self.endpoints.account_info(name)),
            "STATZ" if all => {
                let Options { unused, accounts, .. } = &options;
                self.sign(self.endpoints.account_statz(*unused, accounts))
            }
            "STATZ" => self.account_statz(name),
            "CONNS" => {
                let stats = self.endpoints.account_stats(true, &[name.to_owned()]).ok()?;
                messages::account_connections(&self.server, stats.first()?)
            }
            "JSZ" => self.sign(Err("jetstream not enabled".to_owned())),
            "SUBSZ" => {
                options.query.set("subs", "1");
                self.sign(self.endpoints.data(kind, &options.query)?)
            }
            "CONNZ" | "LEAFZ" => self.sign(self.endpoints.data(kind, &options.query)?),
            _ => return None,
        })
    }

    /// The answer to what a client of some account asked for itself or its account.
    pub(super) fn answer_client(&self, asked: &Asked) -> Option<Vec<u8>> {
        let account = &*asked.account_name;
        match &*asked.subject {
            b"$SYS.REQ.USER.INFO" => {
                let user = asked.user.as_deref().unwrap_or("");
                let rules = asked.permissions.as_ref().map(|permissions| permissions.rules());
                Some(messages::answer(
                    &self.server,
                    messages::user_info(user, account, rules, asked.stays),
                ))
            }
            // By its own name, even if that is one which asks for all when an operator says it.
            b"$SYS.REQ.ACCOUNT.PING.STATZ" => match self.options(&asked.body) {
                Ok(options) => options.map(|_| self.account_statz(account)),
                Err(answer) => Some(answer),
            },
            _ => self.account_data(account, "CONNZ", &asked.body),
        }
    }

    fn account_statz(&self, name: &str) -> Vec<u8> {
        self.sign(self.endpoints.account_statz(true, &[name.to_owned()]))
    }

    fn sign(&self, data: Result<Vec<u8>, String>) -> Vec<u8> {
        match data {
            Ok(data) => messages::answer(&self.server, data),
            Err(why) => messages::failure(&self.server, 500, &why, true),
        }
    }

    fn treat(&self, body: &[u8], treatment: Treatment) -> Vec<u8> {
        let failed = |code, why: &str| messages::failure(&self.server, code, why, false);
        let client = match serde_json::from_slice::<ClientRequest>(body) {
            Ok(request) => ClientId::new(request.cid),
            Err(error) => return failed(400, &error.to_string()),
        };
        match (self.control.treat(client, treatment), treatment) {
            (Ok(Treated::Done), _) => messages::done(&self.server),
            (Ok(Treated::Unable), _) => failed(
                500,
                "client does not support Lame Duck Mode or is not ready to receive the \
                 notification",
            ),
            (Ok(Treated::Unknown), Treatment::Kick) => failed(500, "no such client or leafnode id"),
            (Ok(Treated::Unknown), Treatment::LameDuck) => failed(500, "no such client id"),
            (Err(stuck), _) => failed(500, &stuck.to_string()),
        }
    }

    /// None if who asks cannot be made out.
    fn subscribers(&self, request: &Request) -> Option<Vec<u8>> {
        let mut lines = request.headers.lines();
        let said = lines.find_map(|line| line.strip_prefix("Nats-Request-Info:"));
        let asking: Asking = match said {
            Some(said) => serde_json::from_str(said).ok()?,
            None if request.headers.is_empty() => Asking::default(),
            // Headers of an operator are of no account.
            None => return None,
        };
        let system = self.endpoints.facts().system_account.clone();
        let named = [asking.svc, asking.acc, system].into_iter().find(|name| !name.is_empty())?;
        let text = String::from_utf8_lossy(&request.body);
        let mut words = text.trim().split(' ');
        let (subject, queue) = (words.next()?, words.next());
        let count = self.endpoints.interested(&named, subject, queue).ok()?;
        Some(count.to_string().into_bytes())
    }

    fn count(&self, body: &[u8]) -> Vec<u8> {
        let counted = serde_json::from_slice::<CountRequest>(body)
            .map_err(|error| error.to_string())
            .and_then(|wish| self.endpoints.subscribers(&wish.acc, &wish.subject));
        match counted {
            Ok(count) => count.to_string().into_bytes(),
            Err(why) => messages::failure(&self.server, 400, &why, false),
        }
    }
}
