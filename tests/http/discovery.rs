//! `/.well-known/openid-configuration` and `/jwks`: as the narrowest consumer takes them.

use countersign::app::console::ConsoleCommand;
use countersign::app::propose_change::Wish;
use countersign::crypto::jwk::KeySet;
use countersign::crypto::jwt::UnverifiedToken;
use countersign::crypto::signing::SigningKey;
use countersign::domain::ids::Digest;
use countersign::domain::oauth::client::{Client, ClientAuth, ResponseMode};
use countersign::domain::oauth::client_auth::ASSERTION_TYPE;
use countersign::domain::rules::TokenAlg;
use josekit::jwk::Jwk;
use josekit::jwk::alg::ed::EdCurve;
use josekit::jws::{ES256, EdDSA, JwsSigner, PS256, RS256};
use serde_json::{Value, json};

use crate::authorize;
use crate::conformance::{basic as basic_plan, configuration, logout as leaving};
use crate::support::application::{CHALLENGE, Request, VERIFIER};
use crate::support::clients::{
    Prover, REDIRECT, SECRET, basic, client, code, code_pairs, introspect, post, public, redeem, refresh, server_with,
    signed, userinfo,
};
use crate::support::devices::{allowed, poll, tv};
use crate::support::gitlab::claims_of;
use crate::support::rules::AWS;
use crate::support::wire::form;
use crate::support::{Answer, Person, Server, URL};

fn names(value: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

#[test]
fn the_metadata_names_what_exists_and_nothing_else() {
    let server = server_with(vec![tv("tv")]);
    let answer = server.get("/.well-known/openid-configuration").expect(200);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(answer.header("cache-control"), Some("public, max-age=3600"));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let metadata = answer.json();
    assert_eq!(metadata["issuer"], URL);
    assert_eq!(metadata["jwks_uri"], format!("{URL}/jwks"));
    assert_eq!(metadata["token_endpoint"], format!("{URL}/token"));
    assert_eq!(metadata["response_types_supported"], json!(["code"]));
    assert_eq!(metadata["subject_types_supported"], json!(["public"]));
    assert!(metadata["id_token_signing_alg_values_supported"].as_array().unwrap().contains(&json!("RS256")));
    for list in ["scopes_supported", "claims_supported", "grant_types_supported"] {
        assert!(metadata[list].as_array().is_some_and(|list| !list.is_empty()), "{list}");
    }
    // Every endpoint that it names answers something else than 404.
    for (name, value) in metadata.as_object().unwrap() {
        if name.ends_with("_endpoint") || name.ends_with("_uri") {
            let path = value.as_str().unwrap().strip_prefix(URL).unwrap();
            assert_ne!(server.get(path).status, 404, "{name}");
        }
    }
}

#[test]
fn the_keys_have_the_members_that_every_cloud_takes() {
    let server = Server::start();
    let answer = server.get("/jwks").expect(200);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    let set = answer.json();
    assert_eq!(names(&set), ["keys"]);
    let keys = set["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 2);
    assert_eq!(names(&keys[0]), ["alg", "e", "kid", "kty", "n", "use"]);
    assert_eq!(names(&keys[1]), ["alg", "crv", "kid", "kty", "use", "x", "y"]);
    assert!(keys.iter().all(|key| key["use"] == "sig"));
    assert_eq!((&keys[0]["alg"], &keys[1]["alg"]), (&json!("RS256"), &json!("ES256")));
}

#[test]
fn an_issued_token_verifies_against_the_published_keys() {
    let server = Server::start();
    let answer = server.exchange(&server.job().environment("staging").sign(), &[AWS]).send().expect(200);
    let (keys, warnings) = KeySet::parse(&server.get("/jwks").body).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    let token = answer.member("access_token");
    let verified = UnverifiedToken::parse(&token).unwrap().verify(&keys).unwrap();
    let (claims, header) = (&verified.get().claims, &verified.get().header);
    assert_eq!(header["typ"], "JWT");
    assert_eq!(claims["iss"], URL);
    assert!(claims["aud"].is_string());
    for time in ["iat", "nbf", "exp"] {
        assert!(claims[time].is_i64(), "{time}");
    }
    let length = claims["sub"].as_str().unwrap().len();
    assert!((6..=127).contains(&length));
    assert!(token.len() < 20_000);
    assert!(!claims.values().any(Value::is_null));
}

#[test]
fn the_keys_outlive_a_restart() {
    let mut server = Server::start();
    let before = server.get("/jwks").expect(200).json();
    server.restart();
    assert_eq!(server.get("/jwks").expect(200).json(), before);
}

fn list<'a>(metadata: &'a Value, name: &str) -> Vec<&'a str> {
    metadata[name].as_array().unwrap_or_else(|| panic!("no {name}")).iter().map(|one| one.as_str().unwrap()).collect()
}

/// A signer of this algorithm, and its public key as a client registers it.
fn key_of(alg: &str) -> (Box<dyn JwsSigner>, Value) {
    let own = |alg| {
        let key = SigningKey::generate(alg, 2048).unwrap();
        let mut secret: Value = serde_json::from_str(&key.to_secret_json().unwrap()).unwrap();
        secret.as_object_mut().unwrap().remove("alg");
        let mut public = key.public_jwk();
        public.as_object_mut().unwrap().remove("alg");
        (Jwk::from_bytes(secret.to_string().as_bytes()).unwrap(), public)
    };
    match alg {
        "RS256" => {
            let (secret, public) = own(TokenAlg::Rs256);
            (Box::new(RS256.signer_from_jwk(&secret).unwrap()), public)
        }
        "PS256" => {
            let (secret, public) = own(TokenAlg::Rs256);
            (Box::new(PS256.signer_from_jwk(&secret).unwrap()), public)
        }
        "ES256" => {
            let (secret, public) = own(TokenAlg::Es256);
            (Box::new(ES256.signer_from_jwk(&secret).unwrap()), public)
        }
        "EdDSA" => {
            let secret = Jwk::generate_ed_key(EdCurve::Ed25519).unwrap();
            let public = json!({ "kty": "OKP", "crv": "Ed25519", "x": secret.parameter("x").unwrap() });
            (Box::new(EdDSA.signer_from_jwk(&secret).unwrap()), public)
        }
        other => panic!("the metadata names `{other}`"),
    }
}

#[test]
fn both_documents_are_the_same() {
    let server = Server::start();
    let openid = server.get("/.well-known/openid-configuration").expect(200);
    let oauth = server.get("/.well-known/oauth-authorization-server").expect(200);
    assert_eq!(openid.json(), oauth.json());
    assert_eq!(oauth.header("access-control-allow-origin"), Some("*"));
}

#[test]
fn every_way_of_proving_a_client_that_is_named_works_where_it_is_named() {
    let by_post = Client { auth: ClientAuth::Post(vec![Digest::of(SECRET.as_bytes())]), ..client("argo") };
    let (signer, jwk) = key_of("ES256");
    let jwks = json!({ "keys": [jwk] }).to_string().into_bytes();
    let by_key = Client { auth: ClientAuth::PrivateKeyJwt(jwks), ..client("ci") };
    let server = server_with(vec![client("grafana"), by_post, by_key, public("spa")]);
    let metadata = server.get("/.well-known/openid-configuration").expect(200).json();
    let call = |path: &str, pairs: &[(&'static str, &'static str)], method: &str, jti: &str| -> Answer {
        let claims = json!({ "iss": "ci", "sub": "ci", "aud": URL, "exp": server.now() + 60, "jti": jti });
        let assertion = signed(&*signer, &json!({ "alg": "ES256" }), &claims);
        let mut pairs: Vec<(&str, &str)> = pairs.to_vec();
        match method {
            "client_secret_basic" => {
                return post(&server, path, &pairs).header("authorization", &basic("grafana", SECRET)).send();
            }
            "client_secret_post" => pairs.extend([("client_id", "argo"), ("client_secret", SECRET)]),
            "private_key_jwt" => {
                pairs.extend([("client_assertion_type", ASSERTION_TYPE), ("client_assertion", &assertion)]);
            }
            "none" => pairs.push(("client_id", "spa")),
            other => panic!("the metadata names `{other}`"),
        }
        post(&server, path, &pairs).send()
    };
    for method in list(&metadata, "token_endpoint_auth_methods_supported") {
        let pairs = [("grant_type", "refresh_token"), ("refresh_token", "x")];
        let answer = call("/token", &pairs, method, "token");
        answer.expect_error(400, "invalid_grant", "refresh_token_invalid");
    }
    for method in list(&metadata, "introspection_endpoint_auth_methods_supported") {
        let answer = call("/introspect", &[("token", "x")], method, "introspect").expect(200);
        assert_eq!(answer.json(), json!({ "active": false }), "{method}");
    }
    for method in list(&metadata, "revocation_endpoint_auth_methods_supported") {
        call("/revoke", &[("token", "x")], method, "revoke").expect(200);
    }
}

#[test]
fn every_algorithm_of_clients_that_is_named_is_taken() {
    let names: Vec<String> = {
        let metadata = Server::start().get("/.well-known/openid-configuration").expect(200).json();
        list(&metadata, "token_endpoint_auth_signing_alg_values_supported").into_iter().map(str::to_owned).collect()
    };
    let keys: Vec<_> = names.iter().map(|alg| (alg, key_of(alg))).collect();
    let clients = keys.iter().map(|(alg, (_, jwk))| {
        let jwks = json!({ "keys": [jwk] }).to_string().into_bytes();
        Client { auth: ClientAuth::PrivateKeyJwt(jwks), ..client(&alg.to_lowercase()) }
    });
    let server = server_with(clients.chain([client("grafana")]).collect());
    let metadata = server.get("/.well-known/openid-configuration").expect(200).json();
    let session = Person::manager(&server, "Mara").sign_in(&server);
    for (alg, (signer, jwk)) in &keys {
        let id = alg.to_lowercase();
        let claims = json!({ "iss": id, "sub": id, "aud": URL, "exp": server.now() + 60, "jti": "1" });
        let assertion = signed(&**signer, &json!({ "alg": alg }), &claims);
        let pairs = [
            ("grant_type", "refresh_token"),
            ("refresh_token", "x"),
            ("client_assertion_type", ASSERTION_TYPE),
            ("client_assertion", &assertion),
        ];
        post(&server, "/token", &pairs).send().expect_error(400, "invalid_grant", "refresh_token_invalid");
        assert!(list(&metadata, "dpop_signing_alg_values_supported").contains(&alg.as_str()));
        let header = json!({ "typ": "dpop+jwt", "alg": alg, "jwk": jwk });
        let proof = signed(&**signer, &header, &Prover::claims(&server, "POST", "/token"));
        let code = code(&server, &session, "grafana", "openid");
        let call = post(&server, "/token", &code_pairs(&code)).header("authorization", &basic("grafana", SECRET));
        assert_eq!(call.header("dpop", &proof).send().expect(200).member("token_type"), "DPoP", "{alg}");
    }
    for name in ["introspection_endpoint", "revocation_endpoint"] {
        let named = list(&metadata, &format!("{name}_auth_signing_alg_values_supported"));
        assert_eq!(named, names);
    }
    assert_eq!(list(&metadata, "dpop_signing_alg_values_supported"), names);
}

#[test]
fn every_grant_scope_claim_and_signature_that_is_named_can_be_had() {
    let robot = {
        use countersign::domain::oauth::client::GrantType;
        Client { grants: std::collections::BTreeSet::from([GrantType::ClientCredentials]), ..client("robot") }
    };
    let es256 = Client { alg: TokenAlg::Es256, ..client("es256") };
    let server = server_with(vec![client("grafana"), robot, es256, tv("tv")]);
    let metadata = server.get("/.well-known/openid-configuration").expect(200).json();
    let mut mara = Person::manager(&server, "Mara");
    server.console(ConsoleCommand::Change {
        wish: Wish::Email { person: mara.id.clone(), address: "mara@shop.example".to_owned() },
        propose: false,
    });
    let session = mara.sign_in(&server);
    let asked = list(&metadata, "scopes_supported").join(" ");
    let tokens = redeem(&server, "grafana", &code(&server, &session, "grafana", &asked)).expect(200);
    for scope in list(&metadata, "scopes_supported") {
        assert!(tokens.member("scope").split(' ').any(|known| known == scope), "{scope}");
    }
    let own = [("grant_type", "client_credentials")];
    for grant in list(&metadata, "grant_types_supported") {
        match grant {
            "authorization_code" => {}
            "refresh_token" => drop(refresh(&server, "grafana", &tokens.member("refresh_token")).expect(200)),
            "client_credentials" => {
                drop(post(&server, "/token", &own).header("authorization", &basic("robot", SECRET)).send().expect(200));
            }
            crate::support::devices::GRANT => {
                let codes = allowed(&server, &session, &mut mara, "openid");
                drop(poll(&server, "tv", &codes.device).expect(200));
            }
            "urn:ietf:params:oauth:grant-type:token-exchange" => {
                drop(server.exchange(&server.job().environment("staging").sign(), &[AWS]).send().expect(200));
            }
            other => panic!("the metadata names `{other}`"),
        }
    }
    let id = claims_of(&tokens.member("id_token"));
    let job = server.exchange(&server.job().environment("staging").sign(), &[AWS]).send().expect(200).claims();
    // What an approved job's token has beside: the tests of approvals look at these.
    let of_approvals = ["approver", "approval"];
    for claim in list(&metadata, "claims_supported") {
        let found = id.get(claim).or_else(|| job.get(claim)).is_some();
        assert!(found || of_approvals.contains(&claim), "{claim}");
    }
    for alg in list(&metadata, "id_token_signing_alg_values_supported") {
        let client = if alg == "ES256" { "es256" } else { "grafana" };
        let tokens = redeem(&server, client, &code(&server, &session, client, "openid")).expect(200);
        let header = tokens.member("id_token");
        let header = data_encoding::BASE64URL_NOPAD.decode(header.split('.').next().unwrap().as_bytes()).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&header).unwrap()["alg"], alg);
    }
    userinfo(&server, &tokens.member("access_token")).expect(200);
    assert_eq!(introspect(&server, "grafana", &tokens.member("access_token"))["active"], true);
}

/// A member, and the tests of it.
type Exercised = (&'static str, &'static [fn()]);

/// Every member of the metadata, and the tests that do what it says. A member that is not here, or is here alone, fails.
const EXERCISED: &[Exercised] = &[
    (
        "issuer",
        &[
            configuration::the_configuration_is_one_that_strangers_can_use,
            basic_plan::the_whole_way_gives_tokens_that_hold,
        ],
    ),
    (
        "jwks_uri",
        &[every_endpoint_that_is_named_does_its_work_there, an_issued_token_verifies_against_the_published_keys],
    ),
    ("token_endpoint", &[every_endpoint_that_is_named_does_its_work_there]),
    ("userinfo_endpoint", &[every_endpoint_that_is_named_does_its_work_there]),
    ("introspection_endpoint", &[every_endpoint_that_is_named_does_its_work_there]),
    ("revocation_endpoint", &[every_endpoint_that_is_named_does_its_work_there]),
    ("authorization_endpoint", &[every_endpoint_that_is_named_does_its_work_there]),
    ("pushed_authorization_request_endpoint", &[every_endpoint_that_is_named_does_its_work_there]),
    (
        "end_session_endpoint",
        &[
            every_endpoint_that_is_named_does_its_work_there,
            leaving::signing_out_leads_back_with_the_state_as_it_came_and_leaves_nobody_signed_in,
        ],
    ),
    (
        "grant_types_supported",
        &[
            every_grant_scope_claim_and_signature_that_is_named_can_be_had,
            what_is_named_is_taken_and_what_is_not_named_is_not,
        ],
    ),
    (
        "token_endpoint_auth_methods_supported",
        &[
            every_way_of_proving_a_client_that_is_named_works_where_it_is_named,
            what_is_named_is_taken_and_what_is_not_named_is_not,
        ],
    ),
    (
        "introspection_endpoint_auth_methods_supported",
        &[every_way_of_proving_a_client_that_is_named_works_where_it_is_named],
    ),
    (
        "revocation_endpoint_auth_methods_supported",
        &[every_way_of_proving_a_client_that_is_named_works_where_it_is_named],
    ),
    ("token_endpoint_auth_signing_alg_values_supported", &[every_algorithm_of_clients_that_is_named_is_taken]),
    ("introspection_endpoint_auth_signing_alg_values_supported", &[every_algorithm_of_clients_that_is_named_is_taken]),
    ("revocation_endpoint_auth_signing_alg_values_supported", &[every_algorithm_of_clients_that_is_named_is_taken]),
    ("dpop_signing_alg_values_supported", &[every_algorithm_of_clients_that_is_named_is_taken]),
    (
        "backchannel_logout_supported",
        &[leaving::whoever_signs_out_at_a_clients_wish_is_signed_out_there_by_a_token_of_ours],
    ),
    (
        "backchannel_logout_session_supported",
        &[leaving::whoever_signs_out_at_a_clients_wish_is_signed_out_there_by_a_token_of_ours],
    ),
    ("response_types_supported", &[what_is_named_is_taken_and_what_is_not_named_is_not]),
    (
        "response_modes_supported",
        &[what_is_named_is_taken_and_what_is_not_named_is_not, basic_plan::the_whole_way_gives_tokens_that_hold],
    ),
    ("code_challenge_methods_supported", &[what_is_named_is_taken_and_what_is_not_named_is_not]),
    ("prompt_values_supported", &[what_is_named_is_taken_and_what_is_not_named_is_not]),
    ("acr_values_supported", &[authorize::what_the_metadata_says_of_this_way_is_so]),
    ("claims_parameter_supported", &[basic_plan::a_claim_that_is_asked_for_at_userinfo_is_told_there_alone]),
    ("request_parameter_supported", &[basic_plan::a_request_object_is_refused_and_leads_nowhere_of_its_own]),
    ("request_uri_parameter_supported", &[basic_plan::a_request_object_is_refused_and_leads_nowhere_of_its_own]),
    ("authorization_response_iss_parameter_supported", &[basic_plan::the_whole_way_gives_tokens_that_hold]),
    ("subject_types_supported", &[basic_plan::everybody_who_asks_is_told_the_same_subject]),
    ("id_token_signing_alg_values_supported", &[every_grant_scope_claim_and_signature_that_is_named_can_be_had]),
    (
        "scopes_supported",
        &[
            every_grant_scope_claim_and_signature_that_is_named_can_be_had,
            what_is_named_is_taken_and_what_is_not_named_is_not,
        ],
    ),
    ("claims_supported", &[every_grant_scope_claim_and_signature_that_is_named_can_be_had]),
];

#[test]
fn every_member_of_both_documents_is_exercised_by_a_test() {
    let server = Server::start();
    let mut known: Vec<&str> = EXERCISED.iter().map(|(name, _)| *name).collect();
    known.sort_unstable();
    assert!(EXERCISED.iter().all(|(_, tests)| !tests.is_empty()));
    for document in ["openid-configuration", "oauth-authorization-server"] {
        let metadata = server.get(&format!("/.well-known/{document}")).expect(200).json();
        assert_eq!(names(&metadata), known, "{document}");
    }
}

#[test]
fn every_endpoint_that_is_named_does_its_work_there() {
    let server = server_with(vec![client("grafana")]);
    let metadata = server.get("/.well-known/openid-configuration").expect(200).json();
    let at = |name: &str| metadata[name].as_str().unwrap().strip_prefix(URL).unwrap().to_owned();
    let session = Person::manager(&server, "Mara").sign_in(&server);
    let secret = basic("grafana", SECRET);
    let send =
        |name: &str, pairs: &[(&str, &str)]| post(&server, &at(name), pairs).header("authorization", &secret).send();
    let asked = [
        ("client_id", "grafana"),
        ("redirect_uri", REDIRECT),
        ("response_type", "code"),
        ("scope", "openid"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    let pushed = send("pushed_authorization_request_endpoint", &asked).expect(201).member("request_uri");
    let query = form(&[("client_id", "grafana"), ("request_uri", &pushed)]);
    let came = server.get(&format!("{}?{query}", at("authorization_endpoint"))).expect(303);
    let back = server.call("GET", came.header("location").unwrap()).header("cookie", &session).send().expect(303);
    let back = url::Url::parse(back.header("location").unwrap()).unwrap();
    let code = back.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
    let pairs = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", REDIRECT),
        ("code_verifier", VERIFIER),
    ];
    let tokens = send("token_endpoint", &pairs).expect(200);
    let access = tokens.member("access_token");
    let keys = KeySet::parse(&server.get(&at("jwks_uri")).expect(200).body).unwrap().0;
    assert!(UnverifiedToken::parse(&access).unwrap().verify(&keys).is_ok());
    let told = || {
        let call = server.call("GET", &at("userinfo_endpoint")).header("authorization", &format!("Bearer {access}"));
        call.send()
    };
    assert_eq!(told().expect(200).json()["sub"], claims_of(&access)["sub"]);
    assert_eq!(send("introspection_endpoint", &[("token", &access)]).expect(200).json()["active"], true);
    send("revocation_endpoint", &[("token", &access)]).expect(200);
    told().expect(401);
    let leave = format!("{}?{}", at("end_session_endpoint"), form(&[("id_token_hint", &tokens.member("id_token"))]));
    let answer = server.call("GET", &leave).header("cookie", &session).send().expect(200);
    assert!(answer.text().contains("You are signed out."));
}

/// Whether a configuration takes a client with this way of proving itself.
fn may_be_configured(method: &str) -> bool {
    let with = match method {
        "none" => "",
        "private_key_jwt" | "tls_client_auth" | "self_signed_tls_client_auth" => "jwks_file = \"jwks.json\"\n",
        _ => "secret_sha256 = [\"21fa0096ea8489653508e071ff514695a8e6ec705279416f5d2ffd3eda232891\"]\n",
    };
    let text = format!(
        "url = \"{URL}\"\n[keys]\nmaster_key_file = \"m\"\nlog_key_file = \"l\"\n\
         [[issuer]]\nname = \"gitlab\"\nurl = \"https://gitlab.example.com\"\n\
         [[client]]\nid = \"tool\"\nname = \"Tool\"\nauth = \"{method}\"\n{with}redirect_uris = [\"{REDIRECT}\"]\n"
    );
    let beside = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("keys.example/countersign.toml");
    countersign::config::examine(&beside, &text).is_ok()
}

#[test]
fn what_is_named_is_taken_and_what_is_not_named_is_not() {
    let scopes = "openid profile email address phone groups offline_access device_sso";
    let server = server_with(vec![client("grafana")]);
    let metadata = server.get("/.well-known/openid-configuration").expect(200).json();
    let session = Person::manager(&server, "Mara").sign_in(&server);
    // What is registered for each of these, or in use elsewhere.
    let begins = |parameter: &str, value: &str| {
        let request =
            Request::of("grafana").with("redirect_uri", REDIRECT).with("scope", "openid").with(parameter, value);
        request.bring(&server).header("location").is_some_and(|there| there.starts_with("/authorize/"))
    };
    let grants = |grant: &str| {
        let call = post(&server, "/token", &[("grant_type", grant)]).header("authorization", &basic("grafana", SECRET));
        call.send().expect(400).member("error") != "unsupported_grant_type"
    };
    let gives = |scope: &str| {
        let asked = format!("openid {scope}");
        let tokens = redeem(&server, "grafana", &code(&server, &session, "grafana", &asked)).expect(200);
        tokens.member("scope").split(' ').any(|given| given == scope)
    };
    let check = |member: &str, all: &[&str], works: &dyn Fn(&str) -> bool| {
        let named = list(&metadata, member);
        assert!(
            named.iter().all(|value| all.contains(value)),
            "`{member}` names something that this test does not know"
        );
        for value in all {
            assert_eq!(works(value), named.contains(value), "`{value}` of `{member}`");
        }
    };
    let types =
        ["code", "token", "id_token", "code id_token", "code token", "id_token token", "code id_token token", "none"];
    check("response_types_supported", &types, &|value| begins("response_type", value));
    let modes = ["query", "fragment", "form_post", "web_message", "query.jwt", "fragment.jwt", "form_post.jwt", "jwt"];
    check("code_challenge_methods_supported", &["S256", "plain"], &|value| begins("code_challenge_method", value));
    check("prompt_values_supported", &["none", "login", "consent", "select_account", "create"], &|value| {
        begins("prompt", value)
    });
    let all_grants = [
        "authorization_code",
        "implicit",
        "password",
        "client_credentials",
        "refresh_token",
        "urn:ietf:params:oauth:grant-type:token-exchange",
        "urn:ietf:params:oauth:grant-type:device_code",
        "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "urn:ietf:params:oauth:grant-type:saml2-bearer",
        "urn:openid:params:grant-type:ciba",
    ];
    check("grant_types_supported", &all_grants, &grants);
    check("scopes_supported", &scopes.split(' ').collect::<Vec<_>>(), &gives);
    let methods = [
        "none",
        "client_secret_basic",
        "client_secret_post",
        "client_secret_jwt",
        "private_key_jwt",
        "tls_client_auth",
        "self_signed_tls_client_auth",
    ];
    check("token_endpoint_auth_methods_supported", &methods, &may_be_configured);
    // Modes are a client's: this one has every mode there is.
    let modes_of_client = Client { response_modes: ResponseMode::ALL.into(), ..client("grafana") };
    let server = server_with(vec![modes_of_client]);
    let begins = |mode: &str| {
        let request = Request::of("grafana").with("redirect_uri", REDIRECT).with("scope", "openid");
        let answer = request.with("response_mode", mode).bring(&server);
        answer.header("location").is_some_and(|there| there.starts_with("/authorize/"))
    };
    check("response_modes_supported", &modes, &begins);
}
