//! INFO: what the server says about itself to a client.
//!
//! Field order, and which fields are left out when they say nothing, are those of the reference:
//! clients read INFO with everything from a JSON library to a regular expression.

use serde::Serialize;

use super::json::{AnyObject, Malformed, read_object};

/// The INFO of one client. The fields that only servers read are not here.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Info {
    /// Identity of this process: a public server key.
    pub server_id: String,
    /// Name of this server.
    pub server_name: String,
    /// Version of nats-server whose behaviour this is: clients decide by it what they may use.
    pub version: String,
    /// Version of the client protocol: 1.
    pub proto: i32,
    /// Commit the server was built from.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub git_commit: String,
    /// What the reference was built with. Never left out: some clients insist on it.
    pub go: String,
    /// Address the server listens on.
    pub host: String,
    /// Port the server listens on.
    pub port: u16,
    /// Whether the server takes headers.
    pub headers: bool,
    /// CONNECT needs credentials.
    #[serde(skip_serializing_if = "is_false")]
    pub auth_required: bool,
    /// Only TLS may follow.
    #[serde(skip_serializing_if = "is_false")]
    pub tls_required: bool,
    /// The client needs a certificate.
    #[serde(skip_serializing_if = "is_false")]
    pub tls_verify: bool,
    /// TLS may follow.
    #[serde(skip_serializing_if = "is_false")]
    pub tls_available: bool,
    /// Largest payload of this connection; -1 if there is no limit.
    pub max_payload: i32,
    /// Streams exist.
    #[serde(skip_serializing_if = "is_false")]
    pub jetstream: bool,
    /// Number of the connection.
    #[serde(skip_serializing_if = "is_zero")]
    pub client_id: u64,
    /// Address of the client, as the server sees it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub client_ip: String,
    /// What the client signs to prove that it holds a key.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub nonce: String,
    /// Name of the cluster.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cluster: String,
    /// Domain of the streams.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub domain: String,
    /// Where else in the cluster a client may connect.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub connect_urls: Vec<String>,
    /// The same, for clients that connect over WebSocket.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ws_connect_urls: Vec<String>,
    /// The server is about to stop: go elsewhere.
    #[serde(rename = "ldm", skip_serializing_if = "is_false")]
    pub lame_duck: bool,
    /// This INFO answers the first PING after CONNECT.
    #[serde(skip_serializing_if = "is_false")]
    pub connect_info: bool,
    /// Account of the client.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub remote_account: String,
    /// It is the system account.
    #[serde(rename = "acc_is_sys", skip_serializing_if = "is_false")]
    pub account_is_system: bool,
    /// Level of the API of streams.
    #[serde(rename = "api_lvl", skip_serializing_if = "is_zero")]
    pub api_level: u64,
    /// Key to encrypt requests to the authorization service with.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub xkey: String,
}

fn is_false(value: &bool) -> bool {
    !*value
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// Appends `INFO {…} ` and the line end. The blank before it is the reference's.
pub fn write_info(info: &Info, out: &mut Vec<u8>) {
    out.extend_from_slice(b"INFO ");
    serde_json::to_writer(&mut *out, info).expect("texts and numbers always become JSON");
    out.extend_from_slice(b" \r\n");
}

/// Checks the JSON of an INFO that a client sent, which is ignored if it is an object.
///
/// # Errors
///
/// If it is not. Values of the wrong type, which the reference refuses, pass.
pub fn check_foreign(json: &[u8]) -> Result<(), Malformed> {
    read_object(json, AnyObject)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(info: &Info) -> String {
        let mut out = Vec::new();
        write_info(info, &mut out);
        String::from_utf8(out).expect("JSON is text")
    }

    #[test]
    fn what_is_always_there() {
        assert_eq!(
            written(&Info::default()),
            "INFO {\"server_id\":\"\",\"server_name\":\"\",\"version\":\"\",\"proto\":0,\
             \"go\":\"\",\"host\":\"\",\"port\":0,\"headers\":false,\"max_payload\":0} \r\n"
        );
    }

    #[test]
    fn everything_in_the_order_of_the_reference() {
        let info = Info {
            server_id: "NA".to_owned(),
            server_name: "n".to_owned(),
            version: "2.15.1".to_owned(),
            proto: 1,
            git_commit: "c".to_owned(),
            go: "go1".to_owned(),
            host: "::".to_owned(),
            port: 4222,
            headers: true,
            auth_required: true,
            tls_required: true,
            tls_verify: true,
            tls_available: true,
            max_payload: -1,
            jetstream: true,
            client_id: 5,
            client_ip: "::1".to_owned(),
            nonce: "x".to_owned(),
            cluster: "y".to_owned(),
            domain: "d".to_owned(),
            connect_urls: vec!["a:1".to_owned(), "b:2".to_owned()],
            ws_connect_urls: vec!["c:3".to_owned()],
            lame_duck: true,
            connect_info: true,
            remote_account: "$G".to_owned(),
            account_is_system: true,
            api_level: 5,
            xkey: "XA".to_owned(),
        };
        assert_eq!(
            written(&info),
            "INFO {\"server_id\":\"NA\",\"server_name\":\"n\",\"version\":\"2.15.1\",\"proto\":1,\
             \"git_commit\":\"c\",\"go\":\"go1\",\"host\":\"::\",\"port\":4222,\"headers\":true,\
             \"auth_required\":true,\"tls_required\":true,\"tls_verify\":true,\
             \"tls_available\":true,\"max_payload\":-1,\"jetstream\":true,\"client_id\":5,\
             \"client_ip\":\"::1\",\"nonce\":\"x\",\"cluster\":\"y\",\"domain\":\"d\",\
             \"connect_urls\":[\"a:1\",\"b:2\"],\"ws_connect_urls\":[\"c:3\"],\"ldm\":true,\
             \"connect_info\":true,\"remote_account\":\"$G\",\"acc_is_sys\":true,\"api_lvl\":5,\
             \"xkey\":\"XA\"} \r\n"
        );
    }

    #[test]
    fn an_info_from_a_client_must_be_an_object() {
        for json in [&b"{}"[..], b"null", b" {\"port\":1}\n", b"{\"a\":\"\xff\\ud800\"}"] {
            assert_eq!(check_foreign(json), Ok(()), "{}", json.escape_ascii());
        }
        for json in [&b""[..], b"{", b"5", b"[]", b"{}x", b"{\"a\":\xff}", b"{\"a\":\"\x01\"}"] {
            assert_eq!(check_foreign(json), Err(Malformed), "{}", json.escape_ascii());
        }
    }
}
