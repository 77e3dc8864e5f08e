//! A simulated GitLab: an issuer with its own keys, over real HTTPS under a throwaway CA.
//! In: a folder for the CA's certificate, the clock. Out: discovery, JWKS, and job tokens with GitLab's whole set of claims.
//! Implements GitLab's ID tokens as its documentation describes them.
//! Never trusted by anything but the demo and the tests: its CA exists nowhere else.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpResponse, HttpServer, web};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Map, Value, json};

use crate::crypto::signing::SigningKey;
use crate::domain::rules::TokenAlg;
use crate::domain::time::Timestamp;

/// RSA size of GitLab's key.
const RSA_BITS: u32 = 2048;

/// Why the simulation did not start, as a sentence.
pub type SimulationError = String;

/// A running simulation.
pub struct SimulatedGitlab {
    /// Its issuer URL.
    pub url: String,
    /// The certificate of its CA, PEM.
    pub ca_file: PathBuf,
    /// Signs its job tokens.
    pub key: Arc<SigningKey>,
    handle: ServerHandle,
}

impl SimulatedGitlab {
    /// Starts on a free port of `localhost`; the CA's certificate is written into `directory`.
    ///
    /// # Errors
    /// No port, no key, no file.
    pub fn start(directory: &Path) -> Result<Self, SimulationError> {
        let key = Arc::new(SigningKey::generate(TokenAlg::Rs256, RSA_BITS).map_err(|error| error.to_string())?);
        let (ca_pem, tls) = certificates()?;
        let ca_file = directory.join("simulated-gitlab-ca.pem");
        std::fs::write(&ca_file, ca_pem).map_err(|error| format!("{}: {error}", ca_file.display()))?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(|error| error.to_string())?;
        let port = listener.local_addr().map_err(|error| error.to_string())?.port();
        let url = format!("https://localhost:{port}");
        let discovery = web::Data::new(Documents {
            configuration: json!({
                "issuer": url,
                "jwks_uri": format!("{url}/oauth/discovery/keys"),
                "id_token_signing_alg_values_supported": ["RS256"],
                "subject_types_supported": ["public"],
                "response_types_supported": ["code"],
            }),
            keys: json!({ "keys": [key.public_jwk()] }),
        });
        let server = HttpServer::new(move || {
            App::new()
                .app_data(discovery.clone())
                .route("/.well-known/openid-configuration", web::get().to(configuration))
                .route("/oauth/discovery/keys", web::get().to(keys))
                .default_service(web::to(anything_else))
        })
        .workers(1)
        .disable_signals()
        .listen_rustls_0_23(listener, tls)
        .map_err(|error| error.to_string())?
        .run();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        Ok(Self { url, ca_file, key, handle })
    }

    /// Signs claims as a job token.
    ///
    /// # Errors
    /// The key does not sign.
    pub fn sign(&self, claims: &Map<String, Value>) -> Result<String, SimulationError> {
        self.key.sign(Value::Object(claims.clone()).to_string().as_bytes()).map_err(|error| error.to_string())
    }

    /// Stops.
    pub async fn stop(&self) {
        self.handle.stop(false).await;
    }
}

struct Documents {
    configuration: Value,
    keys: Value,
}

async fn configuration(documents: web::Data<Documents>) -> HttpResponse {
    HttpResponse::Ok().json(&documents.configuration)
}

async fn keys(documents: web::Data<Documents>) -> HttpResponse {
    HttpResponse::Ok().json(&documents.keys)
}

async fn anything_else() -> HttpResponse {
    HttpResponse::NotFound()
        .content_type("text/plain")
        .body("This GitLab is simulated: it has keys and jobs, but no pages.\n")
}

/// A CA that nobody knows, and a certificate of it for `localhost`.
fn certificates() -> Result<(String, rustls::ServerConfig), SimulationError> {
    let text = |error: rcgen::Error| error.to_string();
    let ca_key = KeyPair::generate().map_err(text)?;
    let mut ca = CertificateParams::new(Vec::new()).map_err(text)?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    ca.distinguished_name.push(DnType::CommonName, "Countersign demo, throwaway CA");
    let ca_certificate = ca.self_signed(&ca_key).map_err(text)?;
    let issuer = Issuer::new(ca, ca_key);
    let leaf_key = KeyPair::generate().map_err(text)?;
    let leaf = CertificateParams::new(vec!["localhost".to_owned()]).map_err(text)?;
    let leaf = leaf.signed_by(&leaf_key, &issuer).map_err(text)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|config| {
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf_key.serialize_der()));
            config.with_no_client_auth().with_single_cert(vec![leaf.der().clone()], key)
        })
        .map_err(|error| error.to_string())?;
    Ok((ca_certificate.pem(), config))
}

/// One job of the simulated GitLab: a deploy to production from a protected branch, unless claims are changed.
#[derive(Debug, Clone)]
pub struct SimulatedJob {
    /// GitLab's whole set of claims; change one to get another job.
    pub claims: Map<String, Value>,
}

impl SimulatedJob {
    /// A deploy job. `audience` is our URL, `number` makes the job's, pipeline's and token's ids.
    #[must_use]
    pub fn deploy(gitlab: &str, audience: &str, number: u64, now: Timestamp) -> Self {
        let job_id = (555_123 + number).to_string();
        let pipeline_id = (90_210 + number).to_string();
        let host = gitlab.trim_start_matches("https://");
        let claims = json!({
            "project_id": "4711", "project_path": "shop/api",
            "namespace_id": "310", "namespace_path": "shop",
            "user_id": "88", "user_login": "mara", "user_email": "mara@shop.example",
            "user_access_level": "maintainer",
            "job_project_id": "4711", "job_project_path": "shop/api",
            "job_namespace_id": "310", "job_namespace_path": "shop",
            "pipeline_id": pipeline_id, "pipeline_source": "push",
            "job_id": job_id,
            "ref": "main", "ref_type": "branch", "ref_path": "refs/heads/main", "ref_protected": "true",
            "groups_direct": ["shop", "platform/sre"],
            "environment": "production", "environment_protected": "true",
            "deployment_tier": "production", "environment_action": "start",
            "job_source": "push",
            "runner_id": 17, "runner_environment": "self-hosted",
            "sha": "1f3c9ab0c2d6f8f4b7e9c1f2a3d4e5f60718293a",
            "project_visibility": "private",
            "ci_config_ref_uri": format!("{host}/shop/api//.gitlab-ci.yml@refs/heads/main"),
            "ci_config_sha": "1f3c9ab0c2d6f8f4b7e9c1f2a3d4e5f60718293a",
            "jti": format!("6c0b3f0e-2f56-4a0e-8a51-{:012x}-{}", number, now.millis()),
            "iss": gitlab,
            "iat": now.seconds(), "nbf": now.seconds() - 5, "exp": now.seconds() + 3600,
            "sub": "project_path:shop/api:ref_type:branch:ref:main",
            "aud": audience,
        });
        match claims {
            Value::Object(claims) => Self { claims },
            // `json!` with braces is an object.
            _ => Self { claims: Map::new() },
        }
    }

    /// The same job with one claim changed.
    #[must_use]
    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.claims.insert(name.to_owned(), value);
        self
    }

    /// The same job without a claim.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.claims.remove(name);
        self
    }
}
