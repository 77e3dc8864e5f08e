//! What browsers and authenticators answer.

use std::sync::LazyLock;

use countersign::cli::demo::authenticator::SoftAuthenticator;
use countersign::domain::ids::Digest;
use countersign::passkeys::assertion::{self, StoredCredential, Verification};
use countersign::passkeys::offline::{OfflineRegistration, verify_assertion, verify_registration};
use countersign::passkeys::registration::{self, Registered};
use countersign::passkeys::{PasskeyError, RelyingParty};
use data_encoding::BASE64URL_NOPAD;
use serde_cbor_2::Value as Cbor;
use serde_json::{Value, json};

const ORIGIN: &str = "https://example.org";
/// That of the W3C test vectors, whose attestation objects are seeds.
const RP_ID: &str = "example.org";
const HANDLE: [u8; 16] = [7; 16];

/// One passkey, its registration and one assertion; the same in every run.
struct World {
    rp: RelyingParty,
    register: Digest,
    approve: Digest,
    registered: Registered,
    verified: Verification,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let mut drawn = 0_u64;
    let random = move |bytes: &mut [u8]| {
        for chunk in bytes.chunks_mut(32) {
            drawn += 1;
            chunk.copy_from_slice(&Digest::of(&drawn.to_be_bytes()).as_bytes()[..chunk.len()]);
        }
    };
    let rp = RelyingParty::new(RP_ID, ORIGIN, "Countersign").unwrap();
    let (register, approve) = (Digest::of(b"register"), Digest::of(b"approve"));
    let mut authenticator = SoftAuthenticator::new(ORIGIN, Box::new(random));
    let options = registration::options(&rp, &HANDLE, "mara", "Mara Voss", &[], register).unwrap();
    let created = authenticator.create(&options).unwrap();
    let registered = registration::finish(&rp, register, &created).unwrap();
    let got = authenticator.get(&assertion::options(&rp, approve, &[])).unwrap();
    let verified = assertion::verify(&rp, approve, &stored(&registered), &got).unwrap();
    World { rp, register, approve, registered, verified }
});

fn stored(registered: &Registered) -> StoredCredential<'_> {
    StoredCredential {
        credential: &registered.credential,
        credential_id: &registered.credential_id,
        user_handle: &HANDLE,
    }
}

/// Everything but the signature was accepted; where that fits too, it is the one assertion that was made.
fn asserted(key: &[u8], client_data: &[u8], data: &[u8]) -> bool {
    let (world, made) = (&*WORLD, &WORLD.verified);
    match verify_assertion(&world.rp.expecting(&world.approve), key, client_data, data, &made.signature) {
        Err(PasskeyError::SignatureInvalid) => true,
        Err(_) => false,
        Ok(facts) => {
            assert_eq!(facts, made.facts);
            assert_eq!((client_data, data), (&made.client_data_json[..], &made.authenticator_data[..]));
            assert_eq!(key, world.registered.public_key);
            true
        }
    }
}

/// Every byte of the item, in as many bytes as the shortest spelling has.
fn item(bytes: &[u8]) -> Cbor {
    let value: Cbor = serde_cbor_2::from_slice(bytes).expect("another reader takes it too");
    assert_eq!(serde_cbor_2::to_vec(&value).unwrap().len(), bytes.len(), "no longer spelling is taken");
    value
}

pub fn client_data(bytes: &[u8]) -> bool {
    if !asserted(&WORLD.registered.public_key, bytes, &WORLD.verified.authenticator_data) {
        return false;
    }
    let read: Value = serde_json::from_slice(bytes).unwrap();
    assert_eq!(read["type"], "webauthn.get");
    assert_eq!(read["challenge"], BASE64URL_NOPAD.encode(WORLD.approve.as_bytes()));
    assert_eq!(read["origin"], ORIGIN);
    assert!(matches!(read.get("crossOrigin"), None | Some(Value::Bool(false))) && read.get("topOrigin").is_none());
    true
}

pub fn authenticator_data(bytes: &[u8]) -> bool {
    if !asserted(&WORLD.registered.public_key, &WORLD.verified.client_data_json, bytes) {
        return false;
    }
    assert_eq!(bytes[..32], Digest::of(RP_ID.as_bytes()).as_bytes()[..]);
    let flags = bytes[32];
    assert_eq!(flags & 0b0110_0111, 0b0000_0101, "user present and verified, nothing reserved, no key");
    assert_ne!(flags & 0b0001_1000, 0b0001_0000, "backed up means that it can be");
    if flags & 0b1000_0000 == 0 {
        assert_eq!(bytes.len(), 37);
    } else {
        assert!(matches!(item(&bytes[37..]), Cbor::Map(_)));
    }
    true
}

pub fn cose_key(bytes: &[u8]) -> bool {
    if !asserted(bytes, &WORLD.verified.client_data_json, &WORLD.verified.authenticator_data) {
        return false;
    }
    assert_eq!(serde_cbor_2::to_vec(&item(bytes)).unwrap(), bytes, "equal keys have equal bytes");
    true
}

/// The attestation object of a registration over the right client data.
pub fn attestation_object(bytes: &[u8]) -> bool {
    let client_data = &WORLD.registered.client_data_json;
    let offline = verify_registration(&WORLD.rp.expecting(&WORLD.register), bytes, client_data);
    let id = offline.as_ref().map_or(&WORLD.registered.credential_id, |read| &read.credential_id);
    let answer = json!({
        "id": BASE64URL_NOPAD.encode(id),
        "rawId": BASE64URL_NOPAD.encode(id),
        "type": "public-key",
        "response": {
            "clientDataJSON": BASE64URL_NOPAD.encode(client_data),
            "attestationObject": BASE64URL_NOPAD.encode(bytes),
        },
    });
    // The library must take no more than we do; it may take less, for it also verifies statements.
    if let Ok(online) = registration::finish(&WORLD.rp, WORLD.register, &answer) {
        agree(&online, offline.as_ref().expect("both readings accept it"));
    }
    let Ok(read) = offline else { return false };
    assert!(matches!(item(bytes), Cbor::Map(_)));
    assert_eq!(read.public_key_sha256, Digest::of(&read.public_key));
    assert!(cose_key(&read.public_key), "its key is one that verifies");
    true
}

fn agree(online: &Registered, offline: &OfflineRegistration) {
    assert_eq!(online.public_key, offline.public_key);
    assert_eq!(online.credential_id, offline.credential_id);
    assert_eq!((online.facts, online.aaguid, &online.format), (offline.facts, offline.aaguid, &offline.format));
}

/// The JSON that a page posts, as a registration and as an assertion.
pub fn browser_answer(bytes: &[u8]) -> bool {
    let Ok(answer) = serde_json::from_slice::<Value>(bytes) else { return false };
    let world = &*WORLD;
    let registered = registration::finish(&world.rp, world.register, &answer);
    if let Ok(online) = &registered {
        let offline = verify_registration(
            &world.rp.expecting(&world.register),
            &online.attestation_object,
            &online.client_data_json,
        );
        agree(online, &offline.expect("both readings accept it"));
    }
    let verified = assertion::verify(&world.rp, world.approve, &stored(&world.registered), &answer);
    if let Ok(online) = &verified {
        assert_eq!((online.facts, &online.signature), (world.verified.facts, &world.verified.signature));
        assert!(asserted(&world.registered.public_key, &online.client_data_json, &online.authenticator_data));
    }
    registered.is_ok() || verified.is_ok()
}
