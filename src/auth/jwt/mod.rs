//! JWTs of NATS: claims that an operator signs about accounts, and accounts about users.
//!
//! | module | what is in it |
//! | --- | --- |
//! | `token` | the three parts of a JWT, its signature, and how one is made |
//! | `claims` | what all claims have in common; decoding and signing by kind |
//! | `operator`, `account`, `user` | claims of the three levels |
//! | `activation`, `authorization`, `generic` | claims of an import's token, of auth callout, of others |
//! | `limits`, `signers`, `sharing`, `mapping` | parts of the claims of an account |
//! | `issues` | what is wrong with claims that are signed well |
//! | `revoked` | claims that were good once |
//! | `source`, `schedule` | from where and when a user may connect |
//! | `template` | permissions of a role, filled in for one of its users |
//! | `decorated` | files in which a JWT or a seed stands between lines of dashes |
//!
//! All of it is pure: a text and a time go in, claims or a reason come out. What is read was
//! written by others: nothing here panics, and a JWT costs memory in proportion to its length,
//! which [`token::TEXT_MAX`] bounds. Where lengths multiply (exports compared with each other,
//! templates with several tags) there are bounds of their own.

#![deny(clippy::indexing_slicing)]

pub mod account;
pub mod activation;
pub mod authorization;
pub mod claims;
pub mod decorated;
#[doc(hidden)]
pub mod fuzz;
pub mod generic;
pub mod issues;
pub mod limits;
pub mod mapping;
pub mod operator;
pub mod revoked;
pub mod schedule;
pub mod sharing;
pub mod signers;
pub mod source;
pub mod template;
pub mod token;
pub mod user;

pub use self::account::AccountClaims;
pub use self::activation::ActivationClaims;
pub use self::authorization::{AuthorizationRequestClaims, AuthorizationResponseClaims};
pub use self::claims::{Body, Claims};
pub use self::generic::GenericClaims;
pub use self::issues::Issues;
pub use self::operator::OperatorClaims;
pub use self::token::Fault;
pub use self::user::UserClaims;
pub use super::nkey as key;

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "what tests read they wrote")]
mod tests;
