//! The tables of the house: which floor a module is on, who may name whom, and which crate belongs into which room.
//! In: nothing. Out: rows; every row that nothing in the code needs fails its test.
//! Implements the rule of the floors as `lib.rs` states it.
//! Never has a row without its reason.

/// A thing, the places that may name it (a folder ends in `/`), and what to do instead.
pub struct Room {
    pub path: &'static str,
    pub places: &'static [&'static str],
    pub instead: &'static str,
}

/// A door in a wall: this place may name that path.
pub struct Door {
    pub place: &'static str,
    pub path: &'static str,
    /// Why the wall is open here; for readers.
    pub why: &'static str,
}

/// Every module of the crate and its floor.
pub const FLOORS: &[(&str, u8)] = &[
    ("domain", 0),
    ("clock", 1),
    ("crypto", 1),
    ("outbound", 1),
    ("passkeys", 1),
    ("store", 1),
    ("upstream", 1),
    ("app", 2),
    ("cli", 3),
    ("config", 3),
    ("http", 3),
    ("tasks", 3),
];

/// Doors between neighbours on floor 3. On floor 1 there are none.
pub const NEIGHBOURS: &[Door] = &[
    Door { place: "src/cli/", path: "crate::config", why: "a command reads the configuration and hands it on" },
    Door { place: "src/cli/demo/", path: "crate::http", why: "starts the server that it shows" },
    Door { place: "src/cli/serve.rs", path: "crate::http::serve", why: "starts the server" },
    Door { place: "src/cli/serve.rs", path: "crate::tasks", why: "starts what starts by the clock" },
    Door { place: "src/http/", path: "crate::config::cidr", why: "trusted proxies are blocks of addresses" },
];

/// Doors from floor 3 to floor 1. Use cases do the work; these places only bring what is to be handed in.
pub const DOORS: &[Door] = &[
    Door { place: "src/cli/", path: "crate::clock::Clock", why: "commands build the clock that is handed in" },
    Door { place: "src/cli/open.rs", path: "crate::crypto", why: "the one place that opens keys" },
    Door { place: "src/cli/open.rs", path: "crate::store::StoreError", why: "says why the state cannot be opened" },
    Door { place: "src/cli/not_opened.rs", path: "crate::crypto::CryptoError", why: "says why a key cannot be read" },
    Door {
        place: "src/cli/not_opened.rs",
        path: "crate::store::StoreError",
        why: "says why the state cannot be opened",
    },
    Door {
        place: "src/cli/not_opened.rs",
        path: "crate::outbound::OutboundError",
        why: "says why notices cannot be sent",
    },
    Door {
        place: "src/cli/open.rs",
        path: "crate::store::DATABASE",
        why: "checks its mode; removes what `init` began",
    },
    Door { place: "src/cli/open.rs", path: "crate::outbound", why: "starts what sends notices" },
    Door { place: "src/cli/open.rs", path: "crate::store::LOCK", why: "removes what `init` began" },
    Door {
        place: "src/cli/clients.rs",
        path: "crate::crypto::client_keys",
        why: "says at the start what is wrong with a client's keys",
    },
    Door { place: "src/cli/surroundings.rs", path: "crate::crypto::random", why: "chance that is handed to a command" },
    Door { place: "src/cli/demo/", path: "crate::crypto", why: "plays operator, GitLab and browser on one machine" },
    Door {
        place: "src/cli/serve/certificates.rs",
        path: "crate::crypto::certificate",
        why: "reads until when the server's own certificate is good",
    },
    Door { place: "src/http/edge.rs", path: "crate::crypto::random", why: "call ids" },
    Door { place: "src/tasks/", path: "crate::crypto::random", why: "spreads the rounds of many servers" },
];

/// The crates that floor 0 may name: they compute, and touch nothing.
pub const PURE_CRATES: &[&str] = &[
    "data_encoding",
    "hmac",
    "jiff",
    "serde",
    "serde_json",
    "serde_json_canonicalizer",
    "sha2",
    "thiserror",
    "toml",
    "unicode_normalization",
    "unicode_security",
    "url",
];

/// What of the standard library floor 0 may not name.
pub const IMPURE_STD: &[&str] =
    &["std::env", "std::fs", "std::io", "std::net", "std::os", "std::process", "std::thread", "std::sync"];

/// What of it is a value all the same.
pub const STD_VALUES: &[&str] = &["std::net::IpAddr", "std::net::Ipv4Addr", "std::net::Ipv6Addr", "std::sync::Arc"];

/// Crates and parts of the standard library that have rooms of their own.
pub const ROOMS: &[Room] = &[
    Room { path: "actix_http", places: &["src/http/serve.rs"], instead: "use what actix-web gives" },
    Room { path: "actix_server", places: &["src/http/serve.rs"], instead: "use what actix-web gives" },
    Room { path: "actix_service", places: &["src/http/serve.rs"], instead: "use what actix-web gives" },
    Room {
        path: "actix_web",
        places: &["src/http/", "src/cli/serve.rs", "src/cli/serve/", "src/cli/demo/"],
        instead: "let http/ answer the wire",
    },
    Room { path: "askama", places: &["src/http/"], instead: "render in http/" },
    Room { path: "clap", places: &["src/cli/"], instead: "read the command line in cli/" },
    Room { path: "futures_util", places: &["src/http/"], instead: "await in app/ what tokio gives" },
    Room { path: "getrandom", places: &["src/crypto/random.rs"], instead: "call crypto::random, or take bytes" },
    Room { path: "josekit", places: &["src/crypto/"], instead: "let crypto/ sign and verify" },
    Room { path: "libc", places: &["src/crypto/files.rs"], instead: "use the standard library" },
    Room {
        path: "openssl",
        places: &["src/crypto/", "src/passkeys/"],
        instead: "let crypto/ make and read keys, passkeys/ judge certificates",
    },
    Room {
        path: "openssl_probe",
        places: &["src/upstream/fetch.rs", "src/outbound/agent.rs", "src/cli/token/client.rs"],
        instead: "let the client find the system's roots",
    },
    Room { path: "mimalloc", places: &["src/main.rs"], instead: "leave it to the program where memory comes from" },
    Room { path: "p256", places: &["src/cli/demo/"], instead: "let crypto/ make and read keys" },
    Room { path: "rcgen", places: &["src/cli/demo/"], instead: "certificates come from the operator" },
    Room {
        path: "ring",
        places: &["src/crypto/", "src/upstream/fetch.rs", "src/cli/token/client.rs"],
        instead: "let crypto/ sign and verify",
    },
    Room {
        path: "rustix",
        places: &["src/cli/serve/descriptors.rs", "src/cli/core_dumps.rs"],
        instead: "use the standard library",
    },
    Room { path: "rusqlite", places: &["src/store/"], instead: "load the value in app/ and pass it in" },
    Room {
        path: "rustls",
        places: &["src/upstream/", "src/outbound/agent.rs", "src/http/serve.rs", "src/cli/"],
        instead: "open connections there",
    },
    Room {
        path: "rustls_pki_types",
        places: &["src/upstream/", "src/cli/", "src/http/serve.rs"],
        instead: "open connections there",
    },
    Room { path: "tokio_rustls", places: &["src/http/serve.rs"], instead: "open connections there" },
    Room {
        path: "std::env",
        places: &["src/config/", "src/cli/", "src/crypto/files.rs"],
        instead: "take the value as a parameter",
    },
    Room {
        path: "std::fs",
        places: &[
            "src/config/",
            "src/crypto/",
            "src/cli/",
            "src/store/open.rs",
            "src/upstream/fetch.rs",
            "src/outbound/agent.rs",
        ],
        instead: "read the file in config/, crypto/ or cli/ and pass its bytes in",
    },
    Room {
        path: "std::process",
        places: &["src/main.rs", "src/cli/", "src/crypto/master_key.rs"],
        instead: "return an error; cli/ chooses the exit code",
    },
    Room { path: "std::time::Instant", places: &["src/clock.rs"], instead: "take `now` as a parameter" },
    Room { path: "std::time::SystemTime", places: &["src/clock.rs"], instead: "take `now` as a parameter" },
    Room { path: "jiff::Timestamp::now", places: &["src/clock.rs"], instead: "take `now` as a parameter" },
    Room { path: "jiff::Zoned::now", places: &["src/clock.rs"], instead: "take `now` as a parameter" },
    Room { path: "ring::rand", places: &["src/crypto/random.rs"], instead: "call crypto::random, or take bytes" },
    Room {
        path: "tracing",
        places: &["src/app/", "src/http/", "src/cli/", "src/tasks/"],
        instead: "return what happened; the floor above says it once",
    },
    Room { path: "tracing_subscriber", places: &["src/cli/"], instead: "set diagnostics up in cli/serve.rs" },
    Room {
        path: "ureq",
        places: &["src/upstream/fetch.rs", "src/outbound/agent.rs", "src/cli/"],
        instead: "fetch in upstream/, send in outbound/",
    },
    Room { path: "unicode_normalization", places: &["src/domain/people/name.rs"], instead: "take a checked name" },
    Room { path: "unicode_security", places: &["src/domain/people/name.rs"], instead: "take a checked name" },
    Room { path: "webauthn_rs", places: &["src/passkeys/"], instead: "use passkeys' own types" },
    Room { path: "webauthn_rs_core", places: &["src/passkeys/"], instead: "use passkeys' own types" },
    Room { path: "x509_parser", places: &["src/passkeys/"], instead: "let passkeys/ read certificates" },
    Room { path: "zeroize", places: &["src/crypto/"], instead: "let crypto/ hold the secret" },
];

/// Crates that everyone may name: values and their forms, and the runtime above floor 0.
pub const COMMON_GROUND: &[&str] = &[
    "data_encoding",
    "hmac",
    "jiff",
    "serde",
    "serde_cbor_2",
    "serde_json",
    "serde_json_canonicalizer",
    "serde_path_to_error",
    "sha2",
    "thiserror",
    "tokio",
    "toml",
    "url",
];

/// Names that say nothing about what is inside.
pub const DRAWERS: &[&str] = &["common", "helper", "helpers", "manager", "managers", "misc", "util", "utils"];
