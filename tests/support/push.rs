//! A browser's side of Web Push, and its push service: what was sent is opened and checked as a browser and a service do.
//! In: calls that the service took. Out: messages.
//! Implements RFC 8291 §3 and §4 and RFC 8292 §2 from the receiving side, with nothing of the product.
//! Never takes a message whose sender does not show who it is.

use countersign::app::settings::PushSettings;
use countersign::domain::push::Service;
use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use openssl::bn::{BigNum, BigNumContext};
use openssl::derive::Deriver;
use openssl::ec::{EcGroup, EcKey, EcPoint, PointConversionForm};
use openssl::ecdsa::EcdsaSig;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::symm::{Cipher, decrypt_aead};
use serde_json::{Value, json};
use sha2::Sha256;

use super::https::{Taken, TestServer};
use super::server::{NOW, URL};

/// What tells a server to talk to this service.
pub fn settings(service: &TestServer) -> PushSettings {
    PushSettings {
        services: vec![Service::parse(&format!("localhost:{}", service.port)).unwrap()],
        ca_file: Some(service.ca_file.clone()),
        allow_private: true,
    }
}

/// A browser that takes messages.
pub struct Device {
    key: EcKey<Private>,
    point: Vec<u8>,
    auth: [u8; 16],
    pub endpoint: String,
    path: String,
}

fn group() -> EcGroup {
    EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap()
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

fn decode(text: &str) -> Vec<u8> {
    BASE64URL_NOPAD.decode(text.as_bytes()).unwrap()
}

impl Device {
    /// One that this service knows under a name.
    pub fn at(service: &TestServer, name: &str) -> Self {
        let key = EcKey::generate(&group()).unwrap();
        let mut context = BigNumContext::new().unwrap();
        let point = key.public_key().to_bytes(&group(), PointConversionForm::UNCOMPRESSED, &mut context).unwrap();
        let path = format!("/push/{name}");
        Self { key, point, auth: [7; 16], endpoint: service.at(&path).to_string(), path }
    }

    /// What its page posts.
    pub fn body(&self) -> Value {
        json!({
            "endpoint": self.endpoint,
            "p256dh": BASE64URL_NOPAD.encode(&self.point),
            "auth": BASE64URL_NOPAD.encode(&self.auth),
        })
    }

    /// The calls for it, in their order.
    pub fn calls(&self, service: &TestServer) -> Vec<Taken> {
        service.taken().into_iter().filter(|taken| taken.path == self.path).collect()
    }

    /// Opens a message; its sender must show a key, sign for this service alone, and for a day at most.
    pub fn open(&self, service: &TestServer, taken: &Taken) -> Value {
        check_vapid(&service.url(), taken);
        assert_eq!(taken.header("content-encoding"), Some("aes128gcm"));
        let (salt, rest) = taken.body.split_at(16);
        let (size, rest) = rest.split_at(4);
        assert!(u32::from_be_bytes(size.try_into().unwrap()) as usize >= rest.len() - 66, "one record");
        assert_eq!(rest[0], 65);
        let (sender, sealed) = rest[1..].split_at(65);
        let mut context = BigNumContext::new().unwrap();
        let theirs = EcPoint::from_bytes(&group(), sender, &mut context).unwrap();
        let theirs = PKey::from_ec_key(EcKey::from_public_key(&group(), &theirs).unwrap()).unwrap();
        let own = PKey::from_ec_key(self.key.clone()).unwrap();
        let mut deriver = Deriver::new(&own).unwrap();
        deriver.set_peer(&theirs).unwrap();
        let shared = deriver.derive_to_vec().unwrap();
        let input = mac(&mac(&self.auth, &[&shared]), &[b"WebPush: info\0", &self.point, sender, &[1]]);
        let secret = mac(salt, &[&input]);
        let key = mac(&secret, &[b"Content-Encoding: aes128gcm\0\x01"]);
        let nonce = mac(&secret, &[b"Content-Encoding: nonce\0\x01"]);
        let (sealed, tag) = sealed.split_at(sealed.len() - 16);
        let plain = decrypt_aead(Cipher::aes_128_gcm(), &key[..16], Some(&nonce[..12]), &[], sealed, tag).unwrap();
        let end = plain.iter().rposition(|byte| *byte != 0).unwrap();
        assert_eq!(plain[end], 2, "the last record");
        serde_json::from_slice(&plain[..end]).unwrap()
    }

    /// Every message so far.
    pub fn messages(&self, service: &TestServer) -> Vec<Value> {
        self.calls(service).iter().map(|taken| self.open(service, taken)).collect()
    }
}

fn check_vapid(origin: &str, taken: &Taken) {
    let header = taken.header("authorization").unwrap();
    let (token, key) = header.strip_prefix("vapid t=").unwrap().split_once(", k=").unwrap();
    let parts: Vec<_> = token.split('.').collect();
    let [head, body, signature] = parts.as_slice() else { panic!("{token}") };
    assert_eq!(serde_json::from_slice::<Value>(&decode(head)).unwrap()["alg"], "ES256");
    let claims: Value = serde_json::from_slice(&decode(body)).unwrap();
    assert_eq!((&claims["aud"], &claims["sub"]), (&origin.into(), &URL.into()));
    let exp = claims["exp"].as_i64().unwrap();
    assert!(exp > NOW && exp <= NOW + 24 * 60 * 60 * 10, "{exp}");
    let signature = decode(signature);
    let number = |bytes: &[u8]| BigNum::from_slice(bytes).unwrap();
    let signature = EcdsaSig::from_private_components(number(&signature[..32]), number(&signature[32..])).unwrap();
    let mut context = BigNumContext::new().unwrap();
    let point = EcPoint::from_bytes(&group(), &decode(key), &mut context).unwrap();
    let key = EcKey::from_public_key(&group(), &point).unwrap();
    let digest = openssl::sha::sha256(format!("{head}.{body}").as_bytes());
    assert!(signature.verify(&digest, &key).unwrap(), "the sender's word does not verify");
}
