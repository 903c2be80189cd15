//! The keys inside blocks that belong to missing features: names and aliases as nats-server 2.15
//! knows them. A block moves from here into a file of its own when its feature is built.

/// What a value may contain.
pub(super) enum Shape {
    /// Nothing that could be checked.
    Any,
    /// A map with these keys.
    Map(Keys),
    /// A list of such maps.
    ListOf(Keys),
}

/// Names of a key, and what its value may contain.
pub(super) type Keys = &'static [(&'static [&'static str], Shape)];

const ANY: Shape = Shape::Any;

const COMPRESSION: Shape =
    Shape::Map(&[(&["mode"], ANY), (&["rtt_thresholds", "thresholds", "rtts", "rtt"], ANY)]);

const ALLOW_DENY: Shape = Shape::Map(&[(&["allow"], ANY), (&["deny"], ANY)]);

pub(super) const PERMISSIONS: Keys = &[
    (&["publish", "pub", "import"], ALLOW_DENY),
    (&["subscribe", "sub", "export"], ALLOW_DENY),
    (
        &["allow_responses", "publish_allow_responses"],
        Shape::Map(&[
            (&["max", "max_msgs", "max_messages", "max_responses"], ANY),
            (&["expires", "expiration", "ttl"], ANY),
        ]),
    ),
];

const USERS: Keys = &[
    (&["user", "username"], ANY),
    (&["password", "pass"], ANY),
    (&["nkey"], ANY),
    (&["permissions", "permission", "authorization"], Shape::Map(PERMISSIONS)),
    (&["allowed_connection_types", "connection_types", "clients"], ANY),
    (&["proxy_required"], ANY),
];

const CALLOUT: Keys = &[
    (&["issuer"], ANY),
    (&["account", "acc"], ANY),
    (&["auth_users", "users"], ANY),
    (&["xkey", "key"], ANY),
    (&["allowed_accounts"], ANY),
];

/// The authorization of a cluster or a gateway.
const PEER_AUTHORIZATION: Shape = Shape::Map(&[
    (&["user", "username"], ANY),
    (&["password", "pass"], ANY),
    (&["token"], ANY),
    (&["timeout"], ANY),
    (&["users"], Shape::ListOf(USERS)),
    (&["default_permissions", "default_permission", "permissions"], Shape::Map(PERMISSIONS)),
    (&["auth_callout", "auth_hook"], Shape::Map(CALLOUT)),
    (&["proxy_required"], ANY),
]);

/// The authorization of a listener that admits clients of its own.
const SIMPLE_AUTHORIZATION: Shape = Shape::Map(&[
    (&["user", "username"], ANY),
    (&["password", "pass"], ANY),
    (&["token"], ANY),
    (&["timeout"], ANY),
]);

pub(super) const TLS: Keys = &[
    (&["cert_file"], ANY),
    (&["key_file"], ANY),
    (&["ca_file"], ANY),
    (&["insecure"], ANY),
    (&["verify"], ANY),
    (&["verify_and_map"], ANY),
    (&["verify_cert_and_check_known_urls"], ANY),
    (&["allow_insecure_cipher_suites"], ANY),
    (&["cipher_suites"], ANY),
    (&["curve_preferences"], ANY),
    (&["timeout"], ANY),
    (&["connection_rate_limit"], ANY),
    (&["pinned_certs"], ANY),
    (&["cert_store"], ANY),
    (&["cert_match_by"], ANY),
    (&["cert_match"], ANY),
    (&["ca_certs_match"], ANY),
    (&["handshake_first", "first", "immediate"], ANY),
    (&["cert_match_skip_invalid"], ANY),
    (&["ocsp_peer"], ANY),
    (&["certs", "certificates"], Shape::ListOf(&[(&["cert_file"], ANY), (&["key_file"], ANY)])),
    (&["min_version"], ANY),
];

pub(super) const OCSP: Keys = &[(&["mode"], ANY), (&["urls"], ANY), (&["url"], ANY)];

pub(super) const OCSP_CACHE: Keys = &[
    (&["type"], ANY),
    (&["local_store"], ANY),
    (&["preserve_revoked"], ANY),
    (&["save_interval"], ANY),
];

pub(super) const CLUSTER: Keys = &[
    (&["name"], ANY),
    (&["listen"], ANY),
    (&["port"], ANY),
    (&["host", "net"], ANY),
    (&["authorization"], PEER_AUTHORIZATION),
    (&["routes"], ANY),
    (&["tls"], Shape::Map(TLS)),
    (&["cluster_advertise", "advertise"], ANY),
    (&["no_advertise"], ANY),
    (&["connect_retries"], ANY),
    (&["connect_backoff"], ANY),
    (&["permissions"], Shape::Map(PERMISSIONS)),
    (&["pool_size"], ANY),
    (&["accounts"], ANY),
    (&["compression"], COMPRESSION),
    (&["ping_interval"], ANY),
    (&["ping_max"], ANY),
    (&["write_deadline"], ANY),
    (&["write_timeout"], ANY),
];

pub(super) const GATEWAY: Keys = &[
    (&["name"], ANY),
    (&["listen"], ANY),
    (&["port"], ANY),
    (&["host", "net"], ANY),
    (&["authorization"], PEER_AUTHORIZATION),
    (&["tls"], Shape::Map(TLS)),
    (&["advertise"], ANY),
    (&["connect_retries"], ANY),
    (&["connect_backoff"], ANY),
    (
        &["gateways"],
        Shape::ListOf(&[
            (&["name"], ANY),
            (&["tls"], Shape::Map(TLS)),
            (&["url"], ANY),
            (&["urls"], ANY),
        ]),
    ),
    (&["reject_unknown", "reject_unknown_cluster"], ANY),
    (&["write_deadline"], ANY),
    (&["write_timeout"], ANY),
];

pub(super) const LEAF: Keys = &[
    (&["listen"], ANY),
    (&["port"], ANY),
    (&["host", "net"], ANY),
    (
        &["authorization"],
        Shape::Map(&[
            (&["user", "username"], ANY),
            (&["password", "pass"], ANY),
            (&["nkey"], ANY),
            (&["timeout"], ANY),
            (
                &["users"],
                Shape::ListOf(&[
                    (&["user", "username"], ANY),
                    (&["password", "pass"], ANY),
                    (&["account"], ANY),
                    (&["proxy_required"], ANY),
                ]),
            ),
            (&["account"], ANY),
            (&["proxy_required"], ANY),
        ]),
    ),
    (&["remotes"], Shape::ListOf(REMOTE)),
    (&["reconnect", "reconnect_delay", "reconnect_interval"], ANY),
    (&["dial_timeout"], ANY),
    (&["tls"], Shape::Map(TLS)),
    (&["leafnode_advertise", "advertise"], ANY),
    (&["no_advertise"], ANY),
    (&["min_version", "minimum_version"], ANY),
    (&["compression"], COMPRESSION),
    (&["isolate_leafnode_interest", "isolate"], ANY),
    (&["write_deadline"], ANY),
    (&["write_timeout"], ANY),
];

const REMOTE: Keys = &[
    (&["no_randomize", "dont_randomize"], ANY),
    (&["url", "urls"], ANY),
    (&["account", "local"], ANY),
    (&["creds", "credentials"], ANY),
    (&["nkey", "seed"], ANY),
    (&["tls"], Shape::Map(TLS)),
    (&["hub"], ANY),
    (&["deny_imports", "deny_import"], ANY),
    (&["deny_exports", "deny_export"], ANY),
    (&["ws_compress", "ws_compression", "websocket_compress", "websocket_compression"], ANY),
    (&["ws_no_masking", "websocket_no_masking"], ANY),
    (&["jetstream_cluster_migrate", "js_cluster_migrate"], ANY),
    (&["isolate_leafnode_interest", "isolate"], ANY),
    (&["request_isolation"], ANY),
    (&["compression"], COMPRESSION),
    (&["first_info_timeout"], ANY),
    (&["dial_timeout"], ANY),
    (&["disabled"], ANY),
    (
        &["proxy"],
        Shape::Map(&[
            (&["url"], ANY),
            (&["username"], ANY),
            (&["password"], ANY),
            (&["timeout"], ANY),
        ]),
    ),
    (&["ignore_discovered_servers"], ANY),
];

pub(super) const JETSTREAM: Keys = &[
    (&["enabled", "enable"], ANY),
    (&["strict"], ANY),
    (&["store_dir", "store", "storedir"], ANY),
    (&["sync_interval", "sync"], ANY),
    (&["max_memory_store", "max_mem_store", "max_mem"], ANY),
    (&["max_file_store", "max_file"], ANY),
    (&["domain"], ANY),
    (&["encryption_key", "key", "ek"], ANY),
    (&["prev_encryption_key", "prev_key", "prev_ek"], ANY),
    (&["cipher"], ANY),
    (&["extension_hint"], ANY),
    (
        &["limits"],
        Shape::Map(&[
            (&["max_ack_pending"], ANY),
            (&["max_ha_assets"], ANY),
            (&["max_request_batch"], ANY),
            (&["duplicate_window"], ANY),
            (
                &["batch"],
                Shape::Map(&[
                    (&["max_inflight_per_stream"], ANY),
                    (&["max_inflight_total"], ANY),
                    (&["max_msgs"], ANY),
                    (&["timeout"], ANY),
                ]),
            ),
        ]),
    ),
    (
        &["tpm"],
        Shape::Map(&[
            (&["keys_file"], ANY),
            (&["encryption_password"], ANY),
            (&["srk_password"], ANY),
            (&["pcr"], ANY),
            (&["cipher"], ANY),
        ]),
    ),
    (&["unique_tag"], ANY),
    (&["max_outstanding_catchup"], ANY),
    (&["max_buffered_size"], ANY),
    (&["max_buffered_msgs"], ANY),
    (&["request_queue_limit"], ANY),
    (&["info_queue_limit"], ANY),
    (&["meta_compact"], ANY),
    (&["meta_compact_size"], ANY),
    (&["meta_compact_sync"], ANY),
    (&["max_concurrent_io"], ANY),
];

pub(super) const ACCOUNT_JETSTREAM: Shape = Shape::Map(&[
    (&["max_memory", "max_mem", "mem", "memory"], ANY),
    (&["max_file", "max_store", "max_disk", "store", "disk"], ANY),
    (&["max_streams", "streams"], ANY),
    (&["max_consumers", "consumers"], ANY),
    (&["max_bytes_required", "max_stream_bytes", "max_bytes"], ANY),
    (&["memory_max_stream_bytes", "mem_max_stream_bytes"], ANY),
    (&["store_max_stream_bytes", "disk_max_stream_bytes"], ANY),
    (&["max_ack_pending"], ANY),
    (&["cluster_traffic"], ANY),
]);

pub(super) const MESSAGE_TRACE: Shape = Shape::Map(&[(&["dest"], ANY), (&["sampling"], ANY)]);

pub(super) const WEBSOCKET: Keys = &[
    (&["listen"], ANY),
    (&["port"], ANY),
    (&["host", "net"], ANY),
    (&["advertise"], ANY),
    (&["no_tls"], ANY),
    (&["tls"], Shape::Map(TLS)),
    (&["same_origin"], ANY),
    (
        &[
            "allowed_origins",
            "allowed_origin",
            "allow_origins",
            "allow_origin",
            "origins",
            "origin",
        ],
        ANY,
    ),
    (&["handshake_timeout"], ANY),
    (&["compression", "compress"], ANY),
    (&["authorization", "authentication"], SIMPLE_AUTHORIZATION),
    (&["jwt_cookie"], ANY),
    (&["user_cookie"], ANY),
    (&["pass_cookie"], ANY),
    (&["token_cookie"], ANY),
    (&["no_auth_user"], ANY),
    (&["headers"], ANY),
    (&["ping_interval"], ANY),
];

pub(super) const MQTT: Keys = &[
    (&["listen"], ANY),
    (&["port"], ANY),
    (&["host", "net"], ANY),
    (&["tls"], Shape::Map(TLS)),
    (&["authorization", "authentication"], SIMPLE_AUTHORIZATION),
    (&["no_auth_user"], ANY),
    (&["ack_wait", "ackwait"], ANY),
    (&["js_api_timeout", "api_timeout"], ANY),
    (&["max_ack_pending", "max_pending", "max_inflight"], ANY),
    (&["js_domain"], ANY),
    (&["stream_replicas"], ANY),
    (&["consumer_replicas"], ANY),
    (&["consumer_memory_storage"], ANY),
    (&["consumer_inactive_threshold", "consumer_auto_cleanup"], ANY),
    (&["reject_qos2_publish"], ANY),
    (&["downgrade_qos2_subscribe"], ANY),
];
