//! Many users: each with a password or a key, an account, and the connections it may use.

use std::collections::HashMap;

use tracing::debug;

use ringbus_shard::options::{Grant, Offer, Proof, Verdict};
use ringbus_shard::wire::connect::ConnectOptions;
use ringbus_shard::wire::secret::Secret;

use super::REFUSED;
use super::callout::Presented;
use super::kinds::Kinds;
use super::nkey::{self, PublicKey, Role};
use super::password::{self, Password, same};

/// All users of all accounts, by name or by the text of their key.
#[derive(Debug, Default)]
pub(super) struct Directory {
    named: HashMap<String, Known<Password>>,
    keyed: HashMap<String, Known<PublicKey>>,
    /// The dearest hash among them: what a refusal costs.
    dearest: Option<u32>,
}

/// One of them.
#[derive(Debug)]
struct Known<T> {
    credential: T,
    kinds: Kinds,
    grant: Grant,
}

/// What becomes of a client that offers nothing where others have to.
#[derive(Debug)]
pub(super) enum Entrance {
    /// It is refused.
    Closed,
    /// It becomes that user, and hears in INFO that it need not offer anything.
    User(String),
    /// Only the system account has users: everybody else goes on as if it had none, but is told
    /// that credentials are required.
    Guest(Grant),
}

/// A user that a client named, or becomes without naming anybody; be the password right or wrong.
pub(super) struct Named {
    pub(super) user: String,
    /// What it is taken to have offered, if it offered nothing.
    pub(super) presented: Option<Presented>,
}

impl Named {
    pub(super) fn known(user: &str) -> Self {
        Self { user: user.to_owned(), presented: None }
    }
}

impl Directory {
    /// The user that a client means, if there is one.
    pub(super) fn named_by(&self, entrance: &Entrance, connect: &ConnectOptions) -> Option<Named> {
        if self.offers_nothing(connect) {
            let Entrance::User(name) = entrance else { return None };
            let presented = match self.named.get(name) {
                _ if self.keyed.contains_key(name) => Presented::Keyed(name.clone()),
                Some(known) => Presented::Named(name.clone(), known.credential.presented()),
                None => return None,
            };
            return Some(Named { user: name.clone(), presented: Some(presented) });
        }
        let exists = match self.has_keys() && !connect.nkey.is_empty() {
            true => self.keyed.contains_key(&connect.nkey).then_some(&connect.nkey),
            false => self.named.contains_key(&connect.user).then_some(&connect.user),
        };
        exists.map(|user| Named::known(user))
    }

    pub(super) fn add_named(&mut self, name: &str, password: &Secret, kinds: Kinds, grant: Grant) {
        let credential = Password::new(password);
        self.dearest = self.dearest.max(credential.cost());
        self.named.insert(name.to_owned(), Known { credential, kinds, grant });
    }

    pub(super) fn add_keyed(&mut self, key: PublicKey, kinds: Kinds, grant: Grant) {
        self.keyed.insert(key.to_string(), Known { credential: key, kinds, grant });
    }

    pub(super) fn has_keys(&self) -> bool {
        !self.keyed.is_empty()
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.named.contains_key(name) || self.keyed.contains_key(name)
    }

    /// Whether there is a user with this name, as opposed to a key.
    pub(super) fn has_named(&self, name: &str) -> bool {
        self.named.contains_key(name)
    }

    /// The names of all users that have one.
    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.named.keys()
    }

    pub(super) fn judge(&self, entrance: &Entrance, offer: &Offer<'_>) -> Verdict {
        let connect = offer.connect;
        if self.offers_nothing(connect) {
            return match entrance {
                Entrance::Closed => REFUSED,
                Entrance::Guest(guest) => Verdict::of(Some(guest.clone())),
                Entrance::User(name) => self.become_user(name, offer),
            };
        }
        // A key counts before a name, but not where nobody has one.
        if self.has_keys() && !connect.nkey.is_empty() {
            let free = matches!(entrance, Entrance::User(name) if *name == connect.nkey);
            return self.judge_key(offer, free);
        }
        if connect.user.is_empty() {
            // Nobody in particular is meant: nothing can be learned from how long this takes.
            return REFUSED;
        }
        let known = self.named.get(&connect.user).filter(|known| known.kinds.allow(offer.kind));
        let credential = known.map(|known| &known.credential);
        let grant = || known.map(|known| known.grant.clone());
        judge_password(credential, self.dearest, &connect.pass, offer.proof, grant)
    }

    /// A client that offers nothing is taken for one that offers what that user has. A hash, as
    /// nats-server has it, is not the password it is of.
    fn become_user(&self, name: &str, offer: &Offer<'_>) -> Verdict {
        let keyed = self.keyed.get(name).map(|known| (known.kinds, &known.grant));
        let plain = |known: &&Known<Password>| matches!(known.credential, Password::Plain(_));
        let named = self.named.get(name).filter(plain);
        let known = keyed.or_else(|| named.map(|known| (known.kinds, &known.grant)));
        let known = known.filter(|(kinds, _)| kinds.allow(offer.kind));
        Verdict::of(known.map(|(_, grant)| grant.clone()))
    }

    fn judge_key(&self, offer: &Offer<'_>, free: bool) -> Verdict {
        let connect = offer.connect;
        let known = self.keyed.get(&connect.nkey).filter(|known| known.kinds.allow(offer.kind));
        // A key that nobody has is looked into all the same.
        let dummy = PublicKey::new(Role::User, [7; 32]);
        let key = known.map_or(dummy, |known| known.credential);
        let secret = Secret::from(key.to_string());
        let grant = known.map(|known| {
            let proof = Some(Proof::of(&secret));
            Grant { proof, ..known.grant.clone() }
        });
        let proven = offer.proof.is_some_and(|proof| proof.is_of(&secret));
        if grant.is_some() && (free || proven) {
            // Who need not sign has proved nothing, should others be asked to later.
            let keep = |grant: Grant| Grant { proof: grant.proof.filter(|_| proven), ..grant };
            return Verdict::of(grant.map(keep));
        }
        if connect.sig.is_empty() {
            debug!("{} - cid:{} - Signature missing", offer.address, offer.client);
            return REFUSED;
        }
        let Some(signature) = nkey::signature(connect.sig.expose()) else {
            debug!("{} - cid:{} - Signature not valid base64", offer.address, offer.client);
            return REFUSED;
        };
        let (nonce, address, client) = (offer.nonce.to_vec(), offer.address, offer.client);
        Verdict::soon(move || {
            if nonce.is_empty() || !key.verify(&nonce, &signature) {
                debug!("{address} - cid:{client} - Signature not verified");
                return None;
            }
            grant
        })
    }

    /// Keys and signatures do not count where no user has one.
    fn offers_nothing(&self, connect: &ConnectOptions) -> bool {
        connect.user.is_empty()
            && connect.pass.expose().is_empty()
            && connect.auth_token.expose().is_empty()
            && (connect.nkey.is_empty() || !self.has_keys())
    }
}

/// Judges by a password; `known` is none if nobody has the name that was offered. If there are
/// hashes, `dearest` is the cost of the dearest, and every refusal takes as long as that one.
pub(super) fn judge_password(
    known: Option<&Password>,
    dearest: Option<u32>,
    offered: &Secret,
    proof: Option<&Proof>,
    grant: impl FnOnce() -> Option<Grant>,
) -> Verdict {
    let plain = if let Some(Password::Plain(plain)) = known { plain.expose() } else { "" };
    let right = bool::from(same(plain, offered.expose()));
    if let Some(Password::Plain(_)) = known
        && right
    {
        return Verdict::of(grant());
    }
    let Some(dearest) = dearest else { return REFUSED };
    let offered = offered.clone();
    let Some(Password::Hashed(hash)) = known.cloned() else {
        return Verdict::later(move || {
            password::waste(None, dearest, &offered);
            None
        });
    };
    let proof_of_this = Proof::of(hash.text());
    let proven = proof.is_some_and(|proof| proof.is_of(hash.text()));
    let grant = grant().map(|grant| Grant { proof: Some(proof_of_this), ..grant });
    if proven {
        return Verdict::of(grant);
    }
    Verdict::later(move || {
        if hash.is_of(&offered) {
            return grant;
        }
        password::waste(Some(hash.cost()), dearest, &offered);
        None
    })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use ringbus_shard::options::ConnectionKind;

    use super::*;
    use crate::auth::nkey::KeyPair;

    /// Hashes of `U*U`, by their cost.
    const CHEAP: &str = "$2a$04$abcdefghijklmnopqrstuuCFaEytnzrfaPZJKbS76hh9vqd9r8v2S";
    const DEAR: &str = "$2a$06$abcdefghijklmnopqrstuubFCV0uIZoi4oQp2Wu3dG5ivg8jgo.Ui";
    const NONCE: &[u8] = b"fifteen-letters";

    fn secret(text: &str) -> Secret {
        Secret::from(text.to_owned())
    }

    fn granted(user: &str) -> Grant {
        Grant { user: Some(user.into()), ..Grant::default() }
    }

    fn pair(seed: u8) -> (KeyPair, PublicKey) {
        let pair = KeyPair::new(Role::User, &[seed; 32]);
        let public = PublicKey::parse(&pair.public()).unwrap();
        (pair, public)
    }

    fn directory() -> Directory {
        let mut directory = Directory::default();
        let all = Kinds::default();
        directory.add_named("plain", &secret("p"), all, granted("plain"));
        directory.add_named("cheap", &secret(CHEAP), all, granted("cheap"));
        directory.add_named("dear", &secret(DEAR), all, granted("dear"));
        directory.add_named("broken", &secret("$2a$04$x"), all, granted("broken"));
        let (mqtt, _) = Kinds::named(["mqtt"]);
        directory.add_named("things", &secret("p"), mqtt, granted("things"));
        directory.add_keyed(pair(1).1, all, granted("key"));
        directory.add_keyed(pair(2).1, mqtt, granted("key of things"));
        directory
    }

    fn named(user: &str, pass: &str) -> ConnectOptions {
        ConnectOptions { user: user.to_owned(), pass: secret(pass), ..ConnectOptions::default() }
    }

    /// What a client becomes, and whether that was known at once.
    fn judge(directory: &Directory, connect: &ConnectOptions) -> (Option<Grant>, bool) {
        let offer = Offer { nonce: NONCE, ..Offer::of(connect) };
        settle(directory.judge(&Entrance::Closed, &offer))
    }

    fn settle(verdict: Verdict) -> (Option<Grant>, bool) {
        match verdict {
            Verdict::Admitted(grant) => (Some(*grant), true),
            Verdict::Refused(_) => (None, true),
            Verdict::Later(job) => {
                let (tell, told) = mpsc::channel();
                job.run(move |verdict| tell.send(verdict).unwrap());
                (settle(told.recv().unwrap()).0, false)
            }
        }
    }

    fn user(grant: &Option<Grant>) -> Option<&str> {
        grant.as_ref()?.user.as_deref()
    }

    #[test]
    fn passwords_are_right_or_wrong_whatever_they_look_like() {
        let directory = directory();
        for (name, pass, admitted, at_once) in [
            ("plain", "p", true, true),
            ("cheap", "U*U", true, false),
            ("dear", "U*U", true, false),
            ("plain", "x", false, false),
            ("cheap", CHEAP, false, false),
            ("dear", "", false, false),
            ("broken", "$2a$04$x", false, false),
            ("things", "p", false, false),
            ("nobody", "p", false, false),
            ("", "p", false, true),
        ] {
            let (grant, found) = judge(&directory, &named(name, pass));
            assert_eq!((grant.is_some(), found), (admitted, at_once), "{name} {pass}");
            assert_eq!(user(&grant), admitted.then_some(name));
        }
    }

    #[test]
    fn without_hashes_nobody_waits() {
        let mut directory = Directory::default();
        directory.add_named("ann", &secret("a"), Kinds::default(), granted("ann"));
        for (name, pass) in [("ann", "a"), ("ann", "b"), ("bob", "a")] {
            let (grant, at_once) = judge(&directory, &named(name, pass));
            assert_eq!((grant.is_some(), at_once), (name == "ann" && pass == "a", true));
        }
    }

    /// The same time for a wrong password of any user, and for one that does not exist.
    #[test]
    fn a_refusal_takes_as_long_as_the_dearest_hash() {
        let directory = directory();
        // What this thread took of a processor: whatever else the machine does is not in it.
        let clock = || {
            let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
            Duration::try_from(time).unwrap()
        };
        let time = |name: &str| {
            let once = |_| {
                let begun = clock();
                assert!(judge(&directory, &named(name, "wrong")).0.is_none());
                clock() - begun
            };
            let mut times: Vec<Duration> = (0..9).map(once).collect();
            times.sort();
            times[4]
        };
        let expected = time("dear");
        for name in ["cheap", "plain", "broken", "things", "nobody"] {
            let ratio = time(name).as_secs_f64() / expected.as_secs_f64();
            assert!((0.7..1.4).contains(&ratio), "{name}: {ratio}");
        }
    }

    #[test]
    fn what_was_proved_is_not_asked_again() {
        let directory = directory();
        let (grant, _) = judge(&directory, &named("cheap", "U*U"));
        let proof = grant.unwrap().proof.unwrap();
        for (name, admitted, at_once) in
            [("cheap", true, true), ("dear", false, false), ("nobody", false, false)]
        {
            let connect = named(name, "forgotten");
            let offer = Offer { proof: Some(&proof), ..Offer::of(&connect) };
            let (grant, found) = settle(directory.judge(&Entrance::Closed, &offer));
            assert_eq!((grant.is_some(), found), (admitted, at_once), "{name}");
        }
        assert!(!format!("{proof:?}").contains(CHEAP));
    }

    #[test]
    fn keys_need_a_signature_of_this_nonce() {
        let directory = directory();
        let sign = |seed: u8, key: PublicKey, text: &[u8]| ConnectOptions {
            nkey: key.to_string(),
            sig: secret(&data_encoding::BASE64URL_NOPAD.encode(&pair(seed).0.sign(text))),
            ..named("plain", "p")
        };
        let (first, things, unknown) = (pair(1).1, pair(2).1, pair(3).1);
        for (seed, key, text, admitted) in [
            (1, first, NONCE, true),
            (2, first, NONCE, false),
            (1, first, b"another-letters", false),
            (1, first, b"", false),
            (2, things, NONCE, false),
            (3, unknown, NONCE, false),
            (1, unknown, NONCE, false),
        ] {
            let (grant, at_once) = judge(&directory, &sign(seed, key, text));
            assert_eq!((grant.is_some(), at_once), (admitted, false), "{seed} {key}");
        }
        // Who was given nothing to sign cannot have signed it.
        let connect = sign(1, first, b"");
        let offer = Offer::of(&connect);
        assert!(settle(directory.judge(&Entrance::Closed, &offer)).0.is_none());
        // What was proved is proved, for this key.
        let (grant, _) = judge(&directory, &sign(1, first, NONCE));
        let proof = grant.unwrap().proof.unwrap();
        for (key, admitted) in [(first, true), (unknown, false)] {
            let connect = ConnectOptions { nkey: key.to_string(), ..named("", "") };
            let offer = Offer { proof: Some(&proof), ..Offer::of(&connect) };
            let (grant, at_once) = settle(directory.judge(&Entrance::Closed, &offer));
            assert_eq!((grant.is_some(), at_once), (admitted, true));
        }
    }

    #[test]
    fn users_and_keys_may_be_bound_to_connections() {
        let directory = directory();
        for (kind, admitted) in [(ConnectionKind::Mqtt, true), (ConnectionKind::Websocket, false)] {
            let connect = named("things", "p");
            let offer = Offer { kind, ..Offer::of(&connect) };
            let (grant, _) = settle(directory.judge(&Entrance::Closed, &offer));
            assert_eq!(grant.is_some(), admitted);
        }
        // Somebody who offers nothing is bound as well.
        let connect = ConnectOptions::default();
        for (name, admitted) in
            [("plain", true), ("things", false), ("cheap", false), ("broken", false)]
        {
            let entrance = Entrance::User(name.to_owned());
            let (grant, at_once) = settle(directory.judge(&entrance, &Offer::of(&connect)));
            assert_eq!((grant.is_some(), at_once), (admitted, true), "{name}");
        }
    }

    #[test]
    fn secrets_do_not_show() {
        let shown = format!("{:?}", directory());
        assert!(!shown.contains(CHEAP) && !shown.contains("$2a"), "{shown}");
    }

    #[test]
    fn who_need_not_sign_has_proved_nothing() {
        let (directory, key) = (directory(), pair(1).1.to_string());
        let connect = ConnectOptions { nkey: key.clone(), ..ConnectOptions::default() };
        let free = Entrance::User(key);
        let (grant, at_once) = settle(directory.judge(&free, &Offer::of(&connect)));
        let grant = grant.expect("it is let in");
        assert!(at_once && grant.proof.is_none());
        // A reload takes the entrance away: now it has to sign.
        let again = Offer { proof: grant.proof.as_ref(), ..Offer::of(&connect) };
        assert!(settle(directory.judge(&Entrance::Closed, &again)).0.is_none());
    }
}
