//! The broker around the data plane: command line, process life, operations.
//!
//! | module | what is in it |
//! | --- | --- |
//! | [`cli`] | the command line as a value; help, version, `--signal` |
//! | [`boot`] | from that value to a running server and to its end |
//! | [`config`] | the configuration file and the flags as checked settings |
//! | [`doctor`] | what the host must offer, checked |
//! | [`cores`] | which cores the process may use |
//! | [`listen`], [`addresses`] | the client listener and the addresses it is reached under |
//! | [`inherit`] | the client listener that the service manager has opened |
//! | [`fence`] | what the process may write |
//! | [`identity`] | server ID and name |
//! | [`auth`] | who may connect |
//! | [`files`] | pid file and ports file |
//! | [`signal`] | signals as events |
//! | [`service`] | what the service manager is told |
//! | [`observe`] | the log |
//! | [`monitor`] | monitoring over HTTP, metrics, the status page |
//! | [`tls`] | certificates, keys and handshakes |
//! | [`system`] | system events, and requests of operators by message |
//! | [`data_plane`] | the door to the shards |
//!
//! Nothing here is on the path of a message: that path is in `ringbus_shard` alone.

#![forbid(unsafe_code)]

pub mod addresses;
pub mod auth;
pub mod boot;
pub mod cli;
pub mod config;
pub mod cores;
pub mod data_plane;
pub mod doctor;
pub mod fence;
pub mod files;
pub mod identity;
pub mod inherit;
pub mod listen;
pub mod monitor;
pub mod observe;
pub mod service;
pub mod signal;
pub mod system;
pub mod tls;
