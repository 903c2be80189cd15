//! Trusted proxies: one that stands between a client and the server signs what the client was given
//! to sign, and so vouches for it.
//!
//! A client that comes with the signature of nobody who is trusted is refused, whatever else it
//! offers; users may be bound to come through a proxy. Signatures are verified off the shards, also
//! for clients that are refused anyway, so that how long it takes tells nothing of their passwords.

use std::collections::HashSet;
use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use ringbus_shard::options::{Grant, Job, Offer, Outcome, Refusal, Verdict};
use tracing::debug;

use super::nkey::PublicKey;

/// Who vouches, and for whom somebody has to.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Proxies {
    /// Keys of the proxies.
    pub trusted: Vec<PublicKey>,
    /// Users that must come through one of them: names, or keys as text.
    pub bound: HashSet<String>,
    /// Everybody must.
    pub all_bound: bool,
}

/// Who vouches for a client.
#[derive(Debug)]
pub(super) enum Voucher {
    /// Nobody: it comes by itself, or no proxy is trusted.
    Nobody,
    /// The proxy with this key.
    Known(Arc<str>),
    /// Whoever signed that.
    Signer(Signed),
}

/// A signature of a nonce, to be verified.
#[derive(Debug)]
pub(super) struct Signed {
    proxies: Arc<Proxies>,
    nonce: Vec<u8>,
    signature: Vec<u8>,
    /// How the log calls the client.
    shown: String,
}

impl Signed {
    fn verify(&self) -> Result<Arc<str>, Refusal> {
        // Who was given nothing to sign could come with a signature of another day.
        let mut trusted = self.proxies.trusted.iter().filter(|_| !self.nonce.is_empty());
        let key = trusted.find(|key| key.verify(&self.nonce, &self.signature));
        key.map(|key| key.to_string().into()).ok_or_else(|| {
            debug!("{}proxy is not trusted", self.shown);
            Refusal::ProxyNotTrusted
        })
    }
}

impl Voucher {
    /// The key of the proxy. Takes as long as a few signatures.
    pub(super) fn verify(self) -> Result<Option<Arc<str>>, Refusal> {
        match self {
            Self::Nobody => Ok(None),
            Self::Known(key) => Ok(Some(key)),
            Self::Signer(signed) => signed.verify().map(Some),
        }
    }
}

impl Proxies {
    /// Who vouches for a client that offers this.
    ///
    /// # Errors
    /// If that is nobody who is trusted, as far as that is known without a look at signatures.
    pub(super) fn voucher(self: &Arc<Self>, offer: &Offer<'_>) -> Result<Voucher, Refusal> {
        let shown = || format!("{} - cid:{} - ", offer.address, offer.client);
        if let Some(key) = offer.proxy {
            // It has vouched already; a reload may have taken that from it.
            let trusted = self.trusted.iter().any(|trusted| trusted.to_string() == **key);
            let known = || Voucher::Known(Arc::clone(key));
            return trusted.then(known).ok_or(Refusal::ProxyNotTrusted);
        }
        let signature = offer.connect.proxy_sig.expose();
        if self.trusted.is_empty() || signature.is_empty() {
            return Ok(Voucher::Nobody);
        }
        let Ok(signature) = BASE64URL_NOPAD.decode(signature.as_bytes()) else {
            debug!("{}Proxy signature not valid base64", shown());
            return Err(Refusal::ProxyNotTrusted);
        };
        let (proxies, nonce) = (Arc::clone(self), offer.nonce.to_vec());
        Ok(Voucher::Signer(Signed { proxies, nonce, signature, shown: shown() }))
    }

    /// What becomes of a client for which this one vouches, where it would be that by what it
    /// offers itself.
    pub(super) fn judge(
        self: &Arc<Self>,
        voucher: Voucher,
        offer: &Offer<'_>,
        verdict: Verdict,
    ) -> Verdict {
        let through = |outcome: Outcome, proxy: Arc<str>| {
            outcome.map(|grant| Grant { proxy: Some(proxy), ..grant })
        };
        match voucher {
            Voucher::Nobody => self.without_proxy(offer, verdict),
            Voucher::Known(key) => verdict.then(move |outcome| through(outcome, key)),
            Voucher::Signer(signed) => match verdict {
                Verdict::Admitted(grant) => verified(signed, move |key| through(Ok(*grant), key)),
                Verdict::Refused(why) => verified(signed, move |_| Err(why)),
                Verdict::Later(job) => Verdict::begin(move || match signed.verify() {
                    Ok(key) => Verdict::Later(job).then(move |outcome| through(outcome, key)),
                    Err(why) => Verdict::Refused(why),
                }),
            },
        }
    }

    /// Nobody vouches for this one.
    fn without_proxy(self: &Arc<Self>, offer: &Offer<'_>, verdict: Verdict) -> Verdict {
        if self.bound.is_empty() && !self.all_bound {
            return verdict;
        }
        let connect = offer.connect;
        let claimed = if connect.nkey.is_empty() { &connect.user } else { &connect.nkey };
        // A wrong password is looked at all the same: time tells nothing.
        let refused_anyway = self.binds(claimed);
        let this = Arc::clone(self);
        verdict.then(move |outcome| match outcome {
            Ok(grant) if this.binds(grant.user.as_deref().unwrap_or("")) => {
                Err(Refusal::ProxyRequired)
            }
            Err(Refusal::Credentials) if refused_anyway => Err(Refusal::ProxyRequired),
            outcome => outcome,
        })
    }

    /// Whether a user has to come through a proxy.
    pub(super) fn binds(&self, user: &str) -> bool {
        self.all_bound || self.bound.contains(user)
    }
}

/// What `judge` says once it is known which proxy signed; a refusal if none did.
fn verified(signed: Signed, judge: impl FnOnce(Arc<str>) -> Outcome + Send + 'static) -> Verdict {
    Verdict::Later(Job::new(move |answer| answer.tell(signed.verify().and_then(judge))).lightly())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use ringbus_shard::wire::connect::ConnectOptions;
    use ringbus_shard::wire::secret::Secret;

    use super::super::nkey::{KeyPair, Role};
    use super::*;

    const NONCE: &[u8] = b"abcdefghijklmno";

    type Through = Result<Option<Arc<str>>, Refusal>;

    /// What becomes of a client that offers this: through which proxy it came, if it is let in.
    fn outcome(proxies: &Arc<Proxies>, offer: &Offer<'_>, verdict: Verdict) -> Through {
        let mut verdict = match proxies.voucher(offer) {
            Ok(voucher) => proxies.judge(voucher, offer, verdict),
            Err(why) => Verdict::Refused(why),
        };
        loop {
            match verdict {
                Verdict::Admitted(grant) => return Ok(grant.proxy),
                Verdict::Refused(why) => return Err(why),
                Verdict::Later(job) => {
                    let (give, take) = mpsc::channel();
                    job.run(move |more| give.send(more).unwrap());
                    verdict = take.recv().unwrap();
                }
            }
        }
    }

    /// The same of one with that signature.
    fn signed(proxies: &Arc<Proxies>, signature: &str, nonce: &[u8], verdict: Verdict) -> Through {
        let proxy_sig = Secret::from(signature.to_owned());
        let user = "ann".to_owned();
        let connect = ConnectOptions { proxy_sig, user, ..ConnectOptions::default() };
        outcome(proxies, &Offer { nonce, ..Offer::of(&connect) }, verdict)
    }

    fn of(user: &str) -> Grant {
        Grant { user: Some(user.into()), ..Grant::default() }
    }

    fn pair(seed: u8) -> (KeyPair, PublicKey) {
        let pair = KeyPair::new(Role::Server, &[seed; 32]);
        let key = PublicKey::parse(&pair.public()).unwrap();
        (pair, key)
    }

    #[test]
    fn only_trusted_proxies_vouch() {
        let [(one, first), (two, second), (stranger, _)] = [1, 2, 3].map(pair);
        let bound = HashSet::from(["ann".to_owned()]);
        let proxies = Arc::new(Proxies { trusted: vec![first, second], bound, all_bound: false });
        let sign = |key: &KeyPair, nonce: &[u8]| BASE64URL_NOPAD.encode(&key.sign(nonce));
        let key = |pair: &KeyPair| Ok(Some(pair.public().into()));
        let verdicts = |user: &'static str| {
            [Verdict::of(Some(of(user))), Verdict::later(move || Some(of(user)))]
        };
        let untrusted = || Err(Refusal::ProxyNotTrusted);
        for user in ["ann", "bob"] {
            for (signature, nonce, expected) in [
                (sign(&one, NONCE), NONCE, key(&one)),
                (sign(&two, NONCE), NONCE, key(&two)),
                (sign(&stranger, NONCE), NONCE, untrusted()),
                (sign(&one, b"another nonce.."), NONCE, untrusted()),
                (sign(&one, b""), b"", untrusted()),
                ("no base64!".to_owned(), NONCE, untrusted()),
            ] {
                for verdict in verdicts(user) {
                    assert_eq!(signed(&proxies, &signature, nonce, verdict), expected, "{user}");
                }
            }
            for verdict in verdicts(user) {
                let expected = if user == "bob" { Ok(None) } else { Err(Refusal::ProxyRequired) };
                assert_eq!(signed(&proxies, "", NONCE, verdict), expected, "{user} without");
            }
        }
        let refused = || [Verdict::of(None), Verdict::later(|| None)];
        for verdict in refused() {
            let through = signed(&proxies, &sign(&one, NONCE), NONCE, verdict);
            assert_eq!(through, Err(Refusal::Credentials));
        }
        for verdict in refused() {
            assert_eq!(signed(&proxies, &sign(&stranger, NONCE), NONCE, verdict), untrusted());
        }
        for verdict in refused() {
            assert_eq!(signed(&proxies, "", NONCE, verdict), Err(Refusal::ProxyRequired));
        }
    }

    #[test]
    fn without_trusted_proxies_a_signature_means_nothing() {
        let proxies = Arc::new(Proxies::default());
        assert_eq!(signed(&proxies, "x", NONCE, Verdict::of(Some(of("ann")))), Ok(None));
        let proxies = Arc::new(Proxies { all_bound: true, ..Proxies::default() });
        for verdict in [Verdict::of(Some(of("ann"))), Verdict::of(Some(Grant::default()))] {
            assert_eq!(signed(&proxies, "x", NONCE, verdict), Err(Refusal::ProxyRequired));
        }
    }

    /// A reload judges again: it does not verify again, and knows whom it does not trust any more.
    #[test]
    fn a_proxy_vouches_as_long_as_it_is_trusted() {
        let [(_, first), (_, second)] = [1, 2].map(pair);
        let proxies = Arc::new(Proxies { trusted: vec![first], ..Proxies::default() });
        let connect = ConnectOptions::default();
        for (key, expected) in [(first, true), (second, false)] {
            let key: Arc<str> = key.to_string().into();
            let offer = Offer { proxy: Some(&key), ..Offer::of(&connect) };
            let expected =
                if expected { Ok(Some(Arc::clone(&key))) } else { Err(Refusal::ProxyNotTrusted) };
            assert_eq!(outcome(&proxies, &offer, Verdict::of(Some(of("ann")))), expected);
        }
    }
}
