//! A server of claims, which is asked over HTTP or HTTPS: its address with the public key of an
//! account behind it.
//!
//! Connections are used again, so that not each question needs a handshake; an account is asked for
//! when the first of its users connects, and then when its claims have expired. Redirects are
//! followed, as by nats-server. Time, head and body of an answer are bounded, whoever answers.

#![deny(clippy::indexing_slicing)]

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64;
use ringbus_shard::wire::secret::Secret;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::tls::{Certificate, ClientCert, RootCerts, TlsConfig};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::time::Duration as Time;
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Error};

use super::Missing;
use crate::auth::jwt::token::TEXT_MAX;
use crate::tls::outgoing::{Identity, Outgoing};

/// How long an answer may take, from the first byte of the question to the last of the answer.
const TIME: Duration = Duration::from_millis(1900);

/// Longest head of an answer.
const HEAD_MAX: usize = 16 << 10;

/// Most connections that are kept for the next question, and how long; as with nats-server.
const IDLE_MAX: usize = 10;
const IDLE_TIME: Duration = Duration::from_secs(30);

/// Most redirects; as with nats-server.
const REDIRECTS_MAX: u32 = 10;

/// A server of claims.
#[derive(Clone)]
pub struct Remote {
    /// With a slash at its end, without user and password.
    url: String,
    /// User and password as they are sent; empty if there are none.
    credentials: Secret,
    agent: Agent,
}

impl PartialEq for Remote {
    /// Whether they have the same address.
    fn eq(&self, other: &Self) -> bool {
        self.url == other.url && self.credentials == other.credentials
    }
}

impl Eq for Remote {}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Remote {
    /// Without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

impl Remote {
    /// Reads an address. What answers there is trusted by nobody over HTTPS before
    /// [`over`](Self::over) says by whom it may be signed.
    ///
    /// # Errors
    /// Returns why it is none that can be asked.
    pub fn parse(url: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = url
            .split_once("://")
            .filter(|(scheme, _)| ["http", "https"].contains(scheme))
            .ok_or("the address of a resolver begins with http:// or https://")?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (credentials, host) = match authority.rsplit_once('@') {
            Some((credentials, host)) => (BASE64.encode(credentials.as_bytes()), host),
            None => (String::new(), authority),
        };
        let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        let path = path.trim_end_matches('/');
        let slash = if path.is_empty() { "" } else { "/" };
        let url = format!("{scheme}://{host}/{path}{slash}");
        let uri = url.parse::<Uri>().ok();
        let has_host = uri.as_ref().and_then(Uri::authority).is_some_and(|authority| {
            let port = authority.as_str().strip_prefix(authority.host());
            !authority.host().is_empty() && (port == Some("") || authority.port_u16().is_some())
        });
        if !has_host || !is_plain(rest) || path.contains(['?', '#']) {
            return Err("the address of a resolver has a host and a path");
        }
        Ok(Self { url, credentials: credentials.into(), agent: agent(TlsConfig::builder(), &[]) })
    }

    /// The same, asked on these terms where it is asked over TLS.
    ///
    /// # Errors
    /// Returns that nobody is known who could have signed its certificate.
    pub fn over(mut self, tls: &Outgoing) -> Result<Self, String> {
        let of_host;
        let authorities = if let Some(authorities) = tls.authorities.as_deref() {
            authorities
        } else {
            let found = rustls_native_certs::load_native_certs();
            if found.certs.is_empty() && self.url.starts_with("https:") && !tls.is_insecure {
                let why = found.errors.first().map_or_else(String::new, |why| format!(" ({why})"));
                return Err(format!(
                    "resolver {self}: this host has no certificates of authorities{why}: install \
                     them, or name a file of them: resolver_tls {{ ca_file: … }}"
                ));
            }
            of_host = found.certs;
            &of_host
        };
        let builder = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(tls.provider()))
            .disable_verification(tls.is_insecure)
            .client_cert(tls.identity.as_deref().map(client));
        let roots: Vec<_> = authorities.iter().map(owned).collect();
        self.agent = agent(builder, &roots);
        Ok(self)
    }

    /// The claims about an account.
    ///
    /// # Errors
    /// Returns why there are none.
    pub fn fetch(&self, key: &str) -> Result<String, Missing> {
        self.ask(key)
            .map_err(|why| Missing::Failed(format!("could not fetch <\"{self}{key}\">: {why}")))
    }

    fn ask(&self, key: &str) -> Result<String, String> {
        let mut question = self.agent.get(format!("{}{key}", self.url));
        if !self.credentials.is_empty() {
            let credentials = format!("Basic {}", self.credentials.expose());
            question = question.header("Authorization", credentials);
        }
        let mut answer = question.call().map_err(|error| reason(&error))?;
        let status = answer.status();
        if status != 200 {
            return Err(status.to_string());
        }
        let body = answer.body_mut().with_config().limit(TEXT_MAX as u64).read_to_vec();
        let body = body.map_err(|error| reason(&error))?;
        String::from_utf8(body).map_err(|_| "the answer is no text".to_owned())
    }
}

/// Whoever asks, by what TLS is told and those who may have signed.
fn agent(tls: ureq::tls::TlsConfigBuilder, roots: &[Certificate<'static>]) -> Agent {
    let config = Config::builder()
        .tls_config(tls.root_certs(RootCerts::new_with_certs(roots)).build())
        .http_status_as_error(false)
        .timeout_global(Some(TIME))
        .max_response_header_size(HEAD_MAX)
        .max_idle_connections(IDLE_MAX)
        .max_idle_age(IDLE_TIME)
        .max_redirects(REDIRECTS_MAX)
        .user_agent("ringbus")
        // Whatever the environment says: nats-server does not look there either.
        .proxy(None)
        .build();
    Agent::with_parts(config, DefaultConnector::default(), Names)
}

fn owned(certificate: impl AsRef<[u8]>) -> Certificate<'static> {
    Certificate::from_der(certificate.as_ref()).to_owned()
}

fn client(Identity { chain, key }: &Identity) -> ClientCert {
    let chain: Vec<_> = chain.iter().map(owned).collect();
    ClientCert::new_with_certs(&chain, key.to_owned())
}

/// Looks names up on the thread that asks: there are few of those, and the library would start one
/// more for each name.
#[derive(Debug)]
struct Names;

impl Resolver for Names {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let timeout = NextTimeout { after: Time::NotHappening, ..timeout };
        DefaultResolver::default().resolve(uri, config, timeout)
    }
}

/// Why there is no answer, for people.
fn reason(error: &Error) -> String {
    let text = match error {
        Error::Timeout(_) => return format!("no answer within {TIME:?}"),
        Error::BodyExceedsLimit(most) => {
            return format!("the answer is longer than {most} bytes, which no claims are");
        }
        Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => {
            return format!("no answer within {TIME:?}");
        }
        Error::Io(error) => error.to_string(),
        Error::Rustls(error) => error.to_string(),
        other => other.to_string(),
    };
    if ["UnknownIssuer", "BadSignature"].iter().any(|why| text.contains(why)) {
        return format!(
            "{text}: expected a certificate signed by one in the ca_file of resolver_tls, or \
             without it by an authority that this host trusts"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn addresses_are_read() {
        for (url, shown) in [
            ("http://localhost:9090/jwt/v1/accounts/", "http://localhost:9090/jwt/v1/accounts/"),
            ("http://a/b", "http://a/b/"),
            ("http://a", "http://a/"),
            ("https://ann:secret@a:4/b", "https://a:4/b/"),
            ("http://ann:secret@[::1]:1/x", "http://[::1]:1/x/"),
        ] {
            let remote = Remote::parse(url).unwrap();
            assert_eq!((remote.to_string(), format!("{remote:?}")), (shown.into(), shown.into()));
        }
        for url in [
            "",
            "a",
            "https://",
            "https://a:b/",
            "https://a:65536/",
            "ftp://a/",
            "http://",
            "http:///x",
            "http://a/\r\nX",
            "http://a/?b",
        ] {
            assert!(Remote::parse(url).is_err(), "{url}");
        }
    }

    /// What is fetched from a server that answers this, and what it was asked.
    fn answered(answer: &'static [u8]) -> (Result<String, Missing>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut question = [0; 1024];
            let len = stream.read(&mut question).unwrap();
            stream.write_all(answer).unwrap();
            String::from_utf8_lossy(question.get(..len).unwrap()).into_owned()
        });
        let remote = Remote::parse(&format!("http://ann:p@127.0.0.1:{port}/v1/")).unwrap();
        (remote.fetch("AKEY"), server.join().unwrap())
    }

    #[test]
    fn claims_are_fetched() {
        let (fetched, question) = answered(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\neyJ");
        assert_eq!(fetched.as_deref(), Ok("eyJ"));
        assert!(question.starts_with("GET /v1/AKEY HTTP/1.1\r\n"), "{question}");
        assert!(question.contains("uthorization: Basic YW5uOnA=\r\n"), "{question}");
        let (fetched, _) =
            answered(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\neyJ\r\n0\r\n\r\n");
        assert_eq!(fetched.as_deref(), Ok("eyJ"));
    }

    #[test]
    fn other_answers_are_none() {
        let broken: [(&[u8], &str); 11] = [
            (b"HTTP/1.1 404 Not Found\r\n\r\nno", "404 Not Found"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\neyJ", "disconnected"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: -9\r\n\r\neyJ", "content-length"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\neyJ", ""),
            (b"HTTP/1.1 200 OK\r\n", "disconnected"),
            (b"", "disconnected"),
            (b"nonsense\r\n\r\n", "invalid"),
            (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", ""),
            (b"HTTP/1.1 302 Found\r\nContent-Length: 2\r\nLocation: ::\r\n\r\nxx", ""),
            (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\nLocation: /\r\n\r\nxx", ""),
            (b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ""),
        ];
        for (answer, why) in broken {
            let Err(Missing::Failed(text)) = answered(answer).0 else { panic!("{why}") };
            assert!(text.contains(why) && text.contains("/v1/AKEY"), "{text}");
            assert!(!text.contains("ann"), "{text}");
        }
    }
}
